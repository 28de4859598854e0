"""What may stand nowhere in the source: code that runs what a file or a text says, and names of machines."""

import ast
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mtrec import config

ROOT = Path(__file__).parents[1]
FILES = sorted(path for folder in ("mtrec", "pipelines") for path in (ROOT / folder).rglob("*.py"))
BANNED_MODULES = {"pickle", "_pickle", "cPickle", "pickletools", "dill", "cloudpickle", "joblib", "shelve", "marshal", "torch.hub"}
BANNED_CALLS = {"eval", "exec", "__import__", "torch.load", "torch.hub.load", "os.system", "os.popen"}
BANNED_CALLS |= {"yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load"}
BANNED_NAMES = {"__reduce__", "__reduce_ex__", "torch.distributed.checkpoint"}


def faults_in(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            if name in BANNED_MODULES or name.split(".")[0] in BANNED_MODULES or name.startswith("torch.distributed.checkpoint"):
                yield f"line {node.lineno}: imports {name}"  # type: ignore[attr-defined]
        if isinstance(node, ast.Call):
            yield from _faults_in_call(node)
        if isinstance(node, ast.FunctionDef) and node.name in BANNED_NAMES:
            yield f"line {node.lineno}: defines {node.name}"
        if isinstance(node, ast.Attribute) and (node.attr in BANNED_NAMES or ast.unparse(node) in BANNED_NAMES):
            yield f"line {node.lineno}: {ast.unparse(node)}"


def _faults_in_call(call: ast.Call) -> Iterator[str]:
    called = ast.unparse(call.func)
    if called in BANNED_CALLS:
        yield f"line {call.lineno}: calls {called}"
    for keyword in call.keywords:
        value = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
        if (keyword.arg, value) in (("weights_only", False), ("shell", True), ("allow_pickle", True)):
            yield f"line {call.lineno}: {keyword.arg}={value}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_runs_what_a_file_says(path: Path) -> None:
    faults = list(faults_in(path.read_text(encoding="utf-8")))
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "import torch.distributed.checkpoint as dcp",
        "from torch.distributed import checkpoint",
        "eval('1')",
        "torch.load(path)",
        "read(path, weights_only=False)",
        "run(command, shell=True)",
        "yaml.load(text, Loader=yaml.Loader)",
        "np.load(path, allow_pickle=True)",
        "class A:\n    def __reduce__(self): ...",
    ],
)
def test_the_guard_sees_what_it_is_for(source: str) -> None:
    assert list(faults_in(source))


def test_the_guard_leaves_modules_in_peace() -> None:
    assert not list(faults_in("model.eval()\ntorch.jit.load(path)\nsafetensors.torch.load_file(path)"))


def test_yaml_is_read_by_the_safe_loader() -> None:
    assert issubclass(config._Loader, config.yaml.SafeLoader)


def test_reading_a_configuration_opens_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    split = {"by": "time", "valid_from": 1, "test_from": 2}
    log = {"source": "https://example.com/log.parquet", "roles": {"time": "ts"}, "split": split}
    config.parse({"name": "a", "log": log, "features": {"numbers": ["price"]}, "tasks": {"buy": {"label": "is_buy"}}})


def test_tracked_files_name_no_machine() -> None:
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    registries = "py[p]i|python[h]osted|artifactory|nexus|mirror"  # In a form that does not find itself.
    machine = re.compile(rf"(?<![\w.:/\-$}}~*])/(?:home|Users|root|work|mnt)/[\w.]|--(?:extra-)?index-url|https?://[\w.-]*(?:{registries})")
    faults = []
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path.suffix in (".py", ".toml", ".txt", ".md", ".yaml", ".yml", ".json", "") and path.is_file() and path != Path(__file__):
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                if machine.search(line):
                    faults.append(f"{name}:{number}: {line.strip()[:100]}")
    assert not faults, "\n".join(faults)
