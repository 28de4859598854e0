"""One backward through the fan-out is the explicit way bit for bit: cut at a leaf, a backward a task, combine, one backward into the tables."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from mtrec import registry
from mtrec.embeddings.tables import Embeddings
from mtrec.objective.cut import Combine, Factored, Gradients, dense, fan_out
from mtrec.objective.gramian import gramian, square_lengths, weighted_sum
from mtrec.sections import EmbeddingOptimizer
from mtrec.training.task_gradients import TaskGradients
from mtrec.types import Batch, Cursor, IdField

B, T, WIDTH = 64, 3, 8
FIELDS = [IdField("user", "user", 30), IdField("item", "item", 20)]


def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    ids = torch.cat([torch.randint(field.num_rows, (B,), generator=generator) for field in FIELDS])  # Ids repeat within the batch.
    return Batch(
        torch.randn(B, 2, generator=generator), ids, torch.ones(2, B, dtype=torch.int64),
        (torch.rand(B, T, generator=generator) < 0.4).float(), torch.ones(B, T, dtype=torch.bool), torch.ones(B), torch.arange(B), Cursor(0, 0),
    )  # fmt: skip


class Model(nn.Module):
    """Shared: experts [B, E, H], and the input itself, which gates read; tasks: a gate and a head each."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        width = 2 + WIDTH * len(FIELDS)
        self.experts = nn.Linear(width, 2 * 6)
        self.gates = nn.ModuleList(nn.Linear(width, 2) for _ in range(T))
        self.heads = nn.ModuleList(nn.Linear(6, 1) for _ in range(T))

    def shared(self, flat: Tensor) -> list[Tensor]:
        return [torch.relu(self.experts(flat)).view(-1, 2, 6), flat]

    def logit(self, shared: list[Tensor], task: int) -> Tensor:
        gate = torch.softmax(self.gates[task](shared[1]), dim=1)
        logit: Tensor = self.heads[task]((gate.unsqueeze(2) * shared[0]).sum(1))
        return logit.squeeze(1)


def losses(logits: list[Tensor], batch: Batch, absent: int | None = None) -> list[Tensor]:
    each = [nn.functional.binary_cross_entropy_with_logits(logit, batch.labels[:, task]) for task, logit in enumerate(logits)]
    return [0.0 * loss if task == absent else loss for task, loss in enumerate(each)]


def embeddings(kind: str) -> Embeddings:
    optimizer = EmbeddingOptimizer.model_validate({"kind": kind, "lr": 0.1})
    return Embeddings(FIELDS, 2, WIDTH, optimizer, seed=3)


def aggregator(name: str) -> nn.Module:
    part, config = registry.part("aggregators", name)
    module: nn.Module = part(T, config())
    return module


def combiner(name: str) -> Combine:
    combine: Combine = TaskGradients(T, aggregator(name)).combine
    return combine


def state(model: nn.Module, tables: Embeddings) -> dict[str, Tensor]:
    dense = {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}
    return dense | {name: table.clone() for name, table in {**tables.tables(), **tables.optimizer_state()}.items()}


def by_fan_out(combine: Combine, kind: str, absent: int | None = None) -> dict[str, Tensor]:
    model, tables, rows = Model(), embeddings(kind), batch()
    own = fan_out(model.shared(tables(rows).flat), T, combine)
    torch.stack(losses([model.logit(own[task], task) for task in range(T)], rows, absent)).sum().backward()
    return state(model, tables)


def by_hand(combine: Combine, kind: str, absent: int | None = None) -> dict[str, Tensor]:
    model, tables, rows = Model(), embeddings(kind), batch()
    shared = model.shared(tables(rows).flat)
    leaves = [part.detach().requires_grad_() for part in shared]
    found: list[list[Tensor]] = []
    for task, loss in enumerate(losses([model.logit(leaves, task) for task in range(T)], rows, absent)):
        own = [*model.gates[task].parameters(), *model.heads[task].parameters()]
        gradients = torch.autograd.grad(loss, [*own, *leaves])
        for parameter, gradient in zip(own, gradients, strict=False):
            parameter.grad = gradient
        found.append(list(gradients[len(own) :]))
    torch.autograd.backward(shared, combine(found))
    return state(model, tables)


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys() and found
    assert {name for name in expected if not torch.equal(found[name], expected[name])} == set()


@pytest.mark.parametrize("kind", ["rowwise_adagrad", "sgd"])
@pytest.mark.parametrize("name", ["sum", "pcgrad", "aligned", "mgda"])
def test_fan_out_is_the_explicit_way(name: str, kind: str) -> None:
    assert_same(by_fan_out(combiner(name), kind), by_hand(combiner(name), kind))


@pytest.mark.parametrize("name", registry.names("aggregators"))
def test_every_aggregator_moves_the_tables_once(name: str) -> None:
    assert_same(by_fan_out(combiner(name), "rowwise_adagrad"), by_hand(combiner(name), "rowwise_adagrad"))


