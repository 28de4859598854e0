"""What every transform promises, as checks that each take its class and its options: what prepare and the artifact rely on."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import safetensors.torch
import torch
from pydantic import BaseModel

from mtrec.errors import DataError
from mtrec.features.state import load_state, save_state
from mtrec.features.transform import IdTransform, NumberTransform
from mtrec.testing.suite import Checks, round_trips, run_suite
from mtrec.testing.transform_case import (
    UNSEEN_IDS,
    UNSEEN_TEXTS,
    Transform,
    bits,
    fit,
    fitted_on_each,
    nothing,
    rows_of_text,
    same_state,
    scripted,
    takes_ids,
    unseen,
)

__all__ = ["TRANSFORM_CHECKS", "check_transform"]


def check_transform(transform: type[Any], config: BaseModel, expected_failures: Mapping[str, str] | None = None) -> None:
    """Assert that a transform keeps its contract, all faults in one report.

    The contract: a `NumberTransform` or an `IdTransform`, made by `__init__(config)`.

    Args:
        transform: the class.
        config: its options.
        expected_failures: name of a check -> reason; by default those that the class declares.
    """
    run_suite(TRANSFORM_CHECKS, transform, config, expected_failures)


def options_round_trip(part: type[Any], config: BaseModel) -> None:
    assert round_trips(config), "the options differ after being written and read"


def state_survives_safetensors(part: type[Any], config: BaseModel) -> None:
    for fitted in fitted_on_each(part, config):
        restored = part(config)
        load_state(restored, safetensors.torch.load(safetensors.torch.save(save_state(fitted))))
        assert getattr(restored, "size", None) == getattr(fitted, "size", None), "the size differs after loading"
        _assert_same_outputs(restored, fitted, "after loading the outputs differ")
        assert same_state(restored, fitted), "after loading the state differs"


def fit_is_idempotent(part: type[Any], config: BaseModel) -> None:
    for first, second in zip(fitted_on_each(part, config), fitted_on_each(part, config, times=2), strict=True):
        assert same_state(first, second), "a second fit on the same values changes the state"


def fit_does_not_depend_on_order(part: type[Any], config: BaseModel) -> None:
    for straight, reversed_ in zip(fitted_on_each(part, config), fitted_on_each(part, config, step=-1), strict=True):
        assert same_state(straight, reversed_), "the order of the train values changes the state"


def fit_on_nothing_is_refused(part: type[Any], config: BaseModel) -> None:
    transform = part(config)
    if isinstance(transform, IdTransform) and not transform.learns:
        return
    for values in nothing(transform):
        message = ""
        try:
            fit(part(config), values)
        except DataError as error:
            message = str(error)
        assert message, "fit without a known value raises no DataError"
        assert type(transform).__name__ in message, "the error does not name the transform"


def input_is_left_alone(part: type[Any], config: BaseModel) -> None:
    for fitted in fitted_on_each(part, config):
        values = unseen(fitted)
        before = values.clone()
        fitted(values)
        assert torch.equal(bits(values), bits(before)), "forward changes its input"


def script_equals_eager(part: type[Any], config: BaseModel) -> None:
    for fitted in fitted_on_each(part, config):
        script, values = scripted(fitted), unseen(fitted)
        for _ in range(4):  # the optimised form runs only after a few calls
            assert torch.equal(bits(script(values)), bits(fitted(values))), "the script's output differs"
            if takes_ids(fitted):
                assert torch.equal(script.forward_strings(UNSEEN_TEXTS), rows_of_text(fitted)), "the script's rows of text differ"


def arrow_equals_script(part: type[Any], config: BaseModel) -> None:
    for fitted in fitted_on_each(part, config):
        if takes_ids(fitted):
            assert isinstance(fitted, IdTransform)
            script = scripted(fitted)
            whole, text = pa.array(UNSEEN_IDS), pa.array(UNSEEN_TEXTS)
            for array in (whole, whole.dictionary_encode(), whole.slice(2, 5)):
                expected = script(torch.tensor(array.to_pylist())).numpy()
                assert np.array_equal(fitted.encode(array), expected), "encode of whole numbers differs from the script"
            for array in (text, text.dictionary_encode(), text.slice(3, 6), text.cast(pa.large_string())):
                expected = script.forward_strings(array.to_pylist()).numpy()
                assert np.array_equal(fitted.encode(array), expected), "encode of text differs from the script"


def output_is_as_declared(part: type[Any], config: BaseModel) -> None:
    for fitted in fitted_on_each(part, config):
        values = unseen(fitted)
        found = fitted(values)
        assert found.shape == (len(values),), "the output has not one value for each input"
        if isinstance(fitted, NumberTransform):
            assert found.dtype == torch.float64, "the output is not float64"
            assert not found.isinf().any(), "an output is infinite"
            assert not (fitted.ends and found.isnan().any()), "a transform that may end a chain gives NaN"
            nulls = torch.tensor([float("nan"), float("inf"), -float("inf")], dtype=torch.float64)
            assert bits(fitted(nulls)).unique().numel() == 1, "NaN and infinite values are not all treated as null"
        else:
            outputs = [found, rows_of_text(fitted)] if takes_ids(fitted) else [found]
            assert all(rows.dtype == torch.int64 for rows in outputs), "the output is not int64"
            assert all(((rows >= 0) & (rows < fitted.size)).all() for rows in outputs), "a row lies outside of [0, size)"


def values_are_treated_one_by_one(part: type[Any], config: BaseModel) -> None:
    for fitted in fitted_on_each(part, config):
        values = unseen(fitted)
        together = bits(fitted(values))
        for index in range(len(values)):
            alone = bits(fitted(values[index : index + 1]))
            assert torch.equal(alone, together[index : index + 1]), "the output of a value depends on those beside it"
        assert torch.equal(bits(fitted(values.flip(0))).flip(0), together), "the output of a value depends on its place"
        spread = torch.stack([values, values], dim=1)[:, 0]
        assert torch.equal(bits(fitted(spread)), together), "the output depends on how the values lie in memory"
        assert len(fitted(values[:0])) == 0, "no values do not give no outputs"


def _assert_same_outputs(one: Transform, other: Transform, message: str) -> None:
    assert torch.equal(bits(one(unseen(one))), bits(other(unseen(other)))), message
    script = scripted(one)
    assert torch.equal(bits(script(unseen(one))), bits(other(unseen(other)))), message
    if takes_ids(one):
        assert torch.equal(script.forward_strings(UNSEEN_TEXTS), rows_of_text(other)), message


_CHECKS = [
    options_round_trip,
    state_survives_safetensors,
    fit_is_idempotent,
    fit_does_not_depend_on_order,
    fit_on_nothing_is_refused,
    input_is_left_alone,
    script_equals_eager,
    arrow_equals_script,
    output_is_as_declared,
    values_are_treated_one_by_one,
]

TRANSFORM_CHECKS: Checks = {check.__name__: check for check in _CHECKS}
