"""What a step sees of the tasks' gradients: their lengths at the cut and at the last layer, without weights; what it looks at again."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from mtrec.errors import TrainingError

ARCHITECTURES = {
    "shared_bottom": "{kind: shared_bottom, hidden: [8]}",
    "mmoe": "{kind: mmoe, num_experts: 2, expert_hidden: [8, 6]}",
    "ple": "{kind: ple, expert_hidden: [[8], [8]]}",
    "home": "{kind: home, expert_width: 8}",
}


def built(tiny: Any, *overrides: str) -> tuple[Any, Any, Any, Any]:
    from mtrec.jobs.prepare import prepare
    from mtrec.training.assemble import build_model
    from mtrec.training.objective import build_objective

    config = tiny.config("apart", "model.towers.dropout=0", "training.batch_size=200", *overrides)
    prepared = prepare(config)
    model = build_model(config, prepared)
    model.train()
    return model, build_objective(config, model, prepared), next(prepared.reader("train", 200, 0).epoch(0)), prepared


def known(objective: Any, batch: Any) -> Tensor:
    found: Tensor = objective.losses.known_weight(batch.label_mask, batch.weight)
    return found


def plain_losses(model: Any, objective: Any, batch: Any) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """The tasks' losses by the model's own parts, the leaves at the cut that they come from, and the shared tensors that these are copies of."""
    shared = model.ranker.architecture.shared(model.ranker.encode(model.embed(batch)))
    leaves = [part.detach().requires_grad_() for part in shared]
    logits = model.ranker.towers(model.ranker.architecture.tasks(leaves))
    return objective._losses(batch, logits, known(objective, batch)).mean, leaves, shared


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_lengths_at_the_cut(tiny: Any, architecture: str) -> None:
    model, objective, batch, _ = built(tiny, f"model.architecture={ARCHITECTURES[architecture]}", "objective.aggregator=sum")
    losses_T, leaves, _ = plain_losses(model, objective, batch)
    rows = [torch.autograd.grad(loss, leaves, retain_graph=True) for loss in losses_T]
    rows_TN = torch.stack([torch.cat([part.flatten() for part in row]) for row in rows])
    objective.backward(objective(batch, known(objective, batch), 0))
    length_T = rows_TN.norm(dim=1)
    # The third task's own weight of .5 takes no part in them.
    assert_close(objective.gradients.norm_T, length_T, rtol=1e-4, atol=1e-7)
    assert_close(objective.gradients.cosine_TT, rows_TN @ rows_TN.T / length_T.unsqueeze(0) / length_T.unsqueeze(1), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_lengths_at_the_last_layer(tiny: Any, architecture: str) -> None:
    weighting = "objective.weighting={kind: gradnorm, norms: last_layer}"
    model, objective, batch, _ = built(tiny, f"model.architecture={ARCHITECTURES[architecture]}", weighting)
    tables = {name: table.clone() for name, table in model.embeddings.tables().items()}
    losses_T, leaves, shared = plain_losses(model, objective, batch)
    layer = list(model.ranker.architecture.last_shared_layer().parameters())
    rows = [torch.autograd.grad(loss, leaves, retain_graph=True) for loss in losses_T]
    found = [torch.autograd.grad(shared, layer, row, retain_graph=True) for row in rows]
    expected_T = torch.stack([torch.cat([part.flatten() for part in gradient]).norm() for gradient in found])
    assert all(torch.equal(table, tables[name]) for name, table in model.embeddings.tables().items())
    objective.backward(objective(batch, known(objective, batch), 0))
    assert_close(objective.gradients.norm_T, expected_T, rtol=1e-4, atol=1e-7)


def test_lengths_do_not_hold_the_weights_of_the_losses(tiny: Any) -> None:
    lengths = []
    for weights in ("[1.0, 1.0, 1.0]", "[5.0, 1.0, 0.1]"):
        _, objective, batch, _ = built(tiny, f"objective={{weighting: {{kind: fixed, weights: {weights}}}, aggregator: sum}}")
        objective.backward(objective(batch, known(objective, batch), 0))
        lengths.append(objective.gradients.norm_T.clone())
    assert_close(*lengths)


def test_weights_of_losses_reach_the_aggregator(tiny: Any) -> None:
    seen: list[Tensor] = []
    for weights in ("[1.0, 1.0, 1.0]", "[2.0, 1.0, 0.0]"):
        _, objective, batch, _ = built(tiny, f"objective={{weighting: {{kind: fixed, weights: {weights}}}, aggregator: graddrop}}")
        objective.gradients.aggregator.register_forward_hook(lambda _, arguments, __: seen.append(arguments[0].clone()))
        objective.backward(objective(batch, known(objective, batch), 0))
    assert_close(seen[1], seen[0] * torch.tensor([[2.0], [1.0], [0.0]]))


def test_losses_after_are_those_of_the_batch_after_its_step(tiny: Any) -> None:
    model, objective, batch, _ = built(tiny, "objective.weighting=famo", "model.architecture={kind: home, expert_width: 8}")
    objective.backward(objective(batch, known(objective, batch), 0))
    before = {name: value.clone() for name, value in model.ranker.state_dict().items()}
    assert objective.losses_after_T.isnan().all()
    objective.after_step(batch, known(objective, batch))
    assert all(torch.equal(value, before[name]) for name, value in model.ranker.state_dict().items()), "a second look leaves no trace"
    expected_T, *_ = plain_losses(model, objective, batch)
    assert_close(objective.losses_after_T, expected_T.detach())


def test_losses_on_valid_are_looked_at_every_few_steps(tiny: Any) -> None:
    model, objective, batch, prepared = built(tiny, "objective.weighting={kind: coba, valid_every: 2}")
    seen = []
    for step in range(5):
        objective(batch, known(objective, batch), step)
        seen.append(objective.valid_losses_T.clone())
    assert torch.equal(seen[0], seen[1]) and torch.equal(seen[2], seen[3])
    assert model.training
    # Valid has 250 rows, so two batches an epoch; look 2 is the first batch of the second one.
    model.eval()
    for look, value in enumerate(seen[::2]):
        rows = next(prepared.reader("valid", 200, 0).epoch(look // 2, look % 2 * 200))
        with torch.no_grad():
            assert_close(value, plain_losses(model, objective, rows)[0])


@pytest.mark.parametrize("aggregator", ["aligned", "cagrad", "nash"])
def test_gradients_that_are_not_finite_are_refused(tiny: Any, aggregator: str) -> None:
    from mtrec.training.guards import check_embedding_gradient

    model, objective, batch, _ = built(tiny, f"objective.aggregator={aggregator}")
    tables = {name: table.clone() for name, table in model.embeddings.tables().items()}
    model.gradient_hook = lambda gradient: check_embedding_gradient(gradient, batch, 0)
    loss = objective(batch, known(objective, batch), 0)
    with pytest.raises(TrainingError, match="gradient of the embeddings is not finite"):
        objective.backward(loss._replace(total=loss.total * torch.inf))
    assert all(torch.equal(table, tables[name]) for name, table in model.embeddings.tables().items())
