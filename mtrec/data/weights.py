"""What the rows of a log weigh, and for how many rows each stands where a log holds only a part of what was seen."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mtrec.data.labels import LARGEST, floats, some
from mtrec.errors import DataError
from mtrec.schema import Roles

__all__ = ["Weights", "read_weights"]


class Weights(NamedTuple):
    """Attributes: weight [rows] float32, in losses and metrics; stands_for [rows] float64, 1 / (the probability with which the row was kept)."""

    weight: npt.NDArray[np.float32]
    stands_for: npt.NDArray[np.float64]

    def take(self, places: npt.NDArray[np.int64]) -> "Weights":
        """Those of the rows at these places."""
        return Weights(self.weight[places], self.stands_for[places])

    def times(self, factor: npt.NDArray[np.float64]) -> "Weights":
        """Those of rows each of which stands for `factor` [rows] times as many."""
        return Weights((self.weight * factor).astype(np.float32), self.stands_for * factor)


def read_weights(table: pa.Table, roles: Roles) -> Weights:
    """The weight of each row: its `weight` over its `sampling_rate`, either of them 1 where no column has the role.

    A mean over kept rows, each over its rate, has the expectation of the mean over all rows, so what is trained and judged with these weights
    holds for the log before it was sampled, for every task and without a correction of scores.

    Raises:
        DataError: if a weight is not finite or below 0, or a rate not in (0, 1].
    """
    stands_for = np.ones(table.num_rows)
    if roles.sampling_rate is not None:
        rates = floats(table, roles.sampling_rate)
        bad = ~((rates > 0) & (rates <= 1))
        if bad.any():
            what = f"{int(bad.sum())} rows have no usable sampling rate"
            do = "Give for each row the probability with which it was kept; drop rows that could not be kept."
            raise DataError(what, where=roles.sampling_rate, found=some(rates[bad]), expected="numbers above 0 and at most 1", do=do)
        stands_for = 1.0 / rates
    weights = floats(table, roles.weight) if roles.weight is not None else np.ones(table.num_rows)
    with np.errstate(over="ignore", invalid="ignore"):
        product = weights * stands_for
    bad = ~((product >= 0) & (product <= LARGEST))
    if bad.any():
        what = f"{int(bad.sum())} rows have no usable weight"
        where = ", ".join(roles.weighing)
        raise DataError(what, where=where, found=some(product[bad]), expected="finite numbers of at least 0")
    return Weights(product.astype(np.float32), stands_for)
