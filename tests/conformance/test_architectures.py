"""Every architecture in the folder keeps the contract of architectures."""

import pytest
import torch

from mtrec import registry
from mtrec.testing.architecture import ARCHITECTURE_CHECKS
from mtrec.testing.suite import run_check


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("check", ARCHITECTURE_CHECKS)
@pytest.mark.parametrize("name", registry.names("architectures"))
def test_architecture(name: str, check: str) -> None:
    architecture, config = registry.part("architectures", name)
    run_check(ARCHITECTURE_CHECKS, check, architecture, config())
