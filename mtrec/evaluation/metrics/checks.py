"""What every metric asks of its arrays, so that a fault is named instead of averaged into a figure."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mtrec.errors import DataError

__all__ = ["binary_labels", "errors_and_labels", "groups_of_rows", "in_unit_interval", "numbers", "row_weights"]


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


def in_unit_interval(probabilities: ArrayLike, where: object = None) -> NDArray[np.float64]:
    """`probabilities` as float64 [N].

    Raises:
        DataError: a value that is NaN or outside [0, 1].
    """
    scores = numbers(probabilities, "probabilities", where).astype(np.float64)
    if num_outside := int(np.count_nonzero((scores < 0) | (scores > 1))):
        found = f"{num_outside} of {len(scores)}"
        raise DataError("Some probabilities lie outside [0, 1]", where=where, found=found, do="Hand on probabilities, not logits.")
    return scores


def errors_and_labels(predictions: ArrayLike, labels: ArrayLike, where: object = None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What a regression is judged by: prediction - label, and label, float64 [N] each.

    Raises:
        DataError: unequal lengths, or a value that is not finite.
    """
    found = numbers(predictions, "predictions", where).astype(np.float64)
    wanted = numbers(labels, "labels", where).astype(np.float64)
    if len(wanted) != len(found):
        raise DataError("The labels have another length than the predictions", where=where, found=len(wanted), expected=len(found))
    if num_bad := int(np.count_nonzero(~(np.isfinite(found) & np.isfinite(wanted)))):
        raise DataError("Some predictions or labels are infinite", where=where, found=f"{num_bad} of {len(found)} rows", expected="none")
    return found - wanted, wanted


def groups_of_rows(groups: ArrayLike, num_rows: int, where: object = None) -> NDArray[np.int64]:
    """`groups` as int64 [N].

    Raises:
        DataError: a length other than `num_rows`, or another type than whole numbers.
    """
    array = np.asarray(groups)
    if array.size == 0:
        array = array.astype(np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        do = "Make them of the columns with `group_ids`."
        raise DataError("The groups cannot be read", where=where, found=f"{array.dtype} {list(array.shape)}", expected="whole numbers [N]", do=do)
    _same_length(array, num_rows, "groups", where)
    return array.astype(np.int64, copy=False)


def _same_length(array: NDArray[Any], num_rows: int, what: str, where: object) -> None:
    if len(array) != num_rows:
        raise DataError(f"The {what} have another length than the scores", where=where, found=len(array), expected=num_rows)
