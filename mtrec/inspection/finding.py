"""One thing that a look at a log found."""

from typing import Literal, NamedTuple

__all__ = ["FEW", "Finding", "Level"]

Level = Literal["leak", "warning", "note"]
FEW = 20  # Fewer rows of a class, or fewer pairs, say nothing.


class Finding(NamedTuple):
    """Attributes: level, a leak fails the check; where, a column, a section or a split; sentence, for a person; figures, what it rests on."""

    level: Level
    where: str
    sentence: str
    figures: dict[str, float]
