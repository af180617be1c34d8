"""Intensity of cells above their background, as the original ecc defines it.

The background is a low percentile of the raw voxels in a cube around the cell's centre voxel, clipped at the
volume; the signal is the mean over the object, or the mean or maximum in a small cube around the centre voxel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.cells.components import as_measured
from ecc_rf.cells.inputs import Channel
from ecc_rf.cells.parts import RAW, Parts, raw_totals
from ecc_rf.cells.passes import Resources
from ecc_rf.compiling import compiled
from ecc_rf.normalization.selection import select_float64

MODES = ("mean", "max", "local")
STAGE = "intensity"


def centres(parts: Parts) -> NDArray[np.float64]:
    """Centres of mass, shape (n, 3), zyx in voxels; the centre of the first voxel is 0."""
    return np.asarray(parts.sums[:, :3] / parts.voxels[:, np.newaxis])


def centre_voxels(parts: Parts) -> NDArray[np.int64]:
    """Centres rounded to voxels, halves to even as the original does, shape (n, 3)."""
    return np.rint(centres(parts)).astype(np.int64)


def object_means(parts: Parts) -> NDArray[np.float64]:
    """Mean raw value of each object; NaN without raw values."""
    if parts.sums.shape[1] == RAW:
        return np.full(len(parts), np.nan)
    return raw_totals(parts) / parts.voxels


def measure_cubes(
    raw: Channel,
    keys: NDArray[np.int64],
    voxels: NDArray[np.int64],
    use: Resources,
    *,
    background_radius: int,
    percentile: float,
    signal_radius: int,
    stage: str = STAGE,
) -> NDArray[np.float64]:
    """Background, mean and maximum in cubes around voxels.

    Parameters
    ----------
    raw : Channel
    keys : ndarray of int64, shape (n,), ascending
        First voxels of the cells.
    voxels : ndarray of int64, shape (n, 3)
        Their centre voxels, zyx.
    use : Resources
        A cell is measured with the block that holds its centre voxel.
    background_radius, signal_radius : int
        The cubes have ``2 radius + 1`` voxels along each axis, clipped at the volume.
    percentile : float
        Of the background, 0 to 100, linear between neighbours as `numpy.percentile`.
    stage : str
        Name of the pass.

    Returns
    -------
    ndarray of float64, shape (3, n)
        Background, mean, maximum.

    Raises
    ------
    ImageValueError
        If a raw value is NaN or infinite.
    """
    halo = max(background_radius, signal_radius)

    def measure(members: NDArray[np.int64]) -> NDArray[np.float64]:
        mine = voxels[members]
        start = np.maximum(mine.min(axis=0) - halo, 0)
        stop = np.minimum(mine.max(axis=0) + halo + 1, use.grid.shape)
        values = as_measured(use.cache.read(raw, tuple(map(slice, start.tolist(), stop.tolist()))), raw.name)
        return _measure(values, mine - start, (background_radius, signal_radius), percentile / 100)

    return use.measure(measure, 3, keys, voxels, stage)


@compiled
def _measure(
    raw: NDArray[Any], voxels: NDArray[np.int64], radii: tuple[int, int], quantile: float
) -> NDArray[np.float64]:
    """Rows: background, mean, maximum; one column for each voxel."""
    results = np.empty((3, len(voxels)))
    for i in range(len(voxels)):
        results[0, i] = _quantile(_cube(raw, voxels[i], radii[0]), quantile)
        cube = _cube(raw, voxels[i], radii[1])
        total = 0.0
        highest = cube[0]
        for value in cube:
            total += value
            highest = max(highest, value)
        results[1, i] = total / cube.size
        results[2, i] = highest
    return results


@compiled
def _cube(raw: NDArray[Any], voxel: NDArray[np.int64], radius: int) -> NDArray[np.float64]:
    """Values of the cube around a voxel, clipped at the array, in raster order."""
    z0, z1 = max(voxel[0] - radius, 0), min(voxel[0] + radius + 1, raw.shape[0])
    y0, y1 = max(voxel[1] - radius, 0), min(voxel[1] + radius + 1, raw.shape[1])
    x0, x1 = max(voxel[2] - radius, 0), min(voxel[2] + radius + 1, raw.shape[2])
    values = np.empty((z1 - z0) * (y1 - y0) * (x1 - x0), np.float64)
    n = 0
    for z in range(z0, z1):
        for y in range(y0, y1):
            for x in range(x0, x1):
                values[n] = raw[z, y, x]
                n += 1
    return values


@compiled
def _quantile(values: NDArray[np.float64], quantile: float) -> float:
    """As `numpy.quantile(values, quantile)`, step by step, so that the last bit is the same."""
    at = quantile * (values.size - 1)
    below = int(np.floor(at))
    a = select_float64(values.copy(), below)
    if below + 1 >= values.size:
        return a
    b, upto = np.inf, 0  # the next in order is the least that is more, unless there are several of `a`
    for value in values:
        upto += value <= a
        b = min(b, value if value > a else np.inf)
    if upto > below + 1:
        b = a
    fraction = at - below
    if fraction >= 0.5:
        return float(b - (b - a) * (1 - fraction))
    return float(a + (b - a) * fraction)
