import math

import pytest
import torch
from torch import nn, tensor
from torch.testing import assert_close

from mtrec.errors import BundleError
from mtrec.sections import DenseOptimizer, Schedule
from mtrec.training.optimizers import DenseStep, schedule_factor

LR, DECAY, EPS = 0.1, 0.5, 1e-8


class Two(nn.Module):
    """Two parameters of one shape, in one order or the other."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        for name in names:
            setattr(self, name, nn.Parameter(tensor([1.0, -2.0])))


def stepped(kind: str, gradient: list[float], times: int = 1) -> torch.Tensor:
    module = Two("a")
    dense = DenseStep(module, DenseOptimizer(kind=kind, lr=LR, weight_decay=DECAY))  # type: ignore[arg-type]
    for _ in range(times):
        module.a.grad = tensor(gradient)
        dense.step()
    assert module.a.grad is None
    found: torch.Tensor = module.a.detach()
    return found


def test_adamw_decays_the_weight_beside_the_gradient() -> None:
    # m / (1 - .9) = g, v / (1 - .999) = g^2: the first step is lr * sign(g), the decay lr * decay * w.
    assert_close(stepped("adamw", [3.0, -0.5]), tensor([1.0 - LR * DECAY - LR, -2.0 + 2 * LR * DECAY + LR]))


def test_adam_decays_through_the_gradient() -> None:
    # g + decay * w = [.5 + .5, -.5 - 1]: the sign decides.
    assert_close(stepped("adam", [0.5, -0.5]), tensor([1.0 - LR, -2.0 + LR]))


def test_adagrad_twice() -> None:
    w, total = 1.0, 0.0
    for _ in range(2):
        gradient = 0.5 + DECAY * w
        total += gradient**2
        w -= LR * gradient / (math.sqrt(total) + 1e-10)
    assert_close(stepped("adagrad", [0.5, 0.0], 2)[0], tensor(w))


@pytest.mark.parametrize("kind", ["adamw", "adam", "adagrad"])
def test_state_follows_the_name_of_its_parameter(kind: str) -> None:
    config = DenseOptimizer(kind=kind, lr=LR)  # type: ignore[arg-type]
    one, other = Two("a", "b"), Two("b", "a")
    first = DenseStep(one, config)
    one.a.grad, one.b.grad = tensor([1.0, 2.0]), tensor([-3.0, 0.1])
    first.step()
    second = DenseStep(other, config)
    second.load_state(first.state())
    assert second.state().keys() == first.state().keys()
    for name, value in first.state().items():
        assert torch.equal(second.state()[name], value), name
    with torch.no_grad():
        other.a.copy_(one.a)
        other.b.copy_(one.b)
    for module, dense in ((one, first), (other, second)):
        module.a.grad, module.b.grad = tensor([0.3, 0.3]), tensor([0.2, -9.0])
        dense.step()
    assert torch.equal(one.a, other.a) and torch.equal(one.b, other.b)


def test_foreign_state_is_refused() -> None:
    given = DenseStep(Two("a"), DenseOptimizer(kind="adagrad")).state()
    for config, module in (
        (DenseOptimizer(kind="adagrad"), Two("b")),
        (DenseOptimizer(kind="adamw"), Two("a")),
    ):
        with pytest.raises(BundleError, match="a/s"):
            DenseStep(module, config).load_state(given)
    cut = {key: value[:1] if value.ndim else value for key, value in given.items()}
    with pytest.raises(BundleError, match=r"a/sum \[1\]"):
        DenseStep(Two("a"), DenseOptimizer(kind="adagrad")).load_state(cut)


def test_the_factor_moves_the_learning_rate() -> None:
    dense = DenseStep(Two("a"), DenseOptimizer(lr=LR))
    dense.set_factor(0.25)
    assert [group["lr"] for group in dense.optimizer.param_groups] == [LR / 4]


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        (Schedule(), [1.0] * 5),
        (Schedule(warmup_steps=4), [0.25, 0.5, 0.75, 1.0, 1.0]),
        (Schedule(decay="linear"), [1.0, 0.75, 0.5, 0.25, 0.0]),
        (Schedule(decay="linear", floor=0.2), [1.0, 0.8, 0.6, 0.4, 0.2]),
        (Schedule(decay="cosine"), [1.0, 0.5 + math.sqrt(0.125), 0.5, 0.5 - math.sqrt(0.125), 0.0]),
        (Schedule(warmup_steps=2, decay="cosine", floor=0.5), [0.5, 1.0, 1.0, 0.75, 0.5]),
        (Schedule(warmup_steps=9, decay="linear"), [1 / 9, 2 / 9, 3 / 9, 4 / 9, 5 / 9]),
    ],
)
def test_schedule(schedule: Schedule, factors: list[float]) -> None:
    assert [schedule_factor(schedule, step, 4) for step in range(5)] == pytest.approx(factors)


def test_beyond_its_end_a_schedule_stays_at_the_floor() -> None:
    assert schedule_factor(Schedule(decay="cosine", floor=0.1), 99, 4) == pytest.approx(0.1)
