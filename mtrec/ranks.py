"""Several processes as one run: who am I, sums and rows over all ranks, and whose turn it is to write.

Every function is a collective when there is more than one rank: all ranks must call it in the same order. With one rank, or before a process group
exists, each is free.
"""

import os
import sys
from collections.abc import Callable
from typing import NoReturn, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["all_sum", "first_then_all", "gather_rows", "is_first", "leave", "rank", "share", "share_text", "wait", "world_size"]


Result = TypeVar("Result")


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def share() -> dict[str, int]:
    """What a reader needs to know to give this rank its share."""
    return {"rank": rank(), "world_size": world_size()}


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
    # gloo carries no truth values.
    plain = tensor.to(torch.uint8) if tensor.dtype == torch.bool else tensor
    padded = plain.new_zeros((most, *plain.shape[1:]))
    padded[: len(plain)] = plain
    found = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(found, padded)
    return torch.cat([part[: int(size)] for part, size in zip(found, sizes, strict=True)]).to(tensor.dtype)


def share_text(text: str) -> str:
    """The first rank's text, on every rank."""
    if world_size() == 1:
        return text
    held = [text]
    dist.broadcast_object_list(held, src=0)
    return held[0]


def leave(code: int) -> NoReturn:
    """End this process with an exit code, at once: tearing down a process group while the interpreter shuts down can abort."""
    sys.stdout.flush()
    sys.stderr.flush()
    if code == 0 and dist.is_initialized():
        dist.destroy_process_group()
    os._exit(code)


def wait() -> None:
    """Go on when all ranks are here."""
    if world_size() > 1:
        dist.barrier()


def first_then_all(work: Callable[[], Result]) -> Result:
    """Do the same work on every rank, the first before the others, so that they find what it wrote."""
    if is_first():
        result = work()
        wait()
        return result
    wait()
    return work()
