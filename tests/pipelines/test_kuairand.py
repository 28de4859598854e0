"""The log of KuaiRand, against a plain recomputation on generated files of the same formats."""

import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl
import pyarrow.parquet as pq
import pytest

from mtrec.errors import DataError
from pipelines.kuairand import build, main
from pipelines.kuairand_files import IMPRESSION, LABELS, OUTCOMES, USER, VIDEO

Row: TypeAlias = dict[str, Any]
CHINA = timedelta(hours=8)


def day_of(row: Row) -> str:
    return (datetime.fromtimestamp(row["time_ms"] / 1000, UTC) + CHINA).strftime("%Y%m%d")


def raw_impressions(first: datetime, num_days: int, seed: int) -> list[Row]:
    """Impressions with exact duplicates, with repeats of other labels, and with dates that run ahead of the clock around midnight."""
    source = random.Random(seed)
    rows: list[Row] = []
    for day in range(num_days):
        for _ in range(12):
            clock = first + timedelta(days=day, seconds=source.randrange(86_400), milliseconds=source.randrange(1000))
            date = int((clock + timedelta(minutes=30)).strftime("%Y%m%d"))
            time_ms = int((clock - CHINA).replace(tzinfo=UTC).timestamp() * 1000)
            row = {"user_id": source.randrange(9), "video_id": source.randrange(14), "date": date, "hourmin": 100 * clock.hour, "time_ms": time_ms}
            row |= {name: source.randrange(2) for name in LABELS} | {name: source.randrange(9000) for name in OUTCOMES if name not in LABELS}
            row |= {"duration_ms": source.randrange(60_000), "is_rand": 0, "tab": source.randrange(15)}
            rows.append(row)
            if source.random() < 0.2:
                rows.append(dict(row))
            if source.random() < 0.2:
                rows.append(row | {name: source.randrange(2) for name in LABELS} | {"play_time_ms": source.randrange(9000)})
    source.shuffle(rows)
    return rows


def users() -> pl.DataFrame:
    columns = {name: [f"{name} {user}" if kind == pl.String else user + len(name) for user in range(8)] for name, kind in USER.items()}
    return pl.DataFrame(columns | {"user_id": list(range(8)), "onehot_feat4": [None, *range(7)]})  # user 8 is not there


def videos() -> pl.DataFrame:
    columns = {name: [f"{name} {video}" if kind == pl.String else 3 * video for video in range(14)] for name, kind in VIDEO.items()}
    tags = ["7", "12,65", None, "3,4,5"] * 3 + ["1", "2"]
    return pl.DataFrame(columns | {"video_id": list(range(14)), "tag": tags, "music_id": [9_155_697_141 + video for video in range(14)]})


EARLY, LATE = raw_impressions(datetime(2022, 4, 8), 14, 1), raw_impressions(datetime(2022, 4, 22), 17, 2)  # noqa: DTZ001
SHOWN_AT_RANDOM = [row | {"is_rand": 1} for row in raw_impressions(datetime(2022, 4, 22), 17, 3)]  # noqa: DTZ001


def write_release(folder: Path, version: str) -> Path:
    data = folder / "data"
    data.mkdir(parents=True)
    for name, rows in (("standard_4_08_to_4_21", EARLY), ("standard_4_22_to_5_08", LATE), ("random_4_22_to_5_08", SHOWN_AT_RANDOM)):
        parts = {"": rows} if version != "27k" or name.startswith("random") else {"_part1": rows[::2], "_part2": rows[1::2]}
        for part, some in parts.items():
            pl.DataFrame(some).write_csv(data / f"log_{name}_{version}{part}.csv")
    fractions = pl.col("onehot_feat4", "onehot_feat5").cast(pl.Float64)  # as pandas writes columns with gaps
    users().with_columns(fractions).write_csv(data / f"user_features_{version}.csv")
    videos().with_columns(pl.col("music_id", "music_type").cast(pl.Float64)).write_csv(data / f"video_features_basic_{version}.csv")
    return folder


