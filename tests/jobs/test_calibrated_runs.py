"""Calibration and the fused score from the configuration to the artifact; neither trains anything again."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import log_loss

from mtrec.errors import BundleError, ConfigError

SERVED = [
    "tasks.click.calibration=isotonic",
    "tasks.buy.calibration=platt",
    "score={click: 1.0, buy.joint: 4.0, seconds: 0.01}",
    "evaluation.group=[user_id]",
]


def kept(path: Path) -> dict[str, bytes]:
    """What training wrote."""
    files = [*sorted((path / "checkpoints").rglob("*.*")), path / "metrics.jsonl"]
    return {str(file.relative_to(path)): file.read_bytes() for file in files if file.is_file()}


@pytest.fixture(scope="module")
def served(tiny: Any, trained: Any) -> Path:
    """The trained run, then told to calibrate and to fuse."""
    from mtrec.jobs.train import train

    path = tiny.folder / "runs" / "served"
    shutil.copytree(trained.path, path)
    shutil.rmtree(path / "export", ignore_errors=True)
    train(tiny.config("trained", "training.early_stopping=null", f"run_dir={path}", *SERVED))
    return Path(path)


@pytest.fixture(scope="module")
def loaded_served(served: Path) -> Any:
    from mtrec.jobs.load import load_run

    return load_run(served)


@pytest.fixture(scope="module")
def report(loaded_served: Any) -> dict[str, Any]:
    from mtrec.jobs.evaluate import evaluate_run

    return evaluate_run(loaded_served, search_score=True)


def test_nothing_was_trained_again(trained: Any, served: Path, loaded_served: Any) -> None:
    assert kept(served) == kept(trained.path) and len(kept(served)) > 5
    assert loaded_served.config.tasks["click"].calibration == "isotonic" and loaded_served.config.score["buy.joint"] == 4.0
    assert list(loaded_served.config.score) == ["click", "buy.joint", "seconds"]


def test_another_calibration_beside_another_change_is_refused(tiny: Any, served: Path) -> None:
    from mtrec.jobs.train import train

    with pytest.raises(ConfigError, match="tasks.click.weight") as told:
        train(tiny.config("trained", "training.early_stopping=null", f"run_dir={served}", "tasks.click.weight=2.0", "tasks.click.calibration=null"))
    assert "calibration" not in str(told.value)


def test_what_was_fitted_is_kept_and_taken_as_it_is(served: Path, loaded_served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from mtrec.jobs.load import load_run

    manifest = (served / "calibration" / "manifest.json").read_bytes()
    assert loaded_served.calibration["click"]["kind"] == "isotonic" and "reason" not in loaded_served.calibration["click"]
    with monkeypatch.context() as patch:
        patch.setattr("mtrec.training.calibrated.fit", lambda *_: pytest.fail("fitted again"))
        assert load_run(served).calibration == loaded_served.calibration
    shutil.rmtree(served / "calibration")
    assert load_run(served).calibration == loaded_served.calibration
    assert (served / "calibration" / "manifest.json").read_bytes() == manifest


def test_a_damaged_one_is_named(served: Path, tmp_path: Path) -> None:
    from mtrec.training.calibrated import read

    shutil.copytree(served / "calibration", tmp_path / "calibration")
    file = tmp_path / "calibration" / "manifest.json"
    file.write_text(file.read_text().replace("isotonic", "isotonik"))
    with pytest.raises(BundleError, match="calibration") as told:
        read(tmp_path / "calibration", {"click": "isotonic", "buy": "platt"}, max((served / "checkpoints").iterdir()))
    assert "Remove this folder" in str(told.value)


def test_other_weights_or_kinds_are_fitted_anew(served: Path, loaded_served: Any, tmp_path: Path) -> None:
    from mtrec.training.calibrated import read, write

    weights = [tmp_path / name for name in ("one", "other")]
    for path in weights:
        path.mkdir()
        (path / "manifest.json").write_text(path.name)
    write(tmp_path / "calibration", loaded_served.calibration, weights[0])
    kinds = {"click": "isotonic", "buy": "platt"}
    assert read(tmp_path / "calibration", kinds, weights[0]) == loaded_served.calibration
    assert read(tmp_path / "calibration", kinds, weights[1]) is None
    assert read(tmp_path / "calibration", kinds | {"buy": "isotonic"}, weights[0]) is None
    assert read(tmp_path / "nowhere", kinds, weights[0]) is None


def test_a_run_that_trains_ends_with_the_same(tiny: Any, loaded_served: Any) -> None:
    path = tiny.train("ends-calibrated", "training.early_stopping=null", "training.epochs=1", *SERVED[:2]).path
    before = (path / "calibration" / "manifest.json").read_bytes()
    assert "calibration" in json.loads((path / "report.json").read_text())["tasks"]["click"]
    shutil.rmtree(path / "calibration")
    from mtrec.jobs.load import load_run

    load_run(path)
    assert (path / "calibration" / "manifest.json").read_bytes() == before


def test_report_predictions_and_artifact_are_one(tiny: Any, loaded_served: Any, report: dict[str, Any], tmp_path: Path) -> None:
    from mtrec.jobs.export import export_run
    from mtrec.jobs.predict import predict
    from mtrec.serving import load_artifact
    from mtrec.testing.artifact import check_artifact

    assert export_run(loaded_served, tmp_path / "artifact").differences.keys() >= {"click", "score"}
    assert all(check_artifact(tmp_path / "artifact"))
    score = load_artifact(tmp_path / "artifact", self_check=True).outputs[-1]
    scale = float(loaded_served.model.outputs.scale_T[2])
    assert (score.name, score.kind) == ("score", "regression") and score.scale == pytest.approx(5.0 + 0.01 * scale)
    rows = pq.read_table(tiny.log).slice(1250, 250)
    pq.write_table(rows, tmp_path / "rows.parquet")
    scores = []
    for model in (loaded_served.run.path, tmp_path / "artifact"):
        predict(model, str(tmp_path / "rows.parquet"), tmp_path / "out.parquet")
        scores.append(pq.read_table(tmp_path / "out.parquet").to_pandas())
    np.testing.assert_allclose(scores[0], scores[1], rtol=2e-6, atol=2e-6)
    found, frame = scores[0], rows.to_pandas()
    np.testing.assert_allclose(found["score"], found["click"] + 4 * found["buy.joint"] + 0.01 * found["seconds"], rtol=1e-5)
    np.testing.assert_allclose(found["buy.joint"], found["click"] * found["buy.conditional"], rtol=1e-5)
    for task, label, column in (("click", "is_click", "click"), ("buy", "is_buy", "buy.conditional")):
        known = frame[label].notna()
        expected = log_loss(frame[label][known], found[column][known], sample_weight=frame["weight"][known])
        assert report["tasks"][task]["logloss"]["value"] == pytest.approx(expected, rel=1e-5)


def test_the_report_says_what_was_fitted_and_what_it_gave(trained: Any, loaded_served: Any, report: dict[str, Any]) -> None:
    before = json.loads((trained.path / "report.json").read_text())["tasks"]
    for task in ("click", "buy"):
        facts = report["tasks"][task]["calibration"]
        assert facts["logloss_before"] == pytest.approx(before[task]["logloss"]["value"], rel=1e-6)
        assert facts["logloss_after"] == report["tasks"][task]["logloss"]["value"] and facts["fitted_on"] == "valid" and "note" not in facts
    assert report["tasks"]["click"]["calibration"]["knots"] == len(loaded_served.calibration["click"]["logits"]) > 1
    assert "calibration" not in report["tasks"]["seconds"] and "calibration" not in before["click"]
    bins = report["tasks"]["click"]["reliability"]
    assert sum(each["rows"] for each in bins) == report["tasks"]["click"]["rows"]
    assert all(each["low"] <= each["share"] <= each["high"] for each in bins)
    page = (loaded_served.run.path / "report.html").read_text()
    assert all(text in page for text in ("Reliability of click", "Calibration, fitted on valid", "Fused score: 1 click, 4 buy.joint"))


def test_the_rows_it_was_fitted_on_gain_and_platt_leaves_every_rank(loaded: Any, loaded_served: Any) -> None:
    from mtrec.evaluation.full_report import full_report
    from mtrec.jobs.evaluate import evaluate_run
    from mtrec.jobs.scored import scored

    on_valid = evaluate_run(loaded_served, "valid")["tasks"]
    for task in ("click", "buy"):
        facts = on_valid[task]["calibration"]
        assert facts["logloss_after"] < facts["logloss_before"] and "flatter" in facts["note"]
    plain = full_report(scored(loaded, "valid").scores, loaded.config, None)
    assert on_valid["buy"]["auc"]["value"] == plain["buy"]["auc"]["value"]


def test_a_score_is_judged_and_its_weights_searched_for_on_valid(loaded_served: Any, report: dict[str, Any]) -> None:
    assert report["score"]["weights"] == loaded_served.config.score
    assert list(report["score"]["tasks"]) == ["click", "buy"]
    for figures in report["score"]["tasks"].values():
        assert list(figures) == ["auc", "gauc_impressions", "ndcg_10"] and figures["auc"]["value"] is not None
    assert 0 < report["score"]["gain"]["ndcg_10"]["value"] <= 1
    search = report["score_search"]
    assert search["on"] == "valid" and search["rows"] == 250 and search["metric"] == "gauc_impressions"
    assert search["declared"]["weights"] == loaded_served.config.score
    assert search["chosen"]["target"] >= search["declared"]["target"]
    assert search["judged"]["weights"] == search["chosen"]["weights"]


def test_the_search_by_command_writes_the_same_report(call: Callable[..., Any], served: Path, report: dict[str, Any]) -> None:
    code, out, _ = call("evaluate", served, "--search-score")
    assert code == 0 and "score: {" in out
    assert json.loads((served / "report.json").read_text()) == json.loads(json.dumps(report))


def test_too_few_rows_are_told_of(tiny: Any, served: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from mtrec.jobs.evaluate import evaluate_run
    from mtrec.jobs.load import load_run
    from mtrec.jobs.train import train

    path = tiny.folder / "runs" / "served-few"
    shutil.copytree(served, path)
    few = [*SERVED[:1], "tasks.buy.calibration=isotonic"]
    train(tiny.config("trained", "training.early_stopping=null", f"run_dir={path}", *few))
    loaded = load_run(path)
    assert "The task buy is served without calibration" in caplog.text and "isotonic needs 50 of each" in loaded.calibration["buy"]["reason"]
    report = evaluate_run(loaded)
    facts = report["tasks"]["buy"]["calibration"]
    assert facts["reason"] == loaded.calibration["buy"]["reason"] and facts["logloss_before"] == facts["logloss_after"]
    assert "score" not in report and "score_search" not in report
    assert "needs 50 of each" in (path / "report.html").read_text()


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["score={click: 1.0, buy.joined: 1.0}"], r"score.buy.joined: there is no output 'buy.joined'. Did you mean 'buy.joint'"),
        (["score={click: 0.0}"], "score: all weights are 0"),
        (["tasks.seconds.calibration=platt"], "tasks.seconds.calibration: it is for probabilities"),
        (["tasks.click.calibration=plat"], "tasks.click.calibration.*platt"),
        (["tasks.score={label: is_click}", "score={click: 1.0}"], "tasks.score: this is the name of the fused score"),
    ],
)
def test_what_a_configuration_may_not_say(tiny: Any, overrides: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        tiny.config("refused", *overrides)


@pytest.mark.slow
def test_two_ranks_fit_what_one_fits_and_one_of_them_writes(tiny: Any) -> None:
    from mtrec.jobs.load import load_run

    config = tiny.file("two-ranks", training={"epochs": 1, "batch_size": 128, "threads": 1, "early_stopping": None})
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "mtrec", "train", str(config), *SERVED]
    done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    path = tiny.folder / "runs" / "two-ranks"
    together = json.loads((path / "calibration" / "manifest.json").read_text())["meta"]["tasks"]
    assert sorted(together) == ["buy", "click"] and "reason" not in together["buy"]
    shutil.rmtree(path / "calibration")
    alone = load_run(path).calibration
    for figure in ("slope", "offset"):
        assert alone["buy"][figure] == pytest.approx(together["buy"][figure], rel=1e-4)
