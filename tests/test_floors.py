"""The floors of the house: a module imports only from floors below its own, and each heavy library has one owner."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = [
    {"errors"},
    {"store", "schema", "registry", "hash64", "request", "console", "ranks"},
    {"sections"},
    {"checks", "expansion"},
    {"config"},
    {"types"},
    {"data", "history", "features", "embeddings", "model", "objective", "evaluation.metrics"},
    {"training"},
    {"evaluation", "export", "inspection", "serving"},
    {"testing"},
    {"jobs"},
    {"recommender"},
    {"cli", "__main__"},
]
SIBLINGS = FLOORS[6]
ALLOWED = {
    ("registry", "*"),  # It imports parts by name, at call time.
    ("__init__", "*"),  # It names what users import, and loads it on first use.
}
OWNERS = {
    "torchrec": ("embeddings/",),
    "fbgemm_gpu": ("embeddings/",),
    "mlflow": ("training/tracking.py",),
    "yaml": ("config.py",),
    "torch.export": ("export/", "serving.py", "testing/"),
}
# What marks code for the script, and calls nothing, is welcome everywhere.
MARKS = {"is_scripting", "ignore", "unused", "export", "Final", "interface", "annotate"}
JIT_OWNERS = ("export/", "serving.py", "testing/")

FILES = sorted((ROOT / "mtrec").rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT / "mtrec").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def place_of(module: str) -> tuple[int, str]:
    """The floor of a module below mtrec, and its room there; the longest name decides."""
    found = [(len(room), floor, room) for floor, rooms in enumerate(FLOORS) for room in rooms if f"{module}.".startswith(f"{room}.")]
    assert found, f"mtrec.{module} stands on no floor: add it to FLOORS, or move it"
    _, floor, room = max(found)
    return floor, room


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of each import; `from a import b` gives a.b."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def faults_of(name: str, imports: Iterator[tuple[int, str]]) -> list[str]:
    faults: list[str] = []
    if (name, "*") in ALLOWED:
        return faults
    floor, room = place_of(name)
    for line, target in imports:
        if target.split(".")[0] == "pipelines":
            faults.append(f"{name}:{line} imports {target}: recipes use the package, never the other way round")
        if target.split(".")[0] != "mtrec" or target == "mtrec.__version__":
            continue
        target_floor, target_room = place_of(target.removeprefix("mtrec."))
        side_step = target_floor == floor and target_room != room and room in SIBLINGS
        if target_floor > floor or side_step:
            faults.append(f"{name}:{line} ({room}, floor {floor}) imports {target} ({target_room}, floor {target_floor})")
    return faults


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_go_down(path: Path) -> None:
    faults = faults_of(name_of(path), imports_of(path))
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    ("module", "target", "is_fault"),
    [
        ("config", "mtrec.data.log", True),
        ("model.towers", "mtrec.features.plan", True),
        ("model.towers", "mtrec.model.nn.mlp.Mlp", False),
        ("embeddings.tables", "mtrec.config.Config", False),
        ("evaluation.metrics.auc", "mtrec.evaluation.report", True),
        ("evaluation.report", "mtrec.evaluation.metrics.auc", False),
        ("jobs.train", "pipelines.complete_journey", True),
    ],
)
def test_the_guard_sees_what_it_is_for(module: str, target: str, is_fault: bool) -> None:
    assert bool(faults_of(module, iter([(1, target)]))) is is_fault


@pytest.mark.parametrize("library", OWNERS)
def test_a_library_has_one_owner(library: str) -> None:
    faults = [
        f"{path.relative_to(ROOT)}:{line} imports {target}"
        for path in FILES
        for line, target in imports_of(path)
        if f"{target}.".startswith(f"{library}.") and not _is_at(path, OWNERS[library])
    ]
    assert not faults, "\n".join(faults)


def test_torch_jit_and_export_are_called_by_their_owners_only() -> None:
    faults = []
    for path in FILES:
        if _is_at(path, JIT_OWNERS):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                dotted = ast.unparse(node)
                if dotted.startswith(("torch.jit.", "torch.export.")) and dotted.split(".")[2] not in MARKS:
                    faults.append(f"{path.relative_to(ROOT)}:{node.lineno} {dotted}")
        for line, target in imports_of(path):
            if target.startswith("torch.jit") and target.rpartition(".")[2] not in MARKS:
                faults.append(f"{path.relative_to(ROOT)}:{line} imports {target}")
    assert not faults, "\n".join(faults)


def _is_at(path: Path, owners: tuple[str, ...]) -> bool:
    relative = path.relative_to(ROOT / "mtrec").as_posix()
    return any(relative == owner or (owner.endswith("/") and relative.startswith(owner)) for owner in owners)
