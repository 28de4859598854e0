"""Sequences that are looked up position by position, against naive loops; one step of the optimizer against its equation."""

import torch
from torch import Tensor
from torch.testing import assert_close

from mtrec.embeddings.positions import by_position, spread
from mtrec.embeddings.tables import Embeddings
from mtrec.sections import EmbeddingOptimizer
from mtrec.types import Batch, Cursor, FeatureBatch, FeatureShape, IdField, SequenceField

WIDTH, LR = 4, 0.5
FIELDS = [
    IdField("item", "item", 9),
    IdField("seen", "item", 9),
    IdField("bought", "item", 9),
    IdField("days ago", "days ago", 5),
    IdField("city", "city", 3),
]
SEQUENCES = [SequenceField("seen", 3, ("days ago",)), SequenceField("bought", 2)]
# Row 1 has neither item nor city, and has seen nothing; row 2 has seen one thing twice.
IDS = [[[2], [], [4]], [[2, 5, 1], [], [6, 6]], [[], [7, 2], [8]], [[0, 4, 3], [], [1, 1]], [[0], [], [2]]]


def make(sequences: list[SequenceField], kind: str = "sgd", candidate: str | None = "item") -> Embeddings:
    optimizer = EmbeddingOptimizer.model_validate({"kind": kind, "lr": LR})
    embeddings = Embeddings(FIELDS, 1, WIDTH, optimizer, 3, sequences, candidate)
    generator = torch.Generator().manual_seed(0)
    for name in sorted(embeddings.tables()):  # Larger than at the start, so that differences show.
        embeddings.tables()[name].copy_(torch.randn(embeddings.num_rows[name], WIDTH, generator=generator))
    return embeddings


def batch_of(ids: list[list[list[int]]], num_rows: int = 3) -> Batch:
    values = [one for feature in ids for row in feature for one in row]
    lengths = torch.tensor([[len(row) for row in feature] for feature in ids], dtype=torch.int64).view(len(ids), num_rows)
    empty = torch.zeros(num_rows, 0)
    numbers = torch.arange(num_rows, dtype=torch.float32).unsqueeze(1)
    row = torch.arange(num_rows)
    return Batch(numbers, torch.tensor(values, dtype=torch.int64), lengths, empty, empty.bool(), torch.ones(num_rows), row, Cursor(0, 0))


def copied(tables: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: table.detach().clone() for name, table in tables.items()}


def naive_sequences(tables: dict[str, Tensor]) -> Tensor:
    """[B, S, L, d], one element after the other."""
    expected = torch.zeros(3, 2, 3, WIDTH)
    for row in range(3):
        for place, (item, day) in enumerate(zip(IDS[1][row], IDS[3][row], strict=True)):
            expected[row, 0, place] = tables["item"][item] + tables["days ago"][day]
        for place, item in enumerate(IDS[2][row]):
            expected[row, 1, place] = tables["item"][item]
    return expected


def test_each_position_has_its_embedding_and_what_is_aligned_with_it() -> None:
    embeddings = make(SEQUENCES)
    features = embeddings(batch_of(IDS))
    tables = embeddings.tables()
    assert_close(features.sequences, naive_sequences(tables), rtol=0, atol=1e-6)
    assert features.lengths.tolist() == [[3, 0], [0, 2], [2, 1]]
    assert embeddings.shape == FeatureShape(1 + 2 * WIDTH, 2, 2, WIDTH, max_length=3, has_candidate=True)


def test_what_is_looked_up_by_position_is_no_field_and_the_others_are_as_before() -> None:
    features, pooled = make(SEQUENCES)(batch_of(IDS)), make([])(batch_of(IDS))
    assert torch.equal(features.fields, pooled.fields[:, [0, 4]])
    assert torch.equal(features.flat, torch.cat([pooled.flat[:, :1], features.fields.flatten(1)], 1))
    assert pooled.fields.shape == (3, 5, WIDTH) and pooled.sequences.shape == (3, 0, 0, WIDTH) and pooled.lengths.shape == (3, 0)
    # Without one of them aligned, its mean is a field of its own again.
    alone = make([SequenceField("seen", 3)])(batch_of(IDS))
    assert torch.equal(alone.fields, pooled.fields[:, [0, 2, 3, 4]])
    assert_close(alone.sequences[:, 0].sum(1) / alone.lengths.clamp(min=1), pooled.fields[:, 1], rtol=0, atol=1e-6)


