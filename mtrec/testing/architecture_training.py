"""Checks of how an architecture starts, learns, and is restored."""

from typing import Any

import torch
from pydantic import BaseModel
from torch import Tensor, nn
from torch.nn import functional

from mtrec.testing.architecture_case import NUM_TASKS, WIDTH, build, rows
from mtrec.testing.learning import unreached
from mtrec.testing.suite import Check

__all__ = ["TRAINING_CHECKS"]


def check_seed_decides_the_start(architecture: type[Any], config: BaseModel) -> None:
    first, again, other = (build(architecture, config, seed=seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first), "the same seed gives other weights"
    assert any(not torch.equal(first[name], other[name]) for name in first), "another seed gives the same weights"


def check_state_round_trips(architecture: type[Any], config: BaseModel) -> None:
    model, restored = build(architecture, config, seed=0).eval(), build(architecture, config, seed=1).eval()
    restored.load_state_dict(model.state_dict(), strict=True)
    assert torch.equal(restored(rows(architecture, 33)), model(rows(architecture, 33))), "a restored model gives other outputs"


def check_dropout_only_in_training(architecture: type[Any], config: BaseModel) -> None:
    has_dropout = "dropout" in type(config).model_fields
    if has_dropout:
        config = type(config).model_validate({**config.model_dump(), "dropout": 0.5})
    model = build(architecture, config)
    x = rows(architecture, 33)
    assert torch.equal(model.eval()(x), model(x)), "evaluation is random"
    model.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        assert torch.equal(model(x), model(x)) != has_dropout, "dropout does nothing in training" if has_dropout else "training is random"


def check_every_parameter_learns(architecture: type[Any], config: BaseModel) -> None:
    """Within five steps each slice of each parameter (an expert, a row of a gate) has had a finite gradient that is not zero."""
    dead = unreached(build(architecture, config), lambda step: rows(architecture, 256, seed=step))
    assert not dead, f"parameters, and their slices along the first dimension, that never get a gradient: {dead}"


def check_overfits_a_few_rows(architecture: type[Any], config: BaseModel) -> None:
    """On 64 rows with random labels the loss falls tenfold."""
    x = rows(architecture, 64)
    labels = torch.randint(2, (64, NUM_TASKS), generator=torch.Generator().manual_seed(1)).float()
    losses = _fit(_Scorer(build(architecture, config)), x, labels, num_steps=150)
    assert losses[-1] < losses[0] / 10, f"the loss fell only from {losses[0]:.3f} to {losses[-1]:.3f}"


def check_learns_a_planted_relation(architecture: type[Any], config: BaseModel) -> None:
    """Labels are the sign of a line and a bend, other for each task: AUC on new rows at least .9 for every task."""
    generator = torch.Generator().manual_seed(2)
    lines, bends = torch.randn(2, WIDTH, NUM_TASKS, generator=generator) / WIDTH**0.5
    x = rows(architecture, 3000, seed=3)
    # Tokens have no order: what is planted in them is planted in their mean.
    v = x if x.dim() == 2 else x.mean(dim=1) * x.shape[1] ** 0.5
    labels = (v @ lines + 0.5 * ((v @ bends).abs() - 0.8) > 0).float()
    scorer = _Scorer(build(architecture, config))
    _fit(scorer, x[:2000], labels[:2000], num_steps=40)
    with torch.no_grad():
        logits = scorer.eval()(x[2000:])
    for task in range(NUM_TASKS):
        area = _auc(logits[:, task], labels[2000:, task])
        assert area >= 0.9, f"AUC {area:.3f} for task {task}"


class _Scorer(nn.Module):
    """An architecture with one linear score a task on it."""

    def __init__(self, architecture: Any) -> None:
        super().__init__()
        self.architecture = architecture
        self.score_TH = nn.Parameter(torch.full((NUM_TASKS, architecture.output_width), 0.01))

    def forward(self, x: Tensor) -> Tensor:
        z_BTH: Tensor = self.architecture(x)
        return (z_BTH * self.score_TH).sum(dim=2)


def _fit(scorer: nn.Module, x: Tensor, labels: Tensor, num_steps: int) -> list[float]:
    optimizer = torch.optim.Adam(scorer.parameters(), lr=0.01)
    losses = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for _ in range(num_steps):
            optimizer.zero_grad()
            loss = functional.binary_cross_entropy_with_logits(scorer(x), labels)
            torch.autograd.backward(loss)
            optimizer.step()
            losses.append(loss.item())
    return losses


def _auc(scores: Tensor, labels: Tensor) -> float:
    positives, negatives = scores[labels == 1].unsqueeze(1), scores[labels == 0]
    return float(((positives > negatives).float() + 0.5 * (positives == negatives)).mean())


TRAINING_CHECKS: tuple[Check, ...] = (
    check_seed_decides_the_start,
    check_state_round_trips,
    check_dropout_only_in_training,
    check_every_parameter_learns,
    check_overfits_a_few_rows,
    check_learns_a_planted_relation,
)
