"""Random logs under random declarations: every value is that of the definition, in memory and over the disk."""

from pathlib import Path

import pyarrow as pa
import pytest

from mtrec.history import buckets, parts, runs
from mtrec.history.state import HistoryState
from tests.history.cases import KEYS, KINDS, Case, built, random_case
from tests.history.naive import naive


def assert_is_as_defined(case: Case, found: pa.Table, first: int = 0) -> None:
    """Of the rows from `first` on; all values are exact but decaying sums, which the definition adds up in another way."""
    expected = naive(case.entries, case.rows, case.files, KEYS, case.zone, KINDS)
    assert found.column_names == list(expected)
    for name, values in expected.items():
        ours, defined = found[name].to_pylist(), values[first:]
        if ".decay." in name:
            assert [value is None for value in ours] == [value is None for value in defined], name
            ours, defined = ([value for value in each if value is not None] for each in (ours, defined))
            assert ours == pytest.approx(defined, rel=1e-11, abs=1e-11), name
        else:
            assert ours == defined, name


@pytest.mark.parametrize("seed", range(60))
def test_in_memory(seed: int, tmp_path: Path) -> None:
    case = random_case(seed)
    assert_is_as_defined(case, built(case.plan(), case.table(), {name: case.file(name) for name in case.files}, tmp_path))


@pytest.mark.parametrize("seed", range(100, 120))
def test_over_the_disk(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "ROWS_IN_MEMORY", 20)
    monkeypatch.setattr(runs, "ROWS_PER_RUN", 32)
    monkeypatch.setattr(buckets, "MOST_ROWS", 25)
    case = random_case(seed)
    assert_is_as_defined(case, built(case.plan(), case.table(), {name: case.file(name) for name in case.files}, tmp_path))


@pytest.mark.parametrize("seed", range(200, 220))
def test_what_a_state_answers(seed: int, tmp_path: Path) -> None:
    case = random_case(seed)
    case.rows.sort(key=lambda row: row["time"])
    cut = next(place for place in range(30, 0, -1) if case.rows[place]["time"] > case.rows[place - 1]["time"])
    now = case.rows[cut]["time"]
    asked = [row for row in case.rows[cut:] if row["time"] == now]
    past = {name: [row for row in rows if row["time"] < now] for name, rows in case.files.items()}
    built(case.plan(), case.table(case.rows[:cut]), {name: case.file(name, rows) for name, rows in past.items()}, tmp_path)
    answered = HistoryState.open(tmp_path / "state").add(case.table(asked))
    whole = case._replace(rows=case.rows[: cut + len(asked)], files=past)
    assert_is_as_defined(whole, answered, cut)
