"""Maps that calibrate: what is known of them in closed form, by other libraries, and where there is none."""

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from mtrec.model.calibration import Isotonic, Platt
from mtrec.training.calibration import FEWEST, NEAREST, STEEPEST, fit, fit_isotonic, fit_platt


def generated(num_rows: int, slope: float = 1.0, offset: float = 0.0, steps: int | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits, on a grid with `steps`; labels of sigmoid(slope z + offset); weights."""
    random = np.random.default_rng(1)
    z = random.normal(size=num_rows) * 2 - 1 if steps is None else random.integers(0, steps, num_rows) * 0.5 - 3
    return z, random.random(num_rows) < expit(slope * z + offset), random.random(num_rows) + 0.5


@pytest.mark.parametrize(("slope", "offset"), [(1.0, 0.0), (0.4, -2.0), (2.5, 1.0)])
def test_platt_recovers_what_the_data_was_made_with(slope: float, offset: float) -> None:
    z, positive, _ = generated(40_000, slope, offset)
    found = fit_platt(z, positive, np.ones(len(z)))
    assert isinstance(found, Platt)
    # The standard errors of both, from the Fisher information.
    p = expit(slope * z + offset)
    design = np.stack([z, np.ones(len(z))])
    errors = np.sqrt(np.diag(np.linalg.inv((design * p * (1 - p)) @ design.T)))
    assert abs(found.slope - slope) < 4 * errors[0] and abs(found.offset - offset) < 4 * errors[1]


def test_platt_is_logistic_regression_with_weights() -> None:
    z, positive, weight = generated(3000, 0.6, -1.0)
    found = fit_platt(z, positive, weight)
    other = LogisticRegression(C=np.inf, tol=1e-12, max_iter=1000).fit(z[:, None], positive, sample_weight=weight)
    assert isinstance(found, Platt)
    np.testing.assert_allclose([found.slope, found.offset], [other.coef_[0, 0], other.intercept_[0]], rtol=1e-5)


def test_platt_of_two_scores_has_a_closed_form() -> None:
    z = np.repeat([-1.0, 2.0], [100, 50])
    positive = np.concatenate([np.arange(100) < 10, np.arange(50) < 30])
    found = fit_platt(z, positive, np.ones(150))
    assert isinstance(found, Platt)
    slope = (logit(0.6) - logit(0.1)) / 3
    np.testing.assert_allclose([found.slope, found.offset], [slope, logit(0.1) + slope], rtol=1e-8)


def test_a_weight_counts_as_so_many_rows() -> None:
    z, positive, _ = generated(2000, steps=12)
    times = np.random.default_rng(2).integers(0, 4, len(z))
    for kind in ("platt", "isotonic"):
        weighted = fit(kind, z, positive.astype(np.float32), times.astype(np.float32))
        repeated = fit(kind, np.repeat(z, times), np.repeat(positive, times).astype(np.float32), np.ones(times.sum()))
        for one, other in zip(weighted, repeated, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-7)


def test_the_blocks_are_those_of_scikit_learn() -> None:
    z, positive, weight = generated(4000, steps=14)
    found = fit_isotonic(z, positive, weight)
    assert isinstance(found, Isotonic)
    sklearn = IsotonicRegression(y_min=0, y_max=1).fit(z, positive, sample_weight=weight)
    of_row = sklearn.predict(z).round(9)
    values = np.unique(of_row)
    assert 4 < len(values) <= 14
    np.testing.assert_allclose(found.probabilities, values, rtol=1e-7)
    centres = [np.average(z[of_row == value], weights=weight[of_row == value]) for value in values]
    np.testing.assert_allclose(found.logits, centres, rtol=1e-7)


def test_the_blocks_are_the_greatest_of_the_least_means() -> None:
    """p_i = max over a <= i of the min over b >= i of the mean of rows a to b."""
    random = np.random.default_rng(3)
    z = np.arange(30) * 2.0
    positive = random.random(30) < expit((z - 30) / 15)
    found = fit_isotonic(z, positive, np.ones(30))
    assert isinstance(found, Isotonic)
    means = [max(min(positive[a : b + 1].mean() for b in range(i, 30)) for a in range(i + 1)) for i in range(30)]
    np.testing.assert_allclose(found.probabilities, np.unique(np.clip(np.round(means, 12), 1 / 32, 31 / 32)), rtol=1e-9)


def test_many_rows_give_the_curve_that_made_them_and_a_log_loss_near_the_best() -> None:
    z, positive, _ = generated(60_000, 1.6, 0.5)
    found = fit_isotonic(z, positive, np.ones(len(z)))
    assert isinstance(found, Isotonic)
    truth, line = expit(1.6 * z + 0.5), np.interp(z, *found)
    assert np.abs(line - truth).mean() < 0.01

    def loss(p: np.ndarray) -> float:
        return float(-np.where(positive, np.log(p), np.log1p(-p)).mean())

    assert loss(line) < loss(truth) < loss(expit(z))
    assert (np.diff(found.probabilities) > 0).all() and (np.diff(found.logits) >= NEAREST).all()
    assert (np.diff(found.probabilities) <= STEEPEST * np.diff(found.logits) * (1 + 1e-9)).all()
    # No share lies nearer to 0 or 1 than so many rows can tell.
    assert found.probabilities[0] >= 1 / (len(z) + 2) and found.probabilities[-1] <= 1 - 1 / (len(z) + 2)


def test_a_step_becomes_a_slope() -> None:
    z = np.concatenate([np.linspace(-2, -1e-6, 300), np.linspace(1e-6, 2, 300)])
    positive = np.arange(600) % 10 < np.where(z < 0, 2, 7)
    found = fit_isotonic(z, positive, np.ones(600))
    assert isinstance(found, Isotonic)
    assert max(np.diff(found.probabilities) / np.diff(found.logits)) <= STEEPEST
    assert np.interp(-2, *found) == pytest.approx(0.2, abs=0.03) and np.interp(2, *found) == pytest.approx(0.7, abs=0.03)


@pytest.mark.parametrize("kind", ["platt", "isotonic"])
def test_where_there_is_no_map_there_is_a_reason(kind: str) -> None:
    z, positive, weight = generated(4000)

    def reason(z: np.ndarray, labels: np.ndarray, weight: np.ndarray) -> str:
        found = fit(kind, z, labels.astype(np.float32), weight)
        assert isinstance(found, str)
        return found

    assert f"needs {FEWEST[kind]} of each" in reason(z, np.zeros(4000), weight)
    assert "0 rows" in reason(z[:0], positive[:0], weight[:0])
    assert "0 rows" in reason(z, positive, np.zeros(4000))
    few = np.flatnonzero(positive)[: FEWEST[kind] - 1]
    assert f"{FEWEST[kind] - 1} rows" in reason(z, np.isin(np.arange(4000), few), weight)
    assert reason(-z, positive, weight) in ("the scores order the rows backwards", "the share of positives does not rise with the score")
    assert reason(np.ones(4000), positive, weight) in ("all rows have one score", "the share of positives does not rise with the score")


def test_platt_refuses_what_no_finite_slope_fits() -> None:
    z, _, weight = generated(4000)
    assert "no finite slope" in str(fit("platt", z, z > 0, weight)) and "backwards" in str(fit("platt", z, z < 0, weight))
