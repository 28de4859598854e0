"""The gate says no to each way in which an artifact can be wrong."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor, nn

from mtrec.errors import GateError
from mtrec.export.parity import check_parity
from mtrec.request import Input
from mtrec.serving import Output

ROWS = pa.table({"x": np.linspace(-1, 1, 20), "key": [f"k{row}" for row in range(20)]})
INPUTS = [Input("x", "number")]
PROBABILITY = Output("p", "binary")


class Model(nn.Module):
    """p = factor * sigmoid(x), with x = 0 where null or infinite."""

    def __init__(self, factor: float = 1.0, mode_offset: float = 0.0) -> None:
        super().__init__()
        self.factor, self.mode_offset = factor, mode_offset

    def forward(self, numbers: dict[str, Tensor], ids: dict[str, Tensor], strings: dict[str, Tensor]) -> dict[str, Tensor]:
        score = self.factor * torch.sigmoid(torch.nan_to_num(numbers["x"], 0.0, 0.0, 0.0)).float()
        return {"p": score + (self.mode_offset if torch.is_inference_mode_enabled() else 0.0)}


def reference(rows: pa.Table) -> Mapping[str, np.ndarray]:
    x = np.nan_to_num(rows.column("x").to_numpy(), nan=0.0)
    return {"p": np.exp(-np.logaddexp(0, -x))}


def gate(script: nn.Module, twin: nn.Module | None = None, output: Output = PROBABILITY) -> dict[str, float]:
    return check_parity(script, script if twin is None else twin, ROWS, reference, INPUTS, [output], keys=["key"])


def test_equal_models_pass_with_their_largest_difference() -> None:
    assert 0 < gate(Model())["p"] < 1e-7


def test_a_difference_from_training_names_the_worst_row() -> None:
    with pytest.raises(GateError, match=r"output `p`, row 0 of the given rows, key='k0'.*at most 1.0e-06"):
        gate(Model(factor=1 - 1e-4))


def test_what_regression_may_differ_grows_with_its_scale() -> None:
    gate(Model(factor=1 - 1e-4), output=Output("p", "regression", scale=1000.0))


def test_a_script_unlike_its_twin_is_refused_for_one_bit() -> None:
    with pytest.raises(GateError, match="bitwise"):
        gate(Model(), Model(factor=1 + 2e-7))


def test_every_gradient_mode_is_tried() -> None:
    with pytest.raises(GateError, match="bitwise"):
        gate(Model(mode_offset=1e-7 * 2), Model())


def test_scores_that_are_not_finite_are_refused() -> None:
    with pytest.raises(GateError, match="from the artifact"):
        gate(Model(factor=float("inf")))


def test_a_probability_above_one_is_refused() -> None:
    def twice(rows: pa.Table) -> Mapping[str, np.ndarray]:
        return {"p": 2 * reference(rows)["p"]}

    with pytest.raises(GateError, match=r"outside of \[0, 1\]"):
        check_parity(Model(factor=2.0), Model(factor=2.0), ROWS, twice, INPUTS, [PROBABILITY])


def test_other_outputs_are_refused() -> None:
    with pytest.raises(GateError, match="something else"):
        check_parity(Model(), Model(), ROWS, lambda rows: {"q": np.zeros(len(rows))}, INPUTS, [PROBABILITY])
