import numpy as np
import pytest
from scipy.stats import binomtest

from mtrec.evaluation.reliability import reliability, wilson
from mtrec.evaluation.rows import JudgedRows


@pytest.mark.parametrize(("positives", "count"), [(0, 12), (3, 12), (12, 12), (400, 1000)])
def test_the_interval_is_wilsons(positives: int, count: int) -> None:
    expected = binomtest(positives, count).proportion_ci(method="wilson")
    assert wilson(positives / count, count) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_bins_of_equal_count_by_hand() -> None:
    predictions = np.arange(40) / 40
    labels = (np.arange(40) % 4 < np.arange(40) // 10).astype(np.float32)
    bins = reliability(JudgedRows(predictions[::-1], labels[::-1]), num_bins=4)
    assert [each["rows"] for each in bins] == [10] * 4
    for place, each in enumerate(bins):
        mine = slice(10 * place, 10 * place + 10)
        assert each["predicted"] == pytest.approx(predictions[mine].mean()) and each["share"] == pytest.approx(labels[mine].mean())
        assert (each["low"], each["high"]) == pytest.approx(wilson(labels[mine].mean(), 10))


def test_rows_of_one_weight_count_as_rows_and_others_as_fewer() -> None:
    random = np.random.default_rng(0)
    predictions, labels = random.random(500), (random.random(500) < 0.3).astype(np.float32)
    plain, thrice = (reliability(JudgedRows(predictions, labels, weights)) for weights in (None, np.full(500, 3.0)))
    assert [list(each.values()) for each in plain] == [pytest.approx(list(each.values())) for each in thrice]
    uneven = reliability(JudgedRows(predictions, labels, np.where(np.arange(500) % 2, 1.0, 9.0)))
    assert np.mean([each["high"] - each["low"] for each in uneven]) > 1.1 * np.mean([each["high"] - each["low"] for each in plain])


def test_nothing_to_bin() -> None:
    nothing = np.zeros(0, dtype=np.float32)
    assert reliability(JudgedRows(nothing, nothing)) == []
    assert reliability(JudgedRows(np.ones(3), np.ones(3), np.zeros(3))) == []
    assert [each["rows"] for each in reliability(JudgedRows(np.full(7, 0.5), np.ones(7)))] == [7]
