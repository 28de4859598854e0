"""Frozen vectors from a configuration to an artifact."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from mtrec.config import Config, parse
from mtrec.data.synthetic import impressions
from mtrec.errors import DataError

BOUNDS = [1_700_000_000_000 + 60_000 * minute for minute in (600, 800)]
WIDTH = 5


def write_items(file: Path, seed: int = 0) -> Path:
    """A vector for every second item, and for items that no row has."""
    items = np.arange(0, 80, 2) * 7
    vectors = np.random.default_rng(seed).normal(size=(len(items), WIDTH)).astype(np.float32)
    pq.write_table(pa.table({"item_id": items, "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), WIDTH)}), file)
    return file


def write_kinds(file: Path, key: str = "name") -> Path:
    pq.write_table(pa.table({key: ["comedy", "料理", "música"], "embedding": [[1.0, 0.0], [0.0, 3.0], [4.0, 3.0]]}), file)
    return file


def configured(folder: Path, **changes: Any) -> Config:
    """A run on 1000 impressions, with vectors of items and of kinds beside an id and a number."""
    vectors = [
        {"column": "item_id", "source": str(folder / "items.parquet")},
        {"column": "kind", "source": str(folder / "kinds.parquet"), "key": "name", "value": "embedding", "normalise": True},
    ]
    section: dict[str, Any] = {
        "name": "vectors",
        "run_dir": str(folder / "runs" / "vectors"),
        "log": {"source": str(folder / "log.parquet"), "roles": {"time": "ts"}},
        "features": {"ids": ["user_id"], "numbers": ["age_days"], "vectors": vectors},
        "tasks": {"click": {"label": "is_click"}, "buy": {"label": "is_buy", "given": "click"}},
        "model": {"embedding_dim": 4, "architecture": {"kind": "shared_bottom", "hidden": [8]}, "towers": {"hidden": []}},
        "training": {"epochs": 2, "batch_size": 100, "threads": 1, "early_stopping": None},
        "tracking": {"kind": "none"},
    }
    section["log"]["split"] = {"by": "time", "valid_from": BOUNDS[0], "test_from": BOUNDS[1]}
    return parse({**section, **changes})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("vectors")
    pq.write_table(impressions(1000), made / "log.parquet")
    write_items(made / "items.parquet")
    write_kinds(made / "kinds.parquet")
    return made


@pytest.fixture(scope="module")
def loaded(folder: Path) -> Any:
    from mtrec.jobs.load import load_run
    from mtrec.jobs.train import train

    return load_run(train(configured(folder)).path)


def vectors_of(folder: Path, rows: pa.Table) -> np.ndarray:
    """The vectors of rows, by a plain join of pandas."""
    frame = rows.select(["item_id", "kind"]).to_pandas()
    items = pq.read_table(folder / "items.parquet").to_pandas().set_index("item_id")["vector"]
    kinds = pq.read_table(folder / "kinds.parquet").to_pandas().set_index("name")["embedding"].map(lambda each: each / np.linalg.norm(each))
    parts = [(frame["item_id"].map(items), WIDTH), (frame["kind"].map(kinds), 2)]
    known = [[each if isinstance(each, np.ndarray) else np.zeros(width) for each in column] for column, width in parts]
    return np.concatenate([np.stack(each) for each in known], axis=1)


def test_batches_carry_places_and_the_model_reads_vectors(folder: Path, loaded: Any) -> None:
    prepared = loaded.prepared
    assert (prepared.num_vectors, prepared.num_numbers, prepared.many) == (2, 2, [False])
    assert pq.read_schema(prepared.path / "train.parquet").names == ["n.0", "n.1", "i.0", "i.1", "i.2", "y.0", "y.1", "w", "row"]
    (batch,) = prepared.reader("test", 1000).in_order()
    seen = loaded.model.vectors(batch)
    expected = vectors_of(folder, impressions(1000).slice(800))
    assert seen.numbers[:, 2:].numpy() == pytest.approx(expected, abs=1e-7)
    assert (expected == 0).all(axis=1).any() and seen.numbers.shape == (200, 9) and seen.id_lengths.shape == (1, 200)
    assert loaded.model.embeddings.shape.flat == 2 + WIDTH + 2 + 4


def test_unknown_vectors_of_a_report_are_the_rows_of_zeros(folder: Path, loaded: Any) -> None:
    inputs = json.loads(loaded.run.report_file.read_text())["inputs"]
    parts = {"vectors of item_id": slice(0, WIDTH), "vectors of kind": slice(WIDTH, None)}
    found = {each["name"]: each for each in inputs["ids"] if each["name"] in parts}
    assert found.keys() == parts.keys() and (inputs["rows"], inputs["train_rows"]) == (200, 600)
    for key, rows in (("unknown", slice(800, 1000)), ("unknown_in_train", slice(0, 600))):
        vectors = vectors_of(folder, impressions(1000))[rows]
        for name, columns in parts.items():
            share = (vectors[:, columns] == 0).all(axis=1).mean()
            assert 0 < share < 1 and found[name][key] == pytest.approx(share, abs=1e-12), (name, key)


def test_training_leaves_the_vectors_as_they_are(folder: Path, loaded: Any) -> None:
    kept = load_file(loaded.prepared.path / "features.safetensors")
    given = pq.read_table(folder / "items.parquet")
    assert np.array_equal(kept["vectors.0.rows"][1:].numpy(), np.stack(given["vector"].to_pylist()).astype(np.float32))
    assert [torch.equal(table, kept[f"vectors.{index}.rows"]) for index, table in enumerate(loaded.model.vectors.tables)] == [True, True]
    assert not any(name.startswith("vectors") for name, _ in loaded.model.named_parameters())
    checkpoint = max(loaded.run.checkpoints.iterdir())
    assert not any("vectors" in name for file in checkpoint.glob("*.safetensors") for name in load_file(file))


def test_prepared_rows_and_raw_rows_have_one_score(loaded: Any) -> None:
    from mtrec.training.scoring import score, score_table

    raw = loaded.model.outputs.conditional(score_table(loaded.model, loaded.features, impressions(1000).slice(800))).detach().numpy()
    assert np.array_equal(raw, score(loaded.model, loaded.prepared.reader("test", 1000)).predictions)


def test_the_vectors_matter(folder: Path, loaded: Any) -> None:
    from mtrec.training.scoring import score_table

    rows = impressions(1000).slice(800)
    unknown = rows.set_column(rows.column_names.index("item_id"), "item_id", pa.array([10**9] * 200))
    has = np.abs(vectors_of(folder, rows)[:, :WIDTH]).sum(1) > 0
    apart = (score_table(loaded.model, loaded.features, rows) - score_table(loaded.model, loaded.features, unknown)).abs().sum(1).numpy()
    assert has.any() and not has.all()
    assert (apart[has] > 0).all() and apart[~has].max() < 1e-5


def test_the_artifact_scores_as_the_run_does(loaded: Any, tmp_path: Path) -> None:
    from mtrec.jobs.export import export_run
    from mtrec.serving import load_artifact
    from mtrec.training.scoring import score_table

    report = export_run(loaded, tmp_path / "artifact")  # The gate goes through null and unseen ids too.
    assert max(report.differences.values()) <= 1e-6
    rows = impressions(1000).slice(800)
    found = load_artifact(tmp_path / "artifact").predict(rows.select(["user_id", "age_days", "item_id", "kind"]))
    expected = loaded.model.outputs(score_table(loaded.model, loaded.features, rows))
    for name, values in expected.items():
        assert np.asarray(found[name]) == pytest.approx(values.detach().numpy(), abs=1e-6)


def test_the_baseline_is_given_the_vectors(folder: Path, loaded: Any) -> None:
    from mtrec.evaluation.baseline_data import baseline_data

    data = baseline_data(loaded.prepared, "test")
    assert data.names == ["age_days.quantile_rank", *(f"vector.{index}" for index in range(WIDTH + 2)), "user_id"]
    assert data.features[:, 1 : 1 + WIDTH + 2] == pytest.approx(vectors_of(folder, impressions(1000).slice(800)), abs=1e-7)


def test_other_bytes_make_another_bundle(folder: Path, loaded: Any, tmp_path: Path) -> None:
    from mtrec.jobs.prepare import prepare

    config = configured(folder)
    assert prepare(config).path == loaded.prepared.path
    write_items(folder / "items.parquet", seed=1)
    try:
        other = prepare(config)
    finally:
        write_items(folder / "items.parquet")
    assert other.path != loaded.prepared.path and other.digest != loaded.prepared.digest


def test_faults_come_before_the_fit_and_leave_no_bundle(tmp_path: Path) -> None:
    from mtrec.jobs.prepare import prepare

    pq.write_table(impressions(1000), tmp_path / "log.parquet")
    write_items(tmp_path / "items.parquet")
    write_kinds(tmp_path / "kinds.parquet", key="kind")
    stages: list[str] = []
    with pytest.raises(DataError, match=r"features\.vectors\.1: .*kinds\.parquet lacks 'name'"):
        prepare(configured(tmp_path), lambda stage, rows: stages.append(stage))
    assert stages == [] and not list((tmp_path / "runs").rglob("manifest.json"))
