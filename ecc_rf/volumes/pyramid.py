"""Multi-resolution images: the extents of the coarser levels, and how their voxels come from the finer ones."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.errors import SettingError

METHODS = ("mean", "mode", "max", "nearest")
SMALLEST = 64  # a level of at most so many voxels along each axis is the last: it is one chunk

_AT_ONCE = 64  # voxels along each axis of a level that are made at once: the finer ones are eight times as many


@dataclass(frozen=True)
class Level:
    """A coarser level that is to be built.

    Attributes
    ----------
    number : int
        1 is made of the full resolution.
    shape, pieces : tuple of int
        Its extents, and those of a file of it, which has one writer.
    bytes_needed : int
        To build a file.
    build : callable
        Builds the files in a region, which is whole files; they are on the disk when it returns.
    """

    number: int
    shape: tuple[int, ...]
    pieces: tuple[int, ...]
    bytes_needed: int
    build: Callable[[tuple[slice, ...]], None]


def level_bytes(pieces: Sequence[int], dtype: np.dtype[Any]) -> int:
    """Bytes that it takes to build a file of a level: the file, and what it is made of bit by bit.

    >>> level_bytes((128, 128, 128), np.dtype("u2")) // 2**20
    20
    """
    finer = math.prod(2 * min(n, _AT_ONCE) for n in pieces)
    return (2 * math.prod(pieces) + 6 * finer // 2) * dtype.itemsize


def check_method(method: str) -> str:
    """The method itself, if there is such a one.

    Raises
    ------
    SettingError
    """
    if method not in METHODS:
        raise SettingError(f"{method!r} is no way to make a pyramid", "pyramid", f"choose one of {', '.join(METHODS)}")
    return method


def pyramid_steps(axes: str, shape: Sequence[int], voxel_size: Sequence[float] | None) -> list[tuple[int, ...]]:
    """How many voxels become one along each axis, from each level to the next.

    The finest axes are halved first, so that coarse voxels come near to cubes: an axis whose voxels are twice as long
    as the shortest waits. Axes of time and channel stay.

    Parameters
    ----------
    axes, shape
        Of the full resolution, in the same order.
    voxel_size : (z, y, x), optional
        Cubes if it is not known.

    >>> pyramid_steps("czyx", (2, 100, 400, 400), (6.0, 1.6, 1.6))
    [(1, 1, 2, 2), (1, 2, 2, 2), (1, 2, 2, 2)]
    >>> pyramid_steps("zyx", (64, 64, 64), None)
    []
    """
    size = [dict(zip("zyx", voxel_size or (1.0, 1.0, 1.0))).get(axis, np.inf) for axis in axes]
    extents = list(shape)
    steps = []
    spatial = [i for i, axis in enumerate(axes) if axis in "zyx"]
    while max(extents[i] for i in spatial) > SMALLEST:
        large = [i for i in spatial if extents[i] > 1]
        shortest = min(size[i] for i in large)
        halved = {i for i in large if size[i] < 2 * shortest}
        steps.append(tuple(2 if i in halved else 1 for i in range(len(axes))))
        extents = [-(-extent // step) for extent, step in zip(extents, steps[-1])]
        size = [length * step for length, step in zip(size, steps[-1])]
    return steps


def reduce_region(
    read: Callable[[tuple[slice, ...]], NDArray[Any]],
    region: Sequence[slice],
    step: Sequence[int],
    method: str,
    dtype: np.dtype[Any],
) -> NDArray[Any]:
    """A region of a level out of the one before it, of which little is held at once.

    Parameters
    ----------
    read : callable
        Voxels of a region of the finer level, which may go on beyond its end.
    region : sequence of slice
        Of the coarser level.
    step, method, dtype
        As for `reduce`.
    """
    out = np.empty([part.stop - part.start for part in region], dtype)
    for corner in itertools.product(*(range(part.start, part.stop, _AT_ONCE) for part in region)):
        some = tuple(slice(i, min(i + _AT_ONCE, part.stop)) for i, part in zip(corner, region))
        target = tuple(slice(s.start - part.start, s.stop - part.start) for s, part in zip(some, region))
        out[target] = reduce(read(tuple(slice(s.start * by, s.stop * by) for s, by in zip(some, step))), step, method)
    return out


def reduce(block: NDArray[Any], step: Sequence[int], method: str) -> NDArray[Any]:
    """One voxel for each `step` voxels; at an odd end, the last voxels count twice.

    Parameters
    ----------
    block : ndarray
        Integers, floats or booleans.
    step : sequence of int
        One per axis.
    method : {'mean', 'mode', 'max', 'nearest'}
        The mean of integers is rounded, halves up. Of equally frequent values the largest is the mode, so that a
        label wins against the background 0.

    Returns
    -------
    ndarray
        Of the same dtype.

    >>> reduce(np.array([[1, 2, 5], [2, 2, 6]]), (2, 2), "mean").tolist()
    [[2, 6]]
    >>> reduce(np.array([[0, 7, 3], [0, 7, 0]]), (2, 2), "mode").tolist()
    [[7, 3]]
    """
    padded = np.pad(block, [(0, -extent % by) for extent, by in zip(block.shape, step)], mode="edge")
    parts = [
        padded[tuple(slice(start, None, by) for start, by in zip(starts, step))]
        for starts in itertools.product(*map(range, step))
    ]
    if method == "nearest":
        return np.ascontiguousarray(parts[0])
    if method == "max":
        largest = parts[0].copy()
        for part in parts[1:]:
            np.maximum(largest, part, out=largest)
        return largest
    return _mode(parts) if method == "mode" else _mean(parts)


def _mean(parts: list[NDArray[Any]]) -> NDArray[Any]:
    n, dtype = len(parts), parts[0].dtype
    if dtype.kind == "f":
        total = parts[0].astype(np.float64)
        for part in parts[1:]:
            total += part
        return (total / n).astype(dtype)
    wide = np.dtype(f"{'i' if dtype.kind == 'i' else 'u'}{4 if dtype.itemsize < 4 else 8}")
    rest = np.zeros(parts[0].shape, wide)
    mean: NDArray[Any] = np.zeros_like(rest)
    for part in parts:
        if dtype.itemsize < 8:
            rest += part
        else:  # their sum might overflow
            quotient, remainder = np.divmod(part, wide.type(n))
            mean += quotient
            rest += remainder
    mean += (rest + wide.type(n // 2)) // wide.type(n)
    return mean.astype(dtype)


def _mode(parts: list[NDArray[Any]]) -> NDArray[Any]:
    ranked = np.sort(np.stack(parts), axis=0)
    best: NDArray[Any] = ranked[0].copy()
    run = np.ones(best.shape, np.uint8)
    longest = run.copy()
    for before, value in itertools.pairwise(ranked):
        run = np.where(value == before, run + np.uint8(1), np.uint8(1))
        better = run >= longest
        best[better] = value[better]
        longest[better] = run[better]
    return best
