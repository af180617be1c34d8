"""Maximum-intensity projections of a volume of any size, block by block with bounded memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.blocks import Grid, run_blocks
from ecc_rf.cells.inputs import Channel
from ecc_rf.errors import EccError

PIXELS = 640  # along the longest edge: what a page shows
MOST_READ = 2**30  # voxels; of larger images fewer planes are read, where that spares anything
_BLOCK = 2**22  # voxels of a block, as a goal
_EDGE = 2048  # voxels: of a block's edge where nothing is chunked


@dataclass(frozen=True, eq=False)
class Projections:
    """The largest values along each axis.

    Attributes
    ----------
    views : tuple of ndarray, float32
        Seen along z (y, x), along y (z, x), along x (z, y); NaN where nothing could be read.
    factors : (z, y, x)
        Voxels of the image in a pixel.
    every : int
        One plane of so many was read.
    unreadable : int
        Blocks that could not be read.
    """

    views: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
    factors: tuple[int, int, int]
    every: int
    unreadable: int


def project(channel: Channel, voxel_size: tuple[float, float, float], *, workers: int | None = None) -> Projections:
    """Look at a volume along its axes.

    The result does not depend on blocks and workers. What cannot be read is left out and counted.

    Parameters
    ----------
    channel : Channel
    voxel_size : (z, y, x)
        µm; pixels are as near to squares as whole voxels allow.
    workers : int, optional
        Threads; default one per core.
    """
    shape = channel.shape
    pixel = max(n * size for n, size in zip(shape, voxel_size)) / PIXELS
    fz, fy, fx = (max(1, round(pixel / size)) for size in voxel_size)
    bz, by, bx = _block_shape(shape, channel.chunks)
    # chunks of one plane can be skipped; of thicker ones nothing would be spared
    thin = channel.chunks is None or channel.chunks[0] == 1
    every = max(1, min(fz, math.prod(shape) // MOST_READ)) if thin else 1
    z, y, x = (-(-n // f) for n, f in zip(shape, (fz, fy, fx)))
    views = tuple(np.full(extents, np.nan, np.float32) for extents in ((y, x), (z, x), (z, y)))
    grid = Grid(shape, (bz, by, bx))
    unreadable = 0

    def look(block: Any) -> tuple[NDArray[np.float32], ...] | None:
        try:
            if every == 1:
                voxels = channel[block.core]
            else:
                planes = range(-(-block.core[0].start // every) * every, block.core[0].stop, every)
                if not planes:
                    return ()
                voxels = np.concatenate([channel[(slice(p, p + 1), *block.core[1:])] for p in planes])
        except EccError:
            return None
        origin = tuple(s.start for s in block.core)
        along_z = _shrunk(_largest(voxels, 0), (origin[1], origin[2]), (fy, fx))
        if every == 1:
            along_y = _shrunk(_largest(voxels, 1), (origin[0], origin[2]), (fz, fx))
            along_x = _shrunk(_largest(voxels, 2), (origin[0], origin[1]), (fz, fy))
        else:  # a plane read stands for those left out, and these lie in its pixel
            rows = np.array([p // fz for p in planes])
            along_y, along_x = (
                _rows(_shrunk(_largest(voxels, axis), (0, start), (1, f)), rows, origin[0] // fz)
                for axis, start, f in ((1, origin[2], fx), (2, origin[1], fy))
            )
        return along_z, along_y, along_x

    for block, seen in run_blocks(look, grid, workers=workers, stage="projecting"):
        if seen is None:
            unreadable += 1
            continue
        places = [slice(s.start // f, -(-s.stop // f)) for s, f in zip(block.core, (fz, fy, fx))]
        for view, part, (i, j) in zip(views, seen, ((1, 2), (0, 2), (0, 1))):
            at = view[places[i].start : places[i].start + part.shape[0], places[j]]
            np.fmax(at, part, out=at)
    return Projections((views[0], views[1], views[2]), (fz, fy, fx), every, unreadable)


def masked_share(path: str | Path, workers: int | None = None) -> float:
    """Share of the voxels of a mask that are not 0."""
    mask = Channel(path, "mask")
    try:
        grid = Grid(mask.shape, _block_shape(mask.shape, mask.chunks))
        found = run_blocks(lambda block: int(np.count_nonzero(mask[block.core])), grid, workers=workers, stage="mask")
        return sum(count for _, count in found) / math.prod(mask.shape)
    finally:
        mask.close()


def _block_shape(shape: tuple[int, ...], chunks: tuple[int, ...] | None) -> tuple[int, int, int]:
    """Whole chunks, about `_BLOCK` voxels: wide in x and y, as deep as a chunk.

    >>> _block_shape((500, 2000, 2000), (64, 64, 64)), _block_shape((500, 2000, 2000), None)
    ((64, 256, 256), (1, 2000, 2000))
    """
    depth, height, width = chunks or (1, min(shape[1], _EDGE), min(shape[2], _EDGE))
    wanted = max(1.0, _BLOCK / (depth * height * width))
    times = max(1, int(math.sqrt(wanted)))
    z, y, x = (min(n, edge) for n, edge in zip(shape, (depth, height * times, width * times)))
    deeper = max(1, int(_BLOCK / (z * y * x) / 2)) if chunks is None else 1
    return min(shape[0], z * deeper), y, x


def _largest(voxels: NDArray[Any], axis: int) -> NDArray[np.float32]:
    """The largest value along an axis; NaN does not count."""
    if voxels.dtype.kind == "f":
        found: NDArray[Any] = np.fmax.reduce(voxels, axis=axis)
        return np.where(np.isfinite(found), found, np.nan).astype(np.float32, copy=False)
    largest: NDArray[np.float32] = voxels.max(axis=axis).astype(np.float32)
    return largest


def _shrunk(view: NDArray[np.float32], origin: tuple[int, ...], factors: tuple[int, ...]) -> NDArray[np.float32]:
    """The largest value of each pixel; pixels begin where the image does.

    >>> _shrunk(np.array([[1.0, 5.0, 2.0, 4.0]], np.float32), (0, 1), (1, 2)).tolist()
    [[1.0, 5.0, 4.0]]
    """
    for axis, (start, factor) in enumerate(zip(origin, factors)):
        if factor > 1:
            begins = np.arange(-(start % factor), view.shape[axis], factor)
            view = np.fmax.reduceat(view, np.maximum(begins, 0), axis=axis)
    return view


def _rows(lines: NDArray[np.float32], rows: NDArray[np.int64], first: int) -> NDArray[np.float32]:
    """Lines of planes gathered in the pixel rows to which they belong; NaN in rows without one."""
    out = np.full((int(rows[-1]) - first + 1, lines.shape[1]), np.nan, np.float32)
    for row, line in zip(rows - first, lines):
        np.fmax(out[row], line, out=out[row])
    return out
