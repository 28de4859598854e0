"""The sample of rows: bounded, the same in any order, and whole groups."""

import numpy as np
import pytest

from mtrec.inspection.rows import Rows, SmallestHashes

RANDOM = np.random.default_rng(0)


def rows_at(places: np.ndarray) -> Rows:
    return Rows({"x": places * 0.5}, {}, {"id": places * 3}, {}, {"y": places % 2 * 1.0}, {"place": places})


@pytest.mark.parametrize("size", [1, 64, 999, 5000])
def test_the_rows_of_smallest_hash_stay_in_the_order_of_the_log(size: int) -> None:
    hashes = RANDOM.permutation(5000).astype(np.uint64)
    sample = SmallestHashes(200)
    for start in range(0, 5000, size):
        part = np.arange(start, min(start + size, 5000))
        sample.add(hashes[part], rows_at(part))
        assert sum(each.num_rows for each in sample._rows) <= 200 + 50 + size
    found = sample.result()
    assert found.roles["place"].tolist() == np.flatnonzero(hashes < 200).tolist()
    assert (found.numbers["x"] * 2).tolist() == (found.ids["id"] // 3).tolist() == found.roles["place"].tolist()


def test_a_few_rows_all_stay() -> None:
    sample = SmallestHashes(200)
    sample.add(np.arange(7, dtype=np.uint64), rows_at(np.arange(7)))
    assert sample.result().num_rows == 7
    sample.add(np.zeros(0, dtype=np.uint64), rows_at(np.arange(0)))
    assert sample.result().num_rows == 7


def test_groups_stay_whole() -> None:
    group = RANDOM.integers(100, size=5000)
    hashes = RANDOM.permutation(100).astype(np.uint64)[group]
    sample = SmallestHashes(1000)
    for part in np.array_split(np.arange(5000), 13):
        sample.add(hashes[part], rows_at(part))
    kept = sample.result().roles["place"]
    assert 0 < len(kept) <= 1000
    whole = np.isin(group, np.unique(group[kept]))
    assert kept.tolist() == np.flatnonzero(whole).tolist()
    assert set(hashes[kept]) == set(range(len(np.unique(group[kept]))))


def test_a_group_larger_than_the_sample_is_left_out() -> None:
    sample = SmallestHashes(10)
    sample.add(np.ones(50, dtype=np.uint64), rows_at(np.arange(50)))
    sample.add(np.zeros(5, dtype=np.uint64), rows_at(np.arange(50, 55)))
    assert sample.result().roles["place"].tolist() == list(range(50, 55))
