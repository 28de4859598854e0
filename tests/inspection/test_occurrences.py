"""Counts of values against a plain counter; beyond the limit, whole values of an even sample."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mtrec.hash64 import hash_int64
from mtrec.inspection.occurrences import Occurrences, content_hash


def hashed(values: np.ndarray) -> np.ndarray:
    return hash_int64(torch.from_numpy(values)).numpy().view(np.uint64)


def as_sets(occurrences: Occurrences) -> Counter[tuple[int, ...]]:
    return Counter(map(tuple, occurrences.counts().tolist()))


@given(st.lists(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2)), max_size=30), max_size=5))
def test_counts_are_those_of_a_counter(parts: list[list[tuple[int, int]]]) -> None:
    found = Occurrences(3)
    naive = Counter(pair for part in parts for pair in part)
    for part in parts:
        values = np.array([value for value, _ in part], dtype=np.int64)
        found.add(hashed(values), np.array([kind for _, kind in part], dtype=np.int64))
    expected = [tuple(naive[value, kind] for kind in range(3)) for value in {value for value, _ in naive}]
    assert as_sets(found) == Counter(expected) and found.exact


@pytest.mark.parametrize("size", [37, 1000, 100_000])
def test_beyond_the_limit_the_same_whole_values_stay(size: int) -> None:
    values = np.random.default_rng(0).integers(0, 20_000, size=60_000)
    found, naive = Occurrences(1, limit=500), Counter(values.tolist())
    for start in range(0, len(values), size):
        part = values[start : start + size]
        found.add(hashed(part), np.zeros(len(part), dtype=np.int64))
    kept = sorted(naive, key=lambda value: int(hashed(np.array([value]))[0]))[:500]
    assert found.counts()[:, 0].tolist() == [naive[value] for value in kept]
    assert not found.exact
    # The mean count of the values that were kept is an estimate of that of all, 60,000 / 20,000.
    assert found.counts().mean() == pytest.approx(len(values) / len(naive), rel=0.1)


def test_nothing_was_counted() -> None:
    assert Occurrences(2).counts().shape == (0, 2)


def test_rows_are_equal_where_all_that_stands_in_them_is() -> None:
    rows = pa.table(
        {
            "number": [1.5, 1.5, None, float("nan"), None],
            "text": pa.array(["a", "a", "b", "b", "b"]).dictionary_encode(),
            "list": [[1, 2], [1, 2], [], [], None],
            "time": pa.array([1, 1, 2, 2, 2], pa.timestamp("ns", tz="UTC")),
        }
    )
    hashes = content_hash(rows)
    assert hashes[0] == hashes[1] and len(set(hashes.tolist())) == 4
    # What a slice's dictionary calls a text does not matter.
    assert content_hash(rows.slice(2).set_column(1, "text", pa.array(["b", "b", "b"]).dictionary_encode())).tolist() == hashes[2:].tolist()
