"""A generated log of impressions with known truth: users, items, text, lists, numbers, nulls, and labels that form a funnel.

Every user and item has a hidden taste; click, buy (of clicks) and play time follow from it, so that a model that learns ids, the user's past
items and the numbers beats one that does not.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

__all__ = ["impressions", "stream", "write"]

_KINDS = ["comedy", "news", "sport", "música", "料理", "travel", "games", "science"]


def impressions(num_rows: int, seed: int = 0, num_users: int = 100, num_items: int = 60) -> pa.Table:
    """Rows in the order of time.

    Columns: row_id, ts (ms), user_id, item_id (int64), kind (text, null in 5 %), tags (list of text), price (null in 10 %), age_days, past_items
    (list of int64, newest last), past_gaps (their hours ago), is_click, is_buy (null without a click), play_seconds (null in 5 %), weight.
    """
    return pa.concat_tables(stream(num_rows, seed, num_users, num_items))


def stream(num_rows: int, seed: int = 0, num_users: int = 100, num_items: int = 60, rows_per_table: int = 100_000) -> Iterator[pa.Table]:
    """The rows of `impressions` in tables of at most `rows_per_table`, so that a log of any length takes little memory."""
    random = np.random.default_rng(seed)
    taste_user, taste_item = random.normal(size=(num_users, 4)), random.normal(size=(num_items, 4))
    kind_item, price_item = random.integers(len(_KINDS), size=num_items), random.lognormal(1.0, 0.8, size=num_items)
    seen: dict[int, list[tuple[int, int]]] = {}
    for start in range(0, num_rows, rows_per_table):
        size = min(rows_per_table, num_rows - start)
        user = random.integers(num_users, size=size)
        item = (num_items * random.random(size) ** 1.5).astype(np.int64)
        age_days = random.exponential(20.0, size=size)
        match = (taste_user[user] * taste_item[item]).sum(1)
        click = random.random(size) < _sigmoid(match - 0.5 - 0.03 * age_days + 0.4 * (kind_item[item] == 1))
        buy = random.random(size) < _sigmoid(0.6 * match - 1.0 - 0.15 * price_item[item])
        play = np.exp(2.0 + 0.5 * match + random.normal(0, 0.5, size)) * click
        past_items, past_gaps = _past(user, item, click, start, seen)
        yield pa.table(
            {
                "row_id": np.arange(start, start + size),
                "ts": 1_700_000_000_000 + np.arange(start, start + size) * 60_000,
                "user_id": user * 1_000_003 + 2**53,
                "item_id": item * 7,
                "kind": pa.array([_KINDS[k] for k in kind_item[item]], mask=random.random(size) < 0.05),
                "tags": pa.array([[f"tag{i % 13}", f"tag{i % 7}"][: i % 3] for i in item.tolist()], type=pa.list_(pa.string())),
                "price": pa.array(price_item[item], mask=random.random(size) < 0.1),
                "age_days": age_days,
                "past_items": pa.array(past_items, type=pa.list_(pa.int64())),
                "past_gaps": pa.array(past_gaps, type=pa.list_(pa.float64())),
                "is_click": click.astype(np.int8),
                "is_buy": pa.array(buy.astype(np.int8), mask=~click),
                "play_seconds": pa.array(play, mask=random.random(size) < 0.05),
                "weight": random.choice([0.5, 1.0, 2.0], size=size),
            }
        )


def write(path: str | Path, num_rows: int, seed: int = 0, num_users: int = 100, num_items: int = 60) -> None:
    """Write a generated log as one Parquet file."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    writer: pq.ParquetWriter | None = None
    for table in stream(num_rows, seed, num_users, num_items):
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd", write_page_checksum=True)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def _past(
    user: NDArray[np.int64], item: NDArray[np.int64], click: NDArray[np.bool_], start: int, seen: dict[int, list[tuple[int, int]]]
) -> tuple[list[list[int]], list[list[float]]]:
    """The last 10 clicked items of each row's user, strictly before the row, and how many hours ago; `seen` carries on to the next rows."""
    items: list[list[int]] = []
    gaps: list[list[float]] = []
    for row, (who, what, clicked) in enumerate(zip(user.tolist(), item.tolist(), click.tolist(), strict=True), start):
        events = seen.setdefault(who, [])
        items.append([place * 7 for place, _ in events])
        gaps.append([(row - when) / 60.0 for _, when in events])
        if clicked:
            seen[who] = [*events[-9:], (what, row)]
    return items, gaps


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1.0 / (1.0 + np.exp(-x)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write a generated log.")
    parser.add_argument("path")
    parser.add_argument("--rows", type=int, default=12_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    write(arguments.path, arguments.rows, arguments.seed)
