"""`mtrec init`: a commented configuration from a log's own columns."""

import re
from pathlib import Path

from mtrec import config
from mtrec.data.columns_of_log import columns_of, read_sample
from mtrec.data.guess import Wishes, guess
from mtrec.data.guess_text import config_text, split_of
from mtrec.errors import ConfigError
from mtrec.store import atomic_file

__all__ = ["init"]


def init(
    log: str,
    time: str | None = None,
    user: str | None = None,
    item: str | None = None,
    labels: list[str] | None = None,
    output: str | Path | None = None,
) -> Path:
    """Write a configuration for a log, and give its path; what is not named is guessed.

    Args:
        log: a file, directory, glob or URL.
        time, user, item, labels: columns.
        output: the file to write, by default NAME.yaml in the working directory, NAME taken from the log.

    Raises:
        ConfigError: if the file exists, or a column is not there.
        DataError: if the log cannot be read, or holds nothing to predict or to predict from.
    """
    name = _name_of(log)
    path = Path(output) if output is not None else Path(f"{name}.yaml")
    if path.exists():
        raise ConfigError("The file exists already", where=path, do="Choose another one with --output, or remove it.")
    sample = read_sample(log)
    columns = columns_of(sample)
    found = guess(sample, columns, Wishes(time, user, item, tuple(labels or ())))
    text = config_text(name, log, found, split_of(log, found, columns), columns)
    with atomic_file(path) as aside:
        aside.write_text(text, encoding="utf-8")
        config.load(aside)  # What we write, we can read.
    return path


def _name_of(log: str) -> str:
    """The last part of the path that is a name: shop for data/shop/*.parquet and for shop.csv.gz."""
    parts = [part.split(".")[0] for part in log.rsplit("://", maxsplit=1)[-1].split("/") if not any(sign in part for sign in "*?[")]
    names = [re.sub(r"[^A-Za-z0-9_-]+", "_", part) for part in parts]
    return next((name for name in reversed(names) if name.strip("_") and name not in ("data", "log", "logs")), "log")
