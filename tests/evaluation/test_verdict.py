import math

import pytest

from mtrec.evaluation.verdict import mean_and_interval, verdict, verdicts


def test_the_interval_is_that_of_the_book() -> None:
    """Of 1, 2, 3: mean 2, deviation 1, t(2 degrees, 97.5 %) = 4.302653."""
    found = mean_and_interval([1.0, 2.0, 3.0])
    assert found == pytest.approx((2.0, 2 - 4.302653 / math.sqrt(3), 2 + 4.302653 / math.sqrt(3)), rel=1e-6)
    assert mean_and_interval([1.0]) is None and mean_and_interval([2.0, 2.0, 2.0]) is None


@pytest.mark.parametrize(
    ("gains", "word"),
    [
        ([0.010, 0.011, 0.012], "helped"),
        ([-0.010, -0.011, -0.012], "hurt"),
        ([-0.030, -0.001, -0.002], "no evidence"),  # every seed is worse, and the interval still holds 0
        ([-0.01, -0.01, -0.01], "no evidence"),  # no interval, no claim
    ],
)
def test_a_claim_needs_the_whole_interval(gains: list[float], word: str) -> None:
    found = verdict(gains)
    assert found["verdict"] == word and found["gain"] == pytest.approx(sum(gains) / 3)
    if "low" in found:
        assert (found["high"] < 0) is (word == "hurt") and (found["low"] > 0) is (word == "helped")


def part(**values: float | None) -> dict[str, dict[str, object]]:
    """The `tasks` part of a report."""
    kinds = {"buy": ("binary", "auc"), "seconds": ("regression", "rmse")}
    return {
        task: {"kind": kinds[task][0], kinds[task][1]: {"value": value} if value is not None else {"value": None, "reason": "one class"}}
        for task, value in values.items()
    }


def test_lower_rmse_is_a_gain_and_pairs_are_by_seed() -> None:
    together = [part(buy=0.70, seconds=2.0), part(buy=0.72, seconds=3.0), part(buy=0.74, seconds=4.0)]
    alone = {
        "buy": [part(buy=0.71), part(buy=0.7301), part(buy=0.7499)],
        "seconds": [part(seconds=2.10), part(seconds=3.11), part(seconds=4.09)],
    }
    found = verdicts(together, alone)
    assert found["buy"]["verdict"] == "hurt" and found["buy"]["gain"] == pytest.approx(-0.01)
    assert found["seconds"]["verdict"] == "helped" and found["seconds"]["gain"] == pytest.approx(0.10)
    assert found["seconds"]["metric"] == "rmse" and found["buy"]["alone"] == [0.71, 0.7301, 0.7499]


def test_what_is_undefined_in_a_seed_is_no_evidence() -> None:
    together = [part(buy=0.7), part(buy=None), part(buy=0.7)]
    found = verdicts(together, {"buy": [part(buy=0.6), part(buy=0.5), part(buy=0.6)]})["buy"]
    assert (found["gain"], found["reason"], found["verdict"]) == (None, "one class", "no evidence")
