import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import log_loss, mean_squared_error, roc_auc_score

from mtrec.errors import BundleError, ConfigError


@pytest.fixture
def copied(tiny: Any, trained: Any, request: pytest.FixtureRequest) -> Any:
    """A run of one's own to write a report into."""
    from mtrec.jobs.load import load_run

    path = tiny.folder / "runs" / f"copy-{request.node.name}"
    shutil.copytree(trained.path, path)
    return load_run(path)


def rows_of(tiny: Any, split: str) -> Any:
    start, length = {"valid": (1000, 250), "test": (1250, 250)}[split]
    return pq.read_table(tiny.log).slice(start, length)


def test_the_report_has_the_form_of_the_design(trained: Any, loaded: Any) -> None:
    report = json.loads(trained.report_file.read_text())
    assert list(report) == ["format", "split", "dataset_digest", "weights", "tasks", "run", "inputs", "health"]
    assert report["format"] == 1 and report["split"] == "test" and report["weights"] == "ema"
    assert report["dataset_digest"] == loaded.prepared.digest
    assert list(report["tasks"]) == ["click", "buy", "seconds"]
    click, seconds = report["tasks"]["click"], report["tasks"]["seconds"]
    of_binary = ["auc", "logloss", "pr_auc", "normalised_entropy", "predicted_over_actual", "ece_equal_count"]
    assert list(click) == ["kind", "rows", "positives", *of_binary, "reliability"] and click["kind"] == "binary" and click["rows"] == 250
    assert list(seconds) == ["kind", "rows", "rmse", "mae", "r2", "xauc"] and seconds["kind"] == "regression"
    for metric in [*(click[name] for name in of_binary[:-1]), *(seconds[name] for name in ("rmse", "mae", "r2"))]:
        assert metric["low"] < metric["value"] < metric["high"]
    assert "trained" in (trained.path / "report.html").read_text()


@pytest.mark.parametrize("split", ["valid", "test"])
def test_metrics_are_those_of_scikit_learn_on_what_predict_gives(tiny: Any, copied: Any, tmp_path: Path, split: str) -> None:
    from mtrec.jobs.evaluate import evaluate_run
    from mtrec.jobs.predict import predict

    report = evaluate_run(copied, split)
    assert json.loads((copied.run.path / "report.json").read_text()) == report
    assert report["split"] == split
    rows = rows_of(tiny, split).to_pandas()
    pq.write_table(rows_of(tiny, split), tmp_path / "rows.parquet")
    predict(copied.run.path, str(tmp_path / "rows.parquet"), tmp_path / "out.parquet")
    scores = pq.read_table(tmp_path / "out.parquet").to_pandas()
    for task, label, score in (("click", "is_click", "click"), ("buy", "is_buy", "buy.conditional")):
        known = rows[label].notna()
        truth, predicted, weight = rows[label][known], scores[score][known], rows["weight"][known]
        found = report["tasks"][task]
        assert found["rows"] == known.sum() and found["positives"] == truth.sum()
        assert found["auc"]["value"] == pytest.approx(roc_auc_score(truth, predicted, sample_weight=weight), abs=1e-9)
        assert found["logloss"]["value"] == pytest.approx(log_loss(truth, predicted, sample_weight=weight), rel=1e-6)
    known = rows["play_seconds"].notna()
    mse = mean_squared_error(rows["play_seconds"][known], scores["seconds"][known], sample_weight=rows["weight"][known])
    assert report["tasks"]["seconds"]["rmse"]["value"] == pytest.approx(np.sqrt(mse), rel=1e-5)


def test_another_log_is_judged_whole(tiny: Any, copied: Any, tmp_path: Path) -> None:
    from mtrec.evaluation.evaluate import flat
    from mtrec.jobs.evaluate import evaluate_run

    same = evaluate_run(copied, "test")
    rows = rows_of(tiny, "test")
    files = [str(tmp_path / name) for name in ("a.parquet", "b.parquet")]
    pq.write_table(rows.slice(0, 100), files[0])
    pq.write_table(rows.slice(100), files[1])
    report = evaluate_run(copied, log=files)
    assert flat(report["tasks"]) == pytest.approx(flat(same["tasks"]), rel=1e-6)
    assert report["split"] == ", ".join(files)
    assert report["dataset_digest"] != same["dataset_digest"]


def test_what_is_undefined_is_null_with_a_reason(tiny: Any, copied: Any, tmp_path: Path) -> None:
    from mtrec.jobs.evaluate import evaluate_run

    rows = rows_of(tiny, "test")
    pq.write_table(rows.filter(rows["is_click"].to_numpy() == 0), tmp_path / "none.parquet")
    report = evaluate_run(copied, log=[str(tmp_path / "none.parquet")])
    for task, metric in (("click", "auc"), ("buy", "auc"), ("buy", "logloss")):
        found = report["tasks"][task][metric]
        assert found["value"] is None and isinstance(found["reason"], str)
    json.loads((copied.run.path / "report.json").read_text(), parse_constant=pytest.fail)


def test_a_split_that_is_none_and_a_baseline_of_another_log(copied: Any, tiny: Any) -> None:
    from mtrec.jobs.evaluate import evaluate_run

    before = (copied.run.path / "report.json").read_bytes()
    with pytest.raises(ConfigError, match="holdout"):
        evaluate_run(copied, "holdout")
    with pytest.raises(ConfigError, match="baseline"):
        evaluate_run(copied, log=[str(tiny.log)], baseline=True)
    assert (copied.run.path / "report.json").read_bytes() == before


