"""200 of 200: whatever happens to a file of a bundle, it is named, and nothing is loaded."""

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch

from mtrec.data.bundle import Prepared
from mtrec.data.reader import Reader
from mtrec.errors import BundleError, DataError, MtrecError
from mtrec.jobs.export import export_run
from mtrec.jobs.prepare import load_features
from mtrec.serving import load_artifact
from mtrec.store import MANIFEST, Bundle
from mtrec.training import checkpoint
from tests.faults.kit import bomb, flip_bit, truncate

FAULTS_OF_EACH = 70


class Case(NamedTuple):
    """A whole bundle, and all that ever reads files of its kind."""

    path: Path
    read: Callable[[Path], object]


@pytest.fixture(scope="module")
def cases(loaded: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    artifact = tmp_path_factory.mktemp("damage") / "artifact"
    export_run(loaded, artifact)
    last = checkpoint.latest(loaded.run.checkpoints)
    assert last is not None

    def read_prepared(path: Path) -> None:
        prepared = Prepared(path)
        load_features(loaded.config, prepared)
        prepared.sample()
        for split in prepared.rows:
            list(prepared.reader(split, 256).in_order())
            prepared.columns(split)

    return {
        "prepared": Case(loaded.prepared.path, read_prepared),
        "checkpoint": Case(last, checkpoint.load),
        "artifact": Case(artifact, lambda path: load_artifact(path, self_check=True)),
    }


def files_of(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file())


def meaning(file: Path) -> object:
    content = file.read_bytes()
    if file.name == MANIFEST:
        with contextlib.suppress(ValueError):
            return json.loads(content)
    return content


def damage(path: Path, rng: Random) -> tuple[str, Path]:
    """Do one thing to one file; returns what, and the file that must be named."""
    file = rng.choice(files_of(path))
    what = rng.choice(["bit flipped", "truncated", "missing", "added", "renamed"])
    if what == "bit flipped":
        before = meaning(file)
        while meaning(file) == before:  # 1e-05 and 1E-05 are one number.
            flip_bit(file, rng)
    elif what == "truncated":
        truncate(file, rng)
    elif what == "missing":
        file.unlink()
    elif what == "renamed":
        file.rename(file.with_name(f"{file.name}.{rng.randrange(1000)}"))
    else:
        file = file.with_name(f"{rng.randrange(10**6)}{file.suffix}")
        file.write_bytes(rng.randbytes(rng.randrange(100)))
    return what, file


def nothing_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(*_: object, **__: object) -> None:
        pytest.fail("a damaged bundle was opened")

    monkeypatch.setattr(torch.jit, "load", opened)
    monkeypatch.setattr(pq, "ParquetFile", opened)
    monkeypatch.setattr(pq, "read_table", opened)
    for place in ("mtrec.training.checkpoint.load_file", "mtrec.features.state.load_file"):
        monkeypatch.setattr(place, opened)


@pytest.mark.parametrize("kind", ["prepared", "checkpoint", "artifact"])
def test_every_damage_names_its_file_and_nothing_is_opened(
    kind: str, cases: dict[str, Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = cases[kind]
    case.read(case.path)
    body = (case.path / MANIFEST).read_bytes()
    nothing_opens(monkeypatch)
    faults = []
    for seed in range(FAULTS_OF_EACH):
        copy = shutil.copytree(case.path, tmp_path / str(seed))
        what, file = damage(copy, Random(seed))
        try:
            case.read(copy)
        except MtrecError as error:
            named = str(file) in str(error) or (file.name == MANIFEST and MANIFEST in str(error) and str(copy) in str(error))
            if not (isinstance(error, BundleError) and error.exit_code == 4 and named):
                faults.append(f"{what}, {file.name}: {error}")
        else:
            faults.append(f"{what}, {file.name}: nobody noticed")
        shutil.rmtree(copy)
    assert faults == []
    assert (case.path / MANIFEST).read_bytes() == body


def rewritten(source: Path, path: Path, name: str, change: Callable[[Path], object]) -> Path:
    """The bundle with one file changed, under a manifest that fits: what somebody could do who may write there."""
    whole = Bundle.open(source)
    with Bundle.create(path, whole.kind, whole.meta) as bundle:
        shutil.copytree(source, bundle.path, dirs_exist_ok=True, ignore=shutil.ignore_patterns(MANIFEST))
        change(bundle.path / name)
    return path


@pytest.mark.parametrize("kind", ["prepared", "checkpoint", "artifact"])
def test_a_bomb_in_place_of_a_file_does_not_go_off(kind: str, cases: dict[str, Case], tmp_path: Path) -> None:
    case, faults, markers = cases[kind], [], []
    for place, file in enumerate(files_of(case.path)):
        name = file.relative_to(case.path).as_posix()
        under_the_old_manifest = shutil.copytree(case.path, tmp_path / f"{place}-old" / "bundle")
        markers.append(bomb(under_the_old_manifest / name))
        paths = [under_the_old_manifest]
        if name != MANIFEST:
            fitting = tmp_path / f"{place}-new" / "bundle"
            paths.append(rewritten(case.path, fitting, name, lambda path: markers.append(bomb(path))))
        for path in paths:
            try:
                case.read(path)
            except (BundleError, DataError) as error:
                if name not in str(error) and str(path) not in str(error):
                    faults.append(f"{name} is not named: {error}")
            except Exception as error:  # noqa: BLE001  What else may come is what this looks for.
                faults.append(f"{name}: {type(error).__name__}: {str(error)[:200]}")
            else:
                faults.append(f"{name} was read")
    assert faults == []
    assert [marker for marker in markers if marker.exists()] == []


def test_the_bomb_would_go_off(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    marker = bomb(tmp_path / "bundle" / "file")
    import pickle

    pickle.loads((tmp_path / "bundle" / "file").read_bytes())
    assert marker.exists()


def test_a_damaged_page_is_named_where_no_manifest_stands_before_it(cases: dict[str, Case], tmp_path: Path) -> None:
    source, faults = cases["prepared"].path / "train.parquet", []
    for seed in range(40):
        file = Path(shutil.copy(source, tmp_path / "train.parquet"))
        flip_bit(file, Random(seed)) if seed % 4 else truncate(file, Random(seed))
        try:
            batches = list(Reader(file, 128).in_order())
        except DataError as error:
            assert error.exit_code == 3
            if str(file) not in str(error):
                faults.append(str(error))
        else:
            same = all(
                torch.equal(a, b) for x, y in zip(batches, Reader(source, 128).in_order(), strict=True) for a, b in zip(x[:7], y[:7], strict=True)
            )
            if not same:
                faults.append(f"seed {seed}: other rows were read")
    assert faults == []


@pytest.mark.parametrize("verb", ["evaluate", "predict", "train", "export", "check-artifact"])
def test_the_command_line_ends_with_4_and_one_paragraph(
    verb: str, cases: dict[str, Case], loaded: Any, tiny: Any, tmp_path: Path, call: Callable[..., tuple[int, str, str]]
) -> None:
    """The same errors, as they are met: in a copy of the run beside a copy of its prepared log."""
    folder = tmp_path / "runs"
    shutil.copytree(loaded.run.path, folder / "trained")
    shutil.copytree(loaded.prepared.path, folder / "prepared" / loaded.prepared.path.name)
    artifact = shutil.copytree(cases["artifact"].path, tmp_path / "artifact")
    out = tmp_path / "out.parquet"
    last = max((folder / "trained/checkpoints").iterdir())
    damaged = {
        "evaluate": folder / "prepared" / loaded.prepared.path.name / "features.safetensors",
        "predict": artifact / "model.pt",
        "train": min(last.glob("*.safetensors")),
        "export": min(last.glob("*.safetensors")),
        "check-artifact": artifact / "golden.parquet",
    }[verb]
    words = {
        "evaluate": [folder / "trained"],
        "predict": [artifact, tiny.log, out],
        "train": [folder / "trained/config.yaml", f"run_dir={folder / 'trained'}"],
        "export": [folder / "trained"],
        "check-artifact": [artifact],
    }[verb]
    flip_bit(damaged, Random(0))
    code, told, error = call(verb, *words)
    assert (code, f"{damaged.parent.name}/{damaged.name}" in error, error.count("\n")) == (4, True, 1), (told, error)
    assert not out.exists()


def test_tensors_of_a_forged_manifest_that_do_not_fit_are_refused(cases: dict[str, Case], tmp_path: Path) -> None:
    """Right in form, wrong in content: whole groups gone, or of another model."""

    def other(path: Path) -> None:
        safetensors.torch.save_file({"nothing": torch.zeros(1)}, path)

    path = rewritten(cases["prepared"].path, tmp_path / "prepared", "features.safetensors", other)
    with pytest.raises(BundleError, match=r"is missing"):
        cases["prepared"].read(path)
