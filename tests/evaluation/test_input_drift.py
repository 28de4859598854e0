"""Unknown ids, missing values and drift of judged rows beside train, against the same figures taken from the raw log."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtrec.evaluation.further import folded_section
from mtrec.evaluation.input_drift_page import inputs_html, moved_inputs
from mtrec.inspection.stability import stability_of_numbers
from tests.evaluation.test_report import HOSTILE, Page

TRAIN, TEST = slice(0, 1000), slice(1250, 1500)


@pytest.fixture(scope="module")
def raw(tiny: Any) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = pq.read_table(tiny.log).to_pydict()
    return columns


@pytest.fixture(scope="module")
def found(loaded: Any) -> Any:
    from mtrec.jobs.scored import scored_with_inputs

    return scored_with_inputs(loaded, "test", None)[2]["inputs"]


def entry(found: Any, kind: str, name: str) -> Any:
    return next(each for each in found[kind] if each["name"] == name)


def floats(values: list[Any]) -> Any:
    return np.array(values, dtype=np.float64)


def test_each_input_is_there_once(found: Any) -> None:
    assert (found["rows"], found["train_rows"]) == (250, 1000)
    assert sorted(each["name"] for each in found["ids"]) == ["item_id", "kind", "past_items", "tags", "user_id"]
    assert sorted(each["name"] for each in found["numbers"]) == ["age_days", "price"]


def test_unknown_ids_are_those_that_train_saw_less_than_twice(found: Any, raw: dict[str, list[Any]]) -> None:
    # Items of rows and of lists are looked up in one table, so both count.
    newest = [past[-5:] if past is not None else [] for past in raw["past_items"]]
    seen = Counter(item for item in raw["item_id"][TRAIN] if item is not None)
    seen.update(item for past in newest[TRAIN] for item in past if item is not None)
    for name, values in (("item_id", [[item] for item in raw["item_id"]]), ("past_items", newest)):
        for where, rows in (("", TEST), ("_in_train", TRAIN)):
            weighed = zip(values[rows], raw["weight"][rows], strict=True)
            pairs = [(seen[item] < 2, weight) for row, weight in weighed for item in row if item is not None]
            expected = sum(weight for unknown, weight in pairs if unknown) / sum(weight for _, weight in pairs)
            assert entry(found, "ids", name)[f"unknown{where}"] == pytest.approx(expected, abs=1e-12)
    assert "unknown" not in entry(found, "ids", "user_id")  # Hashes have a row for every id.


def test_missing_values_are_nulls(found: Any, raw: dict[str, list[Any]]) -> None:
    for kind, name in (("ids", "item_id"), ("ids", "kind"), ("ids", "tags"), ("numbers", "age_days"), ("numbers", "price")):
        for where, rows in (("", TEST), ("_in_train", TRAIN)):
            missing = [value is None or value == [] or value != value for value in raw[name][rows]]
            assert entry(found, kind, name)[f"missing{where}"] == np.average(missing, weights=raw["weight"][rows])


def index(bins: list[Any], weights: list[float]) -> dict[str, Any]:
    """The index and its chance by the formulas, row by row: bins of all rows of the log, and their weights."""
    shares, equal_rows = [], []
    for rows in (TRAIN, TEST):
        total, squares = sum(weights[rows]), sum(weight**2 for weight in weights[rows])
        equal_rows.append(total**2 / squares)
        shares.append({each: sum(w for bin_, w in zip(bins[rows], weights[rows], strict=True) if bin_ == each) / total for each in set(bins)})
    used = list(set(bins[TRAIN]) | set(bins[TEST]))
    p, q = ([(of[each] * n + 0.5) / (n + 0.5 * len(used)) for each in used] for of, n in zip(shares, equal_rows, strict=True))
    psi = sum((b - a) * np.log(b / a) for a, b in zip(p, q, strict=True))
    return {"psi": pytest.approx(psi, rel=1e-9), "chance": pytest.approx(3 * (len(used) - 1) * sum(1 / n for n in equal_rows), rel=1e-9)}


def tenths(values: Any) -> list[int]:
    edges = np.unique(np.quantile(values[TRAIN][~np.isnan(values[TRAIN])], np.arange(1, 10) / 10))
    return [-1 if np.isnan(value) else int(sum(edge <= value for edge in edges)) for value in values]


def test_the_index_is_that_of_the_raw_columns(found: Any, raw: dict[str, list[Any]]) -> None:
    bins = {("numbers", name): tenths(floats(raw[name])) for name in ("age_days", "price")}
    bins["ids", "tags"] = tenths(floats([len(tags or []) for tags in raw["tags"]]))
    assert len(set(raw["kind"])) <= 20
    bins["ids", "kind"] = raw["kind"]
    for (kind, name), each in bins.items():
        assert {key: entry(found, kind, name)[key] for key in ("psi", "chance")} == index(each, raw["weight"]), name


def test_worst_come_first(found: Any) -> None:
    rises = [each.get("unknown", 0.0) - each.get("unknown_in_train", 0.0) for each in found["ids"]]
    assert rises == sorted(rises, reverse=True)
    psis = [each["psi"] for each in found["numbers"]]
    assert psis == sorted(psis, reverse=True)


def test_another_log_is_counted_as_the_same_rows_of_a_split_are(tiny: Any, loaded: Any, found: Any, tmp_path: Path) -> None:
    from mtrec.jobs.scored import scored_with_inputs

    table = pq.read_table(tiny.log)
    pq.write_table(table.slice(1250, 250), tmp_path / "test.parquet")
    assert scored_with_inputs(loaded, "test", [str(tmp_path / "test.parquet")])[2]["inputs"] == found
    pq.write_table(table.slice(0, 1000), tmp_path / "train.parquet")
    same = scored_with_inputs(loaded, "test", [str(tmp_path / "train.parquet")])[2]["inputs"]
    for each in [*same["ids"], *same["numbers"]]:
        assert each["psi"] == 0.0 and each.get("unknown") == each.get("unknown_in_train") and each.get("missing") == each.get("missing_in_train")


def test_a_log_of_strangers_stands_out(tiny: Any, loaded: Any, tmp_path: Path) -> None:
    from mtrec.jobs.scored import scored_with_inputs

    table = pq.read_table(tiny.log).slice(1250, 250)
    for name, values in (("item_id", pa.array(range(10**9, 10**9 + 250))), ("price", pa.nulls(250, pa.float64()))):
        table = table.set_column(table.column_names.index(name), name, values)
    pq.write_table(table, tmp_path / "strange.parquet")
    strange = scored_with_inputs(loaded, "test", [str(tmp_path / "strange.parquet")])[2]
    ids, numbers = strange["inputs"]["ids"], strange["inputs"]["numbers"]
    assert ids[0]["name"] == "item_id" and ids[0]["unknown"] == 1.0 and ids[0]["missing"] == 0.0
    assert numbers[0]["name"] == "price" and numbers[0]["missing"] == 1.0 and numbers[0]["psi"] > 1
    assert {"price", "item_id"} <= {each["name"] for each in moved_inputs(strange)}


def test_parts_add_up_and_rows_that_fill_a_share_do_not_count(loaded: Any, found: Any) -> None:
    from mtrec.evaluation.input_drift import InputDrift

    prepared = loaded.prepared
    whole = InputDrift(loaded.features, prepared.reader("train", 300))
    for rank in range(3):
        for batch in prepared.reader("test", 83, 0, rank, 3).in_order():  # The last batch has one row: two ranks have none of it.
            whole.add(batch)
    assert whole.report()["inputs"] == found
    assert InputDrift(loaded.features, prepared.reader("train", 300)).report() == {}


def test_ranges(tiny: Any) -> None:
    from mtrec.evaluation.input_drift import InputDrift
    from mtrec.features.feature_set import FeatureSet
    from mtrec.schema import Features
    from mtrec.training.scoring import _to_batch

    features = FeatureSet.build(
        Features.model_validate({"ids": [{"column": "age", "encoding": {"kind": "buckets", "num_buckets": 4}}], "numbers": ["age"]}),
        {"age": "number"},
    )
    ages = floats([None if place % 4 == 0 else place for place in range(100)])
    features.observe(pa.table({"age": ages}), np.arange(100, dtype=np.uint64))
    features.finish()

    class Train:
        batch_size = 100

        def in_order(self) -> Any:
            yield _to_batch(features.encode(pa.table({"age": ages})), np.ones(100, np.float32))

    drift = InputDrift(features, Train())  # type: ignore[arg-type]
    drift.add(_to_batch(features.encode(pa.table({"age": ages[50:]})), np.ones(50, np.float32)))
    found = drift.report()["inputs"]
    (ranges,), (numbers,) = found["ids"], found["numbers"]
    assert ranges["name"] == numbers["name"] == "age"
    assert ranges["missing"] == numbers["missing"] == 12 / 50 and ranges["missing_in_train"] == numbers["missing_in_train"] == 0.25
    assert numbers["psi"] == pytest.approx(stability_of_numbers(ages, ages[50:]).psi) and ranges["psi"] > 0.5 and "unknown" not in ranges


def test_what_a_page_shows_and_what_it_folds() -> None:
    def number(place: int) -> dict[str, Any]:
        return {"name": f"n{place}", "missing": 0.5, "missing_in_train": 0.125, "psi": 1 - place / 100, "chance": 0.01}

    ids = [{"name": HOSTILE, "unknown": 0.25, "unknown_in_train": 0.0, "psi": 0.15, "chance": 0.01}]
    page = Page(inputs_html({"inputs": {"rows": 5, "train_rows": 9, "ids": ids, "numbers": [number(place) for place in range(12)]}}))
    assert page.open == [] and "script" not in page.tags and HOSTILE in page.text
    assert page.tags.count("details") == 1 and page.tags.count("tr") == 2 + 11 + 3 and "2 more" in page.text
    assert "25.00%" in page.text and "12.50%" in page.text and page.text.count("far") == 12 and page.text.count("yes") == 1
    assert page.text.index("n9") < page.text.index("2 more") < page.text.index("n10")
    assert inputs_html({}) == ""
    assert folded_section("a", ["b"], [["c"]], 1).endswith("</section>") and "details" not in folded_section("a", ["b"], [["c"]], 1)
