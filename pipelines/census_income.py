"""A log of persons with three labels, made from the Census-Income (KDD) files of the UCI repository.

It is the benchmark of the MMoE, MMoEEx and AdaTT papers: 199,523 rows in census-income.data, 99,762 in census-income.test, 40 attributes of
persons in the United States of 1994 and 1995. The files are at https://archive.ics.uci.edu/dataset/117/census+income+kdd (CC BY 4.0), are
not part of mtrec and are never shipped with it. Either may be compressed, with `.gz` at the end of its name.

    python -m pipelines.census_income --source DIR --output data/census_income/log --seed 0

A row is a line of a file. Split: the rows of .data train; half of the rows of .test, by a seeded hash of their place, are valid and the others test.
With one file alone its rows are split by the same hash, 8 : 1 : 1. About a quarter of the lines are equal to another one and stay.

Labels
    income_over_50k    the file's own label is `50000+.`
    never_married      marital status is `Never married`; the column is no input
    college            education is a bachelor's, master's, professional school or doctorate degree; the column is no input
Inputs
    the other 38 attributes, `?` and `Not in universe` among their values. Some tell much of another label, as household_detail of
    never_married: the benchmark has them so. instance_weight, how many people a line stands for, is kept and by the files' own advice no input.
"""

import argparse
import time
from pathlib import Path
from typing import TypedDict

import numpy as np
import polars as pl
import torch

from mtrec.errors import DataError
from mtrec.hash64 import hash_int64
from pipelines.folders import replacing

__all__ = ["Summary", "build", "main"]

NUMBERS = ("age", "wage_per_hour", "capital_gains", "capital_losses", "dividends", "instance_weight", "employer_size", "weeks_worked")
COLUMNS = (
    *("age", "class_of_worker", "industry_code", "occupation_code", "education", "wage_per_hour", "enrolled", "marital_status"),
    *("industry", "occupation", "race", "hispanic_origin", "sex", "union_member", "unemployment_reason", "employment"),
    *("capital_gains", "capital_losses", "dividends", "tax_filer", "previous_region", "previous_state", "household_detail", "household_summary"),
    *("instance_weight", "migration_msa", "migration_region", "migration_within_region", "same_house", "previous_sunbelt", "employer_size"),
    *("parents_present", "father_birthplace", "mother_birthplace", "birthplace", "citizenship", "self_employed", "veteran_questionnaire"),
    *("veteran_benefits", "weeks_worked", "year", "income"),
)
LABELS = ("income_over_50k", "never_married", "college")
SOURCES_OF_LABELS = ("income", "marital_status", "education")
INCOMES = ("- 50000.", "50000+.")
COLLEGE = (
    *("Bachelors degree(BA AB BS)", "Masters degree(MA MS MEng MEd MSW MBA)"),
    *("Prof school degree (MD DDS DVM LLB JD)", "Doctorate degree(PhD EdD)"),
)
ADVICE = "Get census-income.data.gz and census-income.test.gz at https://archive.ics.uci.edu/dataset/117 and name their folder: --source DIR."


class Summary(TypedDict):
    """What `build` made: rows of each split, the share of ones of each label, and seconds taken."""

    output: str
    rows: dict[str, int]
    label_rates: dict[str, float]
    seconds: float


def build(source: str | Path, output: str | Path, seed: int = 0) -> Summary:
    """Write the log as one part for each file into the folder `output`, which is replaced as a whole.

    Raises:
        DataError: if there is no file, a line has other than 42 fields, a number is none, or a label is neither of the two.
    """
    started = time.perf_counter()
    files = {name: path for name in ("data", "test") if (path := _find(Path(source), name)) is not None}
    if not files:
        expected = "census-income.data and census-income.test, or either; .gz or not"
        raise DataError("There are no Census-Income files here", where=source, expected=expected, do=ADVICE)
    offset, written = 0, []
    with replacing(output) as aside:
        for name, path in files.items():
            frame = _shape(_read(path), offset)
            frame = frame.with_columns(_split(frame, name, alone=len(files) == 1, seed=seed))
            offset += frame.height
            options = {"write_page_checksum": True, "store_schema": False}
            frame.write_parquet(aside / f"part-{name}.parquet", use_pyarrow=True, pyarrow_options=options)
            written.append(frame.select("split", *LABELS))
    log = pl.concat(written)
    return {
        "output": str(Path(output).resolve()),
        "rows": {str(name): int(count) for name, count in log.group_by("split").len().sort("split").iter_rows()},
        "label_rates": log.select(pl.col(LABELS).mean()).to_dicts()[0],
        "seconds": time.perf_counter() - started,
    }


