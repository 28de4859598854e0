from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from mtrec.errors import DataError, TrainingError


def test_scores_stand_in_the_order_of_the_log_and_the_mode_is_kept(loaded: Any) -> None:
    from mtrec.training.scoring import score

    loaded.model.train()
    scores = score(loaded.model, loaded.prepared.reader("test", 64))
    assert loaded.model.training
    loaded.model.eval()
    assert scores.row.tolist() == list(range(1250, 1500))
    whole = score(loaded.model, loaded.prepared.reader("test", 1000))
    assert np.abs(whole.predictions - scores.predictions).max() < 1e-5 * np.abs(whole.predictions).max()
    assert not scores.mask[scores.labels[:, 0] == 0, 1].any()  # buy is judged where there was a click


def test_prepared_rows_and_raw_rows_have_one_score(tiny: Any, loaded: Any) -> None:
    from mtrec.training.scoring import score, score_table

    table = pq.read_table(tiny.log).slice(1250)
    raw = loaded.model.outputs.conditional(score_table(loaded.model, loaded.features, table)).numpy()
    assert np.array_equal(raw, score(loaded.model, loaded.prepared.reader("test", 1000)).predictions)


def test_a_table_is_scored_in_slices(tiny: Any, loaded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from mtrec.training import scoring

    table = pq.read_table(tiny.log).slice(0, 100)
    whole = scoring.score_table(loaded.model, loaded.features, table)
    monkeypatch.setattr(scoring, "SCORING_ROWS", 33)
    torch.testing.assert_close(scoring.score_table(loaded.model, loaded.features, table), whole)


def test_no_rows(tiny: Any, loaded: Any, tmp_path: Any) -> None:
    from mtrec.data.reader import Reader
    from mtrec.training.scoring import score, score_table

    assert score_table(loaded.model, loaded.features, pq.read_table(tiny.log).slice(0, 0)).shape == (0, 3)
    none = score(loaded.model, Reader(tmp_path / "a split without rows has no file", 10))
    assert none.predictions.shape == (0, 3) and none.mask.dtype == np.bool_ and len(none.weight) == 0


def test_scores_that_are_not_finite_are_refused_and_the_mode_is_kept(loaded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from mtrec.training.scoring import score

    loaded.model.train()
    monkeypatch.setattr(loaded.model.ranker, "forward", lambda features: torch.full((len(features.flat), 3), torch.nan))
    with pytest.raises(TrainingError, match=r"test.parquet, row 0"):
        score(loaded.model, loaded.prepared.reader("test", 64))
    assert loaded.model.training
    loaded.model.eval()


def test_a_log_without_rows_cannot_be_judged(tiny: Any, loaded: Any, tmp_path: Any) -> None:
    from mtrec.data.log import LogFiles
    from mtrec.training.scoring import score_log

    pq.write_table(pq.read_table(tiny.log).slice(0, 0), tmp_path / "empty.parquet")
    log = LogFiles(str(tmp_path / "empty.parquet"), [*loaded.features.input_columns, "is_click", "is_buy", "play_seconds"])
    with pytest.raises(DataError, match="empty.parquet"):
        score_log(loaded.model, loaded.features, log, loaded.config.tasks, loaded.config.log.roles)


def test_null_inputs_have_scores(tiny: Any, loaded: Any) -> None:
    from mtrec.training.scoring import score_table

    table = pq.read_table(tiny.log).slice(0, 3)
    nothing = pa.table({field.name: pa.nulls(3, field.type) for field in table.schema})
    assert score_table(loaded.model, loaded.features, nothing).isfinite().all()
