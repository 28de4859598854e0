"""Impressions into parts, one a day: repeats collapsed, in the order of time, with the columns of user and video.

Only one day of impressions, and the videos that it shows, are in memory at a time.
"""

from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from mtrec.errors import DataError
from pipelines.kuairand_files import OUTCOMES, ZONE

__all__ = ["write_days"]

KEYS = ("user_id", "video_id", "time_ms")
ROWS_PER_GROUP = 500_000


def write_days(impressions: pl.LazyFrame, users: pl.DataFrame | None, videos: pl.LazyFrame, folder: Path, scratch: Path) -> int:
    """Write `part-<date>.parquet` for each day in Asia/Shanghai, and return how many rows there are.

    Args:
        impressions: columns user_id, video_id, time_ms and others; the outcomes among them.
        users: columns to add by user_id, if any.
        videos: columns to add by video_id.
        folder: where the parts go.
        scratch: an empty folder for impressions by day.

    Raises:
        DataError: if a user, video or time is null.
    """
    day = pl.from_epoch("time_ms", time_unit="ms").dt.replace_time_zone("UTC").dt.convert_time_zone(ZONE).dt.strftime("%Y%m%d")
    impressions.with_columns(day.alias("day")).sink_parquet(pl.PartitionBy(scratch, key="day", include_key=False), mkdir=True)
    num_rows = 0
    for place in sorted(scratch.glob("day=*")):
        rows = _in_order(pl.read_parquet(place / "*.parquet", hive_partitioning=False))
        if rows.select(KEYS).null_count().sum_horizontal().item():
            raise DataError("An impression has no user, video or time", where=place.name, expected=f"{', '.join(KEYS)} in each row")
        date = place.name.removeprefix("day=")
        rows = rows.with_columns((pl.int_range(pl.len(), dtype=pl.Int64) + int(date) * 10**8).alias("row_id"))
        shown = videos.join(rows.lazy().select("video_id").unique(), on="video_id", how="semi").collect(engine="streaming")
        _write(rows, [shown] if users is None else [users, shown], folder / f"part-{date}.parquet")
        num_rows += rows.height
    return num_rows


def _in_order(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows by time, then user and video; repeats of these become one, with the largest of each outcome and the first of the rest."""
    others = [name for name in rows.columns if name not in OUTCOMES and name not in KEYS]
    rows = rows.sort("time_ms", "user_id", "video_id", *others)
    if not rows.select(pl.struct(KEYS).is_duplicated().any()).item():
        return rows
    return rows.group_by(KEYS, maintain_order=True).agg(pl.col(others).first(), pl.col(tuple(OUTCOMES)).max()).select(rows.columns)


def _write(rows: pl.DataFrame, tables: list[pl.DataFrame], path: Path) -> None:
    writer: pq.ParquetWriter | None = None
    for slice_of_rows in rows.iter_slices(ROWS_PER_GROUP):
        for table in tables:
            slice_of_rows = slice_of_rows.join(table, on=table.columns[0], how="left", maintain_order="left")
        arrow = slice_of_rows.select("row_id", pl.exclude("row_id")).to_arrow()
        writer = writer or pq.ParquetWriter(path, arrow.schema, compression="zstd", write_page_checksum=True, store_schema=False)
        writer.write_table(arrow)
    if writer is not None:
        writer.close()
