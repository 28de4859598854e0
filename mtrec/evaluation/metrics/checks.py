"""What every metric asks of its arrays, so that a fault is named instead of averaged into a figure."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mtrec.errors import DataError

__all__ = ["binary_labels", "numbers", "row_weights"]


def numbers(values: ArrayLike, what: str, where: object = None) -> NDArray[Any]:
    """`values` as an array [N] of bools, integers or floats.

    Raises:
        DataError: another shape or type, or a value that is NaN.
    """
    array = np.asarray(values)
    if array.size == 0:
        array = array.astype(np.float32)
    if array.ndim != 1 or array.dtype.kind not in "biuf":
        raise DataError(f"The {what} cannot be read", where=where, found=f"{array.dtype} {list(array.shape)}", expected="numbers [N]")
    if array.dtype.kind == "f" and (num_nan := int(np.count_nonzero(np.isnan(array)))):
        raise DataError(f"Some {what} are NaN", where=where, found=f"{num_nan} of {len(array)}", expected="none")
    return array


def binary_labels(labels: ArrayLike, num_rows: int, where: object = None) -> NDArray[np.bool_]:
    """`labels` as bools [N].

    Raises:
        DataError: a length other than `num_rows`, or a label that is neither 0 nor 1.
    """
    array = numbers(labels, "labels", where)
    _same_length(array, num_rows, "labels", where)
    if array.dtype == np.bool_:
        return array
    positive: NDArray[np.bool_] = array == 1
    others = array[~(positive | (array == 0))]
    if others.size:
        found = f"{others[0]} in one of {others.size} such rows of {num_rows}"
        raise DataError("Some labels are neither 0 nor 1", where=where, found=found, do="Mask the rows whose label is unknown.")
    return positive


def row_weights(weights: ArrayLike | None, num_rows: int, where: object = None) -> NDArray[np.float64] | None:
    """`weights` as float64 [N]; None where there are none.

    Raises:
        DataError: a length other than `num_rows`, or a weight that is negative or not finite.
    """
    if weights is None:
        return None
    array = numbers(weights, "weights", where).astype(np.float64)
    _same_length(array, num_rows, "weights", where)
    if num_bad := int(np.count_nonzero((array < 0) | np.isinf(array))):
        raise DataError("Some weights are negative or infinite", where=where, found=f"{num_bad} of {num_rows}", expected="0 or above")
    return array


def _same_length(array: NDArray[Any], num_rows: int, what: str, where: object) -> None:
    if len(array) != num_rows:
        raise DataError(f"The {what} have another length than the scores", where=where, found=len(array), expected=num_rows)