def test_the_baseline_stands_beside_the_run(copied: Any) -> None:
    pytest.importorskip("lightgbm")
    from mtrec.evaluation.table import cells
    from mtrec.jobs.evaluate import evaluate_run

    done: list[str] = []
    report = evaluate_run(copied, baseline=True, progress=done.append)
    assert done == ["lightgbm: click", "lightgbm: buy", "lightgbm: seconds"]
    assert report["baselines"]["lightgbm"]["tasks"]["click"]["auc"]["value"] > 0.4
    assert cells(report)[0][-1] == "lightgbm"
    assert "lightgbm" in (copied.run.path / "report.html").read_text()


def test_baseline_data_has_each_number_once_and_codes_of_single_ids(loaded: Any) -> None:
    from mtrec.evaluation.baseline_data import baseline_data

    data = baseline_data(loaded.prepared, "test")
    assert sorted(data.names) == ["age_days.quantile_rank", "item_id", "kind", "price.quantile_rank", "user_id"]
    assert data.features.shape == (250, 5) and data.labels.shape == (250, 3)
    kind = data.features[:, data.names.index("kind")]
    assert np.isnan(kind).any() and (kind[~np.isnan(kind)] >= 0).all()


def test_a_run_without_an_epoch_cannot_be_judged(tiny: Any) -> None:
    from mtrec.jobs.load import load_run

    tiny.train("young", stop_at=2)
    with pytest.raises(BundleError, match="no finished epoch"):
        load_run(tiny.folder / "runs" / "young")


def test_a_damaged_checkpoint_is_named(copied: Any) -> None:
    from mtrec.jobs.load import load_run

    last = max(copied.run.checkpoints.iterdir())
    (last / "dense-00000.safetensors").write_bytes(b"no weights")
    with pytest.raises(BundleError, match=r"dense-00000\.safetensors"):
        load_run(copied.run.path)


def test_a_finished_run_is_judged_by_other_groups_and_slices_without_training_again(tiny: Any, trained: Any) -> None:
    from mtrec.config import parse
    from mtrec.evaluation.evaluate import flat
    from mtrec.jobs.evaluate import evaluate_run
    from mtrec.jobs.load import load_run
    from mtrec.jobs.train import train

    path = tiny.folder / "runs" / "regrouped"
    shutil.copytree(trained.path, path)
    checkpoints = sorted(file.name for file in (path / "checkpoints").iterdir())
    config = load_run(path).config
    evaluation = {"group": ["user", "day"], "slices": ["kind"], "bootstrap": 20}
    values = {**tiny.values("trained"), "run_dir": str(path), "evaluation": evaluation}
    values["training"] = values["training"] | {"early_stopping": None}
    assert train(parse(values)).path == path
    loaded = load_run(path)
    assert loaded.config.evaluation.group == ["user", "day"] and loaded.config.training == config.training
    assert sorted(file.name for file in (path / "checkpoints").iterdir()) == checkpoints
    assert loaded.prepared.path != load_run(trained.path).prepared.path  # `kind` was not kept before; nothing else changed.
    report = evaluate_run(loaded)
    before = json.loads(trained.report_file.read_text())
    assert flat(before["tasks"]).items() <= flat(report["tasks"]).items()
    rows, kept = rows_of(tiny, "test").to_pandas(), loaded.prepared.columns("test").to_pandas()
    for column in ("row_id", "user_id", "item_id", "ts"):
        assert kept[column].tolist() == rows[column].tolist()
    found = report["tasks"]["click"]["gauc_impressions"]
    assert found["groups_kept"] < 1 and found["low"] <= found["value"] <= found["high"]
    slices = report["tasks"]["click"]["slices"]["kind"]
    aucs = [entry["auc"]["value"] for entry in slices if entry["auc"]["value"] is not None]
    assert aucs == sorted(aucs) and sum(entry["rows"] for entry in slices) == 250
    counts = rows["kind"].fillna("null").astype(str).value_counts()
    assert {entry["value"]: entry["rows"] for entry in slices} == counts.to_dict()
    assert "click by kind, worst first" in (path / "report.html").read_text()
    again = evaluate_run(loaded, log=[str(tiny.log)])
    assert again["tasks"]["click"]["gauc_impressions"]["value"] is not None
    train_report = evaluate_run(loaded, "train")
    assert train_report["groups"].startswith("none") and "gauc_impressions" not in train_report["tasks"]["click"]


def test_a_log_that_changed_cannot_lend_further_columns(trained: Any, loaded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    from mtrec.jobs import prepared as module

    config = loaded.config.model_copy(update={"evaluation": loaded.config.evaluation.model_copy(update={"slices": ["kind", "user"]})})
    monkeypatch.setattr(module, "prepare", lambda config: SimpleNamespace(digest="other"))
    with pytest.raises(BundleError, match=r"What was prepared lacks kind, and the log gives other rows than these \("):
        module.prepared_to_judge(config, str(loaded.prepared.path))
    same = module.prepared_to_judge(loaded.config, str(loaded.prepared.path))
    assert same.path == loaded.prepared.path


def test_some_rows_of_a_log_are_not_prepared_anew_to_be_refused(loaded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    from mtrec.jobs import prepared as module

    config = loaded.config.model_copy(update={"evaluation": loaded.config.evaluation.model_copy(update={"slices": ["kind"]})})
    calls: list[Any] = []
    monkeypatch.setattr(module, "Prepared", lambda path: SimpleNamespace(kept=[], is_part=True, digest="same"))
    monkeypatch.setattr(module, "prepare", lambda config: calls.append(config) or SimpleNamespace(digest="same"))
    with pytest.raises(BundleError, match=r"lacks kind.* are judged by `mtrec backtest --warm`"):
        module.prepared_to_judge(config, "a day")
    assert not calls
