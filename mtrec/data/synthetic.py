"""A generated log of impressions with known truth: users, items, text, lists, numbers, nulls, and labels that form a funnel.

Every user and item has a hidden taste; click, buy (of clicks) and play time follow from it, so that a model that learns ids, the user's past items and
the numbers beats one that does not.
"""

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["impressions", "write"]

_KINDS = ["comedy", "news", "sport", "música", "料理", "travel", "games", "science"]


def impressions(num_rows: int, seed: int = 0, num_users: int = 100, num_items: int = 60) -> pa.Table:
    """Rows in the order of time.

    Columns: row_id, ts (ms), user_id, item_id (int64), kind (text, null in 5 %), tags (list of text), price (null in 10 %), age_days, past_items
    (list of int64, newest last), past_gaps (their hours ago), is_click, is_buy (null without a click), play_seconds (null in 5 %), weight.
    """
    random = np.random.default_rng(seed)
    taste_user, taste_item = random.normal(size=(num_users, 4)), random.normal(size=(num_items, 4))
    kind_item, price_item = random.integers(len(_KINDS), size=num_items), random.lognormal(1.0, 0.8, size=num_items)
    user = random.integers(num_users, size=num_rows)
    item = (num_items * random.random(num_rows) ** 1.5).astype(np.int64)
    age_days = random.exponential(20.0, size=num_rows)
    match = (taste_user[user] * taste_item[item]).sum(1) 
    click = random.random(num_rows) < _sigmoid(match - 0.5 - 0.03 * age_days + 0.4 * (kind_item[item] == 1))
    buy = random.random(num_rows) < _sigmoid(0.6 * match - 1.0 - 0.15 * price_item[item])
    play = np.exp(2.0 + 0.5 * match + random.normal(0, 0.5, num_rows)) * click
    past_items, past_gaps = _past(user, item, click, random)
    return pa.table(
        {
            "row_id": np.arange(num_rows),
            "ts": 1_700_000_000_000 + np.arange(num_rows) * 60_000,
            "user_id": user * 1_000_003 + 2**53,
            "item_id": item * 7,
            "kind": pa.array([_KINDS[k] for k in kind_item[item]], mask=random.random(num_rows) < 0.05),
            "tags": pa.array([[f"tag{i % 13}", f"tag{i % 7}"][: i % 3] for i in item.tolist()]),
            "price": pa.array(price_item[item], mask=random.random(num_rows) < 0.1),
            "age_days": age_days,
            "past_items": pa.array(past_items, type=pa.list_(pa.int64())),
            "past_gaps": pa.array(past_gaps, type=pa.list_(pa.float64())),
            "is_click": click.astype(np.int8),
            "is_buy": pa.array(buy.astype(np.int8), mask=~click),
            "play_seconds": pa.array(play, mask=random.random(num_rows) < 0.05),
            "weight": random.choice([0.5, 1.0, 2.0], size=num_rows),
        }
    )


def write(path: str | Path, num_rows: int, seed: int = 0) -> None:
    """Write a generated log as one Parquet file."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(impressions(num_rows, seed), path, compression="zstd", write_page_checksum=True)


def _past(user: np.ndarray, item: np.ndarray, click: np.ndarray, random: np.random.Generator) -> tuple[list[list[int]], list[list[float]]]:
    """The last 10 clicked items of each row's user, strictly before the row, and how many hours ago."""
    seen: dict[int, list[tuple[int, int]]] = {}
    items: list[list[int]] = []
    gaps: list[list[float]] = []
    for row, (who, what, clicked) in enumerate(zip(user.tolist(), item.tolist(), click.tolist(), strict=True)):
        events = seen.setdefault(who, [])
        items.append([place * 7 for place, _ in events])
        gaps.append([(row - when) / 60.0 for _, when in events])
        if clicked:
            seen[who] = [*events[-9:], (what, row)]
    return items, gaps


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write a generated log.")
    parser.add_argument("path")
    parser.add_argument("--rows", type=int, default=12_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    write(arguments.path, arguments.rows, arguments.seed)
