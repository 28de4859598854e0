"""Sequences looked up position by position: the index arithmetic that training and the artifact share, in plain torch.

Shapes: B rows, n values of one feature over all rows, L positions, d embedding width.
"""

import torch
from torch import Tensor

__all__ = ["by_position", "places", "spread"]


def places(lengths: Tensor) -> tuple[Tensor, Tensor]:
    """lengths [B] -> the row and the position of each value, [n] each.

    >>> [each.tolist() for each in places(torch.tensor([2, 0, 1]))]
    [[0, 0, 2], [0, 1, 0]]
    """
    row = torch.repeat_interleave(torch.arange(lengths.numel()), lengths)
    return row, torch.arange(row.numel()) - (lengths.cumsum(0) - lengths)[row]


def by_position(values: Tensor, lengths: Tensor, max_length: int) -> tuple[Tensor, Tensor]:
    """One list a row as `max_length` features of at most one value a row: values [n], all rows of position 0 first, and lengths [L, B].

    >>> [each.tolist() for each in by_position(torch.tensor([5, 6, 7]), torch.tensor([2, 0, 1]), 2)]
    [[5, 7, 6], [[1, 0, 1], [1, 0, 0]]]
    """
    row, position = places(lengths)
    values_LB = values.new_zeros([max_length, lengths.numel()])
    values_LB[position, row] = values
    known_LB = torch.arange(max_length).unsqueeze(1) < lengths
    return values_LB[known_LB], known_LB.to(lengths.dtype)


def spread(embeddings: Tensor, lengths: Tensor, max_length: int) -> Tensor:
    """Embeddings of a list's values [n, d], row after row -> [B, L, d], zeros behind each row's last."""
    row, position = places(lengths)
    spread_BLd = embeddings.new_zeros([lengths.numel(), max_length, embeddings.size(1)])
    spread_BLd[row, position] = embeddings
    return spread_BLd
