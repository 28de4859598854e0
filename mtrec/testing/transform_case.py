"""Transforms fitted for a check, and values for them: ties, extremes, nulls, text of every width."""

import warnings
from typing import Any, TypeAlias

import pyarrow as pa
import torch
from pydantic import BaseModel
from torch import Tensor, nn

from mtrec.features.state import save_state
from mtrec.features.transform import IdTransform, NumberTransform
from mtrec.hash64 import hash_array, hash_int64

__all__ = [
    "UNSEEN_IDS",
    "UNSEEN_TEXTS",
    "Transform",
    "bits",
    "fit",
    "fitted_on_each",
    "nothing",
    "rows_of_text",
    "same_state",
    "scripted",
    "takes_ids",
    "unseen",
]

Transform: TypeAlias = NumberTransform | IdTransform

NUMBERS = [0.0, 0.0, -0.0, 1.0, 1.0, 2.5, -3.0, 1e-300, 7.0, 7.0, float("nan"), float("inf"), 1e300, -1e300, 40.0]
UNSEEN_NUMBERS = [*NUMBERS, -float("inf"), 0.5, 1.7976931348623157e308, -1.7976931348623157e308, 5e-324, 6.99]
IDS = [0, 1, -1, 2**53, 2**53 + 1, 2**60 + 1, 2**63 - 1, -(2**63), 5, 6]
UNSEEN_IDS = [*IDS, 2, -2, 2**53 + 2, 2**62, -(2**63) + 1]
TEXTS = ["", "abc", "Ü", "日本", "日", "a b", "\U0001f600", "Abc", "abcd", "0"]
UNSEEN_TEXTS = [*TEXTS, "u", "日本語", "\x00", "ab"]


def scripted(module: nn.Module) -> Any:
    """A module as TorchScript."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"`torch\.jit\.\w+` is deprecated", category=DeprecationWarning)
        return torch.jit.script(module)


def fitted_on_each(part: type[Any], config: BaseModel, times: int = 1, step: int = 1) -> list[Transform]:
    """The transform fitted on each kind of values that it takes."""
    fitted = []
    for values in train_values(part(config)):
        transform = part(config)
        for _ in range(times):
            fit(transform, values[::step] if isinstance(values, list) else values)
        fitted.append(transform)
    return fitted


def train_values(transform: Transform) -> list[list[Any]]:
    if isinstance(transform, NumberTransform) or transform.takes_numbers:
        return [NUMBERS, [3.0, 3.0, 3.0], list(range(2500))]
    if not transform.learns:
        return [[]]
    return [IDS, list(range(100, 130)), TEXTS]


def fit(transform: Transform, values: list[Any]) -> None:
    if isinstance(transform, NumberTransform) or transform.takes_numbers:
        transform.fit(torch.tensor(values, dtype=torch.float64))
    elif transform.learns:
        # Counts go with the values, so that any order of them is the same statistics.
        distinct = pa.array(values, None if values else pa.int64())
        transform.fit(distinct, hash_array(distinct) % 3 + 1)


def nothing(transform: Transform) -> list[list[Any]]:
    takes_numbers = isinstance(transform, NumberTransform) or transform.takes_numbers
    return [[], [float("nan"), float("inf")]] if takes_numbers else [[]]


def takes_ids(transform: Transform) -> bool:
    return isinstance(transform, IdTransform) and not (transform.takes_numbers or transform.takes_hashes)


def unseen(transform: Transform) -> Tensor:
    """Values to encode: those of train and others."""
    if isinstance(transform, NumberTransform) or transform.takes_numbers:
        return torch.tensor(UNSEEN_NUMBERS, dtype=torch.float64)
    ids = torch.tensor(UNSEEN_IDS)
    return torch.stack([hash_int64(ids), hash_int64(ids, 1)], dim=1) if transform.takes_hashes else ids


def rows_of_text(transform: Transform) -> Tensor:
    assert isinstance(transform, IdTransform)
    return transform.forward_strings(UNSEEN_TEXTS)


def same_state(one: Transform, other: Transform) -> bool:
    first, second = save_state(one), save_state(other)
    return first.keys() == second.keys() and all(torch.equal(bits(first[name]), bits(second[name])) for name in first)


def bits(values: Tensor) -> Tensor:
    """Values so that equal means bitwise equal, NaN too."""
    return values.contiguous().view(torch.int64) if values.dtype == torch.float64 else values
