"""An image in another format: read in pieces that suit the source, written in whole chunks, read back and compared.

Memory is bounded by the budget, whatever the image's size. A piece is whole chunks of the output, and as long along x,
then y, then z as the budget allows: planes are read as a whole then, and each is decoded once.
"""

from __future__ import annotations

import math
import os
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.blocks import (
    BASE,
    Block,
    Grid,
    Progress,
    SilentProgress,
    parse_memory,
    resolve_workers,
    run_blocks,
    show_memory,
)
from ecc_rf.errors import MemoryBudgetError, OutputError, SettingError
from ecc_rf.volumes import Volume, create_volume, open_volume, shard_shape
from ecc_rf.volumes.paths import split_path

CHUNK, CHUNK_FLAT = 64, 256  # as the block engine stores its results

Scale = tuple[float, float]


@dataclass(frozen=True)
class Described:
    """What a volume is."""

    name: str
    axes: str
    shape: tuple[int, ...]
    dtype: str
    voxel_size: tuple[float, float, float] | None


@dataclass(frozen=True)
class ConversionRecord:
    """What a conversion did.

    Attributes
    ----------
    source, target : Described
        The image and the result.
    block_shape : tuple of int
        Extents of a piece, in the order of the axes.
    blocks, voxels, workers, memory : int
        Number of pieces and voxels, threads, budget in bytes.
    seconds : float
        Wall time, all in all.
    check_seconds : float or None
        Of reading back; None if that was not wanted.
    """

    source: Described
    target: Described
    block_shape: tuple[int, ...]
    blocks: int
    voxels: int
    workers: int
    memory: int
    seconds: float
    check_seconds: float | None


