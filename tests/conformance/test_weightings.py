"""Every weighting in the folder keeps the contract of weightings."""

import pytest

from mtrec import registry
from mtrec.testing.suite import run_check
from mtrec.testing.weighting import WEIGHTING_CHECKS


@pytest.mark.parametrize("check", WEIGHTING_CHECKS)
@pytest.mark.parametrize("name", registry.names("weightings"))
def test_weighting(name: str, check: str) -> None:
    weighting, config = registry.part("weightings", name)
    run_check(WEIGHTING_CHECKS, check, weighting, config())
