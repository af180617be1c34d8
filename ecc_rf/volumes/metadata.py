"""Small things that more than one format needs: chunks for a new file, numbers in attributes."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

MOST_FILES = 10_000  # is listed, copied and removed in seconds; of chunks of 64³ these are 2.6 · 10⁹ voxels
SHARD = 128  # the largest block of the block engine: a block is whole shards, and no shard has two writers
SHARD_FLAT = 1024


def default_chunks(axes: str, shape: Sequence[int], voxels: int) -> tuple[int, ...]:
    """Cubes (squares in a flat image) of about so many voxels, of one channel and one time.

    >>> default_chunks("zyxc", (500, 2000, 30, 2), 64**3)
    (64, 64, 30, 1)
    """
    edge = round(voxels ** (1 / sum(axis in "zyx" for axis in axes)))
    return tuple(min(edge, extent) if axis in "zyx" else 1 for axis, extent in zip(axes, shape))


def shard_shape(axes: str, shape: Sequence[int], chunks: Sequence[int]) -> tuple[int, ...] | None:
    """Extents of shards for an image that would be many small files; None for another.

    Whole chunks, of one time and channel, and whatever the block that is written: the same image has the same bytes.

    >>> shard_shape("zyxc", (2000, 2000, 2000, 1), (64, 64, 64, 1))
    (128, 128, 128, 1)
    >>> shard_shape("zyx", (40, 20000, 30000), (40, 64, 64)), shard_shape("zyx", (500, 500, 500), (64, 64, 64))
    ((40, 128, 128), None)
    """
    if math.prod(-(-extent // chunk) for extent, chunk in zip(shape, chunks)) <= MOST_FILES:
        return None
    flat = sum(extent > 1 for axis, extent in zip(axes, shape) if axis in "zyx") <= 2
    edge = SHARD_FLAT if flat else SHARD
    return tuple(
        chunk * max(1, min(edge // chunk, -(-extent // chunk))) if axis in "zyx" else chunk
        for axis, extent, chunk in zip(axes, shape, chunks)
    )


def numbers(stored: object, n: int) -> list[float]:
    """The `n` finite numbers of an attribute; none if it is anything else.

    >>> numbers([0, 255], 2), numbers("junk", 2), numbers(None, 2)
    ([0.0, 255.0], [], [])
    """
    values = np.ravel(np.asarray(stored))
    if values.size != n or values.dtype.kind not in "iuf" or not np.isfinite(values).all():
        return []
    return [float(value) for value in values]


def drange_from(stored: object) -> tuple[float, float] | None:
    """ilastik's attribute `drange`; None if it is missing or no pair of numbers.

    >>> drange_from([0, 255])
    (0.0, 255.0)
    """
    pair = numbers(stored, 2)
    return (pair[0], pair[1]) if pair else None


# what HDF5 images have that is read as something else, or describes the storage
_KNOWN = ("axistags", "axis_units", "element_size_um", "drange", "display_mode")


def plain_attributes(stored: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of an HDF5 dataset as JSON has them, without those that belong to the image.

    What was stored as JSON because HDF5 has no type for it is taken apart; what JSON cannot hold is left out.

    >>> plain_attributes({"trees": np.int64(5), "labels": '["a"]', "drange": [0, 1], "note": "[sic"})
    {'trees': 5, 'labels': ['a'], 'note': '[sic'}
    """
    found: dict[str, Any] = {}
    for key, value in stored.items():
        if key in _KNOWN or key.isupper():  # HDF5's own: DIMENSION_LABELS, CLASS, REFERENCE_LIST
            continue
        plain = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
        if isinstance(plain, str) and plain[:1] in ("{", "["):
            with contextlib.suppress(ValueError, RecursionError):
                plain = json.loads(plain)
        with contextlib.suppress(TypeError, ValueError, RecursionError):
            json.dumps(plain, allow_nan=False)
            found[key] = plain
    return found
