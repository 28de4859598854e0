"""Which row comes before which in its session, against a loop over the rows."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mtrec.errors import DataError
from mtrec.history import parts
from mtrec.history.sessions import SessionLinks
from mtrec.schema import Log

LOG = Log.model_validate({"source": "x", "roles": {"session": "visit", "time": "ts"}, "split": {"by": "column", "column": "split"}})


def links_of(folder: Path, visit: pa.Array, ts: list[int], added: list[int], num_tables: int = 1) -> tuple[list[int], list[bool]]:
    links = SessionLinks(LOG, folder / "sessions")
    table = pa.table({"visit": visit, "ts": ts})
    for piece in np.array_split(np.array(added, dtype=np.int64), num_tables):
        links.add(table.take(pa.array(piece)), piece)
    found = links.links(len(ts))
    links.close()
    assert not list(folder.iterdir())
    return found["before"].tolist(), found["is_last"].tolist()


def naive(visit: list[Any], ts: list[int], added: list[int]) -> tuple[list[int], list[bool]]:
    before, is_last = [-1] * len(ts), [True] * len(ts)
    for row in added:
        if visit[row] is not None:
            earlier = [other for other in added if visit[other] == visit[row] and (ts[other], other) < (ts[row], row)]
            if earlier:
                before[row] = max(earlier, key=lambda other: (ts[other], other))
                is_last[before[row]] = False
    return before, is_last


@pytest.mark.parametrize("kind", [pa.int64(), pa.string(), pa.dictionary(pa.int32(), pa.string())])
@pytest.mark.parametrize("rows_in_memory", [2**20, 40])
def test_links_are_those_of_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: pa.DataType, rows_in_memory: int) -> None:
    monkeypatch.setattr(parts, "ROWS_IN_MEMORY", rows_in_memory)
    random = np.random.default_rng(3)
    visit = [None if value == 7 else value if kind == pa.int64() else f"visit {value}" for value in random.integers(0, 60, 300).tolist()]
    ts, added = random.integers(0, 20, 300).tolist(), np.flatnonzero(random.random(300) < 0.8).tolist()
    expected = naive(visit, ts, added)
    assert min(expected[0]) == -1 and sum(expected[1]) < 300
    assert links_of(tmp_path, pa.array(visit, kind), ts, added, num_tables=7) == expected


def test_rows_of_one_time_stand_in_the_order_of_the_log(tmp_path: Path) -> None:
    assert links_of(tmp_path, pa.array(["a", "b", "a", "a"]), [5, 5, 5, 4], [0, 1, 2, 3]) == ([3, -1, 0, -1], [False, True, True, False])


def test_a_row_without_a_session_is_one_by_itself(tmp_path: Path) -> None:
    assert links_of(tmp_path, pa.array([None, None]), [1, 2], [0, 1]) == ([-1, -1], [True, True])
    assert links_of(tmp_path, pa.array([float("nan"), float("nan"), 1.5, 1.5]), [1, 2, 3, 4], [0, 1, 2, 3])[0] == [-1, -1, -1, 2]


def test_lists_are_no_sessions(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be a list.*visit"):
        links_of(tmp_path, pa.array([[1]]), [1], [0])
