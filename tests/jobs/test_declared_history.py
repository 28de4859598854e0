"""Declared histories and counters from the configuration to the scores of requests: computed once, kept with their state, and served."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtrec.errors import ConfigError, DataError
from mtrec.store import Bundle

HISTORY = {
    "clicked": {"by": "user", "where": "is_click", "keep": ["item_id", "price"], "last": 5},
    "past": {"of": ["is_click"], "by": ["user", "item"], "windows": ["7d", "all"]},
}
FEATURES = {
    "ids": ["item_id", "kind"],
    "numbers": ["age_days", "past.*"],
    "sequences": [{"from": "clicked", "shares": {"item_id": "item_id"}, "numbers": ["price"], "max_length": 5}],
}


@pytest.fixture(scope="module")
def run(tiny: Any) -> Any:
    """Trained on all rows but the last 100, which are a later log."""
    from mtrec.jobs.train import train

    table = pq.read_table(tiny.log)
    pq.write_table(table.slice(0, 1400), tiny.folder / "earlier.parquet")
    pq.write_table(table.slice(1400), tiny.folder / "later.parquet")
    values = tiny.values("declared")
    log = {**values["log"], "source": str(tiny.folder / "earlier.parquet")}
    return train(tiny.config("declared", "training.epochs=1", history=HISTORY, features=FEATURES, log=log))


@pytest.fixture(scope="module")
def loaded_run(run: Any) -> Any:
    from mtrec.jobs.load import load_run

    return load_run(run.path)


def test_the_columns_are_what_came_strictly_before(loaded_run: Any, tiny: Any) -> None:
    sample = loaded_run.prepared.sample().to_pylist()
    log = pq.read_table(tiny.log).slice(0, 1400).to_pylist()
    assert sample
    for row in sample[:100]:
        mine = [event for event in log if event["user_id"] == row["user_id"] and event["ts"] < row["ts"]]
        clicked = [event for event in mine if event["is_click"] == 1][-5:]
        assert row["past.user.all.events"] == len(mine)
        assert row["past.user.all.is_click"] == sum(event["is_click"] or 0 for event in mine)
        assert row["clicked.item_id"] == [event["item_id"] for event in clicked]


def test_the_columns_are_kept_and_shared(run: Any, loaded_run: Any, tiny: Any) -> None:
    from mtrec.jobs.prepare import prepare

    bundles = list((tiny.folder / "runs" / "prepared").glob("history-*"))
    assert len(bundles) == 1 and Bundle.open(bundles[0], "history_columns").files
    stages: list[str] = []
    features = {**FEATURES, "ids": ["item_id"]}
    log = {**tiny.values("declared")["log"], "source": str(tiny.folder / "earlier.parquet")}
    other = prepare(tiny.config("fewer", history=HISTORY, features=features, log=log), lambda stage, rows: stages.append(stage))
    assert other.path != loaded_run.prepared.path and other.history == loaded_run.prepared.history
    assert "history" not in stages and "encode" in stages


def test_requests_are_answered_from_the_state(run: Any, loaded_run: Any, tiny: Any, tmp_path: Path) -> None:
    from mtrec.history.state import HistoryState
    from mtrec.jobs.export import export_run
    from mtrec.jobs.predict import predict

    artifact = export_run(loaded_run).path
    later = str(tiny.folder / "later.parquet")
    predict(run.path, later, tmp_path / "run.parquet")
    predict(artifact, later, tmp_path / "artifact.parquet")
    whole = pq.read_table(later)
    added = HistoryState.open(artifact / "history").add(whole)
    for name in added.column_names:
        whole = whole.append_column(name, added[name])
    pq.write_table(whole, tmp_path / "whole.parquet")
    predict(artifact, str(tmp_path / "whole.parquet"), tmp_path / "given.parquet")
    by_run, by_artifact, given = (pq.read_table(tmp_path / f"{name}.parquet") for name in ("run", "artifact", "given"))
    assert by_artifact.equals(given)
    for name in ("click", "buy.joint"):
        assert np.abs(by_run[name].to_numpy() - by_artifact[name].to_numpy()).max() <= 1e-6


def test_a_request_of_the_past_is_refused(run: Any, tiny: Any, tmp_path: Path) -> None:
    from mtrec.jobs.predict import predict

    with pytest.raises(DataError, match="rows are earlier than the last row of the saved state"):
        predict(run.path, str(tiny.folder / "earlier.parquet"), tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()


def test_a_later_log_is_judged_with_its_own_feedback(loaded_run: Any, tiny: Any, tmp_path: Path) -> None:
    """Going on from the state gives the columns of both logs at once."""
    from mtrec.history.build import build_history
    from mtrec.jobs.history import plan_of_history
    from mtrec.jobs.raw_rows import later_log

    names = ["past.user.all.events", "past.item.7d.is_click", "clicked.item_id"]
    log = later_log([str(tiny.folder / "later.parquet")], ["row_id", *names], loaded_run.config, loaded_run.prepared.history, tmp_path)
    found = pa.concat_tables(log.slices())
    table = pq.read_table(tiny.log)
    plan = plan_of_history(loaded_run.config, table.schema)
    assert plan is not None
    build_history(plan, [table.select(plan.needed)], {}, tmp_path / "whole")
    whole = pq.read_table(tmp_path / "whole" / "columns.parquet").slice(1400)
    assert found["row_id"].to_pylist() == list(range(1400, 1500))
    assert all(found[name].to_pylist() == whole[name].to_pylist() for name in names)
    assert any(found["past.user.all.events"].to_numpy() > 0)


def test_evaluate_takes_a_later_log(run: Any, tiny: Any) -> None:
    from mtrec.jobs.evaluate import evaluate_run
    from mtrec.jobs.load import load_run

    report = evaluate_run(load_run(run.path), log=[str(tiny.folder / "later.parquet")])
    assert report["tasks"]["click"]["rows"] == 100


@pytest.mark.parametrize(
    ("sequence", "message"),
    [
        ({"from": "past"}, "counts events; its columns are numbers, such as 'past.*'"),
        ({"from": "clicked", "shares": {"item": "item_id"}}, "keeps no 'item'. Did you mean 'item_id'?"),
        ({"from": "clicked", "numbers": ["prize"]}, "keeps no 'prize'. Did you mean 'price'?"),
        ({"from": "clicked", "numbers": ["item_id", "price"]}, "a kept column must be left for the ids"),
    ],
)
def test_a_sequence_that_its_history_cannot_give_is_refused(sequence: dict[str, Any], message: str, tiny: Any) -> None:
    with pytest.raises(ConfigError, match=message):
        tiny.config("faulty", history=HISTORY, features={**FEATURES, "numbers": [], "sequences": [sequence]})


def test_a_history_without_time_is_refused(tiny: Any) -> None:
    log = {**tiny.values("timeless")["log"], "roles": {"user": "user_id"}, "split": {"by": "hash", "column": "row_id"}}
    with pytest.raises(ConfigError, match=r"history: histories and counters need the time column"):
        tiny.config("timeless", history={"clicked": HISTORY["clicked"]}, features={"ids": ["item_id"]}, log=log)


def test_a_changed_log_does_not_fit_its_kept_columns(loaded_run: Any, tiny: Any) -> None:
    from mtrec.data.extended import ExtendedLog
    from mtrec.data.log import LogFiles

    columns = loaded_run.prepared.history.parent / "columns.parquet"
    for name in (tiny.log, tiny.folder / "later.parquet"):
        with pytest.raises(DataError, match="differ in their number of rows"):
            list(ExtendedLog(LogFiles(str(name), ["row_id"]), columns, ["past.user.all.events"]).slices())
    sliced = pa.concat_tables(ExtendedLog(LogFiles(str(tiny.folder / "earlier.parquet"), ["row_id"]), columns, ["past.user.all.events"]).slices(37))
    assert sliced["past.user.all.events"].to_pylist() == pq.read_table(columns)["past.user.all.events"].to_pylist()
