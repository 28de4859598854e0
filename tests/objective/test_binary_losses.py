"""Losses of binary tasks beside plain cross-entropy."""

import math

import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.testing import assert_close

from mtrec.objective.losses import bce, focal, pairwise_auc
from mtrec.objective.task_losses import TaskLosses

POSITIVES, NEGATIVES = [0.2, -1.0, 1.5], [0.0, -0.5, 0.3, 2.0]
LOGITS = tensor([*POSITIVES, *NEGATIVES], dtype=torch.float64)
LABELS = tensor([1.0] * 3 + [0.0] * 4, dtype=torch.float64)


def pairs_of(logits: Tensor, labels: Tensor, **options: int) -> Tensor:
    """What the pairs add to cross-entropy, row by row."""
    loss = pairwise_auc.PairwiseAUC(pairwise_auc.Config.model_validate(options))
    return loss(logits, labels) - binary_cross_entropy_with_logits(logits, labels, reduction="none")


@pytest.mark.parametrize("probability", [0.1, 0.9])
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_focal(probability: float, label: float) -> None:
    logit = tensor([math.log(probability / (1 - probability))], dtype=torch.float64)
    q = probability if label else 1 - probability
    for gamma in (0.0, 0.5, 2.0):
        assert_close(focal.Focal(focal.Config(gamma=gamma))(logit, tensor([label])).item(), -((1 - q) ** gamma) * math.log(q))


def test_smoothing_moves_the_minimum() -> None:
    logits = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    loss = bce.BCE(bce.Config(smoothing=0.1))
    optimizer = torch.optim.LBFGS([logits], max_iter=100, tolerance_grad=1e-12)

    def closure() -> Tensor:
        optimizer.zero_grad()
        total = (loss(logits.expand(4), tensor([1.0, 0.0, 0.0, 0.0]))).mean()
        total.backward()
        return total

    optimizer.step(closure)
    assert logits.detach().sigmoid().item() == pytest.approx(0.25 * 0.9 + 0.05, rel=1e-6)


def test_the_mean_over_pairs() -> None:
    found = pairs_of(LOGITS, LABELS)
    assert found.mean().item() == pytest.approx(1.011778, abs=5e-7)
    naive = [[math.log1p(math.exp(n - p)) for n in NEGATIVES] for p in POSITIVES]
    assert_close(found[:3] * 3 * 2 / 7, tensor(naive, dtype=torch.float64).mean(1))
    auc = roc_auc_score(LABELS, LOGITS)
    assert auc == pytest.approx(0.416667, abs=5e-7)
    assert 1 - auc <= found.mean().item() / math.log(2) == pytest.approx(1.4597, abs=5e-5)


def test_pairs_do_not_see_where_the_scores_lie() -> None:
    assert_close(pairs_of(LOGITS + 3, LABELS), pairs_of(LOGITS, LABELS))


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_one_class_leaves_cross_entropy(label: float) -> None:
    logits = LOGITS.clone().requires_grad_()
    found = pairwise_auc.PairwiseAUC(pairwise_auc.Config(bce=0.5))(logits, torch.full_like(LABELS, label))
    assert_close(found, 0.5 * binary_cross_entropy_with_logits(logits, torch.full_like(LABELS, label), reduction="none"))
    found.sum().backward()
    assert logits.grad is not None and bool(logits.grad.any())


def test_fewer_pairs_are_those_of_the_first_rows() -> None:
    found = pairs_of(LOGITS, LABELS, max_pairs=4)
    assert_close(found, pairs_of(LOGITS[[0, 1, 3, 4]], LABELS[[0, 1, 3, 4]]).new_zeros(7).index_add(
        0, tensor([0, 1, 3, 4]), pairs_of(LOGITS[[0, 1, 3, 4]], LABELS[[0, 1, 3, 4]]) * 7 / 4))  # fmt: skip
    one = pairs_of(LOGITS[[0, 3, 4, 5, 6]], LABELS[[0, 3, 4, 5, 6]], max_pairs=3)
    assert bool(one[-1] == 0) and bool((one[:-1] > 0).all())


def test_unknown_labels_make_no_pairs() -> None:
    """Through the masked mean: rows whose label is unknown are as if they were not there, whatever stands in them."""
    losses = TaskLosses([pairwise_auc.PairwiseAUC(pairwise_auc.Config())], [1.0])
    mask = tensor([True, False, True, True, False, True, True])
    logits = LOGITS.masked_fill(~mask, math.nan).unsqueeze(1).requires_grad_()
    whole = losses(logits, LABELS.unsqueeze(1), mask.unsqueeze(1), torch.ones(7))
    alone = losses(LOGITS[mask].unsqueeze(1), LABELS[mask].unsqueeze(1), torch.ones(5, 1, dtype=torch.bool), torch.ones(5))
    assert_close(whole.mean, alone.mean)
    assert_close(whole.per_sample[mask], alone.per_sample)
    whole.mean.sum().backward()
    assert logits.grad is not None and not bool(logits.grad[~mask].any()) and bool(logits.grad.isfinite().all())
