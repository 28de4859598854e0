"""Counts and samples do not depend on how the rows arrive."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from mtrec.features.train_statistics import Counts, Sample


@given(st.lists(st.lists(st.integers(0, 5), max_size=10), min_size=1, max_size=6), st.booleans())
def test_counts_add_up(batches: list[list[int]], text: bool) -> None:
    counts = Counts()
    for batch in batches:
        counts.add(pa.array([str(value) for value in batch], pa.string()).dictionary_encode() if text else pa.array(batch, pa.int64()))
    values, found = counts.result()
    flat = [value for batch in batches for value in batch]
    assert dict(zip(map(int, values.to_pylist()), found.tolist(), strict=True)) == {value: flat.count(value) for value in flat}


def test_counts_are_merged_while_they_grow() -> None:
    counts = Counts()
    for start in range(0, 3_000_000, 500_000):
        counts.add(pa.array(np.arange(start, start + 600_000)))
    values, found = counts.result()
    assert len(values) == 3_100_000
    assert found.sum() == 3_600_000 and found.max() == 2


@given(st.lists(st.integers(0, 50), min_size=1, max_size=60), st.integers(1, 20), st.integers(1, 9))
def test_sample_holds_the_rows_of_smallest_hash(hashes: list[int], limit: int, batch: int) -> None:
    sample = Sample(limit)
    values = np.arange(len(hashes), dtype=np.float64)[None, :]
    rows = np.array(hashes, dtype=np.uint64)
    for start in range(0, len(hashes), batch):
        sample.add(rows[start : start + batch], values[:, start : start + batch])
    bound = sorted(hashes)[:limit][-1]  # rows of the same hash as the last one stay with it
    assert sorted(sample.result()[0].tolist()) == [place for place, value in enumerate(hashes) if value <= bound]
