import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from mtrec.errors import BundleError, ConfigError, DataError


@pytest.fixture(scope="module")
def artifact(loaded: Any) -> Path:
    from mtrec.jobs.export import export_run

    path: Path = export_run(loaded).path
    return path


def test_keys_come_first_and_then_the_outputs(tiny: Any, trained: Any, tmp_path: Path) -> None:
    from mtrec.jobs.predict import predict

    counted: list[int] = []
    assert predict(trained.path, str(tiny.log), tmp_path / "out.parquet", counted.append) == 1500
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.column_names == ["row_id", "click", "buy.conditional", "buy.joint", "seconds"]
    assert table["row_id"].to_pylist() == list(range(1500)) and sum(counted) == 1500
    click, own, joint = (table[name].to_numpy() for name in ("click", "buy.conditional", "buy.joint"))
    assert ((click >= 0) & (click <= 1)).all()
    np.testing.assert_allclose(joint, click * own, rtol=1e-5)


def test_the_run_and_its_artifact_agree(tiny: Any, trained: Any, artifact: Path, tmp_path: Path) -> None:
    from mtrec.jobs.predict import predict

    predict(trained.path, str(tiny.log), tmp_path / "run.parquet")
    predict(artifact, str(tiny.log), tmp_path / "artifact.parquet")
    one, other = pq.read_table(tmp_path / "run.parquet"), pq.read_table(tmp_path / "artifact.parquet")
    assert one.schema == other.schema
    assert one["row_id"] == other["row_id"]
    for name in one.column_names[1:-1]:
        assert np.abs(one[name].to_numpy() - other[name].to_numpy()).max() <= 1e-6, name
    np.testing.assert_allclose(one["seconds"].to_numpy(), other["seconds"].to_numpy(), rtol=1e-5, atol=1e-5)


def test_csv_has_the_scores_of_parquet(tiny: Any, tmp_path: Path) -> None:
    from mtrec.jobs.predict import predict

    features = {"ids": ["item_id", "kind", {"column": "user_id", "encoding": {"kind": "hashing", "size": 100}}], "numbers": ["age_days", "price"]}
    from mtrec.jobs.train import train

    run = train(tiny.config("plain", "training.epochs=1", features=features))
    plain = pq.read_table(tiny.log).drop_columns(["tags", "past_items", "past_gaps"])
    pa.csv.write_csv(plain, tmp_path / "log.csv")
    pq.write_table(plain, tmp_path / "log.parquet")
    for kind in ("csv", "parquet"):
        predict(run.path, str(tmp_path / f"log.{kind}"), tmp_path / f"{kind}.out.parquet")
    one, other = (pq.read_table(tmp_path / f"{kind}.out.parquet") for kind in ("csv", "parquet"))
    assert one.schema == other.schema
    for name in one.column_names:
        np.testing.assert_allclose(one[name].to_numpy(), other[name].to_numpy(), rtol=1e-5)


def test_labels_are_not_needed_and_missing_columns_are_named(tiny: Any, trained: Any, artifact: Path, tmp_path: Path) -> None:
    from mtrec.jobs.predict import predict

    pq.write_table(pq.read_table(tiny.log).drop_columns(["is_click", "is_buy", "play_seconds", "weight", "ts"]), tmp_path / "rows.parquet")
    assert predict(trained.path, str(tmp_path / "rows.parquet"), tmp_path / "out.parquet") == 1500
    pq.write_table(pq.read_table(tiny.log).drop_columns(["price", "kind"]), tmp_path / "less.parquet")
    for model in (trained.path, artifact):
        with pytest.raises(DataError) as error:
            predict(model, str(tmp_path / "less.parquet"), tmp_path / "none.parquet")
        assert "price" in str(error.value) and "kind" in str(error.value)
    assert not (tmp_path / "none.parquet").exists()


def test_no_rows_and_no_model(tiny: Any, trained: Any, tmp_path: Path) -> None:
    from mtrec.jobs.predict import predict

    pq.write_table(pq.read_table(tiny.log).slice(0, 0), tmp_path / "empty.parquet")
    with pytest.raises(DataError, match="no rows to score"):
        predict(trained.path, str(tmp_path / "empty.parquet"), tmp_path / "out.parquet")
    with pytest.raises(BundleError, match="no run here"):
        predict(tmp_path, str(tiny.log), tmp_path / "out.parquet")
    with pytest.raises(BundleError):
        predict(next(trained.checkpoints.iterdir()), str(tiny.log), tmp_path / "out.parquet")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.parquet"]


def test_export_twice_replaces_and_another_directory_must_be_new(loaded: Any, artifact: Path, tmp_path: Path) -> None:
    from mtrec.jobs.export import export_run

    before = artifact.stat().st_ino
    again = export_run(loaded)
    assert again.path == artifact and artifact.stat().st_ino != before
    assert max(again.differences.values()) <= 1e-6
    (tmp_path / "there").mkdir()
    with pytest.raises(BundleError, match="exists already"):
        export_run(loaded, tmp_path / "there")
    assert list((tmp_path / "there").iterdir()) == []


def test_other_formats_are_refused(loaded: Any, tmp_path: Path) -> None:
    from mtrec.jobs.export import export_run

    with pytest.raises(ConfigError, match="onnx"):
        export_run(loaded, tmp_path / "out", "onnx")
    assert not (tmp_path / "out").exists()


def test_a_run_and_its_prepared_log_can_be_moved_together(tiny: Any, trained: Any, tmp_path: Path) -> None:
    from mtrec.jobs.load import load_run

    (tmp_path / "runs").mkdir()
    shutil.copytree(trained.path, tmp_path / "runs" / "moved")
    with pytest.raises(BundleError):
        load_run(tmp_path / "runs" / "moved")
    shutil.copytree(tiny.folder / "runs" / "prepared", tmp_path / "runs" / "prepared")
    assert load_run(tmp_path / "runs" / "moved").prepared.path.is_relative_to(tmp_path)
