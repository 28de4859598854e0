"""The files of KuaiRand, found and checked: a release of CSV files, or four Parquet files; both give the same columns and types."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, TypeAlias

import polars as pl

from mtrec.errors import DataError
from pipelines.kuairand_earlier import earlier_events

__all__ = ["LABELS", "ZONE", "Source", "open_source"]

Kind: TypeAlias = pl.DataType | type[pl.DataType]
ZONE = "Asia/Shanghai"
ADVICE = "Get KuaiRand at https://kuairand.com (CC BY-SA 4.0), unpack it, and name its folder: --source DIR."
LABELS = ("is_click", "long_view", "is_like", "is_profile_enter", "is_follow", "is_comment", "is_forward", "is_hate")
OUTCOMES: Mapping[str, Kind] = {
    **dict.fromkeys(LABELS, pl.Int8),
    **dict.fromkeys(("play_time_ms", "profile_stay_time", "comment_stay_time"), pl.Int64),
}
IMPRESSION: Mapping[str, Kind] = {
    **dict.fromkeys(("user_id", "video_id", "date", "hourmin"), pl.Int32),
    **dict.fromkeys(("time_ms", "duration_ms"), pl.Int64),
    **dict.fromkeys(("tab",), pl.Int8),
    **OUTCOMES,
}
_RANGES = ("follow_user_num_range", "fans_user_num_range", "friend_user_num_range", "register_days_range")
_NUMBERS = ("follow_user_num", "fans_user_num", "friend_user_num", "register_days")
_CODES = ("is_lowactive_period", "is_live_streamer", "is_video_author", *(f"onehot_feat{place}" for place in range(18)))
USER: Mapping[str, Kind] = {
    **dict.fromkeys(("user_id", *_NUMBERS, *_CODES), pl.Int32),
    **dict.fromkeys(("user_active_degree", *_RANGES), pl.String),
}
VIDEO: Mapping[str, Kind] = {
    **dict.fromkeys(("video_id", "author_id", "visible_status", "video_duration", "server_width", "server_height", "music_type"), pl.Int32),
    **dict.fromkeys(("music_id",), pl.Int64),
    **dict.fromkeys(("video_type", "upload_dt", "upload_type", "tag"), pl.String),
}
HISTORY: Mapping[str, Kind] = {
    **dict.fromkeys(("user_id",), pl.Int32),
    **dict.fromkeys(("last_time_ms",), pl.Int64),
    **dict.fromkeys(("watch_seq", "like_seq", "long_watch_seq"), pl.List(pl.Int32)),
}
_LOG_PARTS = {"pure": ("",), "1k": ("",), "27k": ("_part1", "_part2")}


class Source(NamedTuple):
    """What was found: impressions by the folder that they go to, and the columns of users and videos.

    `log` and `random` have splits, which `earlier` and `earlier_long_views` have not.
    """

    impressions: dict[str, pl.LazyFrame]
    users: pl.LazyFrame
    videos: pl.LazyFrame


def open_source(folder: Path) -> Source:
    """Find the files of either form and check their columns.

    Raises:
        DataError: if a file or column is missing; it says which.
    """
    for place in (folder / "data", folder):
        for version in _LOG_PARTS:
            if (place / f"user_features_{version}.csv").is_file():
                return _release(place, version)
    if (folder / "interactions.parquet").is_file():
        return _sample(folder)
    expected = "a release, with data/user_features_pure.csv (or _1k, _27k), or a folder with interactions.parquet"
    raise DataError("There are no files of KuaiRand here", where=folder, expected=expected, do=ADVICE)


def _release(place: Path, version: str) -> Source:
    def log(name: str, parts: tuple[str, ...]) -> pl.LazyFrame:
        return _read([place / f"log_{name}_{version}{part}.csv" for part in parts], {**IMPRESSION, "is_rand": pl.Int8})

    parts = _LOG_PARTS[version]
    chooses = pl.when(pl.col("date") >= 20220505).then(pl.lit("valid")).otherwise(pl.lit("train"))
    split = pl.when(pl.col("date") >= 20220507).then(pl.lit("test")).otherwise(chooses)
    by_time = [split.alias("split"), split.alias("split_tuning")]
    return Source(
        impressions={
            "log": _with_clock(log("standard_4_22_to_5_08", parts)).with_columns(by_time),
            "earlier": log("standard_4_08_to_4_21", parts),
            "random": _with_clock(log("random_4_22_to_5_08", ("",))).with_columns(by_time),
        },
        users=_read([place / f"user_features_{version}.csv"], USER),
        videos=_with_tags(_read([place / f"video_features_basic_{version}.csv"], VIDEO)),
    )


def _sample(folder: Path) -> Source:
    tuning = (
        pl.when(pl.col("split") != "train").then(pl.lit("test")).when(pl.col("date") >= 20220502).then(pl.lit("valid")).otherwise(pl.lit("train"))
    )
    impressions = _read([folder / "interactions.parquet"], {**IMPRESSION, "split": pl.String})
    events = earlier_events(_read([folder / "user_history.parquet"], HISTORY), IMPRESSION)
    return Source(
        impressions={"log": _with_clock(impressions).with_columns(tuning.alias("split_tuning")), **events},
        users=_read([folder / "users.parquet"], USER),
        videos=_with_tags(_read([folder / "items.parquet"], VIDEO)),
    )


def _read(paths: list[Path], columns: Mapping[str, Kind]) -> pl.LazyFrame:
    """The columns of one table, in files of one form; whole numbers that a file holds as fractions, as pandas writes them, become whole again."""
    for path in paths:
        if not path.is_file():
            raise DataError("A raw file is missing", where=path, expected=f"a table with {', '.join(columns)}", do=ADVICE)
        found = _columns_of(path)
        missing = [column for column in columns if column not in found]
        if missing:
            expected = f"{', '.join(missing)} as well"
            raise DataError("A raw file lacks columns", where=path, found=", ".join(found), expected=expected, do=ADVICE)
    if paths[0].suffix == ".parquet":
        table = pl.scan_parquet(paths)
    else:
        kept = {name: pl.String if kind == pl.String else pl.Int64 if name == "time_ms" else pl.Float64 for name, kind in columns.items()}
        table = pl.scan_csv(paths, schema_overrides=kept)
    return table.select(pl.col(name).cast(kind) for name, kind in columns.items())


def _columns_of(path: Path) -> list[str]:
    if path.suffix == ".parquet":
        return list(pl.read_parquet_schema(path))
    return pl.read_csv(path, n_rows=0).columns


def _with_clock(impressions: pl.LazyFrame) -> pl.LazyFrame:
    clock = pl.from_epoch("time_ms", time_unit="ms").dt.replace_time_zone("UTC").dt.convert_time_zone(ZONE)
    return impressions.with_columns(clock.dt.hour().alias("hour"), clock.dt.weekday().alias("weekday"))


def _with_tags(videos: pl.LazyFrame) -> pl.LazyFrame:
    return videos.with_columns(pl.col("tag").str.split(",").alias("tags")).with_columns(pl.col("tags").list.first().alias("tag"))
