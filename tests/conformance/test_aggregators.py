"""Every aggregator in the folder keeps the contract of aggregators."""

import pytest

from mtrec import registry
from mtrec.testing.aggregator import AGGREGATOR_CHECKS
from mtrec.testing.suite import run_check


@pytest.mark.parametrize("check", AGGREGATOR_CHECKS)
@pytest.mark.parametrize("name", registry.names("aggregators"))
def test_aggregator(name: str, check: str) -> None:
    aggregator, config = registry.part("aggregators", name)
    run_check(AGGREGATOR_CHECKS, check, aggregator, config())
