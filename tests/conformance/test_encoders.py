"""Every encoder in the folder keeps the contract of encoders."""

import pytest
import torch

from mtrec import registry
from mtrec.testing.encoder import ENCODER_CHECKS
from mtrec.testing.suite import run_check


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("check", ENCODER_CHECKS)
@pytest.mark.parametrize("name", registry.names("encoders"))
def test_encoder(name: str, check: str) -> None:
    encoder, config = registry.part("encoders", name)
    run_check(ENCODER_CHECKS, check, encoder, config())
