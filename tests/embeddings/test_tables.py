"""Look-ups against a naive loop, and one step of each optimizer against its equation."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.testing import assert_close

from mtrec.embeddings.tables import Embeddings, initial_table
from mtrec.errors import DataError
from mtrec.sections import EmbeddingOptimizer
from mtrec.types import Batch, Cursor, FeatureShape, IdField

WIDTH = 4
LR, EPS = 0.5, 1e-8
# Two features share a table, its name has a dot, and the names are not in alphabetical order.
FIELDS = [IdField("shop.item", "shop.item", 7), IdField("past", "shop.item", 7), IdField("brand", "brand", 3), IdField("city", "a city", 5)]
# Row 0 of the batch names id 2 twice, once by each feature of the table; row 2 has nothing but a brand.
IDS = [[[2], [1], []], [[2, 4], [], []], [[1], [2], [1]], [[0], [0], []]]
KINDS = ["rowwise_adagrad", "adagrad", "sgd"]


def make(kind: str = "rowwise_adagrad", fields: list[IdField] | None = None, seed: int = 3, lr: float = LR, num_numbers: int = 2) -> Embeddings:
    optimizer = EmbeddingOptimizer.model_validate({"kind": kind, "lr": lr, "eps": EPS})
    return Embeddings(FIELDS if fields is None else fields, num_numbers, WIDTH, optimizer, seed)


def make_batch(ids: list[list[list[int]]], num_rows: int = 3, num_numbers: int = 2) -> Batch:
    values = [one for feature in ids for row in feature for one in row]
    return Batch(
        numbers=torch.arange(num_rows * num_numbers, dtype=torch.float32).view(num_rows, num_numbers),
        ids=torch.tensor(values, dtype=torch.int64),
        id_lengths=torch.tensor([[len(row) for row in feature] for feature in ids], dtype=torch.int64).view(len(ids), num_rows),
        labels=torch.zeros(num_rows, 1),
        label_mask=torch.zeros(num_rows, 1, dtype=torch.bool),
        weight=torch.ones(num_rows),
        row=torch.arange(num_rows),
        cursor=Cursor(4, 96),
    )


def snapshot(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def naive(tables: dict[str, Tensor], fields: list[IdField], ids: list[list[list[int]]]) -> Tensor:
    """The mean of the rows of each bag, zeros where it is empty. [B, F, d]"""
    pooled = [[tables[field.table][row].mean(0) if row else torch.zeros(WIDTH) for row in bags] for field, bags in zip(fields, ids, strict=True)]
    return torch.stack([torch.stack(bags) for bags in pooled], 1)


def gradients(fields: list[IdField], ids: list[list[list[int]]], upstream_BFd: Tensor) -> dict[str, Tensor]:
    """By table, the gradient of each of its rows."""
    found = {field.table: torch.zeros(field.num_rows, WIDTH) for field in fields}
    for index, (field, bags) in enumerate(zip(fields, ids, strict=True)):
        for place, row in enumerate(bags):
            for one in row:
                found[field.table][one] += upstream_BFd[place, index] / len(row)
    return found


def step(embeddings: Embeddings, ids: list[list[list[int]]], upstream_BFd: Tensor) -> None:
    (embeddings(make_batch(ids)).fields * upstream_BFd).sum().backward()


def upstream(seed: int = 0) -> Tensor:
    return torch.randn(3, len(FIELDS), WIDTH, generator=torch.Generator().manual_seed(seed))


def test_look_up_equals_a_naive_loop() -> None:
    embeddings = make()
    batch = make_batch(IDS)
    features = embeddings(batch)
    expected = naive(embeddings.tables(), FIELDS, IDS)
    assert_close(features.fields, expected, rtol=0, atol=1e-7)
    assert torch.equal(features.flat, torch.cat([batch.numbers, features.fields.reshape(3, -1)], 1))
    assert embeddings.shape == FeatureShape(2 + 4 * WIDTH, 4, 0, WIDTH)
    assert (features.sequences.shape, features.lengths.shape, features.candidate.shape) == ((3, 0, 0, WIDTH), (3, 0), (3, 0))


def test_null_gives_zeros_and_the_unknown_id_does_not() -> None:
    features = make()(make_batch(IDS))
    assert not features.fields[2, 0].any() and not features.fields[1, 1].any()
    assert features.fields[0, 3].any()


def test_the_batch_is_left_as_it_was() -> None:
    batch = make_batch(IDS)
    before = [tensor.clone() for tensor in batch[:-1]]  # type: ignore[union-attr]
    embeddings = make()
    step(embeddings, IDS, upstream())
    embeddings(batch).flat.sum().backward()
    assert all(torch.equal(*pair) for pair in zip(batch[:-1], before, strict=True))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_the_rows_of_the_batch_learn_and_no_others(kind: str) -> None:
    embeddings = make(kind)
    before = snapshot(embeddings.tables())
    step(embeddings, IDS, upstream())
    seen = {"shop.item": [1, 2, 4], "brand": [1, 2], "a city": [0]}
    for name, table in embeddings.tables().items():
        assert torch.nonzero((table != before[name]).any(1)).flatten().tolist() == seen[name]


@pytest.mark.parametrize("kind", KINDS)
def test_two_steps_are_those_of_the_equation(kind: str) -> None:
    embeddings = make(kind)
    expected = snapshot(embeddings.tables())
    sums = {name: torch.zeros(table.shape if kind == "adagrad" else (len(table), 1)) for name, table in expected.items()}
    for seed in (0, 1):
        for name, gradient in gradients(FIELDS, IDS, upstream(seed)).items():
            if kind == "sgd":
                expected[name] -= LR * gradient
            else:
                sums[name] += gradient.square() if kind == "adagrad" else gradient.square().mean(1, keepdim=True)
                expected[name] -= LR * gradient / (sums[name].sqrt() + EPS)
        step(embeddings, IDS, upstream(seed))
    for name, table in embeddings.tables().items():
        assert_close(table, expected[name], rtol=0, atol=1e-6)


def test_a_hand_made_step_of_rowwise_adagrad() -> None:
    embeddings = make(fields=[IdField("item", "item", 2)], lr=0.1, num_numbers=0)
    table = embeddings.tables()["item"]
    table.zero_()
    features = embeddings(make_batch([[[1], [1], []]], num_numbers=0))
    (features.fields * torch.tensor([1.0, 0.0, 3.0, 2.0])).sum().backward()
    # The gradient of row 1 is (2, 0, 6, 4), the mean of its squares 14.
    assert_close(table[1], torch.tensor([-0.2, 0.0, -0.6, -0.4]) / 14**0.5, rtol=0, atol=1e-6)
    assert embeddings.optimizer_state()["item.momentum1"].tolist() == [0.0, 14.0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_rate_holds_from_the_next_look_up_on(kind: str) -> None:
    embeddings, steady = make(kind), make(kind)
    for rate in (LR / 4, 0.0, LR):
        embeddings.set_lr(rate)
        before = snapshot(embeddings.tables())
        state = snapshot(embeddings.optimizer_state())
        for name, table in steady.tables().items():
            table.copy_(before[name])
        for name, tensor in steady.optimizer_state().items():
            tensor.copy_(state[name])
        step(embeddings, IDS, upstream())
        step(steady, IDS, upstream())
        for name, table in embeddings.tables().items():
            assert_close(table - before[name], (steady.tables()[name] - before[name]) * (rate / LR), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("bad", "field"), [(-1, "shop.item"), (7, "shop.item"), (3, "brand"), (2**40, "a city")])
def test_an_id_out_of_range_is_named_before_anything_changes(bad: int, field: str) -> None:
    embeddings = make()
    index = [each.table for each in FIELDS].index(field)
    ids: Any = [[list(row) for row in feature] for feature in IDS]
    ids[index][1] = [bad]
    batch = make_batch(ids)
    values = batch.ids.clone()
    tables, state = snapshot(embeddings.tables()), snapshot(embeddings.optimizer_state())
    with pytest.raises(DataError, match=rf"'{FIELDS[index].name}' lies outside of its table \(epoch 4, row 96\).*0 to {FIELDS[index].num_rows - 1}"):
        embeddings(batch)
    assert torch.equal(batch.ids, values)
    assert all(torch.equal(table, tables[name]) for name, table in embeddings.tables().items())
    assert all(torch.equal(tensor, state[name]) for name, tensor in embeddings.optimizer_state().items())


def test_tables_start_by_seed_and_name_alone() -> None:
    first, other, turned = make(), make(seed=4), make(fields=[FIELDS[3], FIELDS[2], *FIELDS[:2]])
    for name, table in first.tables().items():
        assert torch.equal(table, turned.tables()[name]) and torch.equal(table, initial_table(3, name, *table.shape))
        assert not torch.equal(table, other.tables()[name])
    assert torch.equal(initial_table(3, "user", 9, WIDTH)[:5], initial_table(3, "user", 5, WIDTH))
    assert not torch.equal(initial_table(3, "user", 5, WIDTH), initial_table(3, "item", 5, WIDTH))


def test_tables_start_within_their_bound_whatever_the_global_seed() -> None:
    torch.manual_seed(1)
    first = initial_table(0, "user", 1000, 16)
    torch.manual_seed(2)
    assert torch.equal(first, initial_table(0, "user", 1000, 16))
    assert first.abs().max() <= 0.1 / 4 and first.abs().max() > 0.099 / 4
    assert abs(float(first.mean())) < 5e-4


@pytest.mark.parametrize("kind", KINDS)
def test_a_restored_state_goes_on_bit_for_bit(kind: str) -> None:
    straight = make(kind)
    step(straight, IDS, upstream(0))
    tables, state = snapshot(straight.tables()), snapshot(straight.optimizer_state())
    assert set(state) == ({f"{name}.momentum1" for name in tables} if kind != "sgd" else set())
    restored = make(kind, seed=9)
    for name, table in restored.tables().items():
        table.copy_(tables[name])
    for name, tensor in restored.optimizer_state().items():
        tensor.copy_(state[name])
    for each in (straight, restored):
        each.set_lr(LR / 2)
        step(each, IDS, upstream(1))
    assert all(torch.equal(table, restored.tables()[name]) for name, table in straight.tables().items())
    assert all(torch.equal(tensor, restored.optimizer_state()[name]) for name, tensor in straight.optimizer_state().items())


def test_two_collections_in_one_process_do_not_meet() -> None:
    first, second = make("adagrad"), make("sgd", seed=8)
    before = snapshot(second.tables())
    step(first, IDS, upstream())
    second.set_lr(0.25)
    assert all(torch.equal(table, before[name]) for name, table in second.tables().items())
    step(first, IDS, upstream())
    step(second, IDS, upstream())
    expected = {name: before[name] - 0.25 * gradient for name, gradient in gradients(FIELDS, IDS, upstream()).items()}
    for name, table in second.tables().items():
        assert_close(table, expected[name], rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_no_rows_give_no_rows_and_change_nothing(kind: str) -> None:
    embeddings = make(kind)
    before = snapshot(embeddings.tables())
    features = embeddings(make_batch([[], [], [], []], num_rows=0))
    assert features.flat.shape == (0, 2 + 4 * WIDTH) and features.fields.shape == (0, 4, WIDTH)
    features.flat.sum().backward()
    assert all(torch.equal(table, before[name]) for name, table in embeddings.tables().items())


def test_a_batch_without_any_id_gives_zeros() -> None:
    features = make()(make_batch([[[], [], []]] * 4))
    assert features.fields.shape == (3, 4, WIDTH) and not features.fields.any()
    features.fields.sum().backward()


def test_without_id_features_numbers_pass_through() -> None:
    embeddings = make(fields=[])
    for num_rows in (3, 0):
        batch = make_batch([], num_rows)
        features = embeddings(batch)
        assert torch.equal(features.flat, batch.numbers) and features.fields.shape == (num_rows, 0, 0)
    assert embeddings.shape == FeatureShape(2, 0, 0, 0)
    assert embeddings.tables() == embeddings.optimizer_state() == {} and embeddings.elsewhere() == set()
    embeddings.set_lr(0.1)


def test_a_look_up_without_gradient_changes_nothing() -> None:
    embeddings = make().eval()
    before = snapshot(embeddings.tables())
    with torch.no_grad():
        first = embeddings(make_batch(IDS)).flat
    assert not first.requires_grad
    assert all(torch.equal(table, before[name]) for name, table in embeddings.tables().items())


def test_one_rank_holds_all_tables() -> None:
    embeddings = make()
    assert dist.get_world_size() == 1
    assert set(embeddings.tables()) == {field.table for field in FIELDS} and embeddings.elsewhere() == set()


def test_writing_to_a_table_changes_the_next_look_up() -> None:
    embeddings = make()
    embeddings.tables()["brand"].fill_(2.0)
    assert np.all(embeddings(make_batch(IDS)).fields[:, 2].detach().numpy() == 2.0)