HISTORIES = [
    {"user_id": 0, "last_time_ms": 1_650_700_000_005, "watch_seq": [3, 1, 3, 2], "like_seq": [9, 3], "long_watch_seq": [5, 3, 1, 2]},
    {"user_id": 3, "last_time_ms": 1_650_700_000_001, "watch_seq": [7], "like_seq": [], "long_watch_seq": []},
]
EARLIER = [(0, 3, 2, 0, 1), (0, 1, 3, 0, 1), (0, 3, 4, 1, 0), (0, 2, 5, 0, 1), (3, 7, 1, 0, 0)]  # user, video, last digit of time, like, long


def write_sample(folder: Path) -> Path:
    folder.mkdir()
    rows = [{name: value for name, value in row.items() if name != "is_rand"} for row in LATE if 20220425 <= row["date"] <= 20220505]
    split = pl.when(pl.col("date") >= 20220504).then(pl.lit("valid")).otherwise(pl.lit("train"))
    pl.DataFrame(rows).with_columns(split.alias("split")).write_parquet(folder / "interactions.parquet")
    users().write_parquet(folder / "users.parquet")
    videos().write_parquet(folder / "items.parquet")
    pl.DataFrame(HISTORIES).write_parquet(folder / "user_history.parquet")
    return folder


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release")
    build(write_release(folder / "raw", "pure"), folder / "log")
    return folder


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    build(write_sample(folder / "raw"), folder / "log")
    return folder


def read(folder: Path) -> list[Row]:
    return pl.read_parquet(folder / "part-*.parquet").sort("row_id").to_dicts()


def collapsed(rows: Iterable[Row]) -> list[Row]:
    """The largest of each outcome for each user, video and millisecond, in the order of time, user and video."""
    found: dict[tuple[int, int, int], Row] = {}
    for row in rows:
        key = (row["time_ms"], row["user_id"], row["video_id"])
        known = found.setdefault(key, dict(row))
        known |= {name: max(known[name], row[name]) for name in OUTCOMES}
    return [found[key] for key in sorted(found)]


def split_of(date: int, valid_from: int, test_from: int) -> str:
    return "test" if date >= test_from else "valid" if date >= valid_from else "train"


