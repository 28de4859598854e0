"""The report of scored rows: groups and days from raw columns, slices, and metrics that are void."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mtrec.config import Config, parse
from mtrec.errors import DataError
from mtrec.evaluation.full_report import full_report, report_of
from mtrec.evaluation.honest_window import void_reasons, what_features_see
from mtrec.evaluation.judged import groups_of_rows, judged_rows
from mtrec.evaluation.metrics.gauc import gauc
from mtrec.evaluation.slices import OTHERS, slices_of
from mtrec.training.scoring import Scores

NUM_ROWS = 300
HISTORY: dict[str, Any] = {"past": {"of": ["is_click"], "by": ["user"], "as_of": "event"}}


def config(history: dict[str, Any] | None = None, zone: str = "UTC", roles: dict[str, Any] | None = None, **evaluation: Any) -> Config:
    return parse(
        {
            "name": "a",
            "log": {
                "source": "log.parquet",
                "roles": roles or {"time": "ts", "user": "user_id", "session": "visit", "keys": ["row_id"]},
                "time": {"unit": "s", "zone": zone},
                "split": {"by": "column", "column": "split"},
            },
            "history": history or {},
            "features": {"numbers": ["price"]},
            "tasks": {"click": {"label": "is_click"}, "seconds": {"label": "seconds", "kind": "regression"}},
            "evaluation": {"bootstrap": 10, **evaluation},
        }
    )


def columns() -> pa.Table:
    random = np.random.default_rng(0)
    return pa.table(
        {
            "row_id": np.arange(NUM_ROWS),
            "user_id": pa.array(random.integers(0, 12, NUM_ROWS), mask=np.arange(NUM_ROWS) % 50 == 0),
            "visit": [f"v{number}" for number in random.integers(0, 40, NUM_ROWS)],
            "ts": 1_700_000_000 + random.integers(0, 3 * 86_400, NUM_ROWS),
            "tab": pa.array([None if place % 7 == 0 else f"t{place % 30:02d}" for place in range(NUM_ROWS)]),
            "tags": [[1, 2]] * NUM_ROWS,
        }
    )


def scores() -> Scores:
    random = np.random.default_rng(1)
    predictions = random.random((NUM_ROWS, 2)).astype(np.float32)
    labels = np.stack([random.random(NUM_ROWS) < predictions[:, 0], random.normal(size=NUM_ROWS)], 1).astype(np.float32)
    mask = random.random((NUM_ROWS, 2)) < 0.8
    return Scores(predictions, labels, mask, np.ones(NUM_ROWS, np.float32), np.arange(NUM_ROWS), predictions)


def test_groups_are_those_of_the_columns() -> None:
    judged, table = config(group=["user", "day"]), columns()
    found = groups_of_rows(table, ["user", "day"], judged)
    days = [datetime.fromtimestamp(second, UTC).date() for second in table["ts"].to_pylist()]
    pairs = list(zip(table["user_id"].to_pylist(), days, strict=True))
    for place, (user, day) in enumerate(pairs):
        if user is None:
            assert found[place] == -1 - place
        else:
            assert [each == (user, day) for each in pairs] == (found == found[place]).tolist()


def test_a_day_is_that_of_the_zone_of_the_log() -> None:
    # 15:30 and 16:30 UTC are 23:30 and 00:30 in Shanghai.
    table = pa.table({"ts": [1_700_000_000 - 1_700_000_000 % 86_400 + 15 * 3600 + 1800, 1_700_000_000 - 1_700_000_000 % 86_400 + 16 * 3600 + 1800]})
    for zone, num_days, shown in (("UTC", 1, ["2023-11-14"]), ("Asia/Shanghai", 2, ["2023-11-14", "2023-11-15"])):
        judged = config(zone=zone, slices=["day"])
        assert len(set(groups_of_rows(table, ["day"], judged).tolist())) == num_days
        assert slices_of(table, judged)["day"].values == shown


def test_metrics_are_of_the_rows_that_know_the_label() -> None:
    judged, found, table = config(group=["user"]), scores(), columns()
    report = full_report(found, judged, table)["click"]
    known = found.mask[:, 0]
    has_user = known & table["user_id"].is_valid().to_numpy()
    users = table["user_id"].fill_null(-1).to_numpy()
    expected = gauc(found.predictions[has_user, 0], found.labels[has_user, 0], users[has_user])
    assert report["gauc_impressions"]["value"] == pytest.approx(expected.value, abs=1e-12) and report["rows"] == known.sum()
    assert {"session_auc", "session_logloss", "ndcg_10", "recall_10", "gauc_macro", "gauc_positives"} < set(report)
    assert "slices" not in report


def test_slices_have_the_most_frequent_values_and_the_rest() -> None:
    judged, found = config(slices=["tab", "user"]), scores()
    slices = slices_of(columns(), judged)
    tabs = columns()["tab"].to_pylist()
    assert slices["tab"].values[0] == "null" and len(slices["tab"].values) == 21 and slices["tab"].values[-1] == OTHERS
    for place, value in enumerate(slices["tab"].values[:-1]):
        assert ((slices["tab"].of_row == place) == [("null" if tab is None else tab) == value for tab in tabs]).all()
    report = full_report(found, judged, columns())
    for task, metric, sign in (("click", "auc", 1), ("seconds", "rmse", -1)):
        entries = report[task]["slices"]["tab"]
        assert sum(entry["rows"] for entry in entries) == report[task]["rows"]
        values = [sign * entry[metric]["value"] for entry in entries if entry[metric]["value"] is not None]
        assert values == sorted(values) and len(values) > 1
    assert len(report["click"]["slices"]["user"]) == 13  # twelve users, and null


@pytest.mark.parametrize(
    ("history", "group", "void"),
    [
        ({}, ["user"], set()),
        (HISTORY, ["user"], {"groups", "sessions"}),
        (HISTORY, ["user", "day"], {"groups", "sessions"}),
        ({"past": HISTORY["past"] | {"as_of": "day"}}, ["user"], {"groups"}),
        ({"past": HISTORY["past"] | {"as_of": "day"}}, ["user", "day"], set()),
        ({"past": HISTORY["past"] | {"delay": "1d"}}, ["user", "day"], set()),
    ],
)
def test_features_that_see_into_a_group_void_what_ranks_within_it(history: dict[str, Any], group: list[str], void: set[str]) -> None:
    judged = config(history, group=group)
    assert set(void_reasons(judged, judged)) == void
    report = report_of(scores(), judged, columns())
    assert list(report) == (["features_see", "tasks"] if history else ["tasks"])
    assert list(report.get("features_see", {})) == list(history)
    click = report["tasks"]["click"]
    for by, names in (("groups", ("gauc_impressions", "gauc_positives", "gauc_macro", "ndcg_10", "recall_10")), ("sessions", ("session_auc",))):
        for name in names:
            assert (click[name]["value"] is None) == (by in void)
            assert click[name].get("reason", "void: history.past").startswith("void: history.past holds outcomes") is (by in void)
    assert click["auc"]["value"] is not None and click["session_logloss"]["value"] is not None


def test_what_features_see_is_told() -> None:
    told = what_features_see(config({"a": HISTORY["past"], "b": HISTORY["past"] | {"as_of": "day", "delay": "2d"}}))
    assert "streaming" in told["a"] and "frozen" in told["b"] and "2d" in told["b"]


def test_faults_are_named() -> None:
    with pytest.raises(DataError, match="not kept .evaluation, 'tabs'"):
        full_report(scores(), config(slices=["tabs"]), columns())
    with pytest.raises(DataError, match="lists .evaluation, 'tags'"):
        full_report(scores(), config(group=["tags"]), columns())
    with pytest.raises(DataError, match="same rows. Found: 299. Expected: 300"):
        judged_rows(scores(), config(), columns().slice(1))
    report = report_of(scores(), config(group=["user"]), None)
    assert report["groups"].startswith("none") and "gauc_macro" not in report["tasks"]["click"]
