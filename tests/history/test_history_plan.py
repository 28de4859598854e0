"""What a plan reads and adds, and every fault it names, all at once."""

import json

import pyarrow as pa
import pytest

from mtrec.errors import DataError
from mtrec.history.plan import HistoryPlan, plan_history
from mtrec.schema import Roles, TimeFormat
from mtrec.sections import Counters, History
from tests.history.cases import ROLES, TYPES, random_case

LOG = pa.schema(list(TYPES.items()))
HISTORY = History(by=["user"], where="click", keep=["item", "price"], last=3, events=["log", "old"])
COUNTERS = Counters(of=["click"], by=[["user"], ["user", "tab"]], windows=["7d", "all"], half_life="2d", recency=True)


def test_columns_in_the_order_that_is_declared() -> None:
    old = pa.schema([("time", pa.timestamp("ms")), ("uid", pa.int32()), ("item", pa.large_string()), ("click", pa.int8()), ("more", pa.date32())])
    plan = plan_history({"h": HISTORY, "c": COUNTERS}, ROLES, TimeFormat(), LOG, {"old": old})
    assert plan.columns.names[:8] == [
        "h.item", "h.price", "h.gap", "c.user.7d.events", "c.user.7d.click", "c.user.7d.click.rate", "c.user.all.events", "c.user.all.click",
    ]  # fmt: skip
    assert plan.columns.names[-3:] == ["c.user+tab.days_since_last", "c.user+tab.days_since_first", "c.user+tab.mean_gap"]
    assert plan.columns.field("h.item").type == pa.list_(pa.string()) and plan.columns.field("h.price").type == pa.list_(pa.float64())
    assert plan.needed == ["time", "uid", "click", "item", "price", "tab"]
    assert plan.needed_of("old") == ["time", "uid", "click", "item"]
    assert plan.inputs == ["time", "uid", "tab"]
    assert list(plan.partitions) == ["uid"]


def test_a_plan_survives_json() -> None:
    plan = random_case(3).plan()
    again = HistoryPlan.from_json(json.loads(json.dumps(plan.to_json(), sort_keys=True)))
    assert again.units == plan.units and again.columns == plan.columns and again.inputs == plan.inputs


def test_all_faults_at_once() -> None:
    entries = {
        "h": History(by=["user"], where="clik", keep=["item"], events=["log", "old", "far"]),
        "c": Counters(of=["item", "time"], by=[["price"]], windows=["7d", "2000w"], half_life="0s", delay="9999w"),
    }
    old = pa.schema([("tme", pa.int64()), ("uid", pa.string()), ("item", pa.string())])
    with pytest.raises(DataError) as caught:
        plan_history(entries, ROLES, TimeFormat(), LOG, {"old": old})
    for fault in [
        "history.h.where: log has no column 'clik'. Did you mean 'click'?",
        "history.h.by: column 'uid' is text in one source and numbers in another",
        "history.h.events: the columns of 'far' are not known",
        "history.h.events: no row of old can be an event: it has no column 'clik'",
        "history.c.of: column 'item' of log is string; it takes int or number",
        "history.c.by: column 'price' of log is float; it takes int or string",
        "history.c.windows: 2000w",
        "history.c.half_life: 0s",
        "history.c.delay: 9999w",
        "old has no column 'time', the time. Did you mean 'tme'?",
    ]:
        assert fault in str(caught.value), fault


def test_names_that_are_taken() -> None:
    columns = LOG.append(pa.field("c.user.all.events", pa.int64())).append(pa.field("gap", pa.int64()))
    entries = {"c": Counters(of=[], by=[["user"], ["user"]]), "h": History(by=["user"], keep=["gap"])}
    with pytest.raises(DataError, match=r"'c.user.all.events' of an added column is taken.*'h.gap' of an added column is taken"):
        plan_history(entries, ROLES, TimeFormat(), columns, {})


def test_without_a_time_there_is_no_history() -> None:
    with pytest.raises(DataError, match=r"set log.roles.time"):
        plan_history({"h": HISTORY}, Roles(), TimeFormat(), LOG, {})
    with pytest.raises(DataError, match="column 'item' of log, the time, is string"):
        plan_history({"c": COUNTERS}, Roles(time="item"), TimeFormat(), LOG, {})


def test_a_file_needs_the_keys_of_some_counter_only() -> None:
    entry = Counters(of=["click"], by=[["uid"], ["uid", "tab"]], events=["log", "old"])
    plan_history({"c": entry}, ROLES, TimeFormat(), LOG, {"old": pa.schema([("time", pa.int64()), ("uid", pa.int64())])})
    with pytest.raises(DataError, match="no row of old can be an event"):
        plan_history({"c": entry}, ROLES, TimeFormat(), LOG, {"old": pa.schema([("time", pa.int64()), ("tab", pa.int64())])})
