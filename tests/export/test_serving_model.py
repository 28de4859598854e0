"""The serving model computes what the equations say, and refuses tables and requests that do not fit."""

import pyarrow as pa
import pytest
import torch

from mtrec.errors import BundleError
from mtrec.export.serving_model import ServingModel
from mtrec.request import Input, Request, Rows
from mtrec.types import IdField
from tests.export.small_model import WIDTH, SmallModel, make_log, small_model


@pytest.fixture(scope="module")
def model() -> SmallModel:
    return small_model()


def serving(model: SmallModel) -> ServingModel:
    return ServingModel(*model).eval()


def request_of(model: SmallModel, rows: pa.Table) -> Request:
    return Rows(rows, [Input(each["column"], each["kind"], each.get("aligned_to")) for each in model.feature_set.signature()]).request()


def test_scores_are_those_of_the_equations(model: SmallModel) -> None:
    rows = make_log(100, seed=2)
    expected = model.reference(rows)
    scores = serving(model)(*request_of(model, rows))
    assert list(scores) == list(expected) == ["click", "buy.conditional", "buy.joint", "seconds"]
    for name, values in scores.items():
        size = 120.0 if name == "seconds" else 1.0
        assert torch.allclose(values.double(), torch.tensor(expected[name]), rtol=0, atol=1e-6 * size), name
        assert values.dtype == torch.float32


def test_no_rows_give_no_scores(model: SmallModel) -> None:
    for values in serving(model)(*request_of(model, make_log(0))).values():
        assert values.shape == (0,)


def test_rows_without_any_value_are_scored_alike(model: SmallModel) -> None:
    rows = pa.table({name: pa.nulls(3, column.type) for name, column in zip(make_log(1).schema.names, make_log(1).columns, strict=True)})
    for values in serving(model)(*request_of(model, rows)).values():
        assert values.isfinite().all() and torch.equal(values, values[:1].expand(3))


def test_fields_of_a_table_share_one_weight(model: SmallModel) -> None:
    assert [field.name for field in model.fields if field.table == "item_id"] == ["item_id", "seen"]
    assert len(list(serving(model).tables)) == len(model.tables) == len(model.fields) - 1


def test_a_batch_of_uneven_columns_names_the_column(model: SmallModel) -> None:
    numbers, ids, strings = request_of(model, make_log(6))
    uneven = {**ids, "user_id": (ids["user_id"][0], torch.cat([ids["user_id"][1], torch.zeros(1, dtype=torch.int64)]))}
    with pytest.raises(ValueError, match="`user_id` has 7 lengths, but the batch has 6 rows"):
        serving(model)(numbers, uneven, strings)
    with pytest.raises(ValueError, match="`age` has 5 rows"):
        serving(model)({**numbers, "age": numbers["age"][:5]}, ids, strings)


def test_all_faults_of_the_tables_are_named(model: SmallModel) -> None:
    tables = {**model.tables, "user_id": torch.zeros(2, WIDTH), "country": torch.zeros(100, WIDTH + 1), "url": torch.full((50, WIDTH), torch.nan)}
    del tables["tags"]
    with pytest.raises(BundleError) as caught:
        ServingModel(model.feature_set, model.fields, tables, model.ranker, model.outputs)
    for part in ("`user_id` is torch.float32 [2, 4]", "`tags` is missing", "widths [4, 5]", "`url` holds values that are not finite"):
        assert part in str(caught.value)


def test_fields_of_a_table_must_be_neighbours(model: SmallModel) -> None:
    fields = [IdField("a", "one", 2), IdField("b", "two", 2), IdField("c", "one", 2)]
    with pytest.raises(BundleError, match="the fields of `one` do not stand side by side"):
        ServingModel(model.feature_set, fields, {"one": torch.zeros(2, 2), "two": torch.zeros(2, 2)}, model.ranker, model.outputs)
