"""Sequences that name a declared history, written out as sequences of the list columns that it gives."""

from collections.abc import Iterator

from mtrec.registry import suggest
from mtrec.schema import Features, SequenceFeature
from mtrec.sections import History, HistoryEntry

__all__ = ["faults_of_expansion", "with_sequences_written_out"]


def with_sequences_written_out(features: Features, entries: dict[str, HistoryEntry]) -> Features:
    """`{from: views, shares: {item_id: item_id}}` becomes `{from: views.item_id, shares: {views.item_id: item_id}, numbers: [views.gap]}`.

    Each kept column that is not among `numbers` is a sequence of its own; the first one has the aligned numbers and the gap.
    """
    written: list[SequenceFeature] = []
    for sequence in features.sequences:
        entry = entries.get(sequence.source)
        written += _written_out(sequence, entry) if isinstance(entry, History) else [sequence]
    return features.model_copy(update={"sequences": written})


def faults_of_expansion(features: Features, entries: dict[str, HistoryEntry]) -> Iterator[tuple[str, str]]:
    """What cannot be written out, as (dotted path, sentence)."""
    for index, sequence in enumerate(features.sequences):
        entry = entries.get(sequence.source)
        if entry is None:
            continue
        path = f"features.sequences.{index}"
        if not isinstance(entry, History):
            yield f"{path}.from", f"{sequence.source!r} counts events; its columns are numbers, such as '{sequence.source}.*'."
            continue
        for key, names in (("shares", list(sequence.shares)), ("numbers", sequence.numbers)):
            for name in names:
                if name not in entry.keep:
                    yield f"{path}.{key}", f"the history {sequence.source!r} keeps no {name!r}. {suggest(name, entry.keep) or ''}".rstrip()
        if set(entry.keep) <= set(sequence.numbers):
            yield f"{path}.numbers", "a kept column must be left for the ids."


def _written_out(sequence: SequenceFeature, entry: History) -> list[SequenceFeature]:
    name = sequence.source
    ids = [kept for kept in entry.keep if kept not in sequence.numbers]
    aligned = [f"{name}.{kept}" for kept in sequence.numbers] + ([f"{name}.gap"] if entry.gap else [])
    return [
        sequence.model_copy(
            update={
                "source": f"{name}.{kept}",
                "shares": {f"{name}.{kept}": sequence.shares[kept]} if kept in sequence.shares else {},
                "numbers": aligned if place == 0 else [],
            }
        )
        for place, kept in enumerate(ids)
    ]
