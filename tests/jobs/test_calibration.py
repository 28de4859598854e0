"""Rows left out, rows that were left out before, and positives that count more: what is served holds for the whole log all the same."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import log_loss

from mtrec.config import Config, parse

NUM_TRAIN, NUM_VALID, NUM_TEST = 16_000, 500, 4_000
SHARE = 0.2
OUTPUTS = {"click": "click", "like": "like", "buy": "buy.conditional", "watched": "watched"}


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def truth(x: Any) -> dict[str, Any]:
    """The probability of each outcome, and of `watched` the mean, where x is known. A like is likelier after a click, whatever x is."""
    click = sigmoid(x - 2)
    return {"click": click, "like": click * sigmoid(1.0) + (1 - click) * sigmoid(-1.5), "buy": sigmoid(0.5 * x - 0.5), "watched": 8 * click}


def generated() -> pa.Table:
    random = np.random.default_rng(11)
    count = NUM_TRAIN + NUM_VALID + NUM_TEST
    x = random.normal(size=count)
    click = random.random(count) < truth(x)["click"]
    columns = {
        "ts": np.arange(count),
        "x": x,
        "is_click": click.astype(np.int8),
        "is_like": (random.random(count) < sigmoid(np.where(click, 1.0, -1.5))).astype(np.int8),
        "is_buy": pa.array((random.random(count) < truth(x)["buy"]).astype(np.int8), mask=~click),
        "seconds": 8 * click + random.normal(size=count),
        "kept": np.where(click, 1.0, SHARE),
        "drawn": click | (random.random(count) < SHARE),
    }
    return pa.table(columns)


def configured(folder: Path, name: str, source: Path, positive_weight: float = 1.0, **log: Any) -> Config:
    section = {
        "name": name,
        "run_dir": str(folder / "runs" / name),
        "log": {"source": str(source), "split": {"by": "time", "valid_from": NUM_TRAIN, "test_from": NUM_TRAIN + NUM_VALID}, **log},
        "features": {"numbers": ["x"]},
        "tasks": {
            "click": {"label": "is_click", "positive_weight": positive_weight},
            "like": {"label": "is_like"},
            "buy": {"label": "is_buy", "given": "click"},
            "watched": {"label": "seconds", "kind": "regression"},
        },
        "model": {"architecture": {"kind": "shared_bottom", "hidden": [8]}, "towers": {"hidden": []}},
        "training": {"epochs": 6, "batch_size": 100, "threads": 1, "early_stopping": None, "optimizers": {"dense": {"lr": 0.02}}},
        "tracking": {"kind": "none"},
    }
    return parse(section)


WAYS: dict[str, dict[str, Any]] = {
    "whole": {},
    "sample": {"sample": {"task": "click", "negatives": SHARE}},
    "rate": {"roles": {"time": "ts", "sampling_rate": "kept"}},
    "positives": {"positive_weight": 6.0},
}


@pytest.fixture(scope="module", params=list(WAYS))
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any, Path, pa.Table]:
    """A trained run, an artifact of it, and the rows of test before any were left out."""
    from mtrec.jobs.export import export_run
    from mtrec.jobs.load import load_run
    from mtrec.jobs.train import train

    folder, rows = tmp_path_factory.mktemp(request.param), generated()
    pq.write_table(rows.filter(rows["drawn"]) if request.param == "rate" else rows, folder / "log.parquet")
    options = {"roles": {"time": "ts"}, **WAYS[request.param]}
    path = train(configured(folder, request.param, folder / "log.parquet", **options)).path
    export_run(load_run(path), folder / "artifact")
    return request.param, load_run(path), folder / "artifact", rows.slice(NUM_TRAIN + NUM_VALID)


def served(artifact: Path, rows: pa.Table) -> dict[str, Any]:
    from mtrec.serving import load_artifact

    return {name: np.asarray(values) for name, values in load_artifact(artifact).predict(rows.select(["x"])).items()}


def test_predictions_are_those_of_the_whole_log(run: tuple[str, Any, Path, pa.Table]) -> None:
    way, _, artifact, rows = run
    scores, known = served(artifact, rows), truth(rows["x"].to_numpy())
    whole = generated().slice(0, NUM_TRAIN).to_pandas()
    negatives = int((whole["is_click"] == 0).sum()) * (SHARE if way in ("sample", "rate") else 1.0)
    positives = int((whole["is_click"] == 1).sum())
    # The standard error of the share of positives, from the numbers of both that were trained on; relative to it.
    share = known["click"].mean()
    error = share * (1 - share) * np.sqrt(1 / positives + 1 / negatives)
    off = (1 - share) * np.sqrt(1 / positives + 1 / negatives)
    assert abs(scores["click"].mean() - share) < 4 * error
    for task in ("like", "buy", "watched"):
        ratio = scores[OUTPUTS[task]].mean() / known[task].mean()
        assert abs(ratio - 1) < 4 * max(off, 1 / np.sqrt(positives)), (task, ratio)
    # Not on the average only: the tenth that is likeliest to click, and the tenth that is least.
    order = np.argsort(known["click"])
    for part in (order[: NUM_TEST // 10], order[-NUM_TEST // 10 :]):
        assert scores["click"][part].mean() == pytest.approx(known["click"][part].mean(), rel=0.1, abs=0.02)


def test_what_was_left_out_would_be_missed_without_the_correction() -> None:
    rows = generated().slice(0, NUM_TRAIN)
    kept = rows.filter(rows["drawn"]).to_pandas()
    assert kept["is_click"].mean() > 2 * truth(rows["x"].to_numpy())["click"].mean()
    assert kept["is_like"].mean() > 1.2 * truth(rows["x"].to_numpy())["like"].mean()


def test_the_report_says_how_rows_were_left_out(run: tuple[str, Any, Path, pa.Table]) -> None:
    way, loaded, _, _ = run
    report = json.loads((loaded.run.path / "report.json").read_text())
    if way != "sample":
        assert "sampling" not in report and loaded.prepared.sampling is None
        return
    positives = int(generated().slice(0, NUM_TRAIN).to_pandas()["is_click"].sum())
    sampling = report["sampling"]
    assert sampling == loaded.prepared.sampling and sorted(sampling) == ["negatives", "of", "rows", "task"]
    assert (sampling["task"], sampling["negatives"], sampling["of"]) == ("click", SHARE, NUM_TRAIN)
    assert sampling["rows"] == loaded.prepared.rows["train"]
    assert abs(sampling["rows"] - positives - SHARE * (NUM_TRAIN - positives)) < 4 * np.sqrt(NUM_TRAIN * SHARE * (1 - SHARE))
    assert report["tasks"]["click"]["rows"] == NUM_TEST  # Nothing of what judges is left out.


def test_the_report_is_that_of_the_artifacts_scores(run: tuple[str, Any, Path, pa.Table]) -> None:
    way, loaded, artifact, rows = run
    judged = rows.filter(rows["drawn"]) if way == "rate" else rows
    frame, scores = judged.to_pandas(), served(artifact, judged)
    report = json.loads((loaded.run.path / "report.json").read_text())["tasks"]
    for task, label in (("click", "is_click"), ("like", "is_like"), ("buy", "is_buy")):
        known = frame[label].notna()
        weight = (1 / frame["kept"] if way == "rate" else frame["kept"] * 0 + 1)[known]
        expected = log_loss(frame[label][known], scores[OUTPUTS[task]][known], sample_weight=weight)
        assert report[task]["logloss"]["value"] == pytest.approx(expected, rel=1e-5)


def test_another_log_is_judged_with_its_rates(run: tuple[str, Any, Path, pa.Table], tmp_path: Path) -> None:
    from mtrec.data.log import LogFiles
    from mtrec.training.scoring import score_log

    way, loaded, _, rows = run
    pq.write_table(rows.slice(0, 100), tmp_path / "rows.parquet")
    config = loaded.config
    labels = [task.label.column for task in config.tasks.values()]
    files = LogFiles(str(tmp_path / "rows.parquet"), ["x", *labels, *config.log.roles.weighing])
    scores = score_log(loaded.model, loaded.features, files, config.tasks, config.log.roles)
    expected = 1 / rows["kept"].to_numpy()[:100] if way == "rate" else np.ones(100)
    assert scores.weight.tolist() == expected.astype(np.float32).tolist()
