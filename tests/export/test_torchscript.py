"""What export writes, that it writes the same twice, and that it writes nothing where scores differ."""

import copy
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from mtrec.errors import BundleError, DataError, GateError
from mtrec.serving import load_artifact
from mtrec.store import Bundle, digest_of
from tests.export.small_model import WIDTH, SmallModel, make_log, small_model


@pytest.fixture(scope="module")
def model() -> SmallModel:
    return small_model()


@pytest.fixture(scope="module")
def exported(model: SmallModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "artifact"
    before = {name: tensor.clone() for name, tensor in model.ranker.state_dict().items()}
    model.ranker.train()
    report = model.export(path)
    assert model.ranker.training and all(parameter.requires_grad for parameter in model.ranker.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.ranker.eval().state_dict().items())
    assert report.num_rows == 60 and set(report.differences) == {"click", "buy.conditional", "buy.joint", "seconds"}
    assert max(report.differences.values()) <= 1e-6
    assert report.manifest_sha256 == digest_of(path / "manifest.json")
    return path


def test_the_bundle_is_that_of_the_contract(exported: Path) -> None:
    bundle = Bundle.open(exported, kind="artifact")
    assert set(bundle.files) == {"model.pt", "signature.json", "golden.parquet"}
    assert bundle.meta == {"run": "small"}
    signature = json.loads((exported / "signature.json").read_text())
    assert signature["format"] == 1
    assert {"column": "days_ago", "kind": "number_list", "aligned_to": "seen"} in signature["inputs"]
    assert {each["column"]: each["kind"] for each in signature["inputs"]} == {
        "price": "number",
        "age": "number",
        "user_id": "id",
        "item_id": "id",
        "country": "string",
        "tags": "string_list",
        "url": "string",
        "seen": "id_list",
        "days_ago": "number_list",
    }
    assert signature["outputs"] == [
        {"name": "click", "kind": "binary", "scale": 1.0},
        {"name": "buy.conditional", "kind": "binary", "scale": 1.0},
        {"name": "buy.joint", "kind": "binary", "scale": 1.0},
        {"name": "seconds", "kind": "regression", "scale": 45.0},
    ]


def test_golden_rows_are_the_sample_with_its_scores(exported: Path, model: SmallModel) -> None:
    golden = pq.read_table(exported / "golden.parquet", page_checksum_verification=True)
    sample = make_log(60, seed=1)
    assert golden.select(sample.schema.names).equals(sample)
    for name, expected in model.reference(sample).items():
        found = golden.column(f"score:{name}").to_numpy()
        assert abs(found - expected).max() <= 1e-6 * (120 if name == "seconds" else 1), name


def test_a_second_export_gives_the_same_scores(exported: Path, model: SmallModel, tmp_path: Path) -> None:
    model.export(tmp_path / "again")
    for name in ("golden.parquet", "signature.json"):
        assert (tmp_path / "again" / name).read_bytes() == (exported / name).read_bytes()


def test_a_shared_table_is_stored_once(model: SmallModel, tmp_path: Path) -> None:
    large = torch.randn(100_000, WIDTH)
    changed = model._replace(tables={**model.tables, "item_id": large})
    changed.export(tmp_path / "large")
    assert large.nbytes < (tmp_path / "large" / "model.pt").stat().st_size < 1.2 * large.nbytes


def test_the_gate_names_row_and_output_and_nothing_is_written(model: SmallModel, tmp_path: Path) -> None:
    table = model.tables["country"].clone()
    table[3] += 0.01
    with pytest.raises(GateError) as caught:
        model.export(tmp_path / "artifact", tables={**model.tables, "country": table})
    message = str(caught.value)
    assert "output `" in message and "of the given rows, row_id=" in message
    assert "from the artifact" in message and "from the trained model" in message and "at most 1.0e-06" in message
    assert list(tmp_path.iterdir()) == []


def test_a_weight_that_no_sample_row_reads_is_caught_by_hard_rows(model: SmallModel, tmp_path: Path) -> None:
    known = make_log(60, seed=1).drop_columns("tags").append_column("tags", [[["plain"]] * 60])
    table = model.tables["tags"].clone()
    table[0] += 0.5  # the row of unknown tags
    with pytest.raises(GateError, match="of the unseen rows"):
        model.export(tmp_path / "artifact", tables={**model.tables, "tags": table}, sample=known)


def test_other_weights_in_the_ranker_are_caught(model: SmallModel, tmp_path: Path) -> None:
    ranker = copy.deepcopy(model.ranker)
    with torch.no_grad():
        ranker.towers.logits.bias[2] += 1e-3
    with pytest.raises(GateError, match="output `seconds`"):
        model.export(tmp_path / "artifact", ranker=ranker)


def test_an_artifact_is_replaced_only_on_demand(exported: Path, model: SmallModel, tmp_path: Path) -> None:
    path = tmp_path / "artifact"
    model.export(path)
    with pytest.raises(BundleError, match="exists already"):
        model.export(path)
    model.export(path, replace=True, meta={"run": "second"})
    assert load_artifact(path).meta == {"run": "second"}


def test_a_sample_that_proves_nothing_is_refused(model: SmallModel, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no rows"):
        model.export(tmp_path / "artifact", sample=make_log(0))
    with pytest.raises(DataError, match="'price'"):
        model.export(tmp_path / "artifact", sample=make_log(5).drop_columns("price"))


def test_fields_of_other_features_are_refused(model: SmallModel, tmp_path: Path) -> None:
    for fields in (model.fields[::-1], model.fields[1:], [model.fields[0]._replace(num_rows=2), *model.fields[1:]]):
        with pytest.raises(BundleError, match="not those of the features"):
            model.export(tmp_path / "artifact", fields=fields)


@pytest.mark.parametrize("part", ["ids", "numbers"])
def test_models_with_one_sort_of_features_only(part: str, tmp_path: Path) -> None:
    model = small_model((part,))
    model.export(tmp_path / "artifact")
    assert load_artifact(tmp_path / "artifact", self_check=True).predict(make_log(3)).shape == (3, 4)
