"""Known answers of the id transforms, and exactness in all 64 bits."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mtrec.errors import BundleError, DataError
from mtrec.features.state import load_state, save_state
from mtrec.features.transforms import buckets, cross, hashing, vocabulary
from mtrec.hash64 import hash_int64
from mtrec.testing.transform_case import scripted

NAN, INF = float("nan"), float("inf")
WHOLE = st.integers(-(2**63), 2**63 - 1)
GOLDEN_IDS = [767, 232, 968, 19]
GOLDEN_TEXTS = [672, 298, 914, 504]
GOLDEN_CROSSES = [441, 733, 658]


def fitted(values: list[Any], counts: list[int] | None = None, **options: Any) -> vocabulary.Vocabulary:
    transform = vocabulary.Vocabulary(vocabulary.Config(**options))
    transform.fit(pa.array(values), None if counts is None else np.array(counts))
    return transform


def rows(transform: vocabulary.Vocabulary, *values: int) -> list[int]:
    found: list[int] = transform(torch.tensor(values)).tolist()
    return found


def test_rare_and_unseen_ids_share_row_zero() -> None:
    transform = fitted([30, 10, 20], [2, 5, 1])
    assert rows(transform, 10, 30, 20, 99) == [1, 2, 0, 0]
    assert transform.size == 3


def test_max_size_keeps_the_most_frequent_and_the_smaller_of_equals() -> None:
    transform = fitted([7, 5, 6, 4], [3, 3, 9, 2], max_size=2)
    assert rows(transform, 4, 5, 6, 7) == [0, 1, 2, 0]


def test_no_id_seen_often_enough_leaves_row_zero_alone() -> None:
    transform = fitted([1, 2], [1, 1])
    assert transform.size == 1
    assert rows(transform, 1, 2) == [0, 0]


def test_ids_next_to_each_other_beyond_the_reach_of_floats_are_told_apart() -> None:
    known = [2**53, 2**53 + 1, 2**60 + 1, -1, 2**63 - 1, -(2**63)]
    transform = fitted(known, min_count=1)
    assert rows(transform, *sorted(known)) == [1, 2, 3, 4, 5, 6]
    assert rows(transform, 2**60, 2**53 + 2, 2**63 - 2, -(2**63) + 1, 0) == [0, 0, 0, 0, 0]


@pytest.mark.parametrize("start", [-(2**63), -5, 2**53, 2**63 - 10])
def test_ids_close_together_are_addressed_directly(start: int) -> None:
    known = [start, start + 2, start + 9]
    transform = fitted(known, min_count=1)
    assert transform.span == 10
    far = [-(2**63), 2**63 - 1, 0, 1, start + 1]
    assert rows(transform, *known, *far) == [1, 2, 3, *(known.index(value) + 1 if value in known else 0 for value in far)]


@given(st.sets(WHOLE, min_size=1, max_size=20), st.lists(WHOLE, max_size=20))
def test_whole_numbers_are_looked_up_exactly(known: set[int], others: list[int]) -> None:
    transform = fitted(list(known), min_count=1)
    place = {value: row for row, value in enumerate(sorted(known), start=1)}
    asked = [*known, *others, *(value + 1 for value in known if value < 2**63 - 1)]
    assert rows(transform, *asked) == [place.get(value, 0) for value in asked]


@given(st.sets(st.text(max_size=5), min_size=1, max_size=20), st.lists(st.text(max_size=5), max_size=20))
def test_text_is_looked_up_exactly(known: set[str], others: list[str]) -> None:
    transform = fitted(list(known), min_count=1)
    place = {value: row for row, value in enumerate(sorted(known, key=str.encode), start=1)}
    asked = [*known, *others]
    assert transform.forward_strings(asked).tolist() == [place.get(value, 0) for value in asked]
    assert transform.encode(pa.array(asked)).tolist() == [place.get(value, 0) for value in asked]


def test_ids_of_another_type_are_unknown() -> None:
    assert fitted(["1", "2"], min_count=1)(torch.tensor([1, 2])).tolist() == [0, 0]
    assert fitted([1, 2], min_count=1).forward_strings(["1", "2"]).tolist() == [0, 0]


def test_a_loaded_vocabulary_works_in_a_script() -> None:
    known = fitted(["Ü", "日本", ""], min_count=1)
    restored = vocabulary.Vocabulary(vocabulary.Config())
    load_state(restored, save_state(known))
    assert scripted(restored).forward_strings(["", "Ü", "日本", "x"]).tolist() == [1, 2, 3, 0]


def test_a_state_of_another_make_is_refused_and_changes_nothing() -> None:
    transform = fitted([1, 2], min_count=1)
    state = save_state(transform)
    del state["text"]
    state["numbers"] = state["numbers"].double()
    state["more"] = torch.zeros(1)
    with pytest.raises(BundleError, match=r"text is missing; more is unknown; numbers is torch.float64"):
        load_state(transform, state)
    assert rows(transform, 1, 2) == [1, 2]


def test_hashing_has_golden_rows() -> None:
    transform = hashing.Hashing(hashing.Config(size=1000))
    assert transform(torch.tensor([0, 1, -1, 2**63 - 1])).tolist() == GOLDEN_IDS
    assert transform.forward_strings(["abc", "Ü", "日本", ""]).tolist() == GOLDEN_TEXTS
    assert hashing.Hashing(hashing.Config(size=1000, seed=1)).forward_strings(["abc"]).tolist() != GOLDEN_TEXTS[:1]


def test_cross_has_golden_rows_and_minds_the_order() -> None:
    transform = cross.Cross(cross.Config(size=1000))
    hashes = hash_int64(torch.tensor([[1, 2], [2, 1], [1, 1]]))
    assert transform(hashes).tolist() == GOLDEN_CROSSES


def test_buckets_hold_equally_many() -> None:
    transform = buckets.Buckets(buckets.Config(num_buckets=4))
    transform.fit(torch.tensor([8.0, 1, 2, 3, 4, 5, 6, 7, NAN]))  # boundaries 2, 4, 6
    assert transform.size == 5
    assert transform(torch.tensor([1.0, 2, 2.5, 4, 6, 8, 99, -99, NAN, INF, -INF]).double()).tolist() == [1, 1, 2, 2, 3, 4, 4, 1, 0, 0, 0]


def test_ties_merge_buckets() -> None:
    transform = buckets.Buckets(buckets.Config(num_buckets=4))
    transform.fit(torch.tensor([0.0, 0, 0, 0, 0, 0, 0, 5]))
    assert transform.size == 3
    assert transform(torch.tensor([0.0, 1, 5]).double()).tolist() == [1, 2, 2]


def test_a_constant_column_has_one_bucket() -> None:
    transform = buckets.Buckets(buckets.Config(num_buckets=4))
    transform.fit(torch.tensor([3.0, 3]))
    assert transform.size == 2


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=40), st.integers(1, 10))
def test_every_bucket_holds_a_train_value(values: list[float], num_buckets: int) -> None:
    transform = buckets.Buckets(buckets.Config(num_buckets=num_buckets))
    train = torch.tensor(values, dtype=torch.float64)
    transform.fit(train)
    assert sorted(set(transform(train).tolist())) == list(range(1, transform.size))
    assert transform.size <= num_buckets + 1


def test_fit_on_nothing_says_which() -> None:
    with pytest.raises(DataError, match=r"Vocabulary has no value to be fitted on"):
        vocabulary.Vocabulary(vocabulary.Config()).fit(pa.array([], pa.int64()), np.zeros(0, dtype=np.int64))