def test_rows_are_the_impressions_of_each_day_once(release: Path) -> None:
    for folder, rows in (("log", LATE), ("earlier", EARLY), ("random", SHOWN_AT_RANDOM)):
        expected = collapsed(rows)
        assert len(expected) < len(rows)
        found = read(release / folder)
        assert [{name: row[name] for name in (*IMPRESSION, "is_rand")} for row in found] == [
            {name: row[name] for name in (*IMPRESSION, "is_rand")} for row in expected
        ]
        days = {part.stem.removeprefix("part-"): pl.read_parquet(part) for part in (release / folder).iterdir()}
        assert {day: frame.height for day, frame in days.items()} == {
            day: sum(day_of(row) == day for row in expected) for day in map(day_of, expected)
        }
        assert all((frame["row_id"] // 10**8 == int(day)).all() for day, frame in days.items())


def test_rows_have_the_columns_of_their_user_and_video(release: Path) -> None:
    by_user, by_video = ({row[key]: row for row in frame.to_dicts()} for key, frame in (("user_id", users()), ("video_id", videos())))
    nobody = dict.fromkeys(USER)
    for row in read(release / "log"):
        user, video = by_user.get(row["user_id"], nobody), by_video[row["video_id"]]
        assert {name: row[name] for name in USER if name != "user_id"} == {name: user[name] for name in USER if name != "user_id"}
        tags = video["tag"].split(",") if video["tag"] is not None else None
        assert {name: row[name] for name in (*VIDEO, "tags")} == {**video, "tags": tags, "tag": tags[0] if tags else None}
        clock = datetime.fromtimestamp(row["time_ms"] / 1000, UTC) + CHINA
        assert (row["hour"], row["weekday"]) == (clock.hour, clock.isoweekday())
        assert row["split"] == row["split_tuning"] == split_of(row["date"], 20220505, 20220507)
    assert "user_active_degree" not in read(release / "earlier")[0]


def test_the_largest_release_is_read_from_its_parts(release: Path, tmp_path: Path) -> None:
    build(write_release(tmp_path / "raw", "27k"), tmp_path / "log")
    assert all(read(tmp_path / name) == read(release / name) for name in ("log", "earlier", "random"))


def test_the_split_of_a_sample_stays_and_a_finer_one_is_added(sample: Path) -> None:
    rows = read(sample / "log")
    assert {(row["date"] >= 20220504, row["split"]) for row in rows} == {(False, "train"), (True, "valid")}
    assert all(row["split_tuning"] == split_of(row["date"], 20220502, 20220504) for row in rows)
    assert not (sample / "random").exists()


def test_lists_become_earlier_events(sample: Path) -> None:
    found = [(row["user_id"], row["video_id"], row["time_ms"] % 10, row["is_like"], row["long_view"]) for row in read(sample / "earlier")]
    assert sorted(found) == sorted(EARLIER)
    older = read(sample / "earlier_long_views")
    assert [(row["user_id"], row["video_id"], row["time_ms"] % 10, row["is_like"], row["long_view"]) for row in older] == [(0, 5, 1, None, 1)]
    unknown = [name for name in IMPRESSION if name not in ("user_id", "video_id", "time_ms", "is_like", "long_view")]
    assert all(row[name] is None for row in read(sample / "earlier") for name in unknown)
    by_video = {row["video_id"]: row["author_id"] for row in videos().to_dicts()}
    assert all(row["author_id"] == by_video[row["video_id"]] for row in [*read(sample / "earlier"), *older])


def test_events_and_log_have_the_same_types(release: Path, sample: Path) -> None:
    schemas = [pq.read_schema(next(folder.iterdir())) for place in (release, sample) for folder in place.iterdir() if folder.name != "raw"]
    kinds = {(field.name, field.type) for schema in schemas for field in schema}
    assert len(kinds) == len({name for name, _ in kinds})


def test_a_second_build_is_equal_and_replaces_the_first(sample: Path, tmp_path: Path) -> None:
    for _ in range(2):
        build(sample / "raw", tmp_path / "log")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["earlier", "earlier_long_views", "log"]
    assert all((tmp_path / "log" / part.name).read_bytes() == part.read_bytes() for part in (sample / "log").iterdir())


@pytest.mark.parametrize("name", ["interactions", "users", "items", "user_history"])
def test_a_missing_file_is_named_and_the_old_log_stays(name: str, tmp_path: Path) -> None:
    raw = write_sample(tmp_path / "raw")
    build(raw, tmp_path / "log")
    (raw / f"{name}.parquet").unlink()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataError, match=r"https://kuairand\.com"):
        build(raw, tmp_path / "log")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_missing_part_of_a_release_is_named(tmp_path: Path) -> None:
    raw = write_release(tmp_path / "raw", "27k")
    (raw / "data" / "log_standard_4_08_to_4_21_27k_part2.csv").unlink()
    with pytest.raises(DataError, match=r"missing.*log_standard_4_08_to_4_21_27k_part2\.csv"):
        build(raw, tmp_path / "log")


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    raw = write_sample(tmp_path / "raw")
    videos().drop("music_type").write_parquet(raw / "items.parquet")
    with pytest.raises(DataError, match=r"lacks columns.*items\.parquet.*music_type as well"):
        build(raw, tmp_path / "log")


@pytest.mark.parametrize(("column", "text"), [("tab", "many"), ("time_ms", "")])
def test_a_value_that_is_no_number_is_refused(column: str, text: str, tmp_path: Path) -> None:
    raw = write_release(tmp_path / "raw", "1k")
    path = raw / "data" / "log_standard_4_22_to_5_08_1k.csv"
    table = pl.read_csv(path, infer_schema=False)
    table.with_columns(pl.when(pl.int_range(pl.len()) == 5).then(pl.lit(text)).otherwise(pl.col(column)).alias(column)).write_csv(path)
    with pytest.raises(DataError, match=r"cannot be read|no user, video or time"):
        build(raw, tmp_path / "log")
    assert not (tmp_path / "log").exists()


def test_the_command_line_prints_one_line_each(sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--source", str(sample / "raw"), "--output", str(tmp_path / "log")])
    printed = [line.split(":")[0] for line in capsys.readouterr().out.splitlines()]
    assert printed == ["log", "rows of log", "rows of earlier", "rows of earlier_long_views", "splits", *LABELS, "seconds"]
    with pytest.raises(SystemExit) as stopped:
        main(["--source", str(tmp_path / "nowhere"), "--output", str(tmp_path / "log")])
    assert stopped.value.code == DataError.exit_code
    assert capsys.readouterr().err.startswith("error: There are no files of KuaiRand here")
