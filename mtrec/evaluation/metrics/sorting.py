"""Sorting many scores of 32 bits with a label each: one counting sort by their leading bits, then a sort inside each bucket, which fits the cache.

A comparison sort of ten million keys passes over them some twenty times. Here they are moved once, to buckets of some hundreds, and the rest
happens in the cache. The counting sort is scipy's: a sparse column whose row numbers are the buckets, turned into rows. As all keys of a bucket have
their first bit in common, it can make room for the label: plain integers sort several times faster than anything that carries an index along.
"""

import itertools

import numpy as np
from numpy.typing import NDArray

__all__ = ["SIGN", "in_order_of_size", "sort_labelled"]

SIGN = np.uint32(1 << 31)
SMALL = 1 << 18  # below this, moving the keys costs more than it saves
ROWS_PER_BUCKET = 256  # fewer, and the keys scatter over more places than the cache follows; more, and they sort slower
MOST_BUCKETS = 1 << 22


def in_order_of_size(scores: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Whole numbers that are ordered as the scores [N] are, which hold no NaN; those of 0 and above have the bit `SIGN`."""
    bits = (scores + np.float32(0)).view(np.uint32)  # -0 + 0 is 0.
    # The bits of a float without its sign rise with its size: those of negative ones are turned around.
    return np.asarray(bits ^ ((bits.view(np.int32) >> np.int32(31)).view(np.uint32) | SIGN))


def sort_labelled(ordered: NDArray[np.uint32], positive: NDArray[np.bool_]) -> NDArray[np.uint32]:
    """The keys 2 * ordered + positive in ascending order, [N], each without its highest bit, which is that of `ordered`."""
    if len(ordered) < SMALL:
        return np.sort((ordered.astype(np.uint64) << np.uint64(1)) | positive).astype(np.uint32)
    shift, low = _shift(ordered), int(ordered.min())
    # Not from `low` on but from 0: then no bucket holds keys that differ in their highest bit.
    bucket = (ordered >> np.uint32(shift)) - np.uint32(low >> shift)
    keys = ordered << np.uint32(1)
    keys |= positive
    grouped, starts = _by_bucket(keys, bucket)
    for start, end in itertools.pairwise([*starts.tolist(), len(keys)]):
        grouped[start:end].sort()
    return grouped


def _shift(ordered: NDArray[np.uint32]) -> int:
    """How many bits the keys of a bucket differ in: so that most buckets hold some hundreds, and there are not too many of them."""
    middle = np.quantile(ordered[:: max(len(ordered) // 4096, 1)], [0.1, 0.9])
    wanted = int(middle[1] - middle[0]).bit_length() - (len(ordered) // ROWS_PER_BUCKET).bit_length()
    at_least = int(ordered.max() - ordered.min()).bit_length() - MOST_BUCKETS.bit_length() + 1
    return min(max(wanted, at_least, 0), 31)


def _by_bucket(keys: NDArray[np.uint32], bucket: NDArray[np.uint32]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """The keys with those of each bucket together, the buckets ascending, and where each bucket that has keys starts."""
    from scipy.sparse import csc_array  # Where it is needed: metrics of small logs do without it.

    # A bucket's number has few bits, so that it is the same with a sign.
    rows = csc_array((keys, bucket.view(np.int32), np.array([0, len(keys)])), shape=(int(bucket.max()) + 1, 1)).tocsr()
    return rows.data, rows.indptr[np.flatnonzero(np.diff(rows.indptr))]
