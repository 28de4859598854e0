from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from mtrec.errors import BundleError, ConfigError, DataError


@pytest.fixture(scope="module")
def recommender(tiny: Any, trained: Any) -> Any:
    from mtrec import Recommender

    return Recommender.from_config(tiny.file("trained"), ["training.early_stopping=null"]).fit()


def test_predict_is_that_of_the_command_line(tiny: Any, recommender: Any, trained: Any, tmp_path: Path) -> None:
    from mtrec.jobs.predict import predict

    predict(trained.path, str(tiny.log), tmp_path / "out.parquet")
    written = pq.read_table(tmp_path / "out.parquet").drop_columns(["row_id"]).to_pandas()
    pd.testing.assert_frame_equal(recommender.predict(pq.read_table(tiny.log)), written)


def test_a_frame_keeps_its_index_and_its_scores(tiny: Any, recommender: Any) -> None:
    table = pq.read_table(tiny.log).slice(0, 50)
    frame = table.to_pandas().set_index(pd.Index([f"row {i}" for i in range(50)], name="mine"))
    scores = recommender.predict(frame)
    assert scores.index.equals(frame.index) and scores.index.name == "mine"
    pd.testing.assert_frame_equal(scores.reset_index(drop=True), recommender.predict(table))
    shuffled = frame.sample(frac=1.0, random_state=0)
    pd.testing.assert_frame_equal(recommender.predict(shuffled).loc[frame.index], scores)


def test_columns_that_are_not_read_may_hold_anything(tiny: Any, recommender: Any) -> None:
    frame = pq.read_table(tiny.log).slice(0, 3).to_pandas()
    frame["junk"] = [1, "two", object()]
    assert len(recommender.predict(frame)) == 3


def test_what_does_not_fit_is_named(tiny: Any, recommender: Any) -> None:
    frame = pq.read_table(tiny.log).slice(0, 3).to_pandas()
    with pytest.raises(DataError, match="price"):
        recommender.predict(frame.drop(columns="price"))
    with pytest.raises(DataError, match="price"):
        recommender.predict(frame.assign(price=[1.0, "two", None]))


def test_an_id_that_pandas_made_a_float_is_that_id(tiny: Any, recommender: Any) -> None:
    """A null turns a column of whole numbers into floats in pandas."""
    table = pq.read_table(tiny.log).slice(0, 20)
    frame = table.to_pandas()
    holed = frame.assign(item_id=frame["item_id"].astype(float).mask(frame.index == 4))
    expected = recommender.predict(frame)
    found = recommender.predict(holed)
    same = frame.index != 4
    pd.testing.assert_frame_equal(found[same], expected[same])
    assert not np.allclose(found.loc[4], expected.loc[4])
    for wrong in (0.5, 2.0**60):
        with pytest.raises(DataError, match="item_id"):
            recommender.predict(frame.assign(item_id=wrong))


def test_no_rows_have_no_scores(tiny: Any, recommender: Any) -> None:
    none = recommender.predict(pq.read_table(tiny.log).slice(0, 0).to_pandas())
    assert list(none.columns) == ["click", "buy.conditional", "buy.joint", "seconds"] and len(none) == 0


def test_evaluate_and_export(tiny: Any, recommender: Any, tmp_path: Path) -> None:
    from mtrec import load_artifact

    report = recommender.evaluate()
    assert recommender.evaluate("valid")["split"] == "valid"
    assert recommender.evaluate() == report
    with pytest.raises(ConfigError):
        recommender.evaluate("none")
    path = recommender.export(tmp_path / "artifact")
    frame = pq.read_table(tiny.log).slice(0, 40).to_pandas()
    served = load_artifact(path).predict(frame)
    np.testing.assert_allclose(served.to_numpy(), recommender.predict(frame)[list(served.columns)].to_numpy(), rtol=1e-5, atol=1e-6)


def test_two_in_one_process_do_not_disturb_each_other(tiny: Any, recommender: Any) -> None:
    from mtrec import Recommender

    rows = pq.read_table(tiny.log).slice(0, 10)
    before = recommender.predict(rows)
    other = Recommender(tiny.config("second", "seed=5", "training.epochs=1")).fit()
    assert not np.allclose(other.predict(rows), before)
    pd.testing.assert_frame_equal(recommender.predict(rows), before)
    again = Recommender(tiny.config("second-again", "seed=5", "training.epochs=1")).fit()
    pd.testing.assert_frame_equal(again.predict(rows), other.predict(rows))


def test_before_it_is_fitted(tiny: Any) -> None:
    from mtrec import Recommender

    with pytest.raises(BundleError, match="no run here"):
        Recommender(tiny.config("unfitted")).predict(pq.read_table(tiny.log))
