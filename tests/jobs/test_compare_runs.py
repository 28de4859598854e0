"""`mtrec compare` on runs: the same rows or none, a file of scores, lists of seeds, the gate's exit code."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtrec.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def other(tiny: Any) -> Any:
    """A run with another seed and another model, of the same rows."""
    return tiny.train("other", "seed=1", "training.epochs=1", "model.architecture={kind: shared_bottom}", "log.roles.item=null")


def test_a_run_against_itself_differs_by_exactly_nothing(trained: Any) -> None:
    from mtrec.jobs.compare import compare

    report = compare([str(trained.path)], [str(trained.path)])
    assert list(report["tasks"]) == ["click", "buy", "seconds"] and "judged rows only" in report["covers"]
    for metrics in report["tasks"].values():
        assert metrics and all(found["difference"] == 0.0 for found in metrics.values())


def test_two_runs_differ_by_what_their_reports_differ(trained: Any, other: Any) -> None:
    from mtrec.jobs.compare import compare

    report = compare([str(trained.path)], [str(other.path)])
    reports = [json.loads(run.report_file.read_text())["tasks"] for run in (trained, other)]
    for task, metric in (("click", "auc"), ("buy", "logloss"), ("seconds", "rmse")):
        found = report["tasks"][task][metric]
        assert [found["first"], found["second"]] == [each[task][metric]["value"] for each in reports]
        assert found["difference"] == pytest.approx(found["first"] - found["second"])
        assert found["low"] < found["difference"] < found["high"]
        assert 0 < found["p"] <= found["p_corrected"] <= 1


def test_lists_of_runs_are_paired_by_seed(trained: Any, other: Any) -> None:
    from mtrec.jobs.compare import compare

    both = [str(trained.path), str(other.path)]
    report = compare(both, both[::-1])
    assert "seed of training only" in report["covers"]
    assert (report["tasks"]["click"]["auc"]["difference"], report["tasks"]["click"]["auc"]["seeds"]) == (0.0, 2)
    for second in ([both[0]], [both[0], both[0]]):
        with pytest.raises(ConfigError, match="paired by seed"):
            compare(both, second)


def scored(trained: Any, tiny: Any, path: Path) -> pa.Table:
    from mtrec.jobs.predict import predict

    predict(trained.path, str(tiny.log), path)
    return pq.read_table(path)


def test_a_file_of_scores_is_joined_by_key(trained: Any, tiny: Any, tmp_path: Path) -> None:
    from mtrec.jobs.compare import compare

    table = scored(trained, tiny, tmp_path / "scores.parquet")
    order = np.random.default_rng(0).permutation(table.num_rows)
    pq.write_table(table.take(order), tmp_path / "shuffled.parquet")
    report = compare([str(trained.path)], [str(tmp_path / "shuffled.parquet")])
    assert list(report["tasks"]) == ["click", "buy", "seconds"]
    for metrics in report["tasks"].values():
        assert all(found["difference"] == pytest.approx(0, abs=1e-5 * max(abs(found["first"]), 1)) for found in metrics.values())
    pq.write_table(table.select(["row_id", "click"]), tmp_path / "click.parquet")
    assert list(compare([str(trained.path)], [str(tmp_path / "click.parquet")])["tasks"]) == ["click"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.slice(0, 1400), "lacks judged rows .* no score for 100 of 250"),
        (lambda table: pa.concat_tables([table, table.slice(0, 3)]), "3 rows too many"),
        (lambda table: table.drop_columns(["row_id"]), "lacks columns"),
        (lambda table: table.select(["row_id"]), "a column for one of click, buy, seconds"),
        (lambda table: table.set_column(1, "click", pa.nulls(table.num_rows, pa.float32())), "Scores are null"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(trained: Any, tiny: Any, tmp_path: Path, change: Any, message: str) -> None:
    from mtrec.jobs.compare import compare

    pq.write_table(change(scored(trained, tiny, tmp_path / "scores.parquet").select(["row_id", "click"])), tmp_path / "changed.parquet")
    with pytest.raises(DataError, match=message):
        compare([str(trained.path)], [str(tmp_path / "changed.parquet")])


def test_what_is_no_file_of_scores_is_named(trained: Any, tmp_path: Path) -> None:
    from mtrec.jobs.compare import compare

    (tmp_path / "text").write_text("no Parquet")
    for name in ("text", "none"):
        with pytest.raises(DataError, match="cannot be read"):
            compare([str(trained.path)], [str(tmp_path / name)])
    with pytest.raises(ConfigError, match="no such split"):
        compare([str(trained.path)], [str(trained.path)], "holdout")


def test_runs_of_other_rows_are_refused(trained: Any, tiny: Any) -> None:
    from mtrec.jobs.compare import compare

    elsewhere = tiny.train("elsewhere", "training.epochs=1", "log.split={by: hash, column: row_id}")
    with pytest.raises(DataError, match="not judged on the same rows .places in the log."):
        compare([str(trained.path)], [str(elsewhere.path)])


def test_the_command_prints_writes_and_gates(call: Callable[..., tuple[int, str, str]], trained: Any, other: Any, tmp_path: Path) -> None:
    out = tmp_path / "compared.json"
    code, told, _ = call("compare", trained.path, other.path, "--output", out, "--split", "valid")
    assert code == 0 and "click" in told and "logloss" in told
    report = json.loads(out.read_text())
    assert report["split"] == "valid" and report["tasks"]["click"]["auc"]["p_corrected"] <= 1
    code, _, error = call("compare", trained.path, trained.path, "--gate", "--calibration", "0.01", "100")
    assert (code, error) == (0, "")
    code, _, error = call("compare", trained.path, trained.path, "--gate", "--calibration", "0.5", "0.51")
    assert code == 6 and "predicted over actual" in error
