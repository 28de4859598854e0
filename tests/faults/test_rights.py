"""What a run leaves is for its owner only, and while it works nothing listens to the network or calls out."""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

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


def test_nothing_calls_out(tiny: Any, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **_: object) -> None:
        raise AssertionError(f"something calls out: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.setattr(socket.socket, "bind", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    work(call, tiny.file("quiet"), tmp_path, tiny.log)


@pytest.mark.skipif(not Path("/proc/self/net/tcp").exists(), reason="this system does not say which sockets are open")
def test_nothing_listens_but_for_gloo_on_the_loopback(trained: Any) -> None:
    """Native code too: gloo, with which torchrec works, opens a socket of its own even in a process alone."""
    own = {link[len("socket:[") : -1] for link in map(link_of, Path("/proc/self/fd").iterdir()) if link.startswith("socket:[")}
    listening, open_elsewhere = [], []
    for kind in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/self/net/{kind}").read_text().splitlines()[1:]:
            _, here, there, state, *_, inode = line.split()[:10]
            if inode in own and state == "0A":
                listening.append(here)
            elif inode in own:
                open_elsewhere.append((kind, here, there))
    loopback = ("0100007F:", "00000000000000000000000001000000:")
    assert [here for here in listening if not here.startswith(loopback)] == []
    assert open_elsewhere == []


def test_gloo_is_given_the_loopback_and_the_environment_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    from mtrec.embeddings import sharding

    seen: list[str | None] = []
    for name in ("GLOO_SOCKET_IFNAME", "MASTER_ADDR", "WORLD_SIZE", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sharding.dist, "is_initialized", lambda: False)
    monkeypatch.setattr(sharding.dist, "init_process_group", lambda *_, **__: seen.append(os.environ.get("GLOO_SOCKET_IFNAME")))
    sharding.ensure_process_group()
    assert [name in {each for _, each in socket.if_nameindex() if each.startswith("lo")} for name in seen] == [True]
    assert "GLOO_SOCKET_IFNAME" not in os.environ


def link_of(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""
