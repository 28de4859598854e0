"""What the splits of a log share, and rows that stand in it more than once."""

import numpy as np
import pyarrow as pa

from mtrec.inspection.finding import Finding, Level
from mtrec.inspection.gather import Gathered
from mtrec.inspection.rates import readable

__all__ = ["overlaps", "repeats"]

REPEATED = 0.001  # The share of rows from which repeated rows are a warning.


def repeats(gathered: Gathered) -> list[Finding]:
    """Rows that are equal in all columns that are read, in the keys, or in user, item and time; and those of them in train and held out alike."""
    found = []
    for name, occurrences in gathered.repeats.items():
        counts = occurrences.counts()
        num_rows, num_again = int(counts.sum()), int(counts.sum()) - len(counts)
        if not num_again:
            continue
        share, held_out = num_again / num_rows, int(counts[:, 1:].sum())
        crossing = int(counts[counts[:, 0] > 0, 1:].sum())
        what = {"row": "all columns that are read", "keys": "the keys, which are to name a row"}.get(name, name)
        about = "" if occurrences.exact else "about "
        sentence = f"{about}{share:.2%} of the rows repeat another one in {what}."
        if crossing:
            sentence = f"{sentence[:-1]}; {about}{crossing / held_out:.2%} of the rows of valid and test repeat one of train."
        figures = {"share": share, "rows": float(num_again), "held_out_in_train": crossing / max(held_out, 1)}
        level: Level = "warning" if name == "keys" or share >= REPEATED else "note"
        found.append(Finding(level, "log", f"{sentence[0].upper()}{sentence[1:]}", figures))
    return found


def overlaps(gathered: Gathered, by: str, time_type: pa.DataType | None) -> list[Finding]:
    """Train rows later than the first valid row, and how many of the held-out rows are of users that train knows."""
    found = []
    times = gathered.rates.times
    held_out = [split for split in ("valid", "test") if split in times]
    if by != "time" and held_out and time_type is not None:
        first = held_out[0]
        share = float(np.mean(gathered.rows["train"].roles["time"] > times[first][0]))
        if share > 0:
            sentence = (
                f"{share:.1%} of the train rows are later than the first row of {first} ({readable(times[first][0], time_type)}): "
                "the model is judged on a past whose future it has seen. Split by time to judge what serving will see."
            )
            found.append(Finding("warning", "log.split", sentence, {"share": share}))
    counts = gathered.users.counts()
    for code, split in ((1, "valid"), (2, "test")):
        if total := int(counts[:, code].sum()):
            share = int(counts[counts[:, 0] > 0, code].sum()) / total
            found.append(Finding("note", split, f"{share:.1%} of the rows are of users that train knows.", {"share": share}))
    return found
