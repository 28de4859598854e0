"""A bundle is whole or not there, and damage is named, never read."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mtrec import store
from mtrec.errors import BundleError
from mtrec.store import Bundle

FILES = {"weights.bin": b"\x00\x01\x02", "deep/er/table.json": b"{}", "empty": b""}


def write(path: Path, files: dict[str, bytes] = FILES, replace: bool = False) -> Path:
    with Bundle.create(path, "checkpoint", {"step": 3}, replace=replace) as bundle:
        for name, content in files.items():
            (bundle.path / name).parent.mkdir(parents=True, exist_ok=True)
            (bundle.path / name).write_bytes(content)
    return path


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write(tmp_path / "bundle")


def forge(path: Path, change: Callable[[dict[str, object]], object]) -> None:
    """Change a manifest and give it the hash that fits, as one would who can write to it."""
    body = json.loads((path / store.MANIFEST).read_text())
    del body["sha256"]
    change(body)
    body["sha256"] = store._digest_of_body(body)
    (path / store.MANIFEST).write_text(json.dumps(body))


def refused(path: Path, *words: str) -> None:
    with pytest.raises(BundleError) as found:
        Bundle.open(path)
    for word in words:
        assert word in str(found.value)


def test_what_was_written_is_read(bundle: Path) -> None:
    opened = Bundle.open(bundle, "checkpoint")
    assert (opened.kind, opened.meta, set(opened.files)) == ("checkpoint", {"step": 3}, set(FILES))
    assert all((opened.path / name).read_bytes() == content for name, content in FILES.items())
    assert [entry.name for entry in bundle.parent.iterdir()] == ["bundle"]


def test_meta_may_be_filled_inside_the_block(tmp_path: Path) -> None:
    with Bundle.create(tmp_path / "a", "kind") as bundle:
        bundle.meta["rows"] = 5
    assert Bundle.open(tmp_path / "a").meta == {"rows": 5}


def test_only_the_owner_may_read(bundle: Path) -> None:
    modes = {path: path.stat().st_mode & 0o777 for path in (bundle, *bundle.rglob("*"))}
    assert {path: mode for path, mode in modes.items() if mode != (0o700 if path.is_dir() else 0o600)} == {}


@pytest.mark.parametrize("name", [*(name for name, content in FILES.items() if content), store.MANIFEST])
def test_one_bit_flipped_is_found(bundle: Path, name: str) -> None:
    content = bytearray((bundle / name).read_bytes())
    for place in {0, len(content) // 2, len(content) - 1}:
        flipped = bytearray(content)
        flipped[place] ^= 1
        (bundle / name).write_bytes(flipped)
        refused(bundle, "damaged", str(bundle / name))


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_missing_is_named(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    refused(bundle, "missing", name)


def test_a_file_that_was_added_is_named(bundle: Path) -> None:
    (bundle / "deep/extra").write_bytes(b"")
    refused(bundle, "does not name", "deep/extra")


def test_a_file_that_was_renamed_is_named(bundle: Path) -> None:
    (bundle / "weights.bin").rename(bundle / "weights2.bin")
    refused(bundle, "missing", "weights.bin")


@pytest.mark.parametrize("name", ["weights.bin", store.MANIFEST])
def test_a_file_that_was_cut_is_named(bundle: Path, name: str) -> None:
    (bundle / name).write_bytes((bundle / name).read_bytes()[:-1])
    refused(bundle, "damaged", name)


def test_a_link_is_refused(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(FILES["weights.bin"])
    (bundle / "weights.bin").unlink()
    (bundle / "weights.bin").symlink_to(tmp_path / "elsewhere")
    refused(bundle, "link", "weights.bin")
    with pytest.raises(BundleError, match="link"), Bundle.create(tmp_path / "new", "kind") as writing:
        (writing.path / "link").symlink_to(tmp_path / "elsewhere")
    assert not (tmp_path / "new").exists()


def test_a_pipe_is_refused(bundle: Path) -> None:
    os.mkfifo(bundle / "pipe")
    refused(bundle, "special file", "pipe")


@pytest.mark.parametrize("name", ["../out", "/etc/passwd", "deep/../../out", "a//b", "./a", "a\\b", ""])
def test_a_name_that_leads_outside_is_refused(bundle: Path, name: str) -> None:
    forge(bundle, lambda body: body["files"].update({name: {"sha256": "0" * 64, "bytes": 1}}))  # type: ignore[attr-defined]
    refused(bundle, "outside")


def test_a_manifest_of_a_later_format_is_refused(bundle: Path) -> None:
    forge(bundle, lambda body: body.update(format=store.FORMAT + 1))
    refused(bundle, "newer mtrec", f"format {store.FORMAT + 1}")


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body.update(files=[]),
        lambda body: body.update(meta=None),
        lambda body: body.update(kind=3),
        lambda body: body.update(format="1"),
        lambda body: body.pop("kind"),
        lambda body: body["files"].update({"weights.bin": None}),
        lambda body: body["files"].update({"weights.bin": {"bytes": 3}}),
        lambda body: body["files"].update({"weights.bin": {"bytes": "3", "sha256": ""}}),
    ],
)
def test_a_manifest_of_another_shape_is_refused(bundle: Path, change: Callable[[dict[str, object]], object]) -> None:
    forge(bundle, change)
    refused(bundle, "manifest is damaged")


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"{", b"\xff", b"[" * 100_000, b'{"sha256": 1}'])
def test_a_manifest_that_is_none_is_refused(bundle: Path, content: bytes) -> None:
    (bundle / store.MANIFEST).write_bytes(content)
    refused(bundle, "manifest is damaged")


def test_a_huge_manifest_is_not_read(bundle: Path) -> None:
    os.truncate(bundle / store.MANIFEST, store._MANIFEST_LIMIT + 1)
    refused(bundle, "too large")


def test_a_manifest_can_be_pinned(bundle: Path) -> None:
    known = store.digest_of(bundle / store.MANIFEST)
    forge(bundle, lambda body: body.update(meta={"step": 4}))
    Bundle.open(bundle)
    with pytest.raises(BundleError, match="not the expected one"):
        Bundle.open(bundle, manifest_sha256=known)


def test_another_kind_is_refused(bundle: Path) -> None:
    with pytest.raises(BundleError, match="another kind"):
        Bundle.open(bundle, "artifact")


def test_a_directory_without_manifest_is_incomplete(tmp_path: Path) -> None:
    assert not Bundle.is_complete(tmp_path)
    refused(tmp_path, "no complete bundle")


def test_an_error_inside_the_block_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError), Bundle.create(tmp_path / "a", "kind") as bundle:
        (bundle.path / "half").write_bytes(b"half")
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_what_exists_is_replaced_on_request_only(bundle: Path) -> None:
    with pytest.raises(BundleError, match="exists already"):
        write(bundle)
    write(bundle, {"other": b"1"}, replace=True)
    assert set(Bundle.open(bundle).files) == {"other"}
    assert [entry.name for entry in bundle.parent.iterdir()] == ["bundle"]


@pytest.mark.parametrize("call", ["fsync", "replace", "open"])
@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_full_disk_leaves_the_old_bundle_intact(bundle: Path, call: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    real, seen = getattr(os, call), iter(range(1000))

    def full(*arguments: object, **options: object) -> object:
        if next(seen) == count:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(store.os, call, full)
        try:
            write(bundle, {"new": b"1"}, replace=True)
        except BundleError as error:
            assert "No space left" in str(error)
            assert set(Bundle.open(bundle).files) == set(FILES)
        else:
            assert set(Bundle.open(bundle).files) == {"new"}  # The exchange was through before the call failed.
    assert [entry.name for entry in bundle.parent.iterdir()] == ["bundle"]


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BundleError, match="cannot be written"), Bundle.create(tmp_path / "file/bundle", "kind"):
        pass


KILLED = """
import sys
from pathlib import Path
from mtrec.store import Bundle

