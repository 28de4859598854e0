"""Durable files: a bundle is a directory that is whole or not there.

A bundle is written aside, every file synced, its manifest (SHA-256 of each file, and of itself) written last, and the directory renamed into place.
Reading checks names, sizes and hashes before anyone opens a file. Standard library only, so that serving can use it.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from mtrec.errors import BundleError

__all__ = ["Bundle", "append_line", "atomic_file", "digest_of", "sweep", "write_json"]

FORMAT = 1
MANIFEST = "manifest.json"
_MANIFEST_LIMIT = 64 * 2**20
_ASIDE = ".aside-"
_OLD = "old"


class Bundle:
    """A verified bundle: `path`, its `kind`, `meta`, and the names of its `files`."""

    def __init__(self, path: Path, kind: str, meta: dict[str, Any], files: dict[str, dict[str, Any]]) -> None:
        self.path, self.kind, self.meta, self.files = path, kind, meta, files

    @classmethod
    @contextlib.contextmanager
    def create(cls, path: str | Path, kind: str, meta: dict[str, Any] | None = None, replace: bool = False) -> Iterator["Bundle"]:
        """Give a directory aside to write into; commit it under `path` when the block ends well, remove it otherwise.

        `meta` may be filled until the block ends. Paths of files are relative to the bundle's `path` inside the block.

        Raises:
            BundleError: if `path` exists and `replace` is false, or the disk refuses.
        """
        path = Path(path)
        if path.exists() and not replace:
            raise BundleError("The directory exists already", where=path, do="Remove it, or choose another one.")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            aside, lock = _set_aside(path)
        except OSError as error:
            raise BundleError("The directory cannot be written", where=path.parent, found=error, do="Check its rights and free space.") from error
        try:
            bundle = cls(aside, kind, dict(meta or {}), {})
            yield bundle
            bundle._commit(path, replace)
        except OSError as error:
            raise BundleError(
                f"The {kind} could not be written; nothing was changed", where=path, found=error, do="Check the disk's free space and rights."
            ) from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)
            os.close(lock)

    @classmethod
    def open(cls, path: str | Path, kind: str | None = None, manifest_sha256: str | None = None) -> "Bundle":
        """Read the manifest and check every file against it.

        Args:
            manifest_sha256: the SHA-256 of manifest.json, known from elsewhere: a manifest alone does not stop those who can rewrite it.

        Raises:
            BundleError: naming the file that is missing, added, renamed, or damaged, or the manifest that is none of ours.
        """
        path = Path(path)
        manifest = _read_manifest(path, manifest_sha256)
        if kind is not None and manifest["kind"] != kind:
            raise BundleError("This is another kind of bundle", where=path, found=manifest["kind"], expected=kind)
        bundle = cls(path, manifest["kind"], manifest["meta"], manifest["files"])
        bundle._verify()
        return bundle

    @staticmethod
    def is_complete(path: str | Path) -> bool:
        """Whether a manifest lies there: without one, a directory was never committed."""
        return (Path(path) / MANIFEST).is_file()

    def _commit(self, path: Path, replace: bool) -> None:
        self.files = {}
        for file in sorted(self.path.rglob("*")):
            if file.is_symlink():
                raise BundleError("A link cannot be part of a bundle", where=file, expected="plain files only")
            if not file.is_file():
                continue
            file.chmod(0o600)
            _sync(file)
            self.files[file.relative_to(self.path).as_posix()] = {"sha256": digest_of(file), "bytes": file.stat().st_size}
        body = {"format": FORMAT, "kind": self.kind, "meta": self.meta, "files": self.files}
        body["sha256"] = _digest_of_body(body)
        manifest = self.path / MANIFEST
        manifest.write_text(json.dumps(body, indent=1, sort_keys=True, allow_nan=False), encoding="utf-8")
        manifest.chmod(0o600)
        for folder in (p for p in self.path.rglob("*") if p.is_dir()):
            folder.chmod(0o700)
            _sync(folder)
        _sync(manifest)
        _sync(self.path)
        if replace and path.exists():
            self._exchange(path)
        else:
            os.replace(self.path, path)
        _sync(path.parent)
        self.path = path

    def _exchange(self, path: Path) -> None:
        """Put the old bundle aside, and back if the new one cannot take its place; `sweep` puts it back after a kill in between."""
        old, lock = _set_aside(path)
        try:
            os.replace(path, old / _OLD)
            try:
                os.replace(self.path, path)
            except OSError:
                os.replace(old / _OLD, path)
                raise
        finally:
            shutil.rmtree(old, ignore_errors=True)
            os.close(lock)

    def _verify(self) -> None:
        present = set()
        for file in self.path.rglob("*"):
            name = file.relative_to(self.path).as_posix()
            if file.is_symlink() or not (file.is_file() or file.is_dir()):
                raise BundleError("A link or special file stands in the bundle", where=file, expected="plain files only")
            if file.is_file() and name != MANIFEST:
                present.add(name)
        again = "Restore the file from a copy, or write the bundle again."
        for name, fact in self.files.items():
            file = self.path / name
            if name not in present:
                raise BundleError("A file of the bundle is missing", where=file, do=again)
            if file.stat().st_size != fact["bytes"]:
                raise BundleError("A file is damaged", where=file, found=f"{file.stat().st_size} bytes", expected=f"{fact['bytes']} bytes", do=again)
            if digest_of(file) != fact["sha256"]:
                raise BundleError("A file is damaged: its SHA-256 is not the manifest's", where=file, do=again)
        for name in sorted(present - set(self.files)):
            raise BundleError("A file stands in the bundle that its manifest does not name", where=self.path / name, do="Remove it.")


def _read_manifest(path: Path, manifest_sha256: str | None) -> dict[str, Any]:
    file = path / MANIFEST
    if not file.is_file() or file.is_symlink():
        raise BundleError("There is no complete bundle here", where=path, expected=f"a directory with {MANIFEST}")
    if file.stat().st_size > _MANIFEST_LIMIT:
        raise BundleError("The manifest is too large to be one of ours", where=file, found=f"{file.stat().st_size} bytes")
    if manifest_sha256 is not None and digest_of(file) != manifest_sha256:
        raise BundleError("The manifest is not the expected one", where=file, found=digest_of(file), expected=manifest_sha256)
    try:
        body = json.loads(file.read_text(encoding="utf-8"))
        declared = body.pop("sha256")
        whole = declared == _digest_of_body(body) and _is_manifest(body)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BundleError("The manifest is damaged", where=file, found=error, do="Restore it from a copy.") from error
    if isinstance(body.get("format"), int) and body["format"] > FORMAT:
        raise BundleError("A newer mtrec wrote this bundle", where=file, found=f"format {body['format']}", expected=f"format {FORMAT} or lower")
    if not whole:
        raise BundleError("The manifest is damaged: its own SHA-256 does not fit", where=file, do="Restore it from a copy.")
    for name in body["files"]:
        if os.path.isabs(name) or "\\" in name or any(part in ("", ".", "..") for part in name.split("/")):
            raise BundleError("The manifest names a file outside of the bundle", where=file, found=name)
    return dict(body)


def _is_manifest(body: dict[str, Any]) -> bool:
    if type(body["format"]) is not int or not (isinstance(body["kind"], str) and isinstance(body["meta"], dict) and isinstance(body["files"], dict)):
        return False
    return all(type(fact["bytes"]) is int and isinstance(fact["sha256"], str) for fact in body["files"].values())


def _digest_of_body(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True, allow_nan=False).encode()).hexdigest()


def digest_of(file: str | Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextlib.contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Give a path aside to write to; put it under `path`, synced, when the block ends well."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}{_ASIDE}", dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise BundleError("The file cannot be written", where=path, found=error, do="Check the rights and free space of its directory.") from error
    aside = Path(name)
    try:
        yield aside
        _sync(aside)
        os.replace(aside, path)
        _sync(path.parent)
    except OSError as error:
        raise BundleError("The file cannot be written", where=path, found=error, do="Check the rights and free space of its directory.") from error
    finally:
        aside.unlink(missing_ok=True)


def write_json(path: str | Path, value: Any) -> None:
    """Write a JSON file whole or not at all. NaN is refused: undefined values are null with a reason."""
    with atomic_file(path) as aside:
        aside.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def append_line(path: str | Path, value: dict[str, Any]) -> None:
    """Append one line of JSON to a file; a line that a killed writer left unfinished is ended first.

    Raises:
        BundleError: if the disk refuses.
    """
    line = json.dumps(value, allow_nan=False).encode() + b"\n"
    try:
        with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "r+b") as stream:
            if stream.seek(0, os.SEEK_END) and not _ends_line(stream):
                line = b"\n" + line
            stream.write(line)
    except OSError as error:
        raise BundleError("The line cannot be written", where=path, found=error, do="Check the rights and free space of its directory.") from error


def _ends_line(stream: BinaryIO) -> bool:
    stream.seek(-1, os.SEEK_END)
    return stream.read(1) == b"\n"


def sweep(directory: str | Path) -> list[Path]:
    """Remove what writers that were killed left aside, and put back a bundle whose exchange was cut short; returns what was removed.

    Bundles that others are writing are left alone, single files are not: nobody else may be writing those in the directory.
    """
    left = []
    for path in sorted(Path(directory).glob(f".*{_ASIDE}*")):
        try:
            lock = os.open(path, os.O_RDONLY)
        except OSError:  # Its writer is through, or it is not ours.
            continue
        try:
            if _is_free(lock):
                _remove_aside(path)
                left.append(path)
        finally:
            os.close(lock)
    return left


def _remove_aside(path: Path) -> None:
    home = path.with_name(path.name[1:].rpartition(_ASIDE)[0])
    if (path / _OLD / MANIFEST).is_file() and not home.exists():
        os.replace(path / _OLD, home)
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _set_aside(path: Path) -> tuple[Path, int]:
    """A new directory beside `path`, and the open handle that keeps `sweep` from it while this process lives."""
    while True:
        aside = Path(tempfile.mkdtemp(prefix=f".{path.name}{_ASIDE}", dir=path.parent))
        try:
            lock = os.open(aside, os.O_RDONLY)
        except FileNotFoundError:
            continue
        except OSError:
            shutil.rmtree(aside, ignore_errors=True)
            raise
        _is_free(lock)
        if aside.exists():
            return aside, lock
        os.close(lock)  # A sweep came between the directory and its lock.


def _is_free(lock: int) -> bool:
    """Lock what the handle is open on, unless another process has done so."""
    try:
        import fcntl

        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:
        return True  # A system without such locks.
    except OSError:
        return False
    return True


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
