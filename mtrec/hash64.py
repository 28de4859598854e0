"""Hashes of 64 bits, the same in every process, platform and form: eager torch, TorchScript, numpy.

    mix(z):    z ^= z >>> 30;  z *= 0xBF58476D1CE4E5B9;  z ^= z >>> 27;  z *= 0x94D049BB133111EB;  z ^= z >>> 31
    whole number x under seed s:  mix(x + (s + 1) * 0x9E3779B97F4A7C15)
    text:                         FNV-1a of its UTF-8 bytes: h = 0xCBF29CE484222325, then per byte h = (h ^ byte) * 0x100000001B3;
                                  then as a whole number

All arithmetic is modulo 2^64, held in int64; `>>>` shifts in zeros. `mix` is the finaliser of splitmix64: a bijection, so that different
whole numbers have different hashes. Constants stand in the code as signed numbers, since TorchScript knows no others.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["combine_hashes", "hash_array", "hash_int64", "hash_strings", "hash_strings_numpy", "is_text", "to_range"]


def hash_int64(values: Tensor, seed: int = 0) -> Tensor:
    """The hash of each whole number: int64 of any shape to int64 of that shape.

    >>> hash_int64(torch.tensor([0, 1]))
    tensor([-2152535657050944081, -7995527694508729151])
    """
    offset = torch.full([], seed + 1, dtype=torch.int64, device=values.device) * -7046029254386353131
    z = values + offset
    # `>>` copies the sign into the new bits: the masks clear them.
    z = (z ^ ((z >> 30) & 0x3FFFFFFFF)) * -4658895280553007687
    z = (z ^ ((z >> 27) & 0x1FFFFFFFFF)) * -7723592293110705685
    return z ^ ((z >> 31) & 0x1FFFFFFFF)


def hash_strings(values: list[str], seed: int = 0) -> Tensor:
    """The hash of each text, [n] int64; for scripts and short lists."""
    states: list[int] = []
    if torch.jit.is_scripting():
        for text in values:
            state = -3750763034362895579
            for byte in text:  # TorchScript walks the UTF-8 bytes of a text, and its whole numbers wrap around
                state = (state ^ ord(byte)) * 1099511628211
            states.append(state)
    else:
        for text in values:
            wide = 0xCBF29CE484222325
            for code in text.encode():
                wide = ((wide ^ code) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
            states.append(wide - (1 << 64) if wide >> 63 else wide)
    return hash_int64(torch.tensor(states, dtype=torch.int64), seed)


def combine_hashes(hashes: Tensor) -> Tensor:
    """One hash from the k hashes of each row; their order matters.

        c_0 = 0,  c_i = hash(c_(i-1) + h_i)

    Args:
        hashes: [n, k] int64.

    Returns:
        c_k, [n] int64.
    """
    combined = torch.zeros_like(hashes[:, 0])
    for column in range(hashes.size(1)):
        combined = hash_int64(combined + hashes[:, column])
    return combined


def to_range(hashes: Tensor, size: int) -> Tensor:
    """Hashes to rows of a table: the upper 63 bits modulo `size`, int64 in [0, size)."""
    return ((hashes >> 1) & 0x7FFFFFFFFFFFFFFF) % size


def hash_strings_numpy(array: pa.Array, seed: int = 0) -> NDArray[np.int64]:
    """The hash of each text of an Arrow array of text without nulls, [n] int64; equal to `hash_strings`, over whole columns at once.

    A dictionary-encoded array hashes each entry of its dictionary once.
    """
    if pa.types.is_dictionary(array.type):
        by_entry = hash_strings_numpy(array.dictionary, seed)
        return by_entry[np.asarray(array.indices.to_numpy(zero_copy_only=False), dtype=np.int64)]
    text = array.cast(pa.large_string())
    if len(text) == 0:
        return np.empty(0, dtype=np.int64)
    _, offset_buffer, byte_buffer = text.buffers()
    offsets = np.frombuffer(offset_buffer, dtype=np.int64)[text.offset : text.offset + len(text) + 1]
    data = np.frombuffer(byte_buffer, dtype=np.uint8) if byte_buffer is not None else np.empty(0, dtype=np.uint8)
    lengths = np.diff(offsets)
    # Longest first: the texts that still have a byte at a position are then the first ones.
    order = np.argsort(-lengths, kind="stable")
    starts = offsets[:-1][order]
    num_longer = len(text) - np.searchsorted(np.sort(lengths), np.arange(lengths.max()), side="right")
    state = np.full(len(text), 0xCBF29CE484222325, dtype=np.uint64)
    for position, count in enumerate(num_longer):
        state[:count] = (state[:count] ^ data[starts[:count] + position]) * np.uint64(0x100000001B3)
    hashes = np.empty(len(text), dtype=np.int64)
    hashes[order] = hash_int64(torch.from_numpy(state.view(np.int64)), seed).numpy()
    return hashes


def is_text(arrow_type: pa.DataType) -> bool:
    """Whether an Arrow type is text, dictionary-encoded or not."""
    plain = arrow_type.value_type if pa.types.is_dictionary(arrow_type) else arrow_type
    return bool(pa.types.is_string(plain) or pa.types.is_large_string(plain) or pa.types.is_string_view(plain))


def hash_array(array: pa.Array, seed: int = 0) -> NDArray[np.int64]:
    """The hash of each value of an Arrow array of whole numbers or text without nulls, [n] int64."""
    if is_text(array.type):
        return hash_strings_numpy(array, seed)
    whole: NDArray[Any] = array.cast(pa.int64()).to_numpy(zero_copy_only=False)
    return hash_int64(torch.tensor(whole), seed).numpy()