path = Path(sys.argv[1])
for content in range(10**6):
    with Bundle.create(path, "kind", {"content": content}, replace=True) as bundle:
        for name in "abcdefgh":
            (bundle.path / name).write_bytes(bytes([content % 256]) * 50_000)
    if content == 3:
        print("ready", flush=True)
"""


@pytest.mark.parametrize("delay_ms", [1, 4, 9, 16, 23, 37])
def test_kill_9_while_writing_leaves_one_whole_bundle(tmp_path: Path, delay_ms: int) -> None:
    path = tmp_path / "bundle"
    with subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(delay_ms / 1000)
        process.send_signal(signal.SIGKILL)
    store.sweep(tmp_path)
    bundle = Bundle.open(path)
    assert {(path / name).read_bytes()[0] for name in bundle.files} == {bundle.meta["content"] % 256}
    assert [entry.name for entry in tmp_path.iterdir()] == ["bundle"]


def test_sweep_puts_back_what_a_killed_exchange_left_aside(bundle: Path) -> None:
    aside = bundle.parent / f".bundle{store._ASIDE}x1"
    aside.mkdir()
    bundle.rename(aside / store._OLD)
    half = bundle.parent / f".bundle{store._ASIDE}x2"
    half.mkdir()
    assert store.sweep(bundle.parent) == [aside, half]
    assert set(Bundle.open(bundle).files) == set(FILES)
    assert [entry.name for entry in bundle.parent.iterdir()] == ["bundle"]


def test_atomic_file_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.json"
    store.write_json(path, {"auc": 0.5})
    assert json.loads(path.read_text()) == {"auc": 0.5}
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ZeroDivisionError), store.atomic_file(path) as aside:
        aside.write_text("half")
        raise ZeroDivisionError
    assert json.loads(path.read_text()) == {"auc": 0.5}
    assert [entry.name for entry in path.parent.iterdir()] == ["report.json"]


def test_a_full_disk_leaves_the_old_file_intact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "a.json"
    store.write_json(path, 1)
    monkeypatch.setattr(store.os, "replace", full)
    with pytest.raises(BundleError, match="No space left"):
        store.write_json(path, 2)
    assert (path.read_text(), len(list(tmp_path.iterdir()))) == ("1\n", 1)


def test_undefined_numbers_are_no_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        store.write_json(tmp_path / "a.json", {"auc": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_lines_are_appended_for_the_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    for step in range(3):
        store.append_line(path, {"step": step})
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [0, 1, 2]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_line_that_was_cut_does_not_swallow_the_next(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 0}\n{"st')
    store.append_line(path, {"step": 1})
    assert path.read_text().splitlines() == ['{"step": 0}', '{"st', '{"step": 1}']


def test_a_line_that_cannot_be_written_is_ours_to_tell(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot be written"):
        store.append_line(tmp_path / "none" / "metrics.jsonl", {"step": 0})
