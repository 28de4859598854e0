"""Where gates are one linear layer, the tasks' gradients at what they read stay thin factors: the same as with all their elements, task by task.

The dense way is the explicit one: leaf copies for each task, each task's output by itself, a backward for each.

Shapes: B rows, T tasks, D width, N elements of the cut.
"""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.testing import assert_close

from mtrec import registry
from mtrec.model.towers import Towers
from mtrec.objective.cut import Combine, Gradients, dense
from mtrec.objective.gramian import gramian, square_lengths, weighted_sum
from mtrec.training.task_gradients import TaskGradients, logits_apart

B, T, D = 50, 3, 12
WEIGHTS = [0.5, -2.0, 3.0]
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "mmoe": {"num_experts": 4, "expert_hidden": [8, 6]},
    "mmoe, two levels": {"num_experts": 4, "expert_hidden": [[8], [6]]},
    "mmoe, gates on the level": {"num_experts": 4, "expert_hidden": [[8], [6]], "gate_input": "level"},
    "mmoe, gate features": {"num_experts": 4, "expert_hidden": [8, 6]},
    "ple": {"expert_hidden": [8, 6]},
    "adatt": {"expert_hidden": [8, 6]},
}
GATES: dict[str, dict[str, Any]] = {
    "softmax": {"kind": "softmax"},
    "top_k": {"kind": "top_k", "k": 2},
    "exclusive": {"kind": "exclusive", "alpha": 0.3},
}
TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}


def plain(gradients: Gradients) -> list[Tensor]:
    return weighted_sum(WEIGHTS, gradients)


class Found(NamedTuple):
    gramian_TT: Tensor
    rows_TN: Tensor
    combined_N: Tensor
    gates: dict[str, Tensor]


class Case:
    """An architecture with its towers, rows, and a loss for each task; the same at every call."""

    def __init__(
        self,
        name: str,
        gate: str = "softmax",
        dtype: torch.dtype = torch.float32,
        absent: int | None = None,
        learns: bool = True,
        reduced: bool = False,
    ) -> None:
        part, config = registry.part("architectures", name.partition(",")[0])
        torch.manual_seed(5)
        num_extra = 2 if name.endswith("gate features") else 0
        self.architecture: Any = part(D, 1, T, config(**ARCHITECTURES[name], gate=GATES[gate]), num_extra=num_extra).to(dtype)
        # In reduced precision without a layer whose units a rounding could switch off.
        self.towers = Towers(self.architecture.output_width, T, [] if reduced else [5]).to(dtype)
        self.precision = torch.autocast("cpu", torch.bfloat16, enabled=reduced)
        self.x_BD = torch.randn(B, D + num_extra, dtype=dtype).requires_grad_(learns)
        self.labels_BT, self.absent = (torch.rand(B, T) < 0.4).to(dtype), absent
        self.ranker: Any = SimpleNamespace(architecture=self.architecture, towers=self.towers, encode=lambda features: features)

    def loss(self, logits_BT: Tensor, task: int) -> Tensor:
        return functional.binary_cross_entropy_with_logits(logits_BT[:, task].to(self.labels_BT.dtype), self.labels_BT[:, task])

    @property
    def present(self) -> list[int]:
        return [task for task in range(T) if task != self.absent]

    def gate_gradients(self) -> dict[str, Tensor]:
        return {name: parameter.grad.clone() for name, parameter in self.architecture.layer.gates.named_parameters()}

    def factored(self, made_of: Combine = plain) -> Found:
        seen: list[Tensor] = []

        def combine(gradients: Gradients) -> Sequence[Tensor]:
            combined = made_of(gradients)
            assert not isinstance(gradients[0][1], Tensor)
            assert_close(square_lengths(gradients), gramian(gradients).diagonal())
            seen.extend([gramian(gradients), rows_of([[dense(part) for part in own] for own in gradients]), flat(combined)])
            return combined

        with self.precision:
            logits_BT = logits_apart(self.ranker, self.x_BD, T, combine)  # type: ignore[arg-type]
        sum(self.loss(logits_BT, task) for task in self.present).backward()  # type: ignore[union-attr]
        return Found(seen[0], seen[1], seen[2], self.gate_gradients())

    def dense(self) -> Found:
        with self.precision:
            shared = self.architecture.shared(self.x_BD)
            leaves = [[part.detach().requires_grad_() for part in shared] for _ in range(T)]
            logits_BT = self.towers(torch.stack([self.architecture.task_output(leaves[task], task) for task in range(T)], dim=1))
        sum(self.loss(logits_BT, task) for task in self.present).backward()  # type: ignore[union-attr]
        rows_TN = rows_of([[torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in own] for own in leaves])
        weights_T = rows_TN.new_tensor(WEIGHTS)
        return Found(rows_TN.double() @ rows_TN.double().T, rows_TN, weights_T @ rows_TN, self.gate_gradients())


