"""Hashes keep their values for ever, and all forms agree."""

import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mtrec.hash64 import combine_hashes, hash_array, hash_int64, hash_strings, hash_strings_numpy, to_range
from mtrec.testing.transform_case import scripted

WHOLE = st.integers(-(2**63), 2**63 - 1)
GOLDEN_TEXT = [3018304574923447344, -7167453968008957019, -853278021516527787, -4359066618775142608]
GOLDEN_COMBINED = [-4838594755968170389, -2274933249722822011]


def plain_hash(value: int, seed: int = 0) -> int:
    """The equations in whole numbers of any size."""
    bits = 2**64 - 1
    z = (value + (seed + 1) * 0x9E3779B97F4A7C15) & bits
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & bits
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & bits
    z ^= z >> 31
    return z - 2**64 if z >> 63 else z


def test_first_output_of_splitmix64() -> None:
    # The generator started at 0 gives 0xE220A8397B1DCDAF first, at 1234567 it gives 6457827717110365317.
    assert hash_int64(torch.tensor([0, 1234567])).tolist() == [0xE220A8397B1DCDAF - 2**64, 6457827717110365317]


def test_fnv_of_bytes() -> None:
    # FNV-1a, 64 bits: of nothing 0xCBF29CE484222325, of "a" 0xAF63DC4C8601EC8C, of "foobar" 0x85944171F73967E8.
    states = [0xCBF29CE484222325, 0xAF63DC4C8601EC8C, 0x85944171F73967E8]
    assert hash_strings(["", "a", "foobar"]).tolist() == [plain_hash(state) for state in states]


def test_golden_values() -> None:
    assert hash_strings(["abc", "Ü", "日本", ""]).tolist() == GOLDEN_TEXT
    assert combine_hashes(torch.tensor([[1, 2], [2, 1]])).tolist() == GOLDEN_COMBINED


@given(st.lists(WHOLE, min_size=1, max_size=5), st.integers(0, 2**31 - 1))
def test_whole_numbers_follow_the_equations(values: list[int], seed: int) -> None:
    assert hash_int64(torch.tensor(values), seed).tolist() == [plain_hash(value, seed) for value in values]


@given(st.lists(st.text(max_size=12), max_size=20), st.integers(0, 100))
def test_text_hashes_the_same_in_every_form(values: list[str], seed: int) -> None:
    expected = hash_strings(values, seed).numpy()
    array = pa.array(values, pa.string())
    for form in (array, array.cast(pa.large_string()), array.dictionary_encode(), pa.array(["x", *values], pa.string()).slice(1)):
        assert np.array_equal(hash_strings_numpy(form, seed), expected)
        assert np.array_equal(hash_array(form, seed), expected)
    assert np.array_equal(SCRIPT(values, seed).numpy(), expected)


@given(st.lists(WHOLE, max_size=5), st.integers(1, 2**40))
def test_rows_are_the_upper_bits_modulo_size(values: list[int], size: int) -> None:
    found = to_range(torch.tensor(values, dtype=torch.int64), size).tolist()
    assert found == [((value & (2**64 - 1)) >> 1) % size for value in values]


def test_order_of_columns_matters() -> None:
    first, second = combine_hashes(torch.tensor([[3, 4], [4, 3]])).tolist()
    assert first != second


def test_rows_are_spread_evenly() -> None:
    counts = torch.bincount(to_range(hash_int64(torch.arange(100_000)), 100), minlength=100)
    assert counts.min() > 850 and counts.max() < 1150  # 1000 with a deviation of 31 if random


@pytest.mark.parametrize("seed", ["0", "1"])
def test_hashes_do_not_depend_on_the_process(seed: str) -> None:
    code = "import pyarrow as pa; from mtrec.hash64 import hash_array; print(hash_array(pa.array(['abc', 'Ü', '日本', ''])).tolist())"
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == str(GOLDEN_TEXT)


SCRIPT = scripted(hash_strings)
