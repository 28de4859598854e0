"""Probabilities of tasks whose positives counted more in the loss."""

import pytest
import torch
from torch.testing import assert_close

from mtrec.model.outputs import Outputs
from mtrec.schema import Label, Task
from mtrec.testing.architecture_export import quiet_script

MEAN, SCALE = [0.0, 0.0, 10.0], [1.0, 1.0, 4.0]
LOGITS = torch.randn(30, 3, generator=torch.Generator().manual_seed(0)) * 3


def tasks(click: float, buy: float) -> dict[str, Task]:
    return {
        "click": Task(label=Label(column="click"), positive_weight=click),
        "buy": Task(label=Label(column="buy"), given="click", positive_weight=buy),
        "spend": Task(label=Label(column="spend"), kind="regression", given="buy"),
    }


@pytest.mark.parametrize(("click", "buy"), [(5.0, 1.0), (1.0, 0.25), (100.0, 3.0)])
def test_closed_form(click: float, buy: float) -> None:
    outputs = Outputs(tasks(click, buy), MEAN, SCALE)
    served = outputs(LOGITS)
    raw = torch.sigmoid(LOGITS.double())
    clicked, bought = raw[:, 0] / (raw[:, 0] + (1 - raw[:, 0]) * click), raw[:, 1] / (raw[:, 1] + (1 - raw[:, 1]) * buy)
    spend = 10.0 + 4.0 * LOGITS[:, 2].double()
    expected = {
        "click": clicked,
        "buy.conditional": bought,
        "buy.joint": clicked * bought,
        "spend.conditional": spend,
        "spend.joint": spend * clicked * bought,
    }
    assert list(served) == list(expected)
    for name, values in expected.items():
        assert_close(served[name].double(), values, rtol=2e-6, atol=2e-7)
    own = [served[name] for name in ("click", "buy.conditional", "spend.conditional")]
    assert torch.equal(outputs.conditional(LOGITS), torch.stack(own, dim=1))


def test_without_weights_nothing_is_shifted() -> None:
    outputs = Outputs(tasks(1.0, 1.0), MEAN, SCALE)
    assert torch.equal(outputs.conditional(LOGITS)[:, :2], torch.sigmoid(LOGITS[:, :2]))


@pytest.mark.parametrize("size", [1e4, 88.0])
def test_probabilities_stay_within_their_bounds(size: float) -> None:
    logits = torch.tensor([[size, size, 0.0], [-size, size, 0.0], [size, -size, 0.0], [-size, -size, 0.0]])
    for name, values in Outputs(tasks(1e6, 1e-6), MEAN, SCALE)(logits).items():
        assert values.isfinite().all() and (name.startswith("spend") or ((values >= 0) & (values <= 1)).all()), name


def test_the_script_shifts_too_and_the_state_holds_it() -> None:
    outputs = Outputs(tasks(5.0, 2.0), MEAN, SCALE).eval()
    with quiet_script():
        script = torch.jit.freeze(torch.jit.script(outputs), optimize_numerics=False)
    for name, values in outputs(LOGITS).items():
        assert torch.equal(script(LOGITS)[name], values)
    plain = Outputs(tasks(1.0, 1.0), MEAN, SCALE)
    plain.load_state_dict(outputs.state_dict())
    assert torch.equal(plain.conditional(LOGITS), outputs.conditional(LOGITS))
