"""A log's folder is replaced as a whole: it holds the old parts until all new ones are written."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from mtrec.errors import DataError

__all__ = ["replacing"]


@contextlib.contextmanager
def replacing(folder: str | Path) -> Iterator[Path]:
    """A new folder beside `folder` to write `part-*.parquet` files into; it takes the place of `folder` when the block ends without an error.

    Raises:
        DataError: if `folder` is there and holds anything but the parts of an earlier log.
    """
    folder = Path(folder).resolve()
    _check(folder)
    aside = folder.with_name(f".{folder.name}.new-{os.getpid()}")
    aside.mkdir(parents=True)
    try:
        yield aside
        _replace(folder, aside)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _check(folder: Path) -> None:
    others = sorted(path.name for path in folder.glob("*") if not path.match("part-*.parquet"))
    if others or folder.is_file():
        found = ", ".join(others[:5]) or "a file"
        expected = "a new path, or a folder that holds only part-*.parquet, as it is replaced as a whole"
        raise DataError("The output would replace other files", where=folder, found=found, expected=expected, do="Name another --output.")


def _replace(folder: Path, aside: Path) -> None:
    if folder.exists():
        old = folder.with_name(f".{folder.name}.old-{os.getpid()}")
        folder.rename(old)
        aside.rename(folder)
        shutil.rmtree(old)
    else:
        aside.rename(folder)
