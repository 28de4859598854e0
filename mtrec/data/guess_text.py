"""A guess as a commented configuration, with a split that fits the log."""

import json
import re
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mtrec.data.columns_of_log import Column, kind_of
from mtrec.data.guess import Entry, Guess
from mtrec.data.log import LogFiles
from mtrec.errors import DataError

__all__ = ["config_text", "split_of"]

_PER_SLICE = 4096  # Times looked at of each slice: quantiles need no more.
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*")
_NO_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}


def split_of(source: str | list[str], guess: Guess, columns: list[Column]) -> dict[str, Any]:
    """By time, so that 80 % of the rows train and 10 % judge; by a hash where there is no time, or too few of it.

    Raises:
        DataError: if the time column holds neither times nor numbers, or there is no column to split by.
    """
    if "time" in guess.roles:
        bounds = _bounds(source, guess.roles["time"].column)
        if bounds is not None:
            return {"by": "time", "valid_from": bounds[0], "test_from": bounds[1]}
    named = [guess.roles[role].column for role in ("user", "session", "keys", "item") if role in guess.roles]
    usable = [column.name for column in columns if column.kind in ("int", "text") and column.known == column.rows and column.distinct > 1]
    fitting = [name for name in named if name in usable] or usable
    if not fitting:
        raise DataError("There is no column to split the rows by", where=source, expected="a time, or a column of whole numbers or text")
    return {"by": "hash", "column": fitting[0], "valid": 0.1, "test": 0.1}


def _bounds(source: str | list[str], name: str) -> tuple[str, str] | tuple[int, int] | None:
    parts: list[npt.NDArray[np.int64]] = []
    kind = "other"
    for table in LogFiles(source, [name]).slices():
        column = table.column(name).drop_null()
        kind = kind_of(column.type)
        if kind not in ("time", "int", "number"):
            raise DataError("The time column holds no times", where=name, found=column.type, expected="a time, a date or numbers")
        column = column.cast(pa.timestamp("us"), safe=False) if kind == "time" else column
        parts.append(column.cast(pa.int64(), safe=False).to_numpy()[:: max(1, len(column) // _PER_SLICE)])
    times = np.sort(np.concatenate(parts))
    if not len(times):
        return None
    valid, test = times[int(len(times) * 0.8)], times[int(len(times) * 0.9)]
    later = times[times > valid]
    if valid == times[0] or not len(later):
        return None
    test = max(test, later[0])
    return _dates(int(times[0]), int(valid), int(test)) if kind == "time" else (int(valid), int(test))


def _dates(first: int, valid: int, test: int) -> tuple[str, str]:
    """Microseconds as dates, or to the microsecond where dates are too coarse."""
    day = 86_400 * 10**6
    if first < valid // day * day < test // day * day:
        valid, test = valid // day * day, test // day * day
    texts = [datetime.fromtimestamp(each // 10**6, UTC).replace(microsecond=each % 10**6, tzinfo=None).isoformat() for each in (valid, test)]
    return texts[0].removesuffix("T00:00:00"), texts[1].removesuffix("T00:00:00")


def config_text(name: str, source: str | list[str], guess: Guess, split: dict[str, Any], columns: list[Column]) -> str:
    """The configuration as YAML, each guess with its reason."""
    by_user = {split["column"]} if split["by"] == "hash" and "user" in guess.roles else set()
    ids = [entry for entry in guess.ids if entry.column not in by_user]
    sequences = [entry._replace(shares=None) if entry.shares in by_user else entry for entry in guess.sequences]
    left_out = {**guess.left_out, **dict.fromkeys(by_user, "its values are split: those of test are never trained on")}
    lines = [
        f"# Written by `mtrec init`, which looked at {columns[0].rows:,} rows. All of it is a guess from names, types and values: read it through.",
        "# Take out every input that is only known after the outcome, such as the seconds watched where a click is predicted.",
        f"name: {_word(name)}",
        "log:",
        f"  source: {json.dumps(source, ensure_ascii=False)}",
    ]
    if guess.roles:
        lines += ["  roles:", *(_role(role, entry) for role, entry in guess.roles.items()), *_unit(guess, columns)]
    why = "80 % of the rows lie before valid_from, 10 % from test_from on" if split["by"] == "time" else "all rows of one value go together"
    lines += [f"  split: {{{', '.join(f'{key}: {_value(value)}' for key, value in split.items())}}}  # {why}", "features:"]
    for section, entries in (("ids", ids), ("numbers", guess.numbers), ("sequences", sequences)):
        lines += [f"  {section}:"] * bool(entries) + [f"    - {_feature(section, entry)}  # {entry.why}" for entry in entries]
    lines.append("tasks:")
    for task, entry in guess.labels.items():
        kind = ", kind: regression" if task in guess.regression else ""
        lines.append(f"  {_word(task)}: {{label: {_word(entry.column)}{kind}}}  # {entry.why}")
    if set(guess.labels) == guess.regression:
        lines.append(f"training: {{early_stopping: {{metric: {next(iter(guess.labels))}/rmse}}}}")
    lines += ["# Left out:"] * bool(left_out) + [f"#   {_word(column)}: {reason}" for column, reason in left_out.items()]
    return "\n".join(lines) + "\n"


def _role(role: str, entry: Entry) -> str:
    column = _word(entry.column)
    return f"    {role}: {f'[{column}]' if role == 'keys' else column}  # {entry.why}"


def _unit(guess: Guess, columns: list[Column]) -> list[str]:
    """Whole numbers as moments of the last decades: 1.7e9 are seconds, 1.7e12 milliseconds, and so on; 2e4 are days."""
    column = next((each for each in columns if "time" in guess.roles and each.name == guess.roles["time"].column), None)
    if column is None or column.kind != "int":
        return []
    limits = {"ns": 1e17, "us": 1e14, "ms": 1e11, "s": 1e8}
    unit = next((unit for unit, least in limits.items() if column.middle >= least), "day")
    return [f"  time: {{unit: {unit}, zone: UTC}}  # guessed from its size, about {column.middle:.4g}"]


def _feature(section: str, entry: Entry) -> str:
    column = _word(entry.column)
    if section != "sequences":
        return column
    shares = f", shares: {{{column}: {_word(entry.shares)}}}" if entry.shares is not None else ""
    return f"{{from: {column}{shares}}}"


def _word(text: str) -> str:
    return text if _WORD.fullmatch(text) and text.lower() not in _NO_WORDS else json.dumps(text, ensure_ascii=False)


def _value(value: object) -> str:
    # Dates stand in quotes, as other readers of YAML would make objects of them.
    return str(value) if not isinstance(value, str) else _word(value)
