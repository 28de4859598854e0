"""The reader: each row once an epoch, an order that the seed alone decides, an exact place to go on from, and no thread left behind."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtrec.data import shuffle
from mtrec.data.reader import FILLER, Reader
from mtrec.data.shuffle import RowGroups
from mtrec.errors import DataError
from mtrec.types import Batch

Write = Callable[..., Path]


def raw(num_rows: int) -> pa.Table:
    """Numbers, a single and a list id, a label with nulls; each row differs from all others."""
    row = np.arange(num_rows)
    return pa.table(
        {
            "n.0": row.astype(np.float32),
            "n.1": -row.astype(np.float32),
            "i.0": pa.array((row * 7).astype(np.int32), mask=row % 3 == 1),
            "i.1": pa.array([list(range(one, one + one % 4)) for one in row.tolist()], pa.list_(pa.int32())),
            "y.0": pa.array((row % 2).astype(np.float32), mask=row % 5 == 0),
            "w": (row + 0.5).astype(np.float32),
            "row": row + 1000,
        }
    )


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    def written(num_rows: int, row_group: int) -> Path:
        monkeypatch.setattr(shuffle, "ROW_GROUP", row_group)
        path = tmp_path / f"{num_rows} {row_group}.parquet"
        if num_rows and not path.is_file():
            with RowGroups(path) as out:
                out.add(raw(num_rows))
        return path

    return written


def rows(batches: Iterator[Batch]) -> list[int]:
    return [row for batch in batches for row in batch.row.tolist()]


def same(left: Batch, right: Batch) -> bool:
    return left.cursor == right.cursor and all(torch.equal(a, b) for a, b in zip(left[:-1], right[:-1], strict=True))  # type: ignore[arg-type]


sizes = {"num_rows": st.integers(0, 60), "row_group": st.integers(1, 25), "batch_size": st.integers(1, 70)}
relaxed = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(**sizes)
@relaxed
def test_each_row_comes_exactly_once(write: Write, num_rows: int, row_group: int, batch_size: int) -> None:
    reader = Reader(write(num_rows, row_group), batch_size, seed=3)
    everything = list(range(1000, 1000 + num_rows))
    assert len(reader) == -(-num_rows // batch_size) and reader.num_rows == num_rows
    for epoch in (0, 1):
        batches = list(reader.epoch(epoch))
        assert sorted(rows(iter(batches))) == everything
        assert [len(batch.row) for batch in batches[:-1]] == [batch_size] * (len(reader) - 1 if num_rows else 0)
        assert [batch.cursor for batch in batches] == [(epoch, place) for place in range(0, num_rows, batch_size)]
    assert rows(reader.in_order()) == everything


@given(**sizes, steps=st.integers(0, 140))
@relaxed
def test_what_goes_on_from_a_cursor_is_what_would_have_come(write: Write, num_rows: int, row_group: int, batch_size: int, steps: int) -> None:
    path = write(num_rows, row_group)
    straight = [batch for epoch in (0, 1) for batch in Reader(path, batch_size, seed=3).epoch(epoch)]
    steps = min(steps, len(straight))
    if steps == len(straight):
        epoch, place = (1, num_rows)
    else:
        epoch, place = straight[steps].cursor
    again = Reader(path, batch_size, seed=3)
    rest = [*again.epoch(epoch, place), *(again.epoch(1) if epoch == 0 else [])]
    assert len(rest) == len(straight) - steps
    assert all(same(*pair) for pair in zip(rest, straight[steps:], strict=True))


@given(**sizes, world_size=st.integers(1, 5))
@relaxed
def test_the_ranks_together_take_each_row_of_each_batch_once(write: Write, num_rows: int, row_group: int, batch_size: int, world_size: int) -> None:
    path = write(num_rows, row_group)
    parts = [Reader(path, batch_size, 3, rank, world_size).epoch(0) for rank in range(world_size)]
    for batch, *shares in zip(Reader(path, batch_size, 3).epoch(0), *parts, strict=True):
        assert {share.cursor for share in shares} == {batch.cursor}
        own = [share for share in shares if FILLER not in share.row.tolist()]
        assert torch.equal(torch.cat([share.row for share in own]), batch.row)
        assert torch.equal(torch.cat([share.id_lengths for share in own], 1), batch.id_lengths)
        assert sum(len(share.ids) for share in own) == len(batch.ids)
        sizes = [int((share.row != FILLER).sum()) for share in shares]
        assert max(sizes) - min(sizes) <= 1


def test_a_rank_without_a_share_gets_a_row_that_counts_nothing(write: Write) -> None:
    (share,) = Reader(write(2, 2), 2, 3, rank=0, world_size=3).epoch(0)
    assert share.row.tolist() == [FILLER] and share.weight.tolist() == [0.0] and not share.label_mask.any()
    assert share.id_lengths.shape == (2, 1) and int(share.id_lengths.sum()) == len(share.ids)


def test_every_value_stays_with_its_row(write: Write) -> None:
    table = raw(50)
    for batch in Reader(write(50, 8), 7, seed=1).epoch(0):
        by_feature = batch.ids.split(batch.id_lengths.sum(1).tolist())
        values = [part.split(lengths.tolist()) for part, lengths in zip(by_feature, batch.id_lengths, strict=True)]
        for place, row in enumerate(batch.row.tolist()):
            expected = table.slice(row - 1000, 1).to_pylist()[0]
            assert batch.numbers[place].tolist() == [expected["n.0"], expected["n.1"]]
            assert values[0][place].tolist() == ([] if expected["i.0"] is None else [expected["i.0"]])
            assert values[1][place].tolist() == expected["i.1"]
            assert batch.label_mask[place].tolist() == [expected["y.0"] is not None]
            assert batch.labels[place].tolist() == [expected["y.0"] or 0.0]
            assert batch.weight[place].item() == expected["w"]


def test_the_order_is_of_the_seed_and_the_epoch(write: Write) -> None:
    path = write(60, 20)
    orders = {(seed, epoch): rows(Reader(path, 10, seed).epoch(epoch)) for seed in (0, 1) for epoch in (0, 1)}
    assert len({tuple(order) for order in orders.values()}) == 4
    assert rows(Reader(path, 10, 0).epoch(1)) == rows(Reader(path, 7, 0).epoch(1)) == orders[0, 1]
    groups = [{(row - 1000) // 20 for row in orders[0, epoch][:20]} for epoch in (0, 1)]
    assert all(len(group) == 1 for group in groups)
    assert orders[0, 0][:20] != sorted(orders[0, 0][:20])


def test_many_numbers_keep_their_order(tmp_path: Path) -> None:
    columns = {f"n.{index}": np.full(2, index, np.float32) for index in range(12)}
    with RowGroups(tmp_path / "a.parquet") as out:
        out.add(pa.table({**columns, "w": np.ones(2, np.float32), "row": np.arange(2)}))
    (batch,) = Reader(tmp_path / "a.parquet", 2).in_order()
    assert batch.numbers.tolist() == [[float(index) for index in range(12)]] * 2
    assert batch.id_lengths.shape == (0, 2) and batch.ids.shape == (0,) and batch.labels.shape == (2, 0)


def test_batches_own_their_memory(write: Write) -> None:
    first, second = Reader(write(4, 4), 2).in_order()
    for tensor in (first.numbers, first.ids, first.labels, first.weight, first.row):
        tensor.zero_()
    assert second.row.tolist() == [1002, 1003] and second.numbers[:, 0].tolist() == [2.0, 3.0]


def test_a_split_without_rows_has_no_file_and_no_batches(tmp_path: Path) -> None:
    reader = Reader(tmp_path / "valid.parquet", 4)
    assert (reader.num_rows, len(reader), list(reader.epoch(0)), list(reader.in_order())) == (0, 0, [], [])


def readers() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "mtrec-reader"}


def test_a_consumer_that_stops_early_leaves_no_thread(write: Write) -> None:
    before = readers()
    batches = Reader(write(60, 5), 1).epoch(0)
    next(batches)
    assert len(readers() - before) == 1
    batches.close()  # type: ignore[attr-defined]
    assert readers() == before


def test_a_consumer_that_fails_leaves_no_thread(write: Write) -> None:
    before = readers()
    with pytest.raises(RuntimeError, match="of the consumer"):
        for _ in Reader(write(60, 5), 1).epoch(0):
            raise RuntimeError("of the consumer")
    assert readers() == before


def test_an_error_of_the_thread_reaches_the_consumer(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Reader, group: int) -> None:
        raise MemoryError("no room")

    reader = Reader(write(60, 5), 1)
    monkeypatch.setattr(Reader, "_load", broken)
    before = readers()
    with pytest.raises(MemoryError, match="no room"):
        list(reader.epoch(0))
    assert readers() == before


def test_a_flipped_bit_names_file_and_row_group(write: Write) -> None:
    path = write(60, 20)
    meta = pq.read_metadata(path)
    for group in range(3):
        for index in range(meta.num_columns):
            place = meta.row_group(group).column(index)
            content = bytearray(path.read_bytes())
            content[place.data_page_offset + place.total_compressed_size - 3] ^= 4
            damaged = path.with_name(f"damaged {group} {index}.parquet")
            damaged.write_bytes(content)
            with pytest.raises(DataError, match=rf"{damaged.name}, row group {group}"):
                list(Reader(damaged, 8).in_order())


@pytest.mark.parametrize("cut", [0, 4, -8])
def test_a_file_that_is_cut_short_is_named(cut: int, write: Write) -> None:
    path = write(10, 10)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError, match=path.name):
        Reader(path, 4)
