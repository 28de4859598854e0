"""Draws that depend on a seed and a count alone: the same on every rank, and after a resume."""

import hashlib

import torch

__all__ = ["generator_of"]


def generator_of(seed: int, count: int) -> torch.Generator:
    """A generator of its own for draw `count` of a seed."""
    # The generator takes in no more than 32 bits of a seed.
    digest = hashlib.sha256(f"{seed}/{count}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:4], "big"))