def test_the_candidate_is_the_field_of_the_item() -> None:
    for sequences in ([], SEQUENCES):
        features = make(sequences)(batch_of(IDS))
        assert torch.equal(features.candidate, features.fields[:, 0])
        assert not features.candidate[1].any()
    without = make(SEQUENCES, candidate=None)
    assert without(batch_of(IDS)).candidate.shape == (3, 0) and not without.shape.has_candidate


def test_one_step_adds_up_the_gradients_of_all_places() -> None:
    embeddings = make(SEQUENCES)
    expected = copied(embeddings.tables())
    features = embeddings(batch_of(IDS))
    upstream = [torch.randn(part.shape, generator=torch.Generator().manual_seed(1)) for part in features]
    _score(features, upstream).backward()
    tables = {name: table.requires_grad_() for name, table in expected.items()}
    nothing = torch.zeros(WIDTH)
    fields = torch.stack([torch.stack([tables[FIELDS[f].table][row[0]] if row else nothing for row in IDS[f]]) for f in (0, 4)], 1)
    flat = torch.cat([torch.zeros(3, 1), fields.flatten(1)], 1)
    plain = FeatureBatch(flat, fields, naive_sequences(tables), features.lengths, fields[:, 0])
    _score(plain, upstream).backward()
    for name, table in embeddings.tables().items():
        assert_close(table, (expected[name] - LR * expected[name].grad).detach(), rtol=0, atol=1e-5)


def _score(features: FeatureBatch, upstream: list[Tensor]) -> Tensor:
    return sum(((part * weight).sum() for part, weight in zip(features, upstream, strict=True) if part.is_floating_point()), torch.tensor(0.0))


def test_rowwise_adagrad_steps_once_for_a_row_met_in_many_places() -> None:
    embeddings = make(SEQUENCES, kind="rowwise_adagrad")
    embeddings(batch_of(IDS)).sequences[:, 0].sum().backward()
    # Of the table `item`: rows 2, 5, 1 once, row 6 twice; their gradients are those counts, in each of the d elements.
    sums = embeddings.optimizer_state()["item.momentum1"].flatten().tolist()
    assert sums == [0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 4.0, 0.0, 0.0]
    assert embeddings.optimizer_state()["days ago.momentum1"].flatten().tolist() == [1.0, 4.0, 0.0, 1.0, 1.0]


def test_no_rows_give_no_rows() -> None:
    embeddings = make(SEQUENCES)
    before = copied(embeddings.tables())
    features = embeddings(batch_of([[]] * 5, num_rows=0))
    assert features.sequences.shape == (0, 2, 3, WIDTH) and features.lengths.shape == (0, 2) and features.candidate.shape == (0, WIDTH)
    (features.sequences.sum() + features.flat.sum()).backward()
    assert all(torch.equal(table, before[name]) for name, table in embeddings.tables().items())


def test_the_batch_is_left_as_it_was() -> None:
    batch = batch_of(IDS)
    ids, lengths = batch.ids.clone(), batch.id_lengths.clone()
    make(SEQUENCES)(batch).sequences.sum().backward()
    assert torch.equal(batch.ids, ids) and torch.equal(batch.id_lengths, lengths)


def test_spreading_what_was_put_by_position_gives_the_lists_back() -> None:
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(0, 5, (20,), generator=generator)
    values = torch.arange(1, int(lengths.sum()) + 1)
    by_place, lengths_LB = by_position(values, lengths, 6)
    dense_BL = spread(values.unsqueeze(1), lengths, 6).squeeze(2)
    assert [row[row > 0].tolist() for row in dense_BL] == [part.tolist() for part in values.split(lengths.tolist())]
    assert torch.equal(dense_BL.t()[lengths_LB > 0], by_place) and torch.equal(lengths_LB.sum(0), lengths)
