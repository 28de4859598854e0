"""A prepared log through the eyes of one of its tasks."""

from mtrec.data.bundle import Prepared
from mtrec.data.reader import Reader

__all__ = ["OneTask"]


class OneTask(Prepared):
    """The same rows and inputs, with the label of one task alone.

    A task that is given another is known where that one is 1, as it was prepared: the other's label has made the mask, and is seen no more.

    Args:
        prepared: a log of several tasks.
        place: of the task in the order of the configuration, in which labels lie.
    """

    def __init__(self, prepared: Prepared, place: int) -> None:
        vars(self).update(vars(prepared))
        self.place = place

    def reader(self, split: str, batch_size: int, seed: int = 0, rank: int = 0, world_size: int = 1) -> Reader:
        """As those of the whole log."""
        return super().reader(split, batch_size, seed, rank, world_size).with_label(self.place)
