"""Checks of raw inputs, and the cut of lists to their newest values: written for scripts, so that the artifact makes the same ones.

They raise ValueError, the only kind that TorchScript passes on; its message names the column.
"""

import torch
from torch import Tensor

__all__ = ["IdColumns", "NumberColumns", "StringColumns", "check_lengths", "id_column", "newest", "number_column", "string_column"]

NumberColumns = dict[str, Tensor]
IdColumns = dict[str, tuple[Tensor, Tensor]]
StringColumns = dict[str, tuple[list[str], Tensor]]


def newest(lengths: Tensor, max_length: int) -> Tensor:
    """Which values of lists lie among the last `max_length` of their list.

    Args:
        lengths: [n] int64, values of each list; the lists lie one after the other.

    Returns:
        [sum of lengths] bool.
    """
    ends = torch.repeat_interleave(lengths.cumsum(0), lengths)
    return ends - torch.arange(ends.numel(), dtype=torch.int64, device=ends.device) <= max_length


def check_lengths(column: str, lengths: Tensor, num_values: int, num_rows: int, single: bool) -> Tensor:
    """The lengths of a column as int64, if they describe `num_values` values of `num_rows` rows."""
    if lengths.dim() != 1 or lengths.is_floating_point():
        raise ValueError(f"The lengths of column `{column}` must be whole numbers, one a row.")
    if lengths.numel() != num_rows:
        raise ValueError(f"Column `{column}` has {lengths.numel()} lengths, but the batch has {num_rows} rows.")
    whole = lengths.to(torch.int64)
    if bool((whole < 0).any()):
        raise ValueError(f"Column `{column}` has a negative length.")
    # Each is bounded before they are added up, so that the sum cannot wrap around.
    if bool((whole > num_values).any()) or int(whole.sum()) != num_values:
        raise ValueError(f"The lengths of column `{column}` must add up to its {num_values} values.")
    if single and bool((whole > 1).any()):
        raise ValueError(f"Column `{column}` holds one value a row, but a row has several.")
    return whole


def number_column(numbers: NumberColumns, column: str, num_rows: int) -> Tensor:
    """A column of numbers, float64 [num_rows]."""
    if column not in numbers:
        raise ValueError(f"Column `{column}` is missing among the numbers.")
    values = numbers[column]
    if values.dim() != 1:
        raise ValueError(f"Column `{column}` must have one dimension, one number a row.")
    if values.numel() != num_rows:
        raise ValueError(f"Column `{column}` has {values.numel()} rows, but the batch has {num_rows} rows.")
    return values.to(torch.float64)


def id_column(ids: IdColumns, column: str, num_rows: int, single: bool, fractions: bool) -> tuple[Tensor, Tensor]:
    """Values and lengths of a column of ids, int64; with `fractions` of a column of lists of numbers, whose values are float64."""
    if column not in ids:
        raise ValueError(f"Column `{column}` is missing among the ids.")
    values, lengths = ids[column]
    if values.dim() != 1:
        raise ValueError(f"The values of column `{column}` must have one dimension.")
    if values.is_floating_point() and not fractions and values.numel() > 0:
        raise ValueError(f"The values of column `{column}` must be whole numbers.")
    checked = check_lengths(column, lengths, values.numel(), num_rows, single)
    return values.to(torch.float64 if fractions else torch.int64), checked


def string_column(strings: StringColumns, column: str, num_rows: int, single: bool) -> tuple[list[str], Tensor]:
    """Values and lengths of a column of text."""
    if column not in strings:
        raise ValueError(f"Column `{column}` is missing among the strings.")
    values, lengths = strings[column]
    return values, check_lengths(column, lengths, len(values), num_rows, single)
