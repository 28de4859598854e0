"""Calibrated tasks and the fused score among what is served."""

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from mtrec.model.calibration import Isotonic, Platt, probability_between
from mtrec.model.outputs import Outputs
from mtrec.schema import Label, Task
from mtrec.testing.architecture_export import quiet_script

TASKS = {
    "click": Task(label=Label(column="click"), positive_weight=5.0),
    "buy": Task(label=Label(column="buy"), given="click"),
    "keep": Task(label=Label(column="keep"), given="buy"),
    "spend": Task(label=Label(column="spend"), kind="regression", given="buy"),
}
MEAN, SCALE = [0.0, 0.0, 0.0, 10.0], [1.0, 1.0, 1.0, 4.0]
LOGITS = torch.randn(60, 4, generator=torch.Generator().manual_seed(0)) * 3
PLATT, KNOTS = Platt(0.7, -1.5), Isotonic([-3.0, -1.0, 0.5, 4.0], [0.05, 0.1, 0.6, 0.9])


def calibrated(score: dict[str, float] | None = None) -> Outputs:
    outputs = Outputs(TASKS, MEAN, SCALE, score)
    outputs.calibrate({0: PLATT, 1: KNOTS})
    return outputs


def test_closed_forms_and_joints_of_what_is_calibrated() -> None:
    served = calibrated()(LOGITS)
    z = LOGITS.double().numpy()
    click = 1 / (1 + np.exp(-(0.7 * (z[:, 0] - math.log(5.0)) - 1.5)))
    buy = np.interp(z[:, 1], *KNOTS)
    keep = 1 / (1 + np.exp(-z[:, 2]))
    spend = 10.0 + 4.0 * z[:, 3]
    expected = {"click": click, "buy.conditional": buy, "buy.joint": buy * click, "keep.conditional": keep, "keep.joint": keep * buy * click}
    expected |= {"spend.conditional": spend, "spend.joint": spend * buy * click}
    assert list(served) == list(expected)
    for name, values in expected.items():
        assert_close(served[name].double(), torch.from_numpy(values), rtol=3e-6, atol=3e-7)


def test_what_is_judged_is_calibrated_and_what_it_was_before_is_kept() -> None:
    outputs, plain = calibrated(), Outputs(TASKS, MEAN, SCALE)
    served = outputs(LOGITS)
    own = [served[name] for name in ("click", "buy.conditional", "keep.conditional", "spend.conditional")]
    assert torch.equal(outputs.conditional(LOGITS), torch.stack(own, dim=1))
    assert torch.equal(outputs.uncalibrated(LOGITS), plain.conditional(LOGITS))
    assert torch.equal(plain.uncalibrated(LOGITS), plain.conditional(LOGITS))


def test_platts_map_keeps_every_rank() -> None:
    logits = torch.linspace(-6, 6, 4001).reshape(-1, 1).expand(-1, 4)
    before, after = (outputs.conditional(logits)[:, 0] for outputs in (Outputs(TASKS, MEAN, SCALE), calibrated()))
    assert (before.diff() > 0).all() and (after.diff() > 0).all()


def test_the_line_never_falls_and_ends_are_flat() -> None:
    random = np.random.default_rng(0)
    logits, probabilities = np.sort(random.normal(size=40)), np.sort(random.random(40))
    z = torch.linspace(-5, 5, 200_001)
    found = probability_between(z, torch.tensor(logits).float(), torch.tensor(probabilities).float())
    assert (found.diff() >= 0).all()
    assert found[0] == np.float32(probabilities[0]) and found[-1] == np.float32(probabilities[-1])
    np.testing.assert_allclose(found, np.interp(z.double(), logits, probabilities), atol=2e-4)  # Knots may lie some 1e-3 apart.
    at_knots = probability_between(torch.tensor(logits).float(), torch.tensor(logits).float(), torch.tensor(probabilities).float())
    np.testing.assert_allclose(at_knots, probabilities, atol=1e-7)


def test_the_score_is_the_weighted_sum_of_what_is_served() -> None:
    score = {"click": 1.0, "keep.joint": 4.0, "spend.conditional": -0.25}
    served = calibrated(score)(LOGITS)
    assert list(served)[-1] == "score" and list(served)[:-1] == list(calibrated()(LOGITS))
    expected = sum(weight * served[name].double() for name, weight in score.items())
    assert_close(served["score"].double(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("score", [{}, {"buy.joint": 3.0, "click": 1.0}])
def test_the_script_is_bitwise_equal(score: dict[str, float]) -> None:
    outputs = calibrated(score).eval()
    with quiet_script():
        frozen = torch.jit.freeze(torch.jit.script(outputs), optimize_numerics=False)
    for logits in (LOGITS, LOGITS[:1], LOGITS[:0]):
        for _ in range(3):
            served = frozen(logits)
        assert list(served) == list(outputs(logits))
        assert all(torch.equal(served[name], values) for name, values in outputs(logits).items())
