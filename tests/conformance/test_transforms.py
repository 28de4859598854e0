"""Every transform of the package passes the common tests, and the common tests find what is wrong."""

from typing import Any

import pytest
import torch
from torch import Tensor

from mtrec import registry
from mtrec.features.transform import NumberTransform
from mtrec.features.transforms.log1p import Config
from mtrec.testing.suite import run_check
from mtrec.testing.transform import TRANSFORM_CHECKS, check_transform

# Options that a transform cannot do without.
OPTIONS: dict[str, dict[str, Any]] = {"hashing": {"size": 1000}, "cross": {"size": 1000}}


@pytest.mark.parametrize("check", TRANSFORM_CHECKS)
@pytest.mark.parametrize("name", registry.names("transforms"))
def test_transform(name: str, check: str) -> None:
    transform, config = registry.part("transforms", name)
    run_check(TRANSFORM_CHECKS, check, transform, config.model_validate(OPTIONS.get(name, {})))


class Centred(NumberTransform):
    """Wrong on purpose: what it gives for a value depends on those beside it."""

    def __init__(self, config: Config) -> None:
        super().__init__()

    def forward(self, values: Tensor) -> Tensor:
        known = torch.where(torch.isfinite(values), values.clamp(-1, 1), 0.0)
        return known - known.mean()


class Forgiven(Centred):
    expected_failures = {
        "values_are_treated_one_by_one": "it takes the mean of the batch",
    }


class Excused(Centred):
    expected_failures = {"input_is_left_alone": "it does not fail this"}

    def forward(self, values: Tensor) -> Tensor:
        return torch.isfinite(values).double()


def test_a_wrong_transform_is_found_and_named() -> None:
    with pytest.raises(AssertionError, match=r"(?s)Centred fails 1 of .*values_are_treated_one_by_one"):
        check_transform(Centred, Config())


def test_a_declared_failure_is_let_pass() -> None:
    check_transform(Forgiven, Config())


def test_a_declared_failure_that_does_not_happen_is_reported() -> None:
    with pytest.raises(AssertionError, match=r"(?s)Excused fails 1 of .*input_is_left_alone: passes"):
        check_transform(Excused, Config())
