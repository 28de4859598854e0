"""What a run leaves is for its owner only, and while it works nothing listens to the network or calls out."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
Call = Callable[..., tuple[int, str, str]]


def work(call: Call, config: Path, folder: Path, log: Path) -> Path:
    run = folder / "run"
    for words in (
        ("train", config, f"run_dir={run}", "training.epochs=1"),
        ("evaluate", run),
        ("export", run),
        ("predict", run, log, run / "scores.parquet"),
    ):
        code, _, error = call(*words)
        assert code == 0, error
    return run


def test_every_file_is_for_its_owner_only(tiny: Any, tmp_path: Path, call: Call) -> None:
    before = os.umask(0o022)  # As most systems have it.
    try:
        run = work(call, tiny.file("private"), tmp_path, tiny.log)
    finally:
        os.umask(before)
    (prepared,) = (tmp_path / "prepared").iterdir()
    found = {path: path.stat().st_mode & 0o777 for top in (run, prepared) for path in (top, *top.rglob("*"))}
    assert len(found) > 25
    assert {str(path): oct(mode) for path, mode in found.items() if mode != (0o700 if path.is_dir() else 0o600)} == {}


def test_state_is_in_formats_that_run_nothing(loaded: Any) -> None:
    files = [file for top in (loaded.run.path, loaded.prepared.path) for file in top.rglob("*") if file.is_file()]
    assert {file.suffix for file in files} <= {".html", ".json", ".jsonl", ".md", ".parquet", ".safetensors", ".yaml"}
    assert [file for file in files if file.read_bytes()[:1] == b"\x80" or file.read_bytes()[:2] == b"PK"] == []  # Pickles, and archives of them.


def test_nothing_calls_out(tiny: Any, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **_: object) -> None:
        raise AssertionError(f"something calls out: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.setattr(socket.socket, "bind", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    work(call, tiny.file("quiet"), tmp_path, tiny.log)


SOCKETS = """
import json, os, sys, warnings
warnings.simplefilter("ignore")
from mtrec.sections import EmbeddingOptimizer
from mtrec.embeddings.tables import Embeddings
from mtrec.types import IdField
Embeddings([IdField("a", "a", 5)], 0, 4, EmbeddingOptimizer(), 0)
links = []
for handle in os.listdir("/proc/self/fd"):
    try:
        links.append(os.readlink("/proc/self/fd/" + handle))
    except OSError:
        pass
own = {link[len("socket:["):-1] for link in links if link.startswith("socket:[")}
found = []
for kind in ("tcp", "tcp6", "udp", "udp6"):
    for line in open("/proc/self/net/" + kind).read().splitlines()[1:]:
        _, here, there, state, *_, inode = line.split()[:10]
        if inode in own:
            found.append([here, there, state])
json.dump(found, sys.stdout)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/net/tcp").exists(), reason="this system does not say which sockets are open")
def test_nothing_listens_but_for_gloo_on_the_loopback() -> None:
    """Native code too: gloo, with which torchrec works, opens a socket of its own even in a process alone."""
    environment = {name: value for name, value in os.environ.items() if name not in ("MASTER_ADDR", "WORLD_SIZE", "GLOO_SOCKET_IFNAME")}
    done = subprocess.run([sys.executable, "-c", SOCKETS], capture_output=True, text=True, cwd=ROOT, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    loopback, listening = ("0100007F:", "00000000000000000000000001000000:"), "0A"
    assert [socket for socket in json.loads(done.stdout) if not (socket[0].startswith(loopback) and socket[2] == listening)] == []


def test_gloo_is_given_the_loopback_and_the_environment_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    from mtrec.embeddings import sharding

    seen: list[str | None] = []
    for name in ("GLOO_SOCKET_IFNAME", "MASTER_ADDR", "WORLD_SIZE", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: False)
    monkeypatch.setattr("torch.distributed.init_process_group", lambda *_, **__: seen.append(os.environ.get("GLOO_SOCKET_IFNAME")))
    sharding.ensure_process_group()
    assert [name in {each for _, each in socket.if_nameindex() if each.startswith("lo")} for name in seen] == [True]
    assert "GLOO_SOCKET_IFNAME" not in os.environ