def test_a_backward_for_each_task_takes_other_steps() -> None:
    model, tables, rows = Model(), embeddings("rowwise_adagrad"), batch()
    start = {name: table.clone() for name, table in tables.tables().items()}
    shared = model.shared(tables(rows).flat)
    for loss in losses([model.logit(shared, task) for task in range(T)], rows):
        loss.backward(retain_graph=True)
    once = by_fan_out(combiner("sum"), "rowwise_adagrad")
    for name, table in tables.tables().items():
        moved, moved_once = (table - start[name]).norm(), (once[name] - start[name]).norm()
        assert float(moved) > 1.2 * float(moved_once), "T passes are T steps of the tables' optimizer"


def seen_of(name: str, absent: int | None = None) -> tuple[dict[str, Tensor], list[list[Tensor]], list[Tensor]]:
    """What a step leaves, what its aggregator saw, and what it made of it."""
    seen: list[list[Tensor]] = []
    made: list[Tensor] = []
    combine = combiner(name)

    def watched(gradients: Gradients) -> Sequence[Tensor]:
        assert not seen, "one backward is one problem"
        seen.extend([part.clone() for part in own] for own in gradients)
        made.extend(combine(gradients))
        return made

    return by_fan_out(watched, "sgd", absent), seen, made


def rows_of(gradients: Gradients) -> Tensor:
    return torch.stack([torch.cat([part.flatten() for part in own]) for own in gradients])


@pytest.mark.parametrize("name", registry.names("aggregators"))
def test_parts_are_aggregated_as_rows(name: str) -> None:
    _, seen, made = seen_of(name)
    assert_close(torch.cat([part.flatten() for part in made]), aggregator(name)(rows_of(seen)), rtol=1e-4, atol=1e-7)


def test_two_cut_tensors_are_one_problem() -> None:
    _, seen, made = seen_of("mgda")
    assert [part.shape for part in seen[0]] == [(B, 2, 6), (B, 2 + WIDTH * len(FIELDS))]
    apart = [aggregator("mgda")(torch.stack([own[place].flatten() for own in seen])) for place in (0, 1)]
    assert not torch.allclose(torch.cat([part.flatten() for part in made]), torch.cat(apart), rtol=0.05)


@pytest.mark.parametrize("name", registry.names("aggregators"))
def test_a_task_that_is_absent_has_a_row_of_zeros(name: str) -> None:
    found, seen, _ = seen_of(name, absent=1)
    rows_TN = rows_of(seen)
    assert not rows_TN[1].any() and rows_TN[[0, 2]].any(dim=1).all()
    assert all(value.isfinite().all() for value in found.values())
    assert not found["heads.1.weight"].any()


def test_a_task_that_does_not_read_the_shared_tensors_has_a_row_of_zeros() -> None:
    seen: list[Gradients] = []
    h = torch.randn(4, 3, requires_grad=True)

    def combine(gradients: Gradients) -> list[Tensor]:
        seen.append(gradients)
        return weighted_sum([1.0, 1.0], gradients)

    first, _ = fan_out([h], 2, combine)
    (2 * first[0]).sum().backward()
    assert torch.equal(rows_of(seen[0]), torch.stack([torch.full((12,), 2.0), torch.zeros(12)]))
    assert torch.equal(h.grad, torch.full((4, 3), 2.0))


def test_gradients_of_half_precision_are_combined_in_single() -> None:
    gradients = [[torch.full((4,), value, dtype=torch.bfloat16)] for value in (1.0, 2**-9, 2**-9, 2**-9)]
    assert_close(gramian(gradients)[0], torch.tensor([4.0, 2**-7, 2**-7, 2**-7]))
    found = weighted_sum([1.0] * 4, gradients)[0]
    assert found.dtype == torch.bfloat16 and torch.equal(found, torch.full((4,), 1.0 + 2**-7, dtype=torch.bfloat16))


def test_factors_have_the_inner_products_and_sums_of_what_they_are_factors_of() -> None:
    torch.manual_seed(2)
    factors = [[Factored(torch.randn(7, n), torch.randn(n, 5), torch.float32)] for n in (2, 3, 1)]
    rows_TN, weights = rows_of([[dense(part) for part in own] for own in factors]), [0.5, -2.0, 3.0]
    assert_close(gramian(factors), rows_TN.double() @ rows_TN.double().T, rtol=1e-6, atol=1e-5)
    assert_close(square_lengths(factors), gramian(factors).diagonal())
    (found,) = weighted_sum(weights, factors)
    assert_close(found.flatten(), torch.tensor(weights) @ rows_TN, rtol=1e-5, atol=1e-5)


def test_a_conflict_at_the_activation_may_be_agreement_at_the_embedding() -> None:
    """Two rows look up one id: their gradients are apart at the activation, and add up at the embedding."""
    table = nn.Embedding(1, 1)
    seen: list[Tensor] = []

    def combine(gradients: Gradients) -> list[Tensor]:
        seen.append(gramian(gradients)[0, 1])
        return weighted_sum([1.0, 1.0], gradients)

    activations = table(torch.zeros(2, dtype=torch.int64))
    of_tasks = torch.tensor([[[2.0], [-1.0]], [[1.0], [3.0]]])
    own = fan_out([activations], 2, combine)
    at_table = [torch.autograd.grad(activations, table.weight, of, retain_graph=True)[0] for of in of_tasks]
    sum((own[task][0] * of_tasks[task]).sum() for task in range(2)).backward()
    assert float(seen[0]) == -1.0 and float((at_table[0] * at_table[1]).sum()) == 4.0
    assert float(table.weight.grad) == 5.0