def _find(folder: Path, name: str) -> Path | None:
    places = [folder / f"census-income.{name}{ending}" for ending in ("", ".gz")]
    return next((place for place in places if place.is_file()), None)


def _read(path: Path) -> pl.DataFrame:
    """The columns as stripped text, whole lines checked."""
    try:
        lines = pl.read_csv(path, has_header=False, separator="\n", quote_char=None, new_columns=["line"], schema_overrides={"column_1": pl.String})
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError("The file is damaged or is not text", where=path, found=str(error).partition("\n")[0], do=ADVICE) from error
    fields = lines.drop_nulls().select(pl.col("line").str.split(","))
    odd = fields.filter(pl.col("line").list.len() != len(COLUMNS))
    if odd.height:
        raise DataError("A line has another number of fields", where=path, found=odd["line"].list.len()[0], expected=len(COLUMNS), do=ADVICE)
    table = fields.select(pl.col("line").list.get(place).str.strip_chars().alias(name) for place, name in enumerate(COLUMNS))
    others = table.filter(~pl.col("income").is_in(INCOMES))
    if others.height:
        raise DataError("A label is neither of the two", where=path, found=others["income"][0], expected=" or ".join(INCOMES))
    for name in NUMBERS:
        words = table.filter(pl.col(name).cast(pl.Float64, strict=False).is_null())
        if words.height:
            raise DataError(f"The column {name!r} holds what is no number", where=path, found=words[name][0])
    return table.with_columns(pl.col(NUMBERS).cast(pl.Float64))


def _shape(table: pl.DataFrame, offset: int) -> pl.DataFrame:
    labels = {
        "income_over_50k": pl.col("income") == INCOMES[1],
        "never_married": pl.col("marital_status") == "Never married",
        "college": pl.col("education").is_in(COLLEGE),
    }
    row_id = (pl.int_range(pl.len(), dtype=pl.Int64) + offset).alias("row_id")
    return table.select(row_id, *(label.cast(pl.Int8).alias(name) for name, label in labels.items()), pl.exclude(SOURCES_OF_LABELS))


def _split(frame: pl.DataFrame, name: str, alone: bool, seed: int) -> pl.Series:
    """The split of each row, from its `row_id`."""
    train, valid = (1.0, 1.0) if name == "data" and not alone else (0.8, 0.9) if alone else (0.0, 0.5)
    places = torch.from_numpy(frame["row_id"].to_numpy().copy())
    shares = hash_int64(hash_int64(places), seed).numpy().view(np.uint64) / 2.0**64
    return pl.Series("split", np.where(shares < train, "train", np.where(shares < valid, "valid", "test")))


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.census_income", description="Make the log of Census-Income (KDD).")
    parser.add_argument("--source", type=Path, required=True, help="folder with census-income.data and census-income.test")
    parser.add_argument("--output", type=Path, default=Path("data/census_income/log"), help="folder of the log (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="chooses the halves of the test file (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        summary = build(options.source, options.output, options.seed)
    except DataError as error:
        parser.exit(error.exit_code, f"error: {error}\n")
    print(f"log: {summary['output']}")
    print(f"rows: {', '.join(f'{name} {count:,}' for name, count in summary['rows'].items())}")
    for label, rate in summary["label_rates"].items():
        print(f"{label}: {rate:.2%}")
    print(f"seconds: {summary['seconds']:.1f}")


if __name__ == "__main__":
    main()
