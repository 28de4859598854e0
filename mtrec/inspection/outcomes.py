"""Inputs that are there only where a label is 1, as what comes after an outcome is."""

import math
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from mtrec.data.columns_of_log import happens_only_where
from mtrec.inspection.finding import Finding
from mtrec.inspection.rows import Rows

__all__ = ["inputs_that_follow_a_label"]

MANY = 100  # So many rows are a leak; fewer, from the 20 of `happens_only_where` on, a warning.
CHANCE = 1e-9


def inputs_that_follow_a_label(rows: Rows, binary: set[str]) -> Iterator[Finding]:
    """Columns with a value other than 0 only in rows where a label is 1, unless the label is 1 so often that chance explains it."""
    present = {name: (values != 0) & ~np.isnan(values) for name, values in rows.counted.items()}
    present |= {name: values != 0 for name, values in rows.ids.items()}
    for task in sorted(binary):
        labels = rows.labels[task]
        rate = float((labels == 1).mean())
        for name, there in present.items():
            pair = pa.table({"input": there.astype(np.int8), "label": pa.array(labels, from_pandas=True)})
            count = int(there.sum())
            if rate <= 0 or count * math.log(rate) > math.log(CHANCE) or not happens_only_where(pair, "input", "label"):
                continue
            sentence = f"It has a value other than 0 in {count:,} of the rows looked at, all of them with {task!r} = 1, as what comes after it does."
            yield Finding("leak" if count >= MANY else "warning", name, sentence, {"rows": float(count), "rate": rate})