def flat(parts: Any) -> Tensor:
    return torch.cat([part.flatten() for part in parts])


def rows_of(gradients: Any) -> Tensor:
    return torch.stack([flat(own) for own in gradients])


def assert_near(found: Tensor, expected: Tensor, tolerance: float) -> None:
    assert found.shape == expected.shape
    assert float((found - expected).norm()) <= tolerance * float(expected.norm())


def assert_same(case: Any, tolerance: float) -> None:
    found, expected = case().factored(), case().dense()
    length_T = expected.gramian_TT.diagonal().sqrt()
    assert bool(((found.gramian_TT - expected.gramian_TT).abs() <= tolerance * length_T * length_T.unsqueeze(1)).all())
    for own, other in zip(found.rows_TN, expected.rows_TN, strict=True):
        assert_near(own, other, tolerance)
    assert_near(found.combined_N, expected.combined_N, tolerance)
    # Those of the tasks' own parameters are not what the aggregator makes of them.
    assert found.gates.keys() == expected.gates.keys() and found.gates
    for name, gradient in expected.gates.items():
        assert_near(found.gates[name], gradient, tolerance)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_factors_are_the_dense_gradients(name: str, gate: str, dtype: torch.dtype) -> None:
    assert_same(lambda: Case(name, gate, dtype), TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_task_that_is_absent_has_zeros(name: str, dtype: torch.dtype) -> None:
    assert_same(lambda: Case(name, dtype=dtype, absent=1), TOLERANCE[dtype])
    found = Case(name, dtype=dtype, absent=1).factored()
    assert not found.rows_TN[1].any() and not found.gramian_TT[1].any()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_input_that_does_not_learn_is_part_of_the_cut_all_the_same(name: str) -> None:
    assert_same(lambda: Case(name, learns=False), TOLERANCE[torch.float32])


@pytest.mark.parametrize("aggregator", ["pcgrad", "aligned", "graddrop"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_what_goes_on_is_what_the_aggregator_makes_of_the_elements(name: str, aggregator: str) -> None:
    part, config = registry.part("aggregators", aggregator)
    found = Case(name, dtype=torch.float64).factored(TaskGradients(T, part(T, config())).combine).combined_N
    rows_TN = Case(name, dtype=torch.float64).dense().rows_TN
    assert_near(found, part(T, config())(rows_TN, rows_TN @ rows_TN.T), 1e-6)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_what_gates_read_does_not_come_from_the_last_layer(name: str) -> None:
    """So lengths with respect to its parameters need no gradient there."""
    case = Case(name)
    _, gate_x = case.architecture.shared(case.x_BD)
    parameters = list(case.architecture.last_shared_layer().parameters())
    assert parameters and torch.autograd.grad((gate_x * 1).sum(), parameters, allow_unused=True) == (None,) * len(parameters)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_factors_in_reduced_precision(name: str) -> None:
    found, expected = Case(name, reduced=True).factored(), Case(name, reduced=True).dense()
    assert found.rows_TN.dtype == found.combined_N.dtype == expected.rows_TN.dtype
    assert_near(found.rows_TN.float(), expected.rows_TN.float(), 0.01)
    assert_near(found.combined_N.float(), expected.combined_N.float(), 0.01)
    assert float((found.gramian_TT - expected.gramian_TT).abs().max()) <= 0.01 * float(expected.gramian_TT.max())


def test_gates_that_are_no_linear_layer_on_one_input_have_no_factors() -> None:
    part, config = registry.part("architectures", "mmoe")
    of_tasks, deep = part(D, T, T, config()), part(D, 1, T, config(gate={"kind": "softmax", "hidden": [4]}))
    assert of_tasks.linear_gates(of_tasks.shared(torch.randn(B, T, D))) is None
    assert deep.linear_gates(deep.shared(torch.randn(B, D))) is None
    part, config = registry.part("architectures", "ple")
    levels = part(D, 1, T, config(expert_hidden=[[8], [6]]))
    assert levels.linear_gates(levels.shared(torch.randn(B, D))) is None
    part, config = registry.part("architectures", "cross_stitch")
    stitched = part(D, 1, T, config())
    assert stitched.linear_gates(stitched.shared(torch.randn(B, D))) is None
