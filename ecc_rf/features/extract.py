"""Features of a block: checks, cutting into tiles, and the loop over scales, channels and tiles."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ecc_rf.errors import ShapeError
from ecc_rf.features.combine import Output
from ecc_rf.features.lanes import LANES, address
from ecc_rf.features.memory import Memory
from ecc_rf.features.plan import FeaturePlan
from ecc_rf.features.presmoothing import Window
from ecc_rf.features.rolling import roll
from ecc_rf.features.scale import make_scale

TILE = (64, 256)
"""Greatest extents of a tile along y and x. Measured: smaller tiles lose to their borders, larger ones gain nothing."""

_AXES = "zyx"
_ROUND = 8  # tiles are whole vectors wide where possible


def compute_features(
    block: np.ndarray,
    plan: FeaturePlan,
    core: tuple[slice, ...] | None = None,
    out: np.ndarray | None = None,
    *,
    origin: Sequence[int] | None = None,
) -> np.ndarray:
    """All features of a part of an image.

    The result is the same, to the last bit, however an image is cut into blocks. It runs in the calling thread and does
    not hold the interpreter lock, so that several threads can each compute a block.

    Parameters
    ----------
    block : np.ndarray
        (channel, z, y, x), any real type; cast to float32 without scaling. Values must be finite.
    plan : FeaturePlan
        `FeatureSelection.plan` of the whole image.
    core : tuple of slice, optional
        What is wanted, (z, y, x) in voxels of the block, steps of 1; default all of it. Around it the block must hold
        ``plan.halo``, clipped at the image.
    out : np.ndarray, optional
        Array for the result.
    origin : tuple of int, optional
        Position (z, y, x) of the block's first voxel in the image. Needed unless the block is the whole image: it tells
        where the image ends, and rounding differs close to its left and right border (as in ilastik).

    Returns
    -------
    np.ndarray
        (feature, z, y, x), float32, of the core's extents; features as in ``plan.names``. `out` if it was given.

    Raises
    ------
    ShapeError
        If block, core, out or origin do not fit each other and the plan.
    """
    extents = _check_block(block, plan)
    place = _check_origin(extents, plan, origin)
    core = _check_core(extents, core)
    _check_halo(extents, plan, core, place)
    shape = tuple(s.stop - s.start for s in core)
    result = _check_out(out, (plan.n_features, *shape))

    # as much of the block as is used, which may be a small part of it
    read = [slice(max(s.start - h, 0), min(s.stop + h, n)) for s, h, n in zip(core, plan.halo, extents)]
    z, y, x = (s.start - r.start for s, r in zip(core, read))
    missing = plan.halo[2] - x, plan.halo[2] - (read[2].stop - core[2].stop)
    images = [_image(channel[tuple(read)], *missing) for channel in block]
    tiles = _tiles(shape[1:])
    largest = (shape[0], tiles[0][0].stop, tiles[0][1].stop)  # the first tile is the largest
    for step in plan.steps:
        memory = Memory()
        scale = make_scale(memory, step, plan.shape[2], largest)
        for channel, image in enumerate(images):
            for rows, columns in tiles:
                part = Window(
                    block=address(image),
                    nz=image.shape[0],
                    ny=image.shape[1],
                    nx=image.shape[2],
                    z0=z,
                    z1=z + shape[0],
                    y0=y + rows.start,
                    y1=y + rows.stop,
                    x0=x + missing[0] + columns.start,
                    x1=x + missing[0] + columns.stop,
                    x_block=place[2] + read[2].start - missing[0],
                    image_width=plan.shape[2],
                )
                roll(part, scale, _output(result, channel, rows.start, columns.start))
    if out is not None and result is not out:
        out[...] = result
        return out
    return result


def scratch_bytes(plan: FeaturePlan) -> int:
    """Memory that a call of `compute_features` takes for itself at most, without block, copies and result."""
    tiles = [min(most, n) for most, n in zip(TILE, plan.shape[1:])]
    sizes = []
    for step in plan.steps:
        memory = Memory()
        make_scale(memory, step, plan.shape[2], (plan.shape[0], tiles[0], tiles[1]))
        sizes.append(memory.nbytes)
    return max(sizes)


def _tiles(extents: tuple[int, ...]) -> list[tuple[slice, slice]]:
    """Cut the plane of a core into tiles of nearly equal extents, at most `TILE`.

    >>> _tiles((10, 300))
    [(slice(0, 10, None), slice(0, 152, None)), (slice(0, 10, None), slice(152, 300, None))]
    """
    parts = []
    for extent, most in zip(extents, TILE):
        count = math.ceil(extent / most)
        step = math.ceil(extent / count / _ROUND) * _ROUND
        parts.append([slice(at, min(at + step, extent)) for at in range(0, extent, step)])
    return [(y, x) for y in parts[0] for x in parts[1]]


def _image(values: np.ndarray, left: int, right: int) -> np.ndarray:
    """Part of a channel as float32, with `left` and `right` mirrored columns and room for vectors behind each row.

    >>> _image(np.array([[[0, 1, 2]]]), 2, 1)[0, 0, :6]
    array([2., 1., 0., 1., 2., 1.], dtype=float32)
    """
    nz, ny, nx = values.shape
    image = np.zeros((nz, ny, left + nx + right + 2 * LANES), np.float32)
    with np.errstate(over="ignore"):  # float64 beyond float32 becomes infinite, which the caller rules out
        image[:, :, left : left + nx] = values
    period = max(2 * nx - 2, 1)
    for columns in (range(-left, 0), range(nx, nx + right)):
        for column in columns:
            seen = column % period
            image[:, :, left + column] = image[:, :, left + min(seen, period - seen)]
    return image


def _output(result: np.ndarray, channel: int, y: int, x: int) -> Output:
    """Where a tile that begins at row `y` and column `x` puts its features."""
    feature, plane, row, _ = (step // result.itemsize for step in result.strides)
    return Output(address(result), channel, y * row + x, feature, plane, row)


def _check_block(block: np.ndarray, plan: FeaturePlan) -> tuple[int, int, int]:
    if block.ndim != 4 or block.shape[0] != plan.n_channels or block.dtype.kind not in "biuf":
        raise ShapeError(
            f"A block must be (channel, z, y, x) with {plan.n_channels} channels of real numbers; "
            f"got {block.dtype} of shape {block.shape}.",
            do="Give the axes in this order, the channel axis too where there is one channel.",
        )
    return block.shape[1:]


def _check_origin(
    extents: tuple[int, int, int], plan: FeaturePlan, origin: Sequence[int] | None
) -> tuple[int, int, int]:
    if origin is None:
        if extents != plan.shape:
            raise ShapeError(
                f"A block of extents {extents} is not the whole image, which has {plan.shape} (z, y, x).",
                do="Say where the block lies: origin=(z, y, x) of its first voxel.",
            )
        return 0, 0, 0
    if len(origin) != 3 or any(o < 0 or o + n > whole for o, n, whole in zip(origin, extents, plan.shape)):
        raise ShapeError(
            f"A block of extents {extents} at {tuple(origin)} is not inside the image of {plan.shape} (z, y, x).",
            do="Give the position of the block's first voxel in the image.",
        )
    return int(origin[0]), int(origin[1]), int(origin[2])


def _check_core(extents: tuple[int, int, int], core: tuple[slice, ...] | None) -> tuple[slice, ...]:
    if core is None:
        return tuple(slice(0, n) for n in extents)
    inside = len(core) == 3 and all(
        s.step in (None, 1) and s.start is not None and s.stop is not None and 0 <= s.start < s.stop <= n
        for s, n in zip(core, extents)
    )
    if not inside:
        raise ShapeError(
            f"The core {core} is not a part of a block of extents {extents} (z, y, x).",
            do="Give three slices with start and stop inside the block.",
        )
    return tuple(slice(int(s.start), int(s.stop)) for s in core)


def _check_halo(
    extents: tuple[int, int, int], plan: FeaturePlan, core: tuple[slice, ...], place: tuple[int, int, int]
) -> None:
    """Every voxel of the halo that exists in the image must be in the block."""
    for axis, s, halo, n, at, whole in zip(_AXES, core, plan.halo, extents, place, plan.shape):
        if s.start < min(halo, s.start + at) or n - s.stop < min(halo, whole - at - s.stop):
            raise ShapeError(
                f"Along {axis} the block holds {s.start} and {n - s.stop} voxels before and after the core; "
                f"the features need {halo} where the image goes on.",
                do="Read a larger block around the core (plan.halo).",
            )


def _check_out(out: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
    """The array to compute into: `out` if it can be written to directly."""
    if out is None:
        return np.empty(shape, np.float32)
    if out.shape != shape or out.dtype != np.float32:
        raise ShapeError(
            f"The array for the features must be float32 of shape {shape}; got {out.dtype} of {out.shape}.",
            do="Leave it out to have one made.",
        )
    return out if out.flags.c_contiguous and out.dtype.isnative else np.empty(shape, np.float32)
