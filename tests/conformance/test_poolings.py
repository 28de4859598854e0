"""Every pooling in the folder keeps the contract of poolings."""

import pytest

from mtrec import registry
from mtrec.testing.pooling import POOLING_CHECKS, check_pooling
from mtrec.testing.suite import run_check


@pytest.mark.parametrize("check", POOLING_CHECKS)
@pytest.mark.parametrize("name", registry.names("poolings"))
def test_pooling(name: str, check: str) -> None:
    pooling, config = registry.part("poolings", name)
    run_check(POOLING_CHECKS, check, pooling, config())


def test_raw_weights_keep_the_contract() -> None:
    pooling, config = registry.part("poolings", "target_attention")
    check_pooling(pooling, config(weights="raw", hidden=[4, 3]))
