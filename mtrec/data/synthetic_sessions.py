"""A generated log of sessions with known probabilities: what a user did before moves what the user does next, and two tasks agree or conflict.

Of a row with user u, item i of category c, at time t:

    match = p_u . q_i,   other = p'_u . q'_i     hidden directions, each of mean 0 and deviation 1, of their own
    interest = sum over u's clicks on items of c before t of 2^(-(t - time of the click) / 3 days)
    P(click) = sigmoid(-1.2 + match + habit_u + appeal_i + memory * log(1 + interest))
    P(buy | click) = sigmoid(-1 + 0.7 * match + 0.5 * memory * log(1 + interest) - 0.5 * log(price_i))
    P(like) = sigmoid(-1.5 + 1.5 * (agreement * match + sqrt(1 - agreement^2) * other))

`agreement` is the correlation of what like wants with the direction that click and buy share: 1 the same, 0 unrelated, -1 the opposite (up to the
chance of the draw of few directions). Half of the variance of p_u is its segment's and half of that of q_i its category's, both of which the log
tells; a user's own half, and habit_u, show in the past alone. buy is null without a click, and like is null in a share of rows.

Every six hours a quarter of the users, without repetition, have a session of 1 to 9 rows, 20 to 100 seconds apart.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mtrec.data.synthetic_blocks import cut
from mtrec.errors import ConfigError

__all__ = ["Sessions"]

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

DIM, NUM_SEGMENTS, MAX_LENGTH = 8, 6, 9
START_MS = 1_700_006_400_000  # midnight of 15 November 2023, UTC
BLOCK_MS, LONGEST_MS = 6 * 3_600_000, MAX_LENGTH * 100_000
HALF_LIFE_MS = 3 * 86_400_000


class _World(NamedTuple):
    """What does not change: of users [U, ...] and of items [I, ...]."""

    segment: Places
    habit: Floats
    taste: tuple[Floats, Floats]
    category: Places
    appeal: Floats
    price: Floats
    quality: tuple[Floats, Floats]


@dataclass(frozen=True)
class Sessions:
    """The log.

    Args:
        agreement: of like with click and buy, -1 to 1.
        memory: how much earlier clicks on the category raise click and buy; 0 for not at all.
        missing: share of rows in which like is null.

    Raises:
        ConfigError: if one of these is impossible.
    """

    num_users: int = 10_000
    num_items: int = 2_000
    num_categories: int = 20
    agreement: float = 0.5
    memory: float = 1.0
    missing: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.num_users, self.num_items, self.num_categories) < 1:
            raise ConfigError("There is at least one user, item and category")
        if not -1 <= self.agreement <= 1:
            raise ConfigError("There is no such agreement", where="agreement", found=self.agreement, expected="-1 to 1")
        if not 0 <= self.missing < 1:
            raise ConfigError("There is no such share", where="missing", found=self.missing, expected="0 to below 1")

    @cached_property
    def _world(self) -> _World:
        random = np.random.default_rng([self.seed, 0])
        segment, category = random.integers(NUM_SEGMENTS, size=self.num_users), random.integers(self.num_categories, size=self.num_items)

        def directions(group: Places, num_groups: int) -> Floats:
            common, own = random.standard_normal((num_groups, DIM)), random.standard_normal((len(group), DIM))
            return np.asarray((common[group] + own) / math.sqrt(2))

        return _World(
            segment=segment,
            habit=random.normal(0, 0.7, self.num_users),
            taste=(directions(segment, NUM_SEGMENTS), directions(segment, NUM_SEGMENTS)),
            category=category,
            appeal=random.normal(0, 0.5, self.num_items),
            price=random.lognormal(0, 0.8, self.num_items),
            quality=(directions(category, self.num_categories), directions(category, self.num_categories)),
        )

    def stream(self, num_rows: int, rows_per_table: int = 100_000, truth: bool = False) -> Iterator[pa.Table]:
        """Tables in the order of time: row_id, split, time_ms, session_id, user_id, item_id, category, segment, price, place (in the session),
        is_click, is_buy, is_like and, on request, truth_click, truth_buy (given a click) and truth_like."""
        return cut(self._blocks(truth), num_rows, rows_per_table)

    def _blocks(self, truth: bool) -> Iterator[pa.Table]:
        """Blocks without end, each the sessions of six hours; what users clicked is carried from one to the next."""
        interest, seen_ms = np.zeros((self.num_users, self.num_categories)), np.zeros(self.num_users, dtype=np.int64)
        num_sessions, number = max(1, self.num_users // 4), 0
        while True:
            random = np.random.default_rng([self.seed, 1, number])
            user = random.permutation(self.num_users)[:num_sessions]
            length = random.integers(1, MAX_LENGTH + 1, num_sessions)
            time_ms = START_MS + number * BLOCK_MS + random.integers(BLOCK_MS - LONGEST_MS, size=num_sessions)
            steps = []
            for place in range(MAX_LENGTH):
                on = np.flatnonzero(length > place)
                time_ms[on] += random.integers(20_000, 100_000, len(on))
                item = (self.num_items * random.random(len(on)) ** 1.5).astype(np.int64)
                columns = {"time_ms": time_ms[on], "session_id": number * num_sessions + on, "user_id": user[on], "item_id": item}
                steps.append(columns | {"place": np.full(len(on), place)} | self._act(random, user[on], item, time_ms[on], interest, seen_ms))
            rows = {name: np.concatenate([step[name] for step in steps]) for name in steps[0]}
            yield self._table(rows, np.lexsort((rows["user_id"], rows["time_ms"])), truth)
            number += 1

    def _act(self, random: np.random.Generator, user: Places, item: Places, time_ms: Places, interest: Floats, seen_ms: Places) -> dict[str, Floats]:
        """Probabilities and what was drawn from them, of rows of different users; brings `interest` and `seen_ms` up to date."""
        world, category = self._world, self._world.category[item]
        interest[user] *= 0.5 ** ((time_ms - seen_ms[user]) / HALF_LIFE_MS)[:, None]
        seen_ms[user] = time_ms
        match, other = ((taste[user] * quality[item]).sum(1) / math.sqrt(DIM) for taste, quality in zip(world.taste, world.quality, strict=True))
        past = self.memory * np.log1p(interest[user, category])
        click = _sigmoid(-1.2 + match + world.habit[user] + world.appeal[item] + past)
        buy = _sigmoid(-1.0 + 0.7 * match + 0.5 * past - 0.5 * np.log(world.price[item]))
        like = _sigmoid(-1.5 + 1.5 * (self.agreement * match + math.sqrt(1 - self.agreement**2) * other))
        draws = random.random((4, len(user)))
        clicked = draws[0] < click
        interest[user[clicked], category[clicked]] += 1
        labels = {"is_click": clicked, "is_buy": draws[1] < buy, "is_like": draws[2] < like, "like_is_missing": draws[3] < self.missing}
        return {"truth_click": click, "truth_buy": buy, "truth_like": like, **labels}

    def _table(self, rows: dict[str, NDArray[np.generic]], order: Places, truth: bool) -> pa.Table:
        rows = {name: values[order] for name, values in rows.items()}
        labels = {name: rows[name].astype(np.int8) for name in ("is_click", "is_buy", "is_like")}
        item, user = rows["item_id"], rows["user_id"]
        return pa.table(
            {
                **{name: rows[name] for name in ("time_ms", "session_id", "user_id", "item_id")},
                "category": self._world.category[item],
                "segment": self._world.segment[user],
                "price": self._world.price[item],
                "place": rows["place"],
                "is_click": labels["is_click"],
                "is_buy": pa.array(labels["is_buy"], mask=labels["is_click"] == 0),
                "is_like": pa.array(labels["is_like"], mask=rows["like_is_missing"].astype(bool)),
                **{name: rows[name] for name in ("truth_click", "truth_buy", "truth_like") if truth},
            }
        )


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-x)))
