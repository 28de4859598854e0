"""What is served: names, units, joint probabilities."""

import itertools

import pytest
import torch
from torch import tensor
from torch.testing import assert_close

from mtrec.model.outputs import Outputs, output_names
from mtrec.schema import Label, Task
from mtrec.testing.architecture_export import quiet_script

TASKS = {
    "click": Task(label=Label(column="click")),
    "buy": Task(label=Label(column="buy"), given="click"),
    "keep": Task(label=Label(column="keep"), given="buy", outputs=["joint"]),
    "spend": Task(label=Label(column="spend"), kind="regression", given="buy"),
    "seconds": Task(label=Label(column="seconds"), kind="regression"),
}
MEAN, SCALE = [0.0, 0.0, 0.0, 10.0, 30.0], [1.0, 1.0, 1.0, 4.0, 5.0]
LOGITS = torch.randn(9, 5, generator=torch.Generator().manual_seed(0)) * 3


def test_names() -> None:
    expected = ["click", "buy.conditional", "buy.joint", "keep.joint", "spend.conditional", "spend.joint", "seconds"]
    assert output_names(TASKS) == expected
    assert list(Outputs(TASKS, MEAN, SCALE)(LOGITS)) == expected


def test_joint_is_the_product_along_the_chain() -> None:
    served = Outputs(TASKS, MEAN, SCALE)(LOGITS)
    click, buy, keep = torch.sigmoid(LOGITS[:, :3]).double().unbind(dim=1)
    spend = 10.0 + 4.0 * LOGITS[:, 3].double()
    assert_close(served["click"].double(), click, rtol=0, atol=1e-7)
    assert_close(served["buy.conditional"].double(), buy, rtol=0, atol=1e-7)
    assert_close(served["buy.joint"].double(), click * buy, rtol=0, atol=1e-7)
    assert_close(served["keep.joint"].double(), click * buy * keep, rtol=0, atol=1e-7)
    assert_close(served["spend.conditional"].double(), spend, rtol=1e-6, atol=0)
    assert_close(served["spend.joint"].double(), click * buy * spend, rtol=1e-6, atol=1e-7)
    assert_close(served["seconds"], 30.0 + 5.0 * LOGITS[:, 4])


def test_the_order_of_the_tasks_does_not_matter() -> None:
    straight = Outputs(TASKS, MEAN, SCALE)(LOGITS)
    for order in list(itertools.permutations(range(5)))[::17]:
        names = [list(TASKS)[index] for index in order]
        outputs = Outputs({name: TASKS[name] for name in names}, [MEAN[index] for index in order], [SCALE[index] for index in order])
        served = outputs(LOGITS[:, list(order)])
        assert served.keys() == straight.keys()
        assert all(torch.equal(served[name], straight[name]) for name in served)


@pytest.mark.parametrize("size", [1e4, 88.0, 20.0])
def test_probabilities_stay_within_their_bounds(size: float) -> None:
    logits = tensor(list(itertools.product([-size, 0.0, size], repeat=5)))
    for name, values in Outputs(TASKS, MEAN, SCALE)(logits).items():
        assert values.isfinite().all(), name
        if TASKS[name.split(".")[0]].kind == "binary":
            assert (values >= 0).all() and (values <= 1).all(), name


def test_standardised_labels_come_back() -> None:
    outputs = Outputs(TASKS, MEAN, SCALE)
    labels = tensor([[0.0, 1.0, 1.0, 2.0, 31.0]])
    standard = outputs.standardise(labels)
    assert_close(standard, tensor([[0.0, 1.0, 1.0, -2.0, 0.2]]))
    assert_close(outputs.conditional(standard)[:, 3:], labels[:, 3:])


def test_what_is_judged_is_the_conditional_of_each_task() -> None:
    outputs = Outputs(TASKS, MEAN, SCALE)
    served, judged = outputs(LOGITS), outputs.conditional(LOGITS)
    for task, name in enumerate(["click", "buy.conditional", None, "spend.conditional", "seconds"]):
        assert name is None or torch.equal(judged[:, task], served[name])
    assert_close(judged[:, 2], torch.sigmoid(LOGITS[:, 2]))


def test_reduced_precision_is_widened() -> None:
    assert all(values.dtype == torch.float32 for values in Outputs(TASKS, MEAN, SCALE)(LOGITS.bfloat16()).values())


def test_script_is_bitwise_equal() -> None:
    outputs = Outputs(TASKS, MEAN, SCALE).eval()
    with quiet_script():
        scripted = torch.jit.script(outputs)
        frozen = torch.jit.freeze(scripted, optimize_numerics=False)
    for model in (scripted, frozen):
        for logits in (LOGITS, LOGITS[:1], LOGITS[:0]):
            served = model(logits)
            assert list(served) == output_names(TASKS)
            assert all(torch.equal(served[name], values) for name, values in outputs(logits).items())


def test_units_travel_with_the_state() -> None:
    restored = Outputs(TASKS, [0.0] * 5, [1.0] * 5)
    restored.load_state_dict(Outputs(TASKS, MEAN, SCALE).state_dict(), strict=True)
    assert torch.equal(restored.conditional(LOGITS), Outputs(TASKS, MEAN, SCALE).conditional(LOGITS))
