"""A log of short-video impressions, made from the files of KuaiRand.

KuaiRand (Gao et al., CIKM 2022) is a month of a video app, 8 April to 8 May 2022: 27,285 users, 12 kinds of feedback. It is shared under
CC BY-SA 4.0 at https://kuairand.com, is not part of mtrec and is never shipped with it. `--source` names either

- the folder of a release (Pure, 1K or 27K), or the folder `data` in it: rows are the impressions of 22 April to 8 May under the standard policy;
  those of 8 to 21 April are earlier events; those of videos shown at random go into a log of their own; or
- a folder with interactions, items, users and user_history as Parquet files: rows are the interactions.

    python -m pipelines.kuairand --source KuaiRand-Pure --output data/kuairand/log

Folders are made, one part a day each, and replaced one after the other: the log itself, `earlier` beside it, for the `events` of histories and
counters, and of releases `random`, for judging without the bias of what the app chose to show. No feedback is summed up here: histories and
counters are declared in a configuration. The statistics of videos in the releases are left out: they are means over the month, test days included.

Exact duplicates are dropped, and repeats of one user, video and millisecond become one row with the largest of each label. Columns:

Keys, context
    row_id, user_id, video_id, time_ms, date, hourmin, tab, is_rand    row_id follows day and time; is_rand in releases only
    hour, weekday    of time_ms in Asia/Shanghai; 1 is Monday. `date` is the app's own, and 1 % of its rows begin in the last hour of the day before
    duration_ms    known before the impression
Outcomes, never inputs
    is_click, long_view, is_like, is_profile_enter, is_follow, is_comment, is_forward, is_hate, play_time_ms, profile_stay_time, comment_stay_time
The user, in the log only
    user_active_degree, ..., onehot_feat17    the 30 columns of the source
The video
    author_id, video_type, ..., music_type    the columns of the source; `tags` is its list of tags, and `tag` the first of them
Splits
    split           the source's own where it has one; in releases train to 4 May, valid 5 and 6 May, test 7 and 8 May
    split_tuning    as split in releases; else train to 1 May, valid 2 and 3 May, test 4 and 5 May

In the second form an earlier event is one of the user's last 50 impressions before the log, of which `is_like` and `long_view` alone are known. Its
time is not known either: the last has `last_time_ms`, and each one before it a millisecond less, so that the order is right. Long views from
before these 50 go to `earlier_long_views`: histories may take them, but rates may not, since the impressions between them are missing.
"""

import argparse
import contextlib
import tempfile
import time
from pathlib import Path
from typing import TypedDict

import polars as pl

from mtrec.errors import DataError
from pipelines.folders import replacing
from pipelines.kuairand_days import write_days
from pipelines.kuairand_files import LABELS, Source, open_source

__all__ = ["Summary", "build", "main"]


class Summary(TypedDict):
    """What `build` made: rows of each folder, rows of the log's splits, the share of ones of each label, and seconds taken."""

    output: str
    rows: dict[str, int]
    split_rows: dict[str, int]
    label_rates: dict[str, float]
    seconds: float


def build(source: str | Path, output: str | Path) -> Summary:
    """Write the log into the folder `output`, and the other folders beside it; each is replaced as a whole.

    Raises:
        DataError: if a file or column is missing or cannot be read, if there are no rows, or if other files lie where a folder would be made.
    """
    started = time.perf_counter()
    log = Path(output).resolve()
    try:
        rows = _write(open_source(Path(source)), log)
    except pl.exceptions.PolarsError as error:
        raise DataError("A raw file cannot be read", where=source, found=str(error).partition("\n")[0], do="Get it again.") from error
    written = pl.scan_parquet(log / "part-*.parquet")
    splits = written.group_by("split_tuning").len().sort("split_tuning").collect()
    return {
        "output": str(log),
        "rows": rows,
        "split_rows": {str(name): int(count) for name, count in splits.iter_rows()},
        "label_rates": written.select(pl.col(LABELS).mean()).collect().to_dicts()[0],
        "seconds": time.perf_counter() - started,
    }


def _write(source: Source, log: Path) -> dict[str, int]:
    rows: dict[str, int] = {}
    with contextlib.ExitStack() as stack:
        new = {name: stack.enter_context(replacing(log if name == "log" else log.with_name(name))) for name in source.impressions}
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=log.parent, prefix=".kuairand-")))
        source.videos.sink_parquet(scratch / "videos.parquet")
        users, videos = source.users.collect(), pl.scan_parquet(scratch / "videos.parquet")
        for name, impressions in source.impressions.items():
            rows[name] = write_days(impressions, None if name.startswith("earlier") else users, videos, new[name], scratch / name)
        if not rows["log"]:
            raise DataError("There is no impression to make a row of", where=log)
    return rows


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.kuairand", description="Make the log of KuaiRand.")
    parser.add_argument("--source", type=Path, required=True, help="folder of a release, or of the four Parquet files")
    parser.add_argument("--output", type=Path, default=Path("data/kuairand/log"), help="folder of the log (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        summary = build(options.source, options.output)
    except DataError as error:
        parser.exit(error.exit_code, f"error: {error}\n")
    print(f"log: {summary['output']}")
    for name, count in summary["rows"].items():
        print(f"rows of {name}: {count:,}")
    print(f"splits: {', '.join(f'{name} {count:,}' for name, count in summary['split_rows'].items())}")
    for label, rate in summary["label_rates"].items():
        print(f"{label}: {rate:.2%}")
    print(f"seconds: {summary['seconds']:.1f}")


if __name__ == "__main__":
    main()