def convert(
    source: str | Path,
    target: str | Path,
    *,
    roi: Mapping[str, tuple[int | None, int | None]] | None = None,
    dtype: str | None = None,
    scale: Scale | None = None,
    axes: str | None = None,
    voxel_size: tuple[float, float, float] | None = None,
    level: int | Sequence[float] | None = None,
    pyramid: str | None = None,
    compression: str | None = None,
    workers: int | None = None,
    memory: str | int | None = None,
    overwrite: bool = False,
    check: bool = True,
    progress: Progress | None = None,
) -> ConversionRecord:
    """Write an image in another format; axes, voxel size, data range and attributes are kept as far as it holds them.

    Parameters
    ----------
    source, target : path
        As for `open_volume` and `create_volume`.
    roi : mapping, optional
        Half-open bounds per axis, for example ``{"z": (10, 50)}``; None as a bound means the end.
    dtype : str, optional
        Of the result. Without `scale`, a voxel that would change is an error.
    scale : (low, high), optional
        `low` becomes 0 and `high` the largest integer of `dtype`, or 1 if that is a float; what is beyond is clipped,
        integers are rounded to nearest, halves to even.
    axes, voxel_size, level : optional
        As for `open_volume`.
    pyramid, compression : str, optional
        As for `create_volume`.
    workers : int, optional
        Threads; default one per core. The bytes do not depend on it.
    memory : str or int, optional
        Budget such as ``"8GB"``; default 2 GiB. The bytes do not depend on it.
    overwrite : bool
        Replace an output that is there already, once the new one is complete.
    check : bool
        Read the result back and compare a checksum (CRC-32) of each piece before it gets its name. It costs about as
        much as reading the result. What the operating system holds in its cache is not read from the disk again: this
        finds faults of programs and formats, not of the disk.
    progress : Progress, optional
        Told of every finished piece.

    Raises
    ------
    EccError
        The message says what is wrong, where, and what to do.
    """
    started = time.perf_counter()
    refuse_same(source, target)
    workers, budget, progress = resolve_workers(workers), parse_memory(memory), progress or SilentProgress()
    with open_volume(source, axes=axes, voxel_size=voxel_size, level=level) as volume:
        region = region_of(volume, roi)
        shape = tuple(part.stop - part.start for part in region)
        stored = _stored_dtype(volume, dtype, scale)
        edge = CHUNK_FLAT if sum(n > 1 for a, n in zip(volume.axes, shape) if a in "zyx") <= 2 else CHUNK
        chunks = tuple(min(edge, n) if axis in "zyx" else 1 for axis, n in zip(volume.axes, shape))
        checker = _Checker(shape, workers, progress)
        result = create_volume(
            target,
            shape,
            stored,
            volume.axes,
            chunks=chunks,
            shards=shard_shape(volume.axes, shape, chunks),
            pyramid=pyramid,
            compression=compression,
            voxel_size=volume.voxel_size,
            drange=_drange(volume, stored, scale),
            attributes=volume.attributes,
            overwrite=overwrite,
            verify=checker.compare if check else None,
        )
        with result:
            cost = 2 * (volume.dtype.itemsize + stored.itemsize)
            cost += 24 if scale is not None or stored != volume.dtype else 0  # float64 on the way
            unit = result.chunks or volume.chunks or chunks
            spare = max(0, budget - BASE)
            spare -= _give_to_cache(volume, unit, spare, workers * cost)
            most = spare // workers // cost
            if not _in_planes(volume):  # four pieces or more per worker keep all workers busy to the end
                most = min(most, math.prod(shape) // (4 * workers))
            block_shape = piece_shape(volume.axes, shape, unit, volume.chunks, most)
            need = max(budget, BASE) - spare + workers * cost * math.prod(block_shape)
            if need > budget:
                raise MemoryBudgetError(
                    f"{workers} workers need at least {show_memory(need)}, the budget is {show_memory(budget)}.",
                    where="memory",
                    do=f"Give --memory {math.ceil(need / 1e6)}MB or more, or fewer --workers.",
                )
            grid = Grid(volume.shape, block_shape, region=region)
            checker.block_shape = block_shape
            times = "×".join(map(str, block_shape))
            progress.message(f"plan: {len(grid)} pieces of {times}, {workers} workers, {show_memory(need)}")

            def work(block: Block) -> int:
                array = _converted(volume[block.core], stored, scale, volume, block)
                result[block.target] = array
                return zlib.crc32(np.ascontiguousarray(array).data)

            for block, checksum in run_blocks(work, grid, workers=workers, progress=progress, stage="convert"):
                checker.checksums[block.index] = checksum
        return ConversionRecord(
            Described(volume.name, volume.axes, volume.shape, str(volume.dtype), volume.voxel_size),
            Described(str(target), volume.axes, shape, str(stored), volume.voxel_size),
            block_shape,
            len(grid),
            grid.voxels,
            workers,
            budget,
            time.perf_counter() - started,
            checker.seconds if check else None,
        )


class _Checker:
    """Compares what is read back with the checksums of what was written."""

    def __init__(self, shape: tuple[int, ...], workers: int, progress: Progress) -> None:
        self.checksums: dict[int, int] = {}
        self.block_shape = shape
        self.seconds = 0.0
        self._shape = shape
        self._workers = workers
        self._progress = progress

    def compare(self, finished: Volume) -> None:
        started = time.perf_counter()
        grid = Grid(self._shape, self.block_shape)

        def checksum(block: Block) -> int:
            return zlib.crc32(finished[block.core].data)

        for block, found in run_blocks(checksum, grid, workers=self._workers, progress=self._progress, stage="check"):
            if found != self.checksums[block.index]:
                place = ", ".join(f"{axis}={part.start}:{part.stop}" for axis, part in zip(finished.axes, block.core))
                raise OutputError(
                    f"what is read back at {place} is not what was written; the output was removed",
                    finished.name,
                    "check the disk and its file system, then convert anew",
                )
        self.seconds = time.perf_counter() - started


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
        if extents[axis] < shape[axis] and axes[axis] in "xy":
            break  # longer along the others would be no whole rows or planes anyway
    return tuple(extents)


def _give_to_cache(volume: Volume, unit: Sequence[int], spare: int, cost: int) -> int:
    """How much of the memory is for decoded planes, so that each is decoded once: 0 if nothing is decoded twice.

    Pieces that are whole planes need no cache. For smaller ones it holds the planes of two rows of chunks (while some
    workers are at the last pieces of one, others begin the next), or of one.
    """
    cache = getattr(volume, "cache", None)
    if cache is None:
        return 0
    edges = [n if a in "yx" else min(edge, n) for a, n, edge in zip(volume.axes, volume.shape, unit)]
    slab = math.prod(edges) * volume.dtype.itemsize
    if math.prod(edges) * cost <= spare:
        cache.limit = 0
    else:
        cache.limit = next((n * slab for n in (2, 1) if n * slab <= 0.75 * spare), min(cache.limit, spare // 4))
    return int(cache.limit)


def _in_planes(volume: Volume) -> bool:
    """Whether pieces that are no whole planes might have planes decoded more than once."""
    if volume.chunks is None:
        return False
    return all(chunk == n for axis, chunk, n in zip(volume.axes, volume.chunks, volume.shape) if axis in "yx")


def _stored_dtype(volume: Volume, dtype: str | None, scale: Scale | None) -> np.dtype[Any]:
    if scale is not None and dtype is None:
        raise SettingError("a scale is given without the dtype that it leads to", "scale", "give --dtype too")
    try:
        stored = volume.dtype if dtype is None else np.dtype(dtype)
    except TypeError as error:
        raise SettingError(f"{dtype!r} is no dtype", "dtype", "give one such as uint8, uint16 or float32") from error
    if stored.kind not in "biuf" or (scale is not None and stored.kind == "b"):
        raise SettingError(f"voxels cannot be {stored}", "dtype", "give one such as uint8, uint16 or float32")
    return stored


def _drange(volume: Volume, stored: np.dtype[Any], scale: Scale | None) -> tuple[float, float] | None:
    if scale is None:
        return volume.drange
    return (0.0, 1.0 if stored.kind == "f" else float(np.iinfo(stored).max))


def _converted(
    array: NDArray[Any], stored: np.dtype[Any], scale: Scale | None, volume: Volume, block: Block
) -> NDArray[Any]:
    if scale is not None:
        return scaled(array, stored, scale)
    if array.dtype == stored:
        return array
    with np.errstate(invalid="ignore", over="ignore"):
        converted = array.astype(stored)
        # back in the wider of both: a value that wrapped around on the way must not wrap back
        same = converted.astype(np.float64) == array.astype(np.float64)
        same &= converted.astype(array.dtype) == array
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
    return converted


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
