"""Row weights: what columns they are made of, and what is refused."""

import numpy as np
import pyarrow as pa
import pytest

from mtrec.data.weights import read_weights
from mtrec.errors import DataError
from mtrec.schema import Roles

NAN, INF = float("nan"), float("inf")
BOTH = Roles(weight="w", sampling_rate="kept")


def test_each_role_is_optional() -> None:
    table = pa.table({"w": [0, 2, 3], "kept": [1.0, 0.5, 0.1]})
    for roles, weight, stands_for in (
        (Roles(), [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]),
        (Roles(weight="w"), [0.0, 2.0, 3.0], [1.0, 1.0, 1.0]),
        (Roles(sampling_rate="kept"), [1.0, 2.0, 10.0], [1.0, 2.0, 10.0]),
        (BOTH, [0.0, 4.0, 30.0], [1.0, 2.0, 10.0]),
    ):
        found = read_weights(table, roles)
        assert found.weight.dtype == np.float32
        assert found.weight.tolist() == weight and found.stands_for.tolist() == stands_for


@pytest.mark.parametrize("value", [-0.1, NAN, INF, None, 1e39])
def test_unusable_weights_are_counted(value: float | None) -> None:
    with pytest.raises(DataError, match=r"2 rows have no usable weight \(w\)"):
        read_weights(pa.table({"w": [1.0, value, value]}), Roles(weight="w"))


@pytest.mark.parametrize("value", [0.0, -0.5, 1.001, NAN, INF, None])
def test_unusable_rates_are_counted(value: float | None) -> None:
    with pytest.raises(DataError, match=r"1 rows have no usable sampling rate \(kept\)"):
        read_weights(pa.table({"kept": [1.0, value, 0.5]}), Roles(sampling_rate="kept"))


def test_a_weight_that_its_rate_makes_infinite_is_refused() -> None:
    with pytest.raises(DataError, match=r"1 rows have no usable weight \(w, kept\)"):
        read_weights(pa.table({"w": [1e30, 1.0], "kept": [1e-30, 1.0]}), BOTH)
