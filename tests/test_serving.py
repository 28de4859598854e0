"""Loading verifies before torch opens anything; predictions keep the form of the rows; serving needs torch alone, and survives a fork."""

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from mtrec.errors import BundleError, DataError, GateError
from mtrec.serving import Artifact, Output, difference, load_artifact
from mtrec.store import Bundle, digest_of
from tests.export.small_model import make_log, small_model


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("serving") / "artifact"
    small_model().export(path)
    return path


@pytest.fixture(scope="module")
def artifact(exported: Path) -> Artifact:
    return load_artifact(exported, self_check=True)


def copied(exported: Path, path: Path, change: Callable[[Path], object] = lambda path: None) -> Path:
    """The artifact written again, its files changed, under a manifest that fits."""
    with Bundle.create(path, kind="artifact", meta={}) as bundle:
        for file in exported.iterdir():
            if file.name != "manifest.json":
                (bundle.path / file.name).write_bytes(file.read_bytes())
        change(bundle.path)
    return path


def test_knows_what_it_reads_and_serves(artifact: Artifact, exported: Path) -> None:
    assert (artifact.path, artifact.meta) == (exported, {"run": "small"})
    assert [each.name for each in artifact.outputs] == ["click", "buy.conditional", "buy.joint", "seconds"]
    assert [each._asdict() for each in artifact.inputs] == [{"aligned_to": None, **each} for each in small_model().feature_set.signature()]


def test_every_form_of_rows_gets_the_scores_of_training(artifact: Artifact) -> None:
    rows = make_log(30, seed=9)
    expected = pd.DataFrame(small_model().reference(rows))
    table_scores = artifact.predict(rows)
    assert list(table_scores.columns) == list(expected.columns)
    assert (abs(table_scores - expected) <= [1e-6, 1e-6, 1e-6, 1e-4]).all(axis=None)
    lists = artifact.predict(rows.to_pydict())
    assert {name: type(values) for name, values in lists.items()} == dict.fromkeys(expected.columns, list)
    assert lists == {name: values.tolist() for name, values in artifact.scores(rows).items()}
    assert pd.DataFrame(lists, dtype="float32").equals(table_scores)
    assert artifact.predict(pl.from_arrow(rows)).equals(table_scores)
    frame = rows.to_pandas(types_mapper=pd.ArrowDtype).set_index("row_id", drop=False)
    assert artifact.predict(frame).reset_index(drop=True).equals(table_scores)
    assert artifact.predict(frame.iloc[::2]).index.tolist() == list(range(0, 30, 2))


def test_batch_size_bounds_memory_and_changes_no_score(artifact: Artifact) -> None:
    rows = make_log(50, seed=9)
    whole = artifact.predict(rows)
    for batch_size in (1, 7, 50, 1000):
        pd.testing.assert_frame_equal(artifact.predict(rows, batch_size), whole, rtol=0, atol=1e-4, check_exact=False)


def test_no_rows_give_typed_empty_columns(artifact: Artifact) -> None:
    scores = artifact.predict(make_log(0))
    assert scores.shape == (0, 4) and set(scores.dtypes.astype(str)) == {"float32"}


def test_missing_columns_and_wrong_values_are_named(artifact: Artifact) -> None:
    rows = make_log(5)
    with pytest.raises(DataError, match="no `price`, `country`"):
        artifact.predict(rows.drop_columns(["country", "price"]))
    with pytest.raises(DataError, match="`user_id`"):
        artifact.predict({**rows.to_pydict(), "user_id": ["a"] * 5})


def test_what_the_script_refuses_is_a_data_error(artifact: Artifact) -> None:
    with pytest.raises(DataError, match=r"refuses the request .*Found: None of the columns .*price"):
        artifact.run(({}, {}, {}))


def test_the_manifest_can_be_pinned(exported: Path) -> None:
    assert load_artifact(exported, expected_sha256=digest_of(exported / "manifest.json")).outputs
    with pytest.raises(BundleError, match="not the expected one"):
        load_artifact(exported, expected_sha256="0" * 64)


