"""A step through the cut is the explicit way bit for bit, on real architectures and fused tables: a leaf copy for each task of what they share, a
backward for each task, the aggregator, one backward into the tables.

Where gates are one linear layer on a tensor that all tasks share, the leaf is what that layer gives instead, and the gradient at the tensor itself is
that of the leaf times the layer's rows of the task. That this is the gradient there, up to rounding, is what `test_factored_gradients` asserts.
"""

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from mtrec.objective.cut import Factored, Gradients
from mtrec.objective.seeded import generator_of

ARCHITECTURES = {
    "mmoe": "{kind: mmoe, num_experts: 3, expert_hidden: [8, 6]}",
    "ple": "{kind: ple, expert_hidden: [[8], [6]]}",
    "cgc": "{kind: ple, expert_hidden: [8, 6], gate: {kind: top_k, k: 2}}",
    "adatt": "{kind: adatt, expert_hidden: [8, 6]}",
    "home": "{kind: home, expert_width: 8}",
}
WEIGHTINGS = {
    "fixed": ("objective.weighting={kind: fixed, weights: [1.0, 3.0, 0.5]}",),
    "rmtl": ("objective.weighting=rmtl", "log.roles.session=user_id"),
}


def critic_values(batch: Any, predictions_BT: Tensor) -> Tensor:
    return -torch.rand(predictions_BT.shape, generator=generator_of(0, 0))


class Built:
    """A model, its objective and a batch; the same at every call."""

    def __init__(self, tiny: Any, *overrides: str) -> None:
        from mtrec.jobs.prepare import prepare
        from mtrec.training.assemble import build_model
        from mtrec.training.objective import build_objective

        config = tiny.config("fan-out", "model.towers.dropout=0", "training.batch_size=200", *overrides)
        prepared = prepare(config)
        self.model = build_model(config, prepared).train()
        self.objective = build_objective(config, self.model, prepared)
        self.objective.critic_values = critic_values
        self.batch = next(prepared.reader("train", 200, 0).epoch(0))
        self.known_T = self.objective.known_weight(self.batch)

    def by_fan_out(self) -> dict[str, Tensor]:
        self.objective.backward(self.objective(self.batch, self.known_T, 0))
        return self._state()

    def by_hand(self) -> dict[str, Tensor]:
        ranker: Any = self.model.ranker
        architecture, objective, tasks = ranker.architecture, self.objective, range(3)
        shared = architecture.shared(ranker.encode(self.model.embed(self.batch)))
        gates = architecture.linear_gates(shared) if hasattr(architecture, "linear_gates") else None
        if gates is None:
            leaves = [[part.detach().requires_grad_() for part in shared] for _ in tasks]
            z = [architecture.task_output(leaves[task], task) for task in tasks]
        else:
            edge_logits_BG, rows = gates.edge_logits(shared[1].detach()), [slice(*bounds) for bounds in pairwise(gates.first_edge)]
            leaves = [[shared[0].detach().requires_grad_(), edge_logits_BG[:, rows[task]].detach().requires_grad_()] for task in tasks]
            mixture_BTE = gates.of_edges(torch.cat([own_logits for _, own_logits in leaves], dim=1))
            z = [architecture.layer._combine(mixture_BTE, leaves[task][0], 0, 3)[:, task] for task in tasks]
        logits_BT = ranker.towers(torch.stack(z, dim=1))
        losses = objective._losses(self.batch, logits_BT, self.known_T)
        weights = objective.weighting.weights(objective._signals(self.batch, logits_BT.detach(), losses, losses.mean.detach(), 0))  # type: ignore[operator]
        parts = losses.mean if weights.dim() == 1 else losses.share * losses.per_sample
        terms_T = (weights * objective.losses.task_weight_T * parts).reshape(-1, 3).sum(dim=0)
        own, found = list(ranker.parameters()), []
        for task in tasks:
            of_task = torch.autograd.grad(terms_T[task], [*own, *leaves[task]], retain_graph=True, allow_unused=True)
            for parameter, gradient in zip(own, of_task, strict=False):
                if gradient is not None:
                    parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
            pairs = zip(leaves[task], of_task[len(own) :], strict=True)
            found.append([torch.zeros_like(leaf) if gradient is None else gradient for leaf, gradient in pairs])
        assert objective.gradients is not None
        if gates is not None:
            edge_logits_BG.backward(torch.cat([at_logits for _, at_logits in found], dim=1))
        combined = objective.gradients.combine(found if gates is None else factored(found, gates.weight.detach(), rows))
        learns = [place for place, part in enumerate(shared) if part.requires_grad]
        torch.autograd.backward([shared[place] for place in learns], [combined[place] for place in learns])
        return self._state()

    def _state(self) -> dict[str, Tensor]:
        dense = {f"gradient/{name}": each.grad for name, each in self.model.ranker.named_parameters() if each.grad is not None}
        tables = {**self.model.embeddings.tables(), **self.model.embeddings.optimizer_state()}
        return {name: value.clone() for name, value in {**dense, **dict(self.model.ranker.named_buffers()), **tables}.items()}


def factored(found: list[list[Tensor]], weight_GD: Tensor, rows: list[slice]) -> Gradients:
    """The gradient at what gates read, in place of that at their logits."""
    return [[at_experts, Factored(at_logits, weight_GD[own], torch.float32)] for (at_experts, at_logits), own in zip(found, rows, strict=True)]


def assert_same(tiny: Any, *overrides: str) -> None:
    start, found, expected = Built(tiny, *overrides)._state(), Built(tiny, *overrides).by_fan_out(), Built(tiny, *overrides).by_hand()
    assert found.keys() == expected.keys()
    assert {name for name in expected if not torch.equal(found[name], expected[name])} == set()
    tables = [name for name in start if name.endswith("item_id")]
    assert tables and all(not torch.equal(found[name], start[name]) for name in tables)


@pytest.mark.parametrize("aggregator", ["sum", "pcgrad", "aligned", "mgda"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_is_the_explicit_way(tiny: Any, architecture: str, aggregator: str) -> None:
    assert_same(tiny, f"model.architecture={ARCHITECTURES[architecture]}", *WEIGHTINGS["fixed"], f"objective.aggregator={aggregator}")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_weights_of_rows_reach_the_aggregator(tiny: Any, architecture: str) -> None:
    assert_same(tiny, f"model.architecture={ARCHITECTURES[architecture]}", *WEIGHTINGS["rmtl"], "objective.aggregator=pcgrad")
