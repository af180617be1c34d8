"""Small things that more than one format needs: chunks for a new file, numbers in attributes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def default_chunks(axes: str, shape: Sequence[int], voxels: int) -> tuple[int, ...]:
    """Cubes (squares in a flat image) of about so many voxels, of one channel and one time.

    >>> default_chunks("zyxc", (500, 2000, 30, 2), 64**3)
    (64, 64, 30, 1)
    """
    edge = round(voxels ** (1 / sum(axis in "zyx" for axis in axes)))
    return tuple(min(edge, extent) if axis in "zyx" else 1 for axis, extent in zip(axes, shape))


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
