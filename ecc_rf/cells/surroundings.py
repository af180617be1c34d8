"""A cell against what is around it, in the raw image: what tells a cell from texture.

The ring is what lies around the sphere of the cell's volume, `GAP_UM` to `RING_UM` outside of it, and belongs to no
object::

    . . r r r . .        c  cell
    . r . . . r .        .  gap
    r . . c . . r        r  ring
    . r . . . r .
    . . r r r . .
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.cells.components import Foreground, as_measured
from ecc_rf.cells.measure import centre_voxels, object_means
from ecc_rf.cells.neighbourhood import Neighbourhood
from ecc_rf.cells.parts import CONTRAST, Parts
from ecc_rf.cells.passes import Resources
from ecc_rf.compiling import compiled
from ecc_rf.normalization.background import spread_floor
from ecc_rf.normalization.selection import select_float64

GAP_UM, RING_UM = 1.5, 6.0
LARGEST_UM = 12.0  # radius: a larger object is taken for a sphere of this one, so that the reach is bounded
FINE_UM, COARSE_UM = 2.0, 4.0  # sigmas of the inner Gaussians
SURROUND = 1.6  # the outer Gaussian's sigma is so much larger: the classical approximation of a Laplacian
LEAST_MEDIAN = 10.0  # counts: nothing is divided by less
_FEWEST = 8  # voxels of a ring of which anything can be said
_Kernels = tuple[NDArray[np.float64], ...]
FEATURES = ("ring_median", "ring_spread", "peak", "fine", "coarse", "local_probability")
STAGE = "surroundings"


def mean_contrast(parts: Parts) -> NDArray[np.float64]:
    """Mean over the voxels of each cell of (raw - median) / spread."""
    return parts.contrast / (CONTRAST * parts.voxels)


def contrast_columns(
    foreground: Foreground,
    parts: Parts,
    voxel_size: tuple[float, float, float],
    use: Resources,
    neighbourhood: Neighbourhood | None,
) -> dict[str, NDArray[np.float64]]:
    """The columns of the table that say how cells stand out from their surroundings; none depends on the brightness
    of the whole image.

    Parameters
    ----------
    foreground : Foreground
        With the raw volume and its background.
    parts : Parts
        The cells, with sums of raw values and contrasts.
    voxel_size, use, neighbourhood
        As for `measure_surroundings`.

    Returns
    -------
    dict of ndarray of float64, shape (n,)
        `ecc_rf.cells.table` says what they are.
    """
    assert foreground.background is not None
    voxels = centre_voxels(parts)
    median, spread = foreground.background.at_voxels(voxels).astype(np.float64)
    spread = np.maximum(spread, spread_floor(median))
    measured = measure_surroundings(foreground, parts, voxel_size, use, neighbourhood)
    ring, ring_spread, peak, fine, coarse, around = measured
    ring_spread = np.maximum(ring_spread, spread_floor(ring))
    mean = object_means(parts)
    return {
        "contrast": mean_contrast(parts),
        "ratio": mean / np.maximum(median, LEAST_MEDIAN),
        "ring_contrast": (mean - ring) / ring_spread,
        "ring_relative": (mean - ring) / np.maximum(ring, LEAST_MEDIAN),
        "ring_peak": (peak - ring) / ring_spread,
        "dog_fine": fine / spread,
        "dog_coarse": coarse / spread,
        "extent_z_um": (parts.high[:, 0] - parts.low[:, 0]) * voxel_size[0],
        "local_probability": around,
    }


def measure_surroundings(
    foreground: Foreground,
    parts: Parts,
    voxel_size: tuple[float, float, float],
    use: Resources,
    neighbourhood: Neighbourhood | None,
    stage: str = STAGE,
) -> NDArray[np.float64]:
    """What is around cells.

    Parameters
    ----------
    foreground : Foreground
        With the raw volume.
    parts : Parts
        The cells, in the order of their first voxels.
    voxel_size : (z, y, x) in µm
    use : Resources
        A cell is measured with the block that holds its centre voxel.
    neighbourhood : Neighbourhood, optional
        None where no probability is known.
    stage : str
        Name of the pass.

    Returns
    -------
    ndarray of float64, shape (6, n)
        `FEATURES`: median and spread (1.4826 times the median absolute deviation) of the ring, largest raw value
        within 1.5 µm of the centre, difference of Gaussians at the centre, fine and coarse; in raw values. Then the
        mean probability of the neighbourhood, or NaN.

    Raises
    ------
    ImageValueError
        If a raw value is NaN or infinite.
    """
    raw = foreground.raw
    assert raw is not None
    voxels = centre_voxels(parts)
    shape = use.grid.shape
    size = np.array(voxel_size)
    radius = np.minimum(np.cbrt(3 / (4 * np.pi) * parts.voxels * size.prod()), LARGEST_UM)
    widest = max(LARGEST_UM + RING_UM, 3 * SURROUND * COARSE_UM)
    halo = np.where(np.array(shape) > 1, np.ceil(widest / size), 0).astype(np.int64)
    fine, coarse = _kernels(FINE_UM, size, shape), _kernels(COARSE_UM, size, shape)

    def measure(members: NDArray[np.int64]) -> NDArray[np.float64]:
        mine = voxels[members]
        start = np.maximum(mine.min(axis=0) - halo, 0)
        stop = np.minimum(mine.max(axis=0) + halo + 1, shape)
        box = tuple(map(slice, start.tolist(), stop.tolist()))
        values = as_measured(use.cache.read(raw, box), raw.name)
        taken = foreground.above(box, use.cache.read)
        raw_values = _measure(values, taken, mine - start, radius[members], size, halo, fine, coarse)
        around = np.full(len(mine), np.nan) if neighbourhood is None else neighbourhood.means(mine)
        return np.vstack([raw_values, around])

    return use.measure(measure, len(FEATURES), parts.first, voxels, stage)


@compiled
def _measure(
    raw: NDArray[Any],
    taken: NDArray[np.bool_],
    voxels: NDArray[np.int64],
    radius: NDArray[np.float64],
    size: NDArray[np.float64],
    halo: NDArray[np.int64],
    fine: _Kernels,
    coarse: _Kernels,
) -> NDArray[np.float64]:
    results = np.empty((5, len(voxels)))
    ring = np.empty((2 * halo[0] + 1) * (2 * halo[1] + 1) * (2 * halo[2] + 1), np.float64)
    chosen = np.empty_like(ring)  # selecting uses them up
    for i in range(len(voxels)):
        n = _ring(raw, taken, voxels[i], radius[i], size, ring, True)
        if n < _FEWEST:  # crowded: what surrounds it are other cells
            n = _ring(raw, taken, voxels[i], radius[i], size, ring, False)
        if n == 0:
            results[0, i] = raw[voxels[i, 0], voxels[i, 1], voxels[i, 2]]
            results[1, i] = 0
        else:
            chosen[:n] = ring[:n]
            middle = select_float64(chosen[:n], (n - 1) // 2)
            for k in range(n):
                ring[k] = abs(ring[k] - middle)
            results[0, i] = middle
            results[1, i] = 1.4826 * select_float64(ring[:n], (n - 1) // 2)
        results[2, i] = _peak(raw, voxels[i], size)
        results[3, i] = _difference(raw, voxels[i], fine)
        results[4, i] = _difference(raw, voxels[i], coarse)
    return results


@compiled
def _around(voxel: NDArray[np.int64], axis: int, reach: float, size: NDArray[np.float64], n: int) -> tuple[int, int]:
    """Half-open bounds along an axis of what is at most `reach` µm away, clipped at the array."""
    r = int(reach / size[axis])
    return max(0, voxel[axis] - r), min(n, voxel[axis] + r + 1)


@compiled
def _ring(
    raw: NDArray[Any],
    taken: NDArray[np.bool_],
    voxel: NDArray[np.int64],
    radius: float,
    size: NDArray[np.float64],
    ring: NDArray[np.float64],
    free: bool,
) -> int:
    """Raw values of a ring, those that belong to no object if `free`; returns their number."""
    inner, outer = (radius + GAP_UM) ** 2, (radius + RING_UM) ** 2
    z0, z1 = _around(voxel, 0, radius + RING_UM, size, raw.shape[0])
    y0, y1 = _around(voxel, 1, radius + RING_UM, size, raw.shape[1])
    x0, x1 = _around(voxel, 2, radius + RING_UM, size, raw.shape[2])
    n = 0
    for z in range(z0, z1):
        for y in range(y0, y1):
            plane = ((z - voxel[0]) * size[0]) ** 2 + ((y - voxel[1]) * size[1]) ** 2
            for x in range(x0, x1):
                squared = plane + ((x - voxel[2]) * size[2]) ** 2
                if inner <= squared <= outer and not (free and taken[z, y, x]):
                    ring[n] = raw[z, y, x]
                    n += 1
    return n


@compiled
def _peak(raw: NDArray[Any], voxel: NDArray[np.int64], size: NDArray[np.float64]) -> float:
    """The largest value close to the centre."""
    z0, z1 = _around(voxel, 0, GAP_UM + 1e-9, size, raw.shape[0])
    y0, y1 = _around(voxel, 1, max(GAP_UM, size[1]) + 1e-9, size, raw.shape[1])
    x0, x1 = _around(voxel, 2, max(GAP_UM, size[2]) + 1e-9, size, raw.shape[2])
    highest = float(raw[voxel[0], voxel[1], voxel[2]])
    for z in range(z0, z1):
        for y in range(y0, y1):
            for x in range(x0, x1):
                highest = max(highest, float(raw[z, y, x]))
    return highest


def _kernels(sigma: float, size: NDArray[np.float64], shape: tuple[int, ...]) -> _Kernels:
    """Two Gaussians, as wide as `sigma` and as its surround, along z, y and x from their middle on."""
    wide = sigma * SURROUND
    along = [np.arange(int(3 * wide / s) + 1 if n > 1 else 1) * s for s, n in zip(size.tolist(), shape)]
    near, far = ([np.exp(-0.5 * (at / width) ** 2) for at in along] for width in (sigma, wide))
    return near[0], near[1], near[2], far[0], far[1], far[2]


@compiled
def _difference(raw: NDArray[Any], voxel: NDArray[np.int64], kernels: _Kernels) -> float:
    """Difference of two Gaussian means at a voxel; weights beyond the array do not count."""
    near_z, near_y, near_x, far_z, far_y, far_x = kernels
    z0, z1 = max(0, voxel[0] - near_z.size + 1), min(raw.shape[0], voxel[0] + near_z.size)
    y0, y1 = max(0, voxel[1] - near_y.size + 1), min(raw.shape[1], voxel[1] + near_y.size)
    x0, x1 = max(0, voxel[2] - near_x.size + 1), min(raw.shape[2], voxel[2] + near_x.size)
    near, far = np.empty(x1 - x0), np.empty(x1 - x0)
    for x in range(x0, x1):
        near[x - x0], far[x - x0] = near_x[abs(x - voxel[2])], far_x[abs(x - voxel[2])]
    inner = outer = inner_weight = outer_weight = 0.0
    for z in range(z0, z1):
        for y in range(y0, y1):
            dz, dy = abs(z - voxel[0]), abs(y - voxel[1])
            a, b = near_z[dz] * near_y[dy], far_z[dz] * far_y[dy]
            sum_near = sum_far = 0.0
            for x in range(x0, x1):
                value = float(raw[z, y, x])
                sum_near += near[x - x0] * value
                sum_far += far[x - x0] * value
            inner += a * sum_near
            outer += b * sum_far
            inner_weight += a
            outer_weight += b
    return float(inner / (inner_weight * near.sum()) - outer / (outer_weight * far.sum()))
