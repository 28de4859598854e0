"""Several processes as one run: who am I, sums and rows over all ranks, and whose turn it is to write.

Every function is a collective when there is more than one rank: all ranks must call it in the same order. With one rank, or before a process group
exists, each is free.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["all_sum", "first_does_it", "gather_rows", "is_first", "rank", "share_text", "wait", "world_size"]


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def is_first() -> bool:
    """Whether this is the rank that writes files and speaks."""
    return rank() == 0


def all_sum(tensor: Tensor) -> Tensor:
    """The sum over all ranks, in place."""
    if world_size() > 1:
        dist.all_reduce(tensor)
    return tensor


def gather_rows(tensor: Tensor) -> Tensor:
    """The rows of all ranks, rank after rank, on every rank; ranks may hold different numbers of rows."""
    if world_size() == 1:
        return tensor
    sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(world_size())]
    dist.all_gather(sizes, torch.tensor([len(tensor)]))
    most = max(int(size) for size in sizes)
    padded = tensor.new_zeros((most, *tensor.shape[1:]))
    padded[: len(tensor)] = tensor
    found = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(found, padded)
    return torch.cat([part[: int(size)] for part, size in zip(found, sizes, strict=True)])


def share_text(text: str) -> str:
    """The first rank's text, on every rank."""
    if world_size() == 1:
        return text
    held = [text]
    dist.broadcast_object_list(held, src=0)
    return held[0]


def wait() -> None:
    """Go on when all ranks are here."""
    if world_size() > 1:
        dist.barrier()


@contextmanager
def first_does_it() -> Iterator[bool]:
    """A block whose body the first rank runs (`if turn:`) while the others wait at its end."""
    yield is_first()
    wait()
