"""How a conversion cuts an image into pieces that fit the memory, and what its voxels become."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.blocks import BASE, Block, show_memory
from ecc_rf.blocks.memory import too_little_memory
from ecc_rf.errors import SettingError
from ecc_rf.volumes import Volume
from ecc_rf.volumes.paths import split_path

Scale = tuple[float, float]


@dataclass(frozen=True)
class Pieces:
    """How an image is cut, and what that takes.

    Attributes
    ----------
    block_shape : tuple of int
        Extents of a piece, in the order of the axes.
    workers : int
        Pieces that are held at once.
    cache : int
        Bytes for decoded planes of the source.
    need : int
        Bytes of the whole process at its peak.
    """

    block_shape: tuple[int, ...]
    workers: int
    cache: int
    need: int

    def describe(self, count: int, memory: int) -> str:
        """The plan in a line."""
        times = "×".join(map(str, self.block_shape))
        return (
            f"plan: {count} pieces of {times}, {self.workers} workers,"
            f" {show_memory(self.need)} of {show_memory(memory)}"
        )


def plan_pieces(
    volume: Volume,
    stored: np.dtype[Any],
    scale: Scale | None,
    shape: Sequence[int],
    unit: Sequence[int],
    **machine: int,
) -> Pieces:
    """The largest pieces that suit the source and fit the budget.

    Parameters
    ----------
    volume : Volume
        The source.
    stored : dtype
        Of the result.
    scale : (low, high), optional
        As for `scaled`.
    shape, unit : sequence of int
        Extents of the result, and of what of it has one writer.
    memory, workers : int
        Budget in bytes, and threads.
    least : int
        Bytes that one worker needs for what comes afterwards.

    Raises
    ------
    MemoryBudgetError
        If not even the smallest pieces fit; the message gives the least budget that would do.
    """
    memory, workers = machine["memory"], machine["workers"]
    cost = voxel_cost(volume.dtype, stored, scale)
    fixed = BASE + workers * volume.reading_bytes
    smallest = math.prod(min(edge, n) for edge, n in zip(unit, shape))
    spare = memory - fixed
    need = max(fixed + workers * cost * smallest, BASE + machine.get("least", 0))
    if need > memory:
        raise too_little_memory(need, memory, workers)
    cache = _for_cache(volume, unit, spare, workers * cost, smallest)
    most = (spare - cache) // workers // cost
    if not _in_planes(volume):  # four pieces or more per worker keep all workers busy to the end
        most = max(smallest, min(most, math.prod(shape) // (4 * workers)))
    block_shape = piece_shape(volume.axes, shape, unit, volume.chunks, most)
    return Pieces(block_shape, workers, cache, fixed + cache + workers * cost * math.prod(block_shape))


def pieces_again(
    volume: Volume, stored: np.dtype[Any], scale: Scale | None, block_shape: Sequence[int], **machine: int
) -> Pieces:
    """The pieces of a run that is gone on with, by as many workers as the budget of this run allows.

    Raises
    ------
    MemoryBudgetError
        If not even one worker fits.
    """
    memory, workers = machine["memory"], machine["workers"]
    one = voxel_cost(volume.dtype, stored, scale) * math.prod(block_shape) + volume.reading_bytes
    if BASE + one > memory:
        raise too_little_memory(BASE + one, memory, 1, restart=True)
    workers = min(workers, (memory - BASE) // one)
    left = memory - BASE - workers * one
    edges = [n if a in "yx" else min(edge, n) for a, n, edge in zip(volume.axes, volume.shape, block_shape)]
    wanted = 2 * math.prod(edges) * volume.dtype.itemsize if volume.cache is not None else 0
    return Pieces(tuple(block_shape), workers, min(wanted, left), memory - left + min(wanted, left))


def voxel_cost(dtype: np.dtype[Any], stored: np.dtype[Any], scale: Scale | None) -> int:
    """Bytes per voxel of a piece: as it is read and stored, and once more on the way."""
    on_the_way = 24 if scale is not None or stored != dtype else 0  # float64
    return 2 * (dtype.itemsize + stored.itemsize) + on_the_way


def refuse_same(source: str | Path, target: str | Path) -> None:
    """Refuse to write an image over itself, or into itself.

    Raises
    ------
    SettingError
    """
    given, made = (Path(os.path.realpath(split_path(path).file)) for path in (source, target))
    matched = made.parent == given.parent and fnmatch(made.name, given.name)  # a pattern of planes
    if matched or given in (made, *made.parents) or made in given.parents:
        raise SettingError("the output is the input, or inside it", str(target), "give the output another name")


def region_of(volume: Volume, roi: Mapping[str, tuple[int | None, int | None]] | None) -> tuple[slice, ...]:
    """Slices over all axes of a volume for bounds per axis.

    Raises
    ------
    SettingError
        If bounds are empty or beyond the image, or of an axis that it does not have.
    """
    bounds = dict(roi or {})
    region = []
    for axis, n in zip(volume.axes, volume.shape):
        low, high = bounds.pop(axis, (None, None))
        start, stop = 0 if low is None else low, n if high is None else high
        if not 0 <= start < stop <= n:
            raise SettingError(
                f"the region {axis}={start}:{stop} is empty or not inside 0:{n}",
                f"roi, {volume.name}",
                "give half-open bounds within the image",
            )
        region.append(slice(start, stop))
    if bounds:
        raise SettingError(f"the image has no axis {', '.join(bounds)}", f"roi, {volume.name}", "leave it out")
    return tuple(region)


def piece_shape(
    axes: str, shape: Sequence[int], unit: Sequence[int], chunks: Sequence[int] | None, voxels: int
) -> tuple[int, ...]:
    """Extents of a piece: whole chunks of the output, whole chunks of the source where the memory allows.

    Parameters
    ----------
    axes, shape
        Of the output.
    unit : sequence of int
        Its chunks; the least that there is.
    chunks : sequence of int, optional
        Of the source.
    voxels : int
        How many there may be in a piece.

    Planes (a hundred megavoxels are enough for a slab of 64 of them), and then not enough:

    >>> piece_shape("zyx", (500, 1000, 1000), (64, 64, 64), (1, 1000, 1000), 10**8)
    (64, 1000, 1000)
    >>> piece_shape("zyx", (500, 1000, 1000), (64, 64, 64), (1, 1000, 1000), 10**7)
    (64, 128, 1000)
    """
    extents = [min(edge, n) for edge, n in zip(unit, shape)]
    for axis in sorted(range(len(axes)), key=lambda i: "xyzct".index(axes[i])):
        rest = math.prod(extents) // extents[axis]
        edge = unit[axis]
        common = math.lcm(edge, chunks[axis]) if chunks is not None else edge
        most = voxels // max(1, rest)
        if most >= shape[axis]:
            extents[axis] = shape[axis]
        elif "xyz".find(axes[axis]) in (0, 1):
            extents[axis] = max(extents[axis], most // edge * edge)
        elif common <= most:
            extents[axis] = min(common, shape[axis])  # no longer than it must be: more pieces for the workers
        elif axes[axis] == "z":
            extents[axis] = max(extents[axis], most // edge * edge)
        if extents[axis] < shape[axis] and axes[axis] in "xy":
            break  # longer along the others would be no whole rows or planes anyway
    return tuple(extents)


def _for_cache(volume: Volume, unit: Sequence[int], spare: int, cost: int, smallest: int) -> int:
    """How much of the memory is for decoded planes, so that each is decoded once: 0 if nothing is decoded twice.

    Pieces that are whole planes need no cache. For smaller ones it holds the planes of two rows of chunks (while some
    workers are at the last pieces of one, others begin the next), or of one.
    """
    if volume.cache is None:
        return 0
    edges = [n if a in "yx" else min(edge, n) for a, n, edge in zip(volume.axes, volume.shape, unit)]
    slab = math.prod(edges) * volume.dtype.itemsize
    if math.prod(edges) * cost <= spare:
        return 0
    best = next((n * slab for n in (2, 1) if n * slab <= 0.75 * spare), spare // 4)
    return max(0, min(best, spare - cost * smallest))


def _in_planes(volume: Volume) -> bool:
    """Whether pieces that are no whole planes might have planes decoded more than once."""
    if volume.chunks is None:
        return False
    return all(chunk == n for axis, chunk, n in zip(volume.axes, volume.chunks, volume.shape) if axis in "yx")


def stored_dtype(volume: Volume, dtype: str | None, scale: Scale | None) -> np.dtype[Any]:
    """What voxels are stored as.

    Raises
    ------
    SettingError
        If there is no such type, or a scale is given without one.
    """
    if scale is not None and dtype is None:
        raise SettingError("a scale is given without the dtype that it leads to", "scale", "give --dtype too")
    try:
        stored = volume.dtype if dtype is None else np.dtype(dtype)
    except TypeError as error:
        raise SettingError(f"{dtype!r} is no dtype", "dtype", "give one such as uint8, uint16 or float32") from error
    if stored.kind not in "biuf" or (scale is not None and stored.kind == "b"):
        raise SettingError(f"voxels cannot be {stored}", "dtype", "give one such as uint8, uint16 or float32")
    return stored


def stored_range(volume: Volume, stored: np.dtype[Any], scale: Scale | None) -> tuple[float, float] | None:
    """The range of the data that is recorded."""
    if scale is None:
        return volume.drange
    return (0.0, 1.0 if stored.kind == "f" else float(np.iinfo(stored).max))


def converted(
    array: NDArray[Any], stored: np.dtype[Any], scale: Scale | None, volume: Volume, block: Block
) -> NDArray[Any]:
    """The voxels of a piece as they are stored.

    Raises
    ------
    SettingError
        If one would change, and no scale says what becomes of it.
    """
    if scale is not None:
        return scaled(array, stored, scale)
    if array.dtype == stored:
        return array
    with np.errstate(invalid="ignore", over="ignore"):
        as_stored = array.astype(stored)
        # back in the wider of both: a value that wrapped around on the way must not wrap back
        same = as_stored.astype(np.float64) == array.astype(np.float64)
        same &= as_stored.astype(array.dtype) == array
    if array.dtype.kind == "f" and stored.kind == "f":
        same |= np.isnan(array)
    if not same.all():
        at = tuple(int(i) for i in np.argwhere(~same)[0])
        place = ", ".join(f"{axis}={part.start + i}" for axis, part, i in zip(volume.axes, block.core, at))
        raise SettingError(
            f"the voxel at {place} is {array[at]}, which {stored} does not hold",
            volume.name,
            "choose another --dtype, or say what becomes 0 and what the largest with --scale LOW,HIGH",
        )
    return as_stored


def scaled(array: NDArray[Any], stored: np.dtype[Any], scale: Scale) -> NDArray[Any]:
    """Voxels from `scale` to the whole range of a dtype (0 to 1 for floats); NaN becomes 0.

    >>> scaled(np.array([50, 100, 200, 300, 999]), np.dtype("u1"), (100, 300)).tolist()
    [0, 0, 128, 255, 255]
    """
    low, high = scale
    share = np.clip((array.astype(np.float64) - low) / (high - low), 0.0, 1.0)
    if stored.kind == "f":
        return share.astype(stored)
    share = np.nan_to_num(share) * float(np.iinfo(stored).max)
    return np.rint(share).astype(stored)
