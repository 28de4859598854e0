"""Earlier events from each user's last impressions, given as lists of videos: which of them was watched long, which was liked."""

from collections.abc import Mapping

import polars as pl

__all__ = ["earlier_events", "marked"]

COLUMNS = ("user_id", "last_time_ms", "watch_seq", "like_seq", "long_watch_seq")
KNOWN = ("user_id", "video_id", "time_ms", "is_like", "long_view")


def earlier_events(history: pl.LazyFrame, columns: Mapping[str, pl.DataType | type[pl.DataType]]) -> dict[str, pl.LazyFrame]:
    """`earlier`: an event for each video of `watch_seq`, with `is_like` and `long_view`; `earlier_long_views`: the long views before these.

    The last event has `last_time_ms`, and each one before it a millisecond less. All other labels and the context are null.

    Args:
        history: user_id, last_time_ms, and the lists watch_seq, like_seq and long_watch_seq, newest last.
        columns: name and type of each column to make.
    """
    rows = []
    for user, last, watched, likes, longs in history.select(*COLUMNS).collect().iter_rows():
        liked, long = marked(watched, likes), marked(watched, longs)
        older = longs[: len(longs) - sum(long)]
        nothing = [None] * len(older)
        rows.append((user, last, [*older, *watched], [*nothing, *liked], [*(1 for _ in older), *long], len(watched)))
    kinds = {"video_id": pl.List(pl.Int32), "is_like": pl.List(pl.Int8), "long_view": pl.List(pl.Int8)}
    events = (
        pl.DataFrame(rows, {"user_id": pl.Int32, "last_time_ms": pl.Int64, **kinds, "num_watched": pl.Int64}, orient="row")
        .lazy()
        .with_columns(pl.int_ranges(pl.col("video_id").list.len().cast(pl.Int64) - 1, -1, -1).alias("age"))
        .explode(*kinds, "age")
        .with_columns((pl.col("last_time_ms") - pl.col("age")).alias("time_ms"))
    )
    shaped = [pl.col(name).cast(kind) if name in KNOWN else pl.lit(None, kind).alias(name) for name, kind in columns.items()]
    is_older = pl.col("age") >= pl.col("num_watched")
    return {"earlier": events.filter(~is_older).select(shaped), "earlier_long_views": events.filter(is_older).select(shaped)}


def marked(watched: list[int], chosen: list[int]) -> list[int]:
    """Which of the watched videos are the chosen ones, both newest last; the older of the chosen may lie before the first watched one.

    >>> marked([5, 7, 5, 8], [9, 7, 5])
    [0, 1, 1, 0]
    """
    marks, left = [0] * len(watched), len(chosen) - 1
    for place in range(len(watched) - 1, -1, -1):
        if left >= 0 and watched[place] == chosen[left]:
            marks[place], left = 1, left - 1
    return marks
