"""Inputs whose values of train will not come again: clocks in disguise, and names of rows."""

from collections.abc import Iterator

import numpy as np

from mtrec.inspection.finding import Finding
from mtrec.inspection.gather import Gathered
from mtrec.inspection.inputs import Inputs
from mtrec.inspection.single_inputs import correlation, ranks

__all__ = ["inputs_that_name_a_row", "inputs_that_tell_the_time"]

TELLS_TIME = 0.99
NAMES_ROWS = 0.99
MANY = 100


def inputs_that_tell_the_time(gathered: Gathered) -> Iterator[Finding]:
    """Numbers that rise or fall with the time of the row, by rank; a model cannot go on from them beyond its last train row."""
    train = gathered.rows["train"]
    if "time" not in train.roles:
        return
    times = train.roles["time"]
    for name, values in train.numbers.items():
        known = ~np.isnan(values) & ~np.isnan(times)
        if known.sum() < MANY:
            continue
        found = correlation(ranks(values[known]), ranks(times[known]))
        if abs(found) > TELLS_TIME:
            sentence = f"It goes with time (rank correlation {found:.3f}), so each value of valid and test is new. Use hours, ages or days since."
            yield Finding("warning", name, sentence, {"correlation": found})


def inputs_that_name_a_row(gathered: Gathered, inputs: Inputs) -> Iterator[Finding]:
    """Single ids, and whole numbers, with another value in nearly each train row; whole numbers only where the sample holds all train rows."""
    train, num_train = gathered.rows["train"], gathered.rates.rows["train"]
    distinct: dict[str, tuple[int, int]] = {}
    for table, names in gathered.features.items():
        seen = gathered.tables[table].counts()[:, 0]
        if len(names) == 1 and names[0] in train.ids:
            distinct[names[0]] = (int((seen > 0).sum()), int(seen.sum()))
    if train.num_rows == num_train:
        for name, values in train.numbers.items():
            if inputs.types[name] == "int":
                known = values[~np.isnan(values)]
                distinct[name] = (len(np.unique(known)), len(known))
    for name, (num_values, num_rows) in distinct.items():
        if num_rows >= MANY and num_values > NAMES_ROWS * num_rows:
            share = num_values / num_rows
            sentence = (
                f"It has {num_values:,} values in {num_rows:,} train rows: it names the row, and nothing that is learned of a value is met again."
            )
            yield Finding("warning", name, sentence, {"share": share})
