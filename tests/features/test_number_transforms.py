"""Known answers of the number transforms, by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor
from torch.testing import assert_close

from mtrec.errors import DataError
from mtrec.features.transforms import bounds, log1p, quantile_rank, standard

NAN, INF = float("nan"), float("inf")


def numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def fitted_standard(*values: float, clip: float = 10.0) -> standard.Standard:
    transform = standard.Standard(standard.Config(clip=clip))
    transform.fit(numbers(*values))
    return transform


def fitted_rank(*values: float, num_quantiles: int = 1000) -> quantile_rank.QuantileRank:
    transform = quantile_rank.QuantileRank(quantile_rank.Config(num_quantiles=num_quantiles))
    transform.fit(numbers(*values))
    return transform


def test_standard_is_the_distance_from_the_mean_in_deviations() -> None:
    transform = fitted_standard(2, 4, 4, 4, 5, 5, 7, 9, NAN, INF)  # mean 5, deviation 2
    assert transform(numbers(5, 7, 1)).tolist() == [0.0, 1.0, -2.0]


def test_standard_clips_and_fills_null_with_the_mean() -> None:
    transform = fitted_standard(2, 4, 4, 4, 5, 5, 7, 9, clip=3.0)
    assert transform(numbers(100, -100, NAN, INF, -INF)).tolist() == [3.0, -3.0, 0.0, 0.0, 0.0]


def test_standard_of_a_constant_column_is_zero() -> None:
    assert fitted_standard(0.1, 0.1, 0.1)(numbers(0.1, 7, NAN)).tolist() == [0.0, 0.0, 0.0]


def test_standard_does_not_overflow() -> None:
    transform = fitted_standard(1.7e308, -1.7e308)
    assert_close(transform(numbers(1.7e308, 0.0)), numbers(1.0, 0.0))


def test_log1p_keeps_sign_zero_and_null() -> None:
    found = log1p.Log1p(log1p.Config())(numbers(0, math.e - 1, 1 - math.e, NAN, INF, -INF))
    assert_close(found, numbers(0, 1, -1, NAN, NAN, NAN), equal_nan=True)


def test_bounds_keep_clip_or_forget_what_lies_outside() -> None:
    def found(outside: str) -> Tensor:
        part = bounds.Bounds(bounds.Config.model_validate({"low": -1.0, "high": 2.0, "outside": outside}))
        found: Tensor = part(numbers(-999, -1, 0, 2, 2.5, NAN, INF))
        return found

    assert_close(found("clip"), numbers(-1, -1, 0, 2, 2, NAN, NAN), equal_nan=True)
    for outside in ("null", "error"):
        assert_close(found(outside), numbers(NAN, -1, 0, 2, NAN, NAN, NAN), equal_nan=True)


def test_bounds_refuse_only_when_told_to() -> None:
    values = numbers(-999, 0, 3, NAN, INF)
    refused = {outside: bounds.Bounds(bounds.Config(low=0.0, high=2.0, outside=outside)).num_refused(values) for outside in ("error", "null", "clip")}
    assert refused == {"error": 2, "null": 0, "clip": 0}


def test_rank_counts_ties_half() -> None:
    transform = fitted_rank(0, 0, 0, 0, 0, 0, 1, 1, 2, 5)  # six zeros of ten: (0 + 6) / 20
    assert transform(numbers(0, 1, 2, 5)).tolist() == [0.3, 0.7, 0.85, 0.95]


def test_rank_is_linear_between_knots_and_flat_outside() -> None:
    transform = fitted_rank(0, 0, 0, 0, 0, 0, 1, 1, 2, 5)
    assert_close(transform(numbers(0.5, 3, -4, 99)), numbers(0.5, 0.85 + 0.1 / 3, 0.3, 0.95))


def test_rank_of_null_is_minus_one() -> None:
    assert fitted_rank(1, 2, NAN)(numbers(NAN, INF, -INF)).tolist() == [-1.0, -1.0, -1.0]


def test_rank_of_a_constant_column_is_a_half() -> None:
    assert fitted_rank(7, 7, 7)(numbers(7, 6, 8)).tolist() == [0.5, 0.5, 0.5]


def test_rank_does_not_overflow() -> None:
    assert_close(fitted_rank(-1.7e308, 1.7e308)(numbers(0.0)), numbers(0.5))


@pytest.mark.parametrize("share_of_zeros", [0.0, 0.3, 0.95])
def test_rank_from_few_knots_is_near_the_exact_rank(share_of_zeros: float) -> None:
    generator = np.random.default_rng(0)
    values = np.where(generator.random(20_000) < share_of_zeros, 0.0, generator.lognormal(sigma=3, size=20_000))
    transform = fitted_rank(*values, num_quantiles=100)
    assert len(transform.knots) <= 100
    ordered = np.sort(values)
    exact = (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")) / (2 * len(values))
    assert np.abs(transform(torch.tensor(values)).numpy() - exact).max() < 1 / 49


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=30))
def test_rank_is_exact_at_train_values(values: list[float]) -> None:
    found = fitted_rank(*values)(numbers(*values))
    exact = [(sum(other < value for other in values) + sum(other <= value for other in values)) / (2 * len(values)) for value in values]
    assert_close(found, numbers(*exact), rtol=0, atol=1e-12)


@pytest.mark.parametrize("values", [[], [NAN, INF]])
def test_fit_on_nothing_says_which_and_what_to_do(values: list[float]) -> None:
    with pytest.raises(DataError, match=r"Standard has no value to be fitted on.*Drop the feature"):
        fitted_standard(*values)


def test_options_are_checked() -> None:
    with pytest.raises(ValidationError):
        standard.Config(clip=0.0)
    with pytest.raises(ValidationError):
        quantile_rank.Config(num_quantiles=3)
