"""`mtrec backtest`: each day by a model of the days before it, gone on with after a kill."""

import gc
import json
import os
import signal
import weakref
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtrec.errors import BundleError, ConfigError, DataError

MIDNIGHT_MS, ROWS_A_DAY = 1_700_006_400_000, 240
DAYS = [f"2023-11-{day}" for day in range(15, 21)]


class Killed(BaseException):
    """Stands for a process that ends."""


@pytest.fixture(scope="module")
def values(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A configuration of six days of the small log, a file a day, each with a row every six minutes."""
    folder, table = tmp_path_factory.mktemp("days"), pq.read_table(tiny.log)
    for number, day in enumerate(DAYS):
        times = [MIDNIGHT_MS + (number * ROWS_A_DAY + row) * 360_000 for row in range(ROWS_A_DAY)]
        rows = table.slice(number * ROWS_A_DAY, ROWS_A_DAY)
        pq.write_table(rows.set_column(rows.column_names.index("ts"), "ts", pa.array(times)), folder / f"{day}.parquet")
    found = tiny.values("days")
    found["log"] |= {"source": str(folder), "split": {"by": "time", "valid_from": DAYS[-2], "test_from": DAYS[-1]}}
    return found | {"run_dir": str(folder / "_runs" / "days")}


def config(values: dict[str, Any], **sections: Any) -> Any:
    from mtrec.config import parse

    return parse({**values, **sections})


@pytest.mark.slow
def test_two_days_with_a_kill_between_them(values: Any) -> None:
    from mtrec.jobs.backtest import backtest
    from mtrec.jobs.evaluate import evaluate_run
    from mtrec.jobs.load import load_run

    stages: list[str] = []

    def progress(stage: str, rows: int) -> None:
        stages.append(stage)
        if stage == f"{DAYS[-1]} train" and rows and stages.count(stage) == 3:
            raise Killed

    found, run = config(values), Path(values["run_dir"])
    with pytest.raises(Killed):
        backtest(found, 2, progress)
    assert f"{DAYS[-2]} train" in stages and not (run / "backtest.json").exists()
    again: list[str] = []
    report = backtest(found, 2, lambda stage, rows: again.append(stage))
    assert set(again) == {f"{DAYS[-1]} train"}  # The first day is done, the log of the second is prepared.
    assert json.loads((run / "backtest.json").read_text()) == report
    assert [(each["day"], each["valid"]) for each in report["days"]] == [(DAYS[-2], DAYS[-3]), (DAYS[-1], DAYS[-2])]
    for number, each in enumerate(report["days"], 4):
        loaded = load_run(each["run"])
        assert loaded.prepared.rows["train"] == (number - 1) * ROWS_A_DAY and loaded.prepared.rows["valid"] == ROWS_A_DAY
        alone = evaluate_run(loaded, log=[f"{values['log']['source']}/{each['day']}.parquet"])["tasks"]
        assert each["tasks"]["click"]["rows"] == ROWS_A_DAY
        for task, metric in (("click", "auc"), ("buy", "logloss"), ("seconds", "rmse")):
            assert each["tasks"][task][metric] == pytest.approx(alone[task][metric], abs=1e-6)
        assert each["tasks"]["click"]["auc"]["low"] < each["tasks"]["click"]["auc"]["high"]


def without_runs(report: dict[str, Any]) -> list[dict[str, Any]]:
    return [{key: value for key, value in each.items() if key != "run"} for each in report["days"]]


def test_warm_days_go_on_from_the_day_before(values: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from mtrec.jobs.backtest import backtest
    from mtrec.jobs.begin import best_checkpoint
    from mtrec.jobs.evaluate import evaluate_run
    from mtrec.jobs.load import load_run
    from mtrec.jobs.prepared import prepared_to_judge
    from mtrec.training import checkpoint
    from mtrec.training.run import RunDirectory
    from mtrec.training.trainer import Trainer

    begun: dict[str, checkpoint.Snapshot] = {}
    fit = Trainer.fit

    def spied(trainer: Trainer) -> None:
        begun[trainer.checkpoints.parent.parent.name] = trainer.snapshot().copied()
        fit(trainer)

    cold = backtest(config(values), 2)
    monkeypatch.setattr(Trainer, "fit", spied)
    run = Path(values["run_dir"]).parent / "warm"
    report = backtest(config(values, run_dir=str(run)), 2, warm=True)
    assert json.loads((run / "backtest-warm.json").read_text()) == report and report["warm"] and not cold["warm"]
    # The first day is the cold one, to the last bit; the second is not.
    first, second = (load_run(each["run"]) for each in report["days"])
    assert without_runs(report)[0] == without_runs(cold)[0] and without_runs(report)[1] != without_runs(cold)[1]
    ends = [best_checkpoint(each) for each in (first.run, RunDirectory(cold["days"][0]["run"]))]
    for file in sorted(ends[0].glob("*.safetensors")):
        assert file.read_bytes() == (ends[1] / file.name).read_bytes()
    # The second begins with the weights, averages and optimizers that the first ended with, and moves.
    end, beginning = checkpoint.load(ends[0]).tensors, begun["backtest-warm"].tensors
    after = checkpoint.load(best_checkpoint(second.run))
    for group in ("dense", "average", "optimizer", "tables", "tables_optimizer"):
        assert end[group].keys() == beginning[group].keys() and all(end[group][name].equal(beginning[group][name]) for name in end[group])
        assert not all(end[group][name].equal(after.tensors[group][name]) for name in end[group])
    # One epoch over the day that came in, encoded as the first day was.
    assert after.state["step"] == -(-ROWS_A_DAY // values["training"]["batch_size"]) and after.state["finished"]
    for split, number in (("train", 3), ("valid", 4), ("test", 5)):
        rows = [row for batch in second.prepared.reader(split, 100).in_order() for row in batch.row.tolist()]
        assert sorted(rows) == list(range(number * ROWS_A_DAY, (number + 1) * ROWS_A_DAY)) and (rows == sorted(rows)) == (split != "train")
    # What its report tells of labels is of these rows; they are standardised as those of the first day were.
    told, table = json.loads(second.run.report_file.read_text())["run"]["labels"], pq.read_table(values["log"]["source"])
    for task, column in (("click", "is_click"), ("buy", "is_buy"), ("seconds", "play_seconds")):
        for split, number in (("train", 3), ("valid", 4), ("test", 5)):
            labels = table[column].slice(number * ROWS_A_DAY, ROWS_A_DAY).drop_null().to_numpy()
            assert told[task][split] == {"known": len(labels), "mean": pytest.approx(labels.mean())}, (task, split)
    assert second.prepared.facts == first.prepared.facts and second.model.outputs.state_dict().keys() == first.model.outputs.state_dict().keys()
    assert all(found.equal(first.model.outputs.state_dict()[name]) for name, found in second.model.outputs.state_dict().items())
    names = ("features.safetensors", "sample.parquet")
    assert all((first.prepared.path / name).read_bytes() == (second.prepared.path / name).read_bytes() for name in names)
    alone = evaluate_run(second, log=[f"{values['log']['source']}/{DAYS[-1]}.parquet"])["tasks"]
    for task, metric in (("click", "auc"), ("buy", "logloss"), ("seconds", "rmse")):
        assert report["days"][1]["tasks"][task][metric] == pytest.approx(alone[task][metric], abs=1e-6)
    # The log by itself does not give these rows again.
    other = second.config.model_copy(update={"evaluation": second.config.evaluation.model_copy(update={"group": ["kind"]})})
    with pytest.raises(BundleError, match="lacks kind"):
        prepared_to_judge(other, str(second.prepared.path))


@pytest.mark.slow
def test_a_warm_backtest_goes_on_after_a_kill(values: Any) -> None:
    from mtrec.jobs.backtest import backtest

    whole = backtest(config(values, run_dir=str(Path(values["run_dir"]).parent / "warm")), 2, warm=True)
    run, stages = Path(values["run_dir"]).parent / "warm-killed", list[str]()

    def progress(stage: str, rows: int) -> None:
        stages.append(stage)
        if stage == f"{DAYS[-1]} train" and rows:
            raise Killed

    with pytest.raises(Killed):
        backtest(config(values, run_dir=str(run)), 2, progress, warm=True)
    assert f"{DAYS[-2]} train" in stages and not (run / "backtest-warm.json").exists()
    again: list[str] = []
    report = backtest(config(values, run_dir=str(run)), 2, lambda stage, rows: again.append(stage), warm=True)
    assert set(again) == {f"{DAYS[-1]} train"}
    assert without_runs(report) == without_runs(whole)


@pytest.mark.slow
def test_warm_days_are_judged_by_other_groups(values: Any) -> None:
    """What is kept beside the rows may change between two calls, and while a day is being trained: the rows are the same."""
    from mtrec.jobs.backtest import backtest

    run, stages = Path(values["run_dir"]).parent / "warm-regrouped", list[str]()
    one_epoch = {"run_dir": str(run), "training": {**values["training"], "epochs": 1}}
    by_kind, by_price = ({**one_epoch, "evaluation": {"group": [column]}} for column in ("kind", "price"))

    def progress(stage: str, rows: int) -> None:
        if stage == f"{DAYS[-1]} train" and rows:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(SystemExit):
        backtest(config(values, **one_epoch), 2, progress, warm=True)
    assert [path.name for path in run.glob("backtest-warm/*/checkpoints/step-*")] == ["step-000000001"]
    grouped = backtest(config(values, **by_kind), 2, lambda stage, rows: stages.append(stage), warm=True)  # From that step on.
    assert set(stages) == {f"{DAYS[-1]} train"}
    again: list[str] = []
    for other in (by_price, one_epoch, by_kind):
        report = backtest(config(values, **other), 2, lambda stage, rows: again.append(stage), warm=True)
        for one, two in zip(report["days"], grouped["days"], strict=True):
            assert one["tasks"]["click"]["auc"]["value"] == two["tasks"]["click"]["auc"]["value"]
            assert (one["tasks"]["click"].get("gauc_impressions") == two["tasks"]["click"]["gauc_impressions"]) == (other is by_kind)
    assert report == grouped and not again


@pytest.mark.parametrize("warm", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_one_model_is_held_at_a_time(values: Any, monkeypatch: pytest.MonkeyPatch, warm: bool) -> None:
    from mtrec.jobs import backtest as job

    models: list[weakref.ref[Any]] = []

    def spied(day: Callable[..., Any]) -> Callable[..., Any]:
        def opened(*arguments: Any) -> Any:
            gc.collect()
            assert all(model() is None for model in models)
            loaded = day(*arguments)
            models.append(weakref.ref(loaded.model))
            return loaded

        return opened

    for name in ("cold_day", "warm_day"):
        monkeypatch.setattr(job, name, spied(getattr(job, name)))
    job.backtest(config(values, run_dir=f"{values['run_dir']}-one-{warm}"), 2, warm=warm)
    assert len(models) == 2


@pytest.mark.slow
def test_a_warm_backtest_of_other_days_is_another_chain(values: Any) -> None:
    """With 3 days the last run goes on from the second, with 2 from the first: what the longer chain left is not taken for the shorter one's."""
    from mtrec.jobs.backtest import backtest

    run = Path(values["run_dir"]).parent
    one_epoch = {"training": {**values["training"], "epochs": 1}}
    fresh = backtest(config(values, run_dir=str(run / "warm-fresh"), **one_epoch), 2, warm=True)
    longer = backtest(config(values, run_dir=str(run / "warm-twice"), **one_epoch), 3, warm=True)
    shorter = backtest(config(values, run_dir=str(run / "warm-twice"), **one_epoch), 2, warm=True)
    assert without_runs(shorter) == without_runs(fresh) != without_runs(longer)[1:]
    again: list[str] = []
    assert backtest(config(values, run_dir=str(run / "warm-twice"), **one_epoch), 3, lambda stage, rows: again.append(stage), warm=True) == longer
    assert not again  # Both chains are kept.


def test_table_and_page_have_each_day_and_task(values: Any, tmp_path: Path) -> None:
    from mtrec.evaluation.backtest_report import backtest_table, write_backtest

    known = {"kind": "binary", "rows": 9, "positives": 3, "auc": {"value": 0.75, "low": 0.5, "high": 1.0}, "logloss": {"value": 0.5}}
    unknown = {"kind": "binary", "rows": 2, "positives": 0, "auc": {"value": None, "reason": "one class"}, "logloss": {"value": 0.5}}
    days = [{"day": "2024-02-28", "tasks": {"<buy>": known}}, {"day": "2024-03-01", "tasks": {"<buy>": unknown}}]
    table = backtest_table({"name": "shop", "warm": False, "days": days})
    assert [str(cell) for cell in table.columns[0].cells] == ["2024-02-28", "2024-03-01"]
    assert [str(cell) for cell in table.columns[4].cells] == ["0.7500 (0.5000 to 1.0000)", "undefined: one class"]
    write_backtest(tmp_path, {"name": "shop", "warm": False, "days": days})
    page = (tmp_path / "backtest.html").read_text()
    assert page.count("<svg") == 1 and "<h2>&lt;buy&gt;</h2>" in page and "<buy>" not in page
    assert "2024-03-01: undefined, one class" in page and "days after 2024-02-28" in page


def test_days_are_those_of_the_zone(values: Any) -> None:
    from mtrec.evaluation.days import days_of_log

    assert days_of_log(config(values)) == [date.fromisoformat(day) for day in DAYS]
    in_tokyo = config(values, log={**values["log"], "time": {"unit": "ms", "zone": "Asia/Tokyo"}})
    assert days_of_log(in_tokyo) == [date.fromisoformat(day) for day in [*DAYS, "2023-11-21"]]


def test_what_cannot_be_tested_day_after_day_is_refused(values: Any) -> None:
    from mtrec.jobs.backtest import backtest

    with pytest.raises(ConfigError, match="at least one day"):
        backtest(config(values), 0)
    with pytest.raises(DataError, match="6 days with rows"):
        backtest(config(values), 5)
    by_hash = {**values["log"], "split": {"by": "hash", "column": "user_id"}}
    with pytest.raises(ConfigError, match="split by time"):
        backtest(config(values, log=by_hash), 1)
    in_phases = {"log": {**values["log"], "roles": values["log"]["roles"] | {"session": "user_id"}}, "objective": {"weighting": {"kind": "rmtl"}}}
    with pytest.raises(ConfigError, match=r"trains in phases.*\(objective\.weighting\.kind\)\. Found: rmtl\. Leave out --warm"):
        backtest(config(values, **in_phases), 1, warm=True)


def test_the_verb(values: Any, tiny: Any, call: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    file = tiny.file("backtested", **{key: value for key, value in values.items() if key != "name"} | {"run_dir": str(tmp_path / "runs" / "one")})
    code, out, err = call("backtest", file, "training.epochs=1", "--days", "1")
    assert code == 0 and DAYS[-1] in out and "click" in out and "backtest.html" in out, err
    assert (tmp_path / "runs" / "one" / "backtest.html").is_file()
    code, out, err = call("backtest", file, "training.epochs=1", "--days", "1", "--warm")
    assert code == 0 and "goes on from the one" in " ".join(out.split()) and "backtest-warm.html" in out, err
    assert "Each model goes on from the one before." in (tmp_path / "runs" / "one" / "backtest-warm.html").read_text()
    assert call("backtest", file)[0] == 2
