"""Each planted leak is found where it was planted, and nowhere else; without the plant nothing is said."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtrec.errors import DataError
from tests.inspection.planted import ROWS, Columns, counted, look, past_items, places, shop, told

RANDOM = np.random.default_rng(7)
NOISE = RANDOM.random(ROWS)
SHOP = shop()
CLICK = SHOP["is_click"] == 1
BUY = np.array([label == 1 for label in SHOP["is_buy"]])
SECONDS = np.array([np.nan if value is None else value for value in SHOP["seconds"]])


def nulls(values: Any, there: Any) -> list[Any]:
    return [value.item() if known else None for value, known in zip(np.asarray(values), there, strict=True)]


def test_a_log_without_faults_is_left_alone(tmp_path: Path) -> None:
    report = look(tmp_path, shop())
    assert told(report, "leak", "warning") == []
    report.refuse_leaks()


# The column, how it is read, and what the finding rests on.
PLANTS: dict[str, tuple[str, Any, str]] = {
    "a number that lies higher where the label is 1": ("numbers", CLICK * 2.0 + NOISE, "auc"),
    "a number that lies lower where the label is 1": ("numbers", NOISE - CLICK * 2.0, "auc"),
    "a number that is known where the label is 1": ("numbers", nulls(NOISE, CLICK), "auc"),
    "a number that is null where the label is 1": ("numbers", nulls(NOISE, ~CLICK), "auc"),
    "a number that tells the label where it is known": ("numbers", nulls(CLICK * 2.0 + NOISE, NOISE < 0.5), "auc"),
    "a number that tells a label given another": ("numbers", np.where(CLICK, BUY * 2.0 + NOISE, 9 * NOISE), "auc"),
    "an id whose values go with the label": ("ids", [f"{'yes' if one else 'no'}{number % 5}" for number, one in enumerate(CLICK)], "auc"),
    "a list that is longer where the label is 1": ("sequences", [[5, 6] if one else [5] for one in CLICK], "auc"),
    "a regression label in other units": ("numbers", SECONDS * 1000 + 7, "correlation"),
    "a regression label bent": ("numbers", np.log(SECONDS) ** 3, "correlation"),
    "a number that comes after the label": ("numbers", np.where(CLICK & (NOISE < 0.2), 1 + 9 * NOISE, 0.0), "rows"),
    "a text that comes after the label": ("ids", nulls(np.full(ROWS, "well"), CLICK & (NOISE < 0.2)), "rows"),
    "a number that counts its own row, by user": ("numbers", counted([SHOP["user"]], SHOP["is_click"], own=True), "own"),
    "a number that counts its own row, by item": ("numbers", counted([SHOP["item"]], SHOP["is_click"], own=True), "own"),
    "a number that counts its own row, by user and item": ("numbers", counted([SHOP["user"], SHOP["item"]], SHOP["is_click"], own=True), "own"),
    "a sum of another task with its own row": ("numbers", counted([SHOP["user"]], BUY * 1, own=True), "own"),
}


@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_leak_is_found(plant: str, tmp_path: Path) -> None:
    section, values, figure = PLANTS[plant]
    report = look(tmp_path, {**shop(), "planted": values}, **{section: ["planted"]})
    leaks = told(report, "leak")
    assert {leak.where.removeprefix("length of ") for leak in leaks} == {"planted"}
    assert any(figure in leak.figures for leak in leaks)
    with pytest.raises(DataError, match="planted"):
        report.refuse_leaks()


HONEST: dict[str, tuple[str, Any]] = {
    "a strong number": ("numbers", CLICK * 1.0 + 2 * NOISE),
    "nulls that say a little": ("numbers", nulls(NOISE, (NOISE < 0.5) | CLICK)),
    "an id of many values": ("ids", RANDOM.integers(900, size=ROWS)),
    "a number that goes with a regression label": ("numbers", np.nan_to_num(SECONDS, nan=7.0) + 3 * NOISE),
    "a rare number": ("numbers", np.where(NOISE < 0.02, 1.0, 0.0)),
}


@pytest.mark.parametrize("kind", HONEST)
def test_what_is_known_before_is_left_alone(kind: str, tmp_path: Path) -> None:
    section, values = HONEST[kind]
    assert told(look(tmp_path, {**shop(), "honest": values}, **{section: ["honest"]}), "leak", "warning") == []


@pytest.mark.parametrize("last", [None, 10])
@pytest.mark.parametrize("keys", [["user"], ["item"], ["user", "item"]])
def test_a_count_of_what_was_before_is_no_leak(keys: list[str], last: int | None, tmp_path: Path) -> None:
    values = counted([SHOP[key] for key in keys], SHOP["is_click"], own=False, last=last)
    report = look(tmp_path, {**shop(), "count": values}, numbers=["count"])
    # It grows through the log, or moves slowly, so it drifts: that is true, and all that is said.
    assert told(report, "leak") == [] and {name for each in told(report, "warning") for name in each.figures} <= {"psi"}


def test_a_count_of_the_last_rows_that_has_its_own_is_pointed_at(tmp_path: Path) -> None:
    values = counted([SHOP["user"]], SHOP["is_click"], own=True, last=10)
    report = look(tmp_path, {**shop(), "count": values}, numbers=["count"])
    (found,) = told(report, "leak", "warning")
    assert (found.level, found.where) == ("warning", "count") and found.figures["own"] > 0.6 > abs(found.figures["before"])


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_a_history_that_holds_its_own_row(share: float, tmp_path: Path) -> None:
    columns = shop()
    columns["past"] = past_items(columns["user"], columns["item"], columns["is_click"], np.random.default_rng(1), own=share)
    found = [each for each in look(tmp_path, columns).findings if "positives" in each.figures]
    assert [(each.where, each.level) for each in found] == [("past", "leak" if share == 1.0 else "warning")]
    # Where the item is by chance the one of the click before, it is the newest either way.
    assert found[0].figures["positives"] == pytest.approx(share, abs=0.06)
    assert found[0].figures["negatives"] < 0.1 and found[0].figures["chance"] == pytest.approx(1 / 30, rel=0.2)


def test_a_list_that_always_ends_with_its_row_is_pointed_at(tmp_path: Path) -> None:
    columns = shop()
    columns["past"] = [[*items, own] for items, own in zip(columns["past"], columns["item"].tolist(), strict=True)]
    report = look(tmp_path, columns)
    assert [each.level for each in report.findings if each.where == "past"] == ["warning"] and not report.leaks


def test_the_name_of_an_outcome_makes_nearly_equal_enough(tmp_path: Path) -> None:
    nearly = np.where(NOISE < 0.02, ~CLICK, CLICK).astype(np.int64)
    columns: Columns = {**shop(), "was_liked": nearly, "mood": nearly}
    report = look(tmp_path, columns, numbers=["was_liked", "mood"])
    assert places(report, "leak") == {"was_liked"}


def test_few_rows_say_nothing(tmp_path: Path) -> None:
    known = CLICK & (np.cumsum(CLICK) <= 19)
    report = look(tmp_path, {**shop(), "rare": known * 1.0}, numbers=["rare"])
    assert told(report, "leak", "warning") == []
    some = CLICK & (np.cumsum(CLICK) <= 60)
    assert places(look(tmp_path, {**shop(), "rare": some * 1.0}, numbers=["rare"]), "warning") == {"rare"}


def test_chance_explains_little_beside_a_label_that_is_mostly_1(tmp_path: Path) -> None:
    columns = shop()
    columns["is_click"] = (NOISE < 0.97).astype(np.int8)
    columns["is_buy"], columns["seconds"] = nulls(BUY * 1, columns["is_click"] == 1), nulls(SHOP["ts"] % 977 * 1.0, columns["is_click"] == 1)
    columns["rare"] = np.where(columns["is_click"] * (np.arange(ROWS) % 40 == 0), 1.0, 0.0)
    report = look(tmp_path, columns, numbers=["rare"])
    assert "rare" not in places(report, "leak", "warning")


@pytest.mark.parametrize("kind", [np.float32, np.int64, np.bool_])
def test_any_type_of_number(kind: Callable[..., Any], tmp_path: Path) -> None:
    report = look(tmp_path, {**shop(), "planted": CLICK.astype(kind)}, numbers=["planted"])
    assert places(report, "leak") == {"planted"}