def flip(path: Path) -> None:
    content = bytearray((path / "model.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (path / "model.pt").write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "flipped bit": flip,
    "flipped bit in the golden rows": lambda path: (path / "golden.parquet").write_bytes((path / "golden.parquet").read_bytes()[:-1] + b"?"),
    "truncated": lambda path: (path / "model.pt").write_bytes((path / "model.pt").read_bytes()[:-1]),
    "added": lambda path: (path / "more.pt").write_bytes(b""),
    "removed": lambda path: (path / "signature.json").unlink(),
    "renamed": lambda path: (path / "model.pt").rename(path / "model2.pt"),
    "link": lambda path: ((path / "model.pt").rename(path.parent / "out"), (path / "model.pt").symlink_to(path.parent / "out")),
    "no manifest": lambda path: (path / "manifest.json").unlink(),
    "edited manifest": lambda path: (path / "manifest.json").write_text((path / "manifest.json").read_text().replace("model", "medel")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_artifact_is_refused_before_torch_opens_it(damage: str, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = copied(exported, tmp_path / "artifact")
    load_artifact(path)
    DAMAGES[damage](path)
    monkeypatch.setattr(torch.jit, "load", lambda *_, **__: pytest.fail("torch opened a damaged artifact"))
    with pytest.raises(BundleError):
        load_artifact(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"format": 3}, r"newer mtrec.*format 3.*format 1"), ({"format": "x"}, "damaged"), ({"inputs": [{}]}, "damaged"), ({"outputs": 7}, "damaged")],
)
def test_other_signatures_are_refused(change: dict[str, object], message: str, exported: Path, tmp_path: Path) -> None:
    def edit(path: Path) -> None:
        file = path / "signature.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **change}))

    with pytest.raises(BundleError, match=message):
        load_artifact(copied(exported, tmp_path / "artifact", edit))


def test_other_bundles_are_refused(tmp_path: Path) -> None:
    with Bundle.create(tmp_path / "checkpoint", kind="checkpoint"):
        pass
    with pytest.raises(BundleError, match="another kind"):
        load_artifact(tmp_path / "checkpoint")


def test_golden_scores_that_are_not_repeated_name_row_and_output(artifact: Artifact, exported: Path, tmp_path: Path) -> None:
    assert artifact.golden_check() <= 1e-6

    def edit(path: Path) -> None:
        golden = pq.read_table(path / "golden.parquet")
        scores = golden.column("score:buy.joint").to_pylist()
        scores[7] += 0.01
        place = golden.schema.get_field_index("score:buy.joint")
        pq.write_table(golden.set_column(place, "score:buy.joint", pa.array(scores, pa.float32())), path / "golden.parquet")

    path = copied(exported, tmp_path / "artifact", edit)
    load_artifact(path)
    with pytest.raises(GateError, match="output `buy.joint`, golden row 7"):
        load_artifact(path, self_check=True)


def test_difference_is_relative_for_large_values_and_infinite_without_a_number() -> None:
    probability, value = Output("p", "binary"), Output("v", "regression", scale=10.0)
    assert difference(torch.tensor([0.5]), torch.tensor([0.25]), probability).tolist() == [0.25]
    assert difference(torch.tensor([5.0, 1001.0]), torch.tensor([4.0, 1000.0]), value).tolist() == [0.1, 0.001]
    strange = torch.tensor([torch.nan, torch.inf, 0.0])
    assert difference(strange, torch.tensor([0.0, torch.inf, torch.nan]), probability).tolist() == [torch.inf] * 3


def test_a_process_with_torch_alone_predicts_and_so_does_its_fork(exported: Path, tmp_path: Path) -> None:
    rows = make_log(20, seed=4).to_pydict()
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    program = """
        import json, os, signal, sys
        blocked = "fbgemm_gpu mlflow pandas polars pyarrow pydantic sklearn torchrec yaml safetensors matplotlib rich typer".split()
        class Blocked:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in blocked:
                    raise ImportError(name + " is blocked")
        sys.meta_path.insert(0, Blocked())
        import torch
        loaded = set(sys.modules)
        import mtrec.serving
        ours = {name for name in sys.modules if name.startswith("mtrec")}
        assert ours == {"mtrec", "mtrec.errors", "mtrec.request", "mtrec.serving", "mtrec.store"}, ours
        foreign = {name.partition(".")[0] for name in set(sys.modules) - loaded} - set(sys.stdlib_module_names) - {"mtrec", "torch"}
        assert not foreign, foreign
        artifact = mtrec.serving.load_artifact(sys.argv[1])
        try:
            artifact.golden_check()
        except mtrec.errors.GateError as error:
            assert "pyarrow" in str(error)
        else:
            raise AssertionError("golden rows cannot have been read")
        torch.set_num_threads(2)
        rows = json.load(open(sys.argv[2]))
        scores = artifact.predict(rows)
        child = os.fork()
        if child == 0:
            signal.alarm(60)  # a fork that hangs ends here
            os._exit(0 if artifact.predict(rows) == scores else 1)
        assert os.waitpid(child, 0)[1] == 0, "the fork hangs, or scores otherwise"
        json.dump(scores, sys.stdout)
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(exported), str(tmp_path / "rows.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent.parent, timeout=120)
    assert done.returncode == 0, done.stderr
    scores = json.loads(done.stdout)
    for name, expected in small_model().reference(make_log(20, seed=4)).items():
        assert abs(torch.tensor(scores[name]) - torch.tensor(expected)).max() <= 1e-6 * (120 if name == "seconds" else 1), name
