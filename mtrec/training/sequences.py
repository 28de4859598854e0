"""Which sequences of a configuration are looked up position by position, and what pools them."""

from mtrec.config import resolve_part
from mtrec.errors import ConfigError
from mtrec.model.sequence_pooling import SequencePooling
from mtrec.schema import Features, Roles, SequenceFeature
from mtrec.types import FeatureShape

__all__ = ["build_pooling", "candidate_field", "read_unpooled"]


def read_unpooled(features: Features, encoder_class: type) -> list[SequenceFeature]:
    """All sequences where the encoder reads them itself, else those whose pooling needs each position: a mean is taken in the look-up."""
    reads_all = "sequences" in encoder_class.requires  # type: ignore[attr-defined]
    return [sequence for sequence in features.sequences if reads_all or sequence.pooling.kind != "mean"]


def candidate_field(roles: Roles, features: Features) -> str | None:
    """The id feature of the judged item: one id a row, in the column of `roles.item`."""
    found = [each.name for each in features.ids if each.column is not None and each.column == roles.item and not each.multi]
    return found[0] if found else None


def build_pooling(shape: FeatureShape, sequences: list[SequenceFeature]) -> SequencePooling | None:
    """The poolings of sequences that were looked up position by position; None where there are none.

    Raises:
        ConfigError: if a pooling needs the candidate and there is none.
    """
    poolings = []
    for sequence in sequences:
        pooling_class, pooling_config = resolve_part(sequence.pooling)
        if "candidate" in pooling_class.requires and not shape.has_candidate:
            raise ConfigError(
                f"The pooling {sequence.pooling.kind!r} compares a sequence with the judged item, which is not among the ids",
                where=f"features.sequences, from {sequence.source}",
                do="Name the item's column in log.roles.item and list it in features.ids, or take pooling attention, last or mean.",
            )
        poolings.append(pooling_class(shape.width, pooling_config))
    return SequencePooling(shape, poolings) if poolings else None
