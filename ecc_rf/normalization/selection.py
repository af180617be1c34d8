"""The k-th smallest of a few thousand values, by counting.

Quickselect moves values about, and every comparison is a guess that the processor gets wrong half of the time. Here
the bits of the numbers are taken for integers that have the same order, and the range in which the wanted one lies is
halved by counting how many are below: a loop without a branch, eight values at a time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.compiling import compiled


@compiled
def select_float32(values: NDArray[np.float32], k: int) -> Any:
    """The value that sorting would put at place k; `values`, which are not NaN, are used up.

    >>> select_float32(np.array([5, -3, 9, 3, -3], np.float32), 2)
    3.0
    """
    keys = values.view(np.int32)
    for i in range(keys.size):  # of negative numbers larger bits mean smaller ones
        keys[i] ^= (keys[i] >> np.int32(31)) & np.int32(0x7FFFFFFF)
    found = np.empty(1, np.int32)
    found[0] = _kth(keys, k)
    found[0] ^= (found[0] >> np.int32(31)) & np.int32(0x7FFFFFFF)
    return found.view(np.float32)[0] + np.float32(0)  # there is one zero


@compiled
def select_float64(values: NDArray[np.float64], k: int) -> float:
    """As `select_float32`.

    >>> select_float64(np.array([5.0, 3.0, -9.0, 3.0, 1.0]), 1)
    1.0
    """
    keys = values.view(np.int64)
    for i in range(keys.size):
        keys[i] ^= (keys[i] >> 63) & 0x7FFFFFFFFFFFFFFF
    found = np.empty(1, np.int64)
    found[0] = _kth(keys, k)
    found[0] ^= (found[0] >> 63) & 0x7FFFFFFFFFFFFFFF
    return float(found.view(np.float64)[0] + 0.0)


@compiled
def _kth(keys: NDArray[Any], k: int) -> Any:
    """The key at place k of the order."""
    low, high = keys[0], keys[0]
    for i in range(keys.size):
        low, high = min(low, keys[i]), max(high, keys[i])
    below, upto = 0, keys.size  # keys that are less than `low`, and at most `high`
    while low < high and upto - below > 1:
        # their mean, which no sum of two could overflow; of the keys' own type, or the counting would be of 64 bits
        middle = keys.dtype.type((low & high) + ((low ^ high) >> 1))
        count = _count(keys, middle)
        if count > k:
            high, upto = middle, count
        else:
            low, below = keys.dtype.type(middle + 1), count
    if low == high:
        return low
    only = high
    for i in range(keys.size):
        only = min(only, keys[i] if keys[i] >= low else high)
    return only


@compiled
def _count(keys: NDArray[Any], most: Any) -> Any:
    """How many are at most so large."""
    n = keys.dtype.type(0)  # a sum of the keys' own width, cut to it at every step: otherwise half as fast
    for i in range(keys.size):
        n = keys.dtype.type(n + keys.dtype.type(keys[i] <= most))
    return n
