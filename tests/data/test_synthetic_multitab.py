"""MultiTab: weights, moments and correlations against their closed forms, and what is refused."""

import math

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score

from mtrec.data.synthetic_blocks import BLOCK
from mtrec.data.synthetic_multitab import MultiTab
from mtrec.data.synthetic_normal import normal_moment, polynomial
from mtrec.errors import ConfigError

NUM_ROWS = 300_000


def table(generator: MultiTab, num_rows: int = NUM_ROWS, truth: bool = True, rows_per_table: int = 100_000) -> pl.DataFrame:
    frame = pl.from_arrow(pa.concat_tables(generator.stream(num_rows, rows_per_table, truth)))
    assert isinstance(frame, pl.DataFrame)
    return frame


def matrix(frame: pl.DataFrame, name: str) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return frame.select(f"^{name}[0-9]+$").to_numpy().astype(np.float64)


@pytest.mark.parametrize("correlation", [-1 / 6, 0.0, 0.4, 1.0])
def test_cosines_of_weights_are_the_correlations(correlation: float) -> None:
    weights = MultiTab(correlation=correlation).weights
    np.testing.assert_allclose(weights @ weights.T, np.where(np.eye(7) > 0, 1.0, correlation), atol=1e-14)


def test_moments_of_degrees_one_to_four() -> None:
    generator = MultiTab(degrees=(1, 2, 3, 4), noise=0.0)
    np.testing.assert_allclose(generator.means, [0, 1, 1, 4])
    np.testing.assert_allclose(generator.deviations, [1, math.sqrt(3), math.sqrt(24), 12])
    expected = {(0, 2): 0.327, (0, 1): 0.231, (0, 3): 0.133, (1, 2): 0.226, (2, 3): 0.154}
    for (one, other), value in expected.items():
        assert generator.correlations[one, other] == pytest.approx(value, abs=5e-4)
    assert MultiTab(noise=0.0).correlations[1, 3] == pytest.approx(0.296, abs=5e-4)  # both of degree 3


def test_moments_of_two_normal_numbers() -> None:
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    weights /= weights.sum()
    u, own = np.meshgrid(nodes, nodes)
    for rho in (-0.7, 0.0, 0.4, 1.0):
        v = rho * u + math.sqrt(1 - rho**2) * own
        for a in range(5):
            for b in range(5):
                assert normal_moment(a, b, rho) == pytest.approx(float((np.outer(weights, weights) * u**a * v**b).sum()), abs=1e-9)


def test_labels_have_the_moments_and_follow_the_equation() -> None:
    generator = MultiTab(labels="raw", noise=0.1)
    frame = table(generator)
    y, x = matrix(frame, "y"), matrix(frame, "x")
    z = x @ generator.weights.T
    signal = np.stack([sum(z[:, task] ** k for k in range(1, degree + 1)) for task, degree in enumerate(generator.degrees)], axis=1)
    np.testing.assert_allclose(matrix(frame, "truth_y"), signal, rtol=1e-9, atol=1e-9)
    noise = (y - signal)[:, 0]
    assert noise.mean() == pytest.approx(0, abs=4 * 0.1 / math.sqrt(NUM_ROWS)) and noise.std() == pytest.approx(0.1, rel=0.01)
    np.testing.assert_allclose(y.mean(0), generator.means, atol=5 * generator.deviations.max() / math.sqrt(NUM_ROWS))
    np.testing.assert_allclose(np.corrcoef(y.T), generator.correlations, atol=0.02)  # heavy tails
    np.testing.assert_allclose(np.cov(x.T), np.eye(32), atol=0.01)


def test_standard_labels_have_mean_0_and_deviation_1() -> None:
    y = matrix(table(MultiTab()), "y")
    np.testing.assert_allclose(y.mean(0), 0, atol=0.01)
    np.testing.assert_allclose(y.std(0), 1, atol=0.05)


@pytest.mark.parametrize("labels", ["threshold", "bernoulli"])
@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_binary_labels_have_their_rate_and_their_probability(labels: str, noise: float) -> None:
    generator = MultiTab(labels=labels, noise=noise, rate=0.2)  # type: ignore[arg-type]
    frame = table(generator, 200_000)
    y, truth = matrix(frame, "y"), matrix(frame, "truth_y")
    np.testing.assert_allclose(y.mean(0), 0.2, atol=0.006)
    for task in range(7):
        for low in np.arange(0, 1, 0.2):
            within = (truth[:, task] >= low) & (truth[:, task] <= low + 0.2)
            if within.sum() > 1000:
                assert y[within, task].mean() == pytest.approx(truth[within, task].mean(), abs=0.02)
        best = roc_auc_score(y[:, task], truth[:, task])
        assert best == 1.0 if labels == "threshold" and noise == 0 else 0.8 < best < 1
        assert best > roc_auc_score(y[:, task], matrix(frame, "x") @ generator.weights[task]) - 1e-3


def test_the_cut_changes_nothing_and_a_short_log_is_the_beginning_of_a_long_one() -> None:
    generator, num_rows = MultiTab(seed=3), BLOCK + 4321
    whole = table(generator, num_rows)
    for rows_per_table in (1000, 50_001, 10**6):
        sizes = [each.num_rows for each in generator.stream(num_rows, rows_per_table)]
        assert sizes[:-1] == [rows_per_table] * (len(sizes) - 1) and sum(sizes) == num_rows
        assert table(MultiTab(seed=3), num_rows, rows_per_table=rows_per_table).equals(whole)
    assert table(generator, 1000).drop("split").equals(whole.head(1000).drop("split"))
    assert not table(MultiTab(seed=4), 1000).drop("row_id", "split").equals(whole.head(1000).drop("row_id", "split"))


def test_splits_are_held_out_draws_with_the_same_weights() -> None:
    frame = table(MultiTab(), 100_000)
    assert frame["split"].to_list() == ["train"] * 80_000 + ["valid"] * 10_000 + ["test"] * 10_000
    assert frame["row_id"].to_list() == list(range(100_000))
    assert frame.select("^x[0-9]+$").is_unique().all()
    train, test = (frame.filter(pl.col("split") == name) for name in ("train", "test"))
    found = np.linalg.lstsq(matrix(train, "x"), matrix(train, "y")[:, 0], rcond=None)[0]
    assert np.corrcoef(matrix(test, "x") @ found, matrix(test, "y")[:, 0])[0, 1] > 0.999


@pytest.mark.parametrize(
    "options",
    [
        *({"num_features": 6}, {"correlation": -0.3}, {"correlation": 1.01}, {"correlation": math.nan}),
        *({"degrees": ()}, {"degrees": (1, 0)}, {"rate": 0.0}, {"rate": 1.0}, {"noise": -0.1}, {"noise": math.nan}),
    ],
)
def test_what_is_impossible_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        MultiTab(**options)  # type: ignore[arg-type]


def test_one_task_is_allowed() -> None:
    assert MultiTab(degrees=(2,), correlation=-1.0).correlations.shape == (1, 1)


def test_polynomials() -> None:
    np.testing.assert_array_equal(polynomial(np.array([0.0, 1.0, 2.0]), 3), [0, 3, 14])
