"""The curves behind the plots, by hand and against scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics

from mtrec.evaluation.plots import Line, calibration_curve, draw, epoch_lines, roc_curve, style


def test_roc_by_hand() -> None:
    false_rate, true_rate = roc_curve(np.array([0.9, 0.5, 0.5, 0.1]), np.array([True, True, False, False]))
    assert list(zip(false_rate, true_rate, strict=True)) == [(0, 0), (0, 0.5), (0.5, 1), (1, 1)]


def test_thinned_roc_keeps_the_area() -> None:
    random = np.random.default_rng(0)
    positive = random.random(50_000) < 0.02
    scores = (random.normal(size=50_000) + 2 * positive).astype(np.float32)
    false_rate, true_rate = roc_curve(scores, positive)
    assert len(false_rate) <= 300
    assert metrics.auc(false_rate, true_rate) == pytest.approx(metrics.roc_auc_score(positive, scores), abs=1e-3)
    assert (false_rate[-1], true_rate[-1]) == (1, 1)


def test_calibration_bins_hold_equal_counts() -> None:
    scores = np.arange(100) / 100
    means, shares = calibration_curve(scores, scores >= 0.5)
    np.testing.assert_allclose(means, np.arange(10) / 10 + 0.045)
    assert shares.tolist() == [0] * 5 + [1] * 5


def test_calibration_merges_ties() -> None:
    scores = np.array([0.2] * 95 + [0.9] * 5)
    positive = np.arange(100) % 5 == 0
    means, shares = calibration_curve(scores, positive)
    assert means.tolist() == pytest.approx([0.2, 0.9])
    assert shares.tolist() == pytest.approx([0.2, 0.2])


@pytest.mark.parametrize("num_rows", [1, 3, 9])
def test_calibration_of_few_rows(num_rows: int) -> None:
    means, _ = calibration_curve(np.linspace(0.1, 0.9, num_rows), np.ones(num_rows, bool))
    np.testing.assert_allclose(means, np.linspace(0.1, 0.9, num_rows))


def test_epochs_are_means_and_what_is_not_finite_is_left_out() -> None:
    values: list[tuple[str, int, float | None]] = [("train/loss", 1, 4.0), ("train/loss", 0, 1.0), ("train/loss", 1, 2.0), ("train/loss", 2, np.nan)]
    values += [("train/buy/loss", 0, None), ("valid/buy/auc", 0, 0.7), ("train/lr", 0, 0.1)]
    history = [{"step": 0, "epoch": epoch, "name": name, "value": value} for name, epoch, value in values]
    (line,) = epoch_lines(history, "train/", "loss")
    assert (line.name, line.x.tolist(), line.y.tolist()) == ("loss", [0, 1], [1, 3])
    assert [line.name for line in epoch_lines(history, "valid/", "auc")] == ["buy/auc"]


def test_no_two_lines_look_alike() -> None:
    assert len({style(position) for position in range(32)}) == 32


def test_drawing_is_the_same_each_time_and_its_ids_are_its_own() -> None:
    line = Line("$hostile", np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    first = draw([line], "roc", "x", "y", unit_square=True)
    assert first == draw([line], "roc", "x", "y", unit_square=True)
    assert first.startswith("<svg") and first.rstrip().endswith("</svg>")
    assert first.count('id="') == first.count('id="roc-')
    assert "hostile" not in first and "xmlns" not in first and "#010203" not in first
