"""Columns in the few types that histories and counters know, and labels as whole numbers whose sums are exact."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mtrec.errors import DataError

__all__ = ["ARROW", "FRACTION", "as_kind", "as_label", "is_one", "kind_of", "narrow"]

ARROW = {"int": pa.int64(), "number": pa.float64(), "string": pa.string()}
# Labels with fractions are held as whole multiples of this: sums of whole numbers do not depend on their order.
FRACTION = 2.0**-16
_LARGEST_LABEL = 2.0**40


def kind_of(arrow_type: pa.DataType) -> str:
    """int, number, string or null; other types by their own name.

    >>> kind_of(pa.bool_()), kind_of(pa.float32()), kind_of(pa.date32())
    ('int', 'number', 'date32[day]')
    """
    kinds = pa.types
    plain = arrow_type.value_type if kinds.is_dictionary(arrow_type) else arrow_type
    if kinds.is_integer(plain) or kinds.is_boolean(plain):
        return "int"
    if kinds.is_floating(plain) or kinds.is_decimal(plain):
        return "number"
    if kinds.is_string(plain) or kinds.is_large_string(plain) or kinds.is_string_view(plain):
        return "string"
    return "null" if kinds.is_null(plain) else str(arrow_type)


def as_kind(column: pa.Array, kind: str, where: str) -> pa.Array:
    """A column as int64, float64 or text.

    Raises:
        DataError: if whole numbers do not fit 64 bits with a sign.
    """
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    try:
        found = column.cast(ARROW[kind], safe=kind != "number")
    except pa.ArrowInvalid as error:
        raise DataError("Values do not fit 64 bits with a sign", where=where, found=error) from error
    return pc.add(found, 0.0) if kind == "number" else found  # -0.0 becomes 0.0: equal values look equal.


def is_one(column: pa.Array, kind: str, where: str) -> NDArray[np.bool_]:
    """Where a column is 1; null is not. [rows]"""
    return np.asarray(pc.fill_null(pc.equal(as_kind(column, kind, where), 1), False).to_numpy(zero_copy_only=False), dtype=np.bool_)


def as_label(column: pa.Array, kind: str, where: str) -> pa.Array:
    """A label as int64, null where unknown; with fractions, in multiples of 2^-16, rounded to the nearest.

    Raises:
        DataError: if a label with fractions is NaN, infinite, or beyond 2^40.
    """
    found = as_kind(column, kind, where)
    if kind == "int":
        return found
    values = np.asarray(pc.fill_null(found, 0.0), dtype=np.float64)
    bad = ~(np.abs(values) <= _LARGEST_LABEL)
    if bad.any():
        what = f"{int(bad.sum())} labels cannot be summed"
        raise DataError(what, where=where, found=sorted(set(values[bad].tolist()))[:5], expected="null, or numbers between -2^40 and 2^40")
    return pa.array(np.rint(values / FRACTION).astype(np.int64), mask=found.is_null().to_numpy(zero_copy_only=False))


def narrow(values: NDArray[Any]) -> NDArray[Any]:
    """Whole numbers in 32 bits where they fit, for the way over the disk; others as they are."""
    fits = values.dtype == np.int64 and (len(values) == 0 or (values.min() >= -(2**31) and values.max() < 2**31))
    return values.astype(np.int32) if fits else values
