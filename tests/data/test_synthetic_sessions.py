"""The generated sessions: probabilities replayed from the log, labels against them, agreement and conflict, the past that helps."""

import math
from collections import defaultdict
from itertools import pairwise

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score

from mtrec.data.synthetic_sessions import HALF_LIFE_MS, Sessions
from mtrec.errors import ConfigError

SMALL = {"num_users": 40, "num_items": 12, "num_categories": 3}


def log(num_rows: int = 60_000, rows_per_table: int = 100_000, **options: float) -> pl.DataFrame:
    generator = Sessions(**{"num_users": 800, "num_items": 300, **options})  # type: ignore[arg-type]
    frame = pl.from_arrow(pa.concat_tables(generator.stream(num_rows, rows_per_table, truth=True)))
    assert isinstance(frame, pl.DataFrame)
    return frame


def logit(frame: pl.DataFrame, name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    probability = frame[f"truth_{name}"].to_numpy()
    return np.log(probability / (1 - probability))


def interests(frame: pl.DataFrame) -> list[float]:
    """The interest of each row's user in the row's category, from the clicks in the rows before."""
    clicks: dict[tuple[int, int], list[int]] = defaultdict(list)
    found = []
    for user, category, time_ms, is_click in frame.select("user_id", "category", "time_ms", "is_click").iter_rows():
        found.append(sum(2.0 ** (-(time_ms - earlier) / HALF_LIFE_MS) for earlier in clicks[user, category]))
        if is_click:
            clicks[user, category].append(time_ms)
    return found


@pytest.mark.parametrize(("name", "share"), [("click", 1.0), ("buy", 0.5)])
def test_the_past_moves_what_is_next_as_the_equation_says(name: str, share: float) -> None:
    frame = log(4000, memory=0.8, **SMALL)
    rest = logit(frame, name) - share * 0.8 * np.log1p(interests(frame))
    groups = frame.select("user_id", "item_id").with_columns(pl.Series("rest", rest)).group_by("user_id", "item_id")
    spread = groups.agg(pl.col("rest").max() - pl.col("rest").min(), pl.len())
    assert spread["len"].max() >= 10
    assert spread["rest"].max() < 1e-9  # what is left depends on user and item alone


def test_like_does_not_depend_on_the_past() -> None:
    frame = log(4000, **SMALL)
    assert frame.group_by("user_id", "item_id").agg(pl.col("truth_like").max() - pl.col("truth_like").min())["truth_like"].max() < 1e-12


def test_labels_follow_their_probabilities() -> None:
    frame = log(100_000)
    for name in ("click", "buy", "like"):
        known = frame.filter(pl.col(f"is_{name}").is_not_null())
        tenths = known.with_columns((pl.col(f"truth_{name}") * 10).floor().alias("tenth")).group_by("tenth")
        for _, seen, expected, num_rows in tenths.agg(pl.col(f"is_{name}").mean(), pl.col(f"truth_{name}").mean(), pl.len()).iter_rows():
            assert seen == pytest.approx(expected, abs=4.5 * math.sqrt(expected * (1 - expected) / num_rows))
        assert 0.65 < roc_auc_score(known[f"is_{name}"], known[f"truth_{name}"]) < 0.9


def test_buy_is_known_after_a_click_and_like_in_a_share_of_rows() -> None:
    frame = log(50_000, missing=0.3)
    assert frame["is_buy"].is_null().equals(frame["is_click"] == 0)
    assert frame["is_like"].null_count() / 50_000 == pytest.approx(0.3, abs=0.01)
    assert log(5000, missing=0.0)["is_like"].null_count() == 0


def test_the_agreement_is_the_correlation_of_the_wishes() -> None:
    found = {}
    for agreement in (-1.0, -0.6, 0.0, 0.6, 1.0):
        frame = log(40_000, agreement=agreement, memory=0.0, num_users=3000, num_items=1000, num_categories=200)
        wish = logit(frame, "buy") + 0.5 * np.log(frame["price"].to_numpy())
        found[agreement] = float(np.corrcoef(wish, logit(frame, "like"))[0, 1])
        both = frame.filter(pl.col("is_like").is_not_null())
        seen = np.corrcoef(both["is_click"], both["is_like"])[0, 1]
        assert seen > 0.05 if agreement > 0.5 else seen < -0.05 if agreement < -0.5 else abs(seen) < 0.05
    assert found[1.0] == pytest.approx(1) and found[-1.0] == pytest.approx(-1)
    assert all(value == pytest.approx(agreement, abs=0.12) for agreement, value in found.items())


def test_earlier_clicks_on_the_category_help_more_with_memory() -> None:
    found = []
    for memory in (0.0, 1.0):
        frame = log(memory=memory)
        found.append(roc_auc_score(frame["is_click"], interests(frame)))
    assert 0.5 < found[0] < found[1] - 0.02  # without memory the past still tells of habit and taste


def test_rows_are_in_order_and_sessions_are_of_one_user() -> None:
    frame = log(30_000)
    assert frame["time_ms"].is_sorted()
    assert frame.select("user_id", "time_ms").is_unique().all()
    sessions = frame.head(29_000).group_by("session_id", maintain_order=True).agg(pl.all())
    assert sessions["user_id"].list.n_unique().max() == 1
    for places, times in sessions.select("place", "time_ms").head(500).iter_rows():
        assert places == list(range(len(places)))
        assert all(20_000 <= later - earlier < 100_000 for earlier, later in pairwise(times))


def test_the_cut_changes_nothing_and_a_short_log_is_the_beginning_of_a_long_one() -> None:
    whole = log(20_000, seed=5)
    assert log(20_000, rows_per_table=321, seed=5).equals(whole)
    assert log(2000, seed=5).drop("split").equals(whole.head(2000).drop("split"))
    assert not log(2000, seed=6).equals(log(2000, seed=5))


def test_truth_is_added_on_request_only() -> None:
    plain = pa.concat_tables(Sessions(**SMALL).stream(100))  # type: ignore[arg-type]
    assert not [name for name in plain.column_names if name.startswith("truth")]
    assert plain.equals(pa.concat_tables(Sessions(**SMALL).stream(100, truth=True)).select(plain.column_names))  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"agreement": 1.2}, {"agreement": math.nan}, {"missing": 1.0}, {"num_users": 0}])
def test_what_is_impossible_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        Sessions(**options)  # type: ignore[arg-type]
