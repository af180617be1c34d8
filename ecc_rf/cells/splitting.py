"""Separating cells that touch: an object that is too large for one cell is divided into several.

``watershed`` divides it where a landscape has valleys. The landscape is made of the object's own voxels, all
others counting 0. It is the product of two things that are large in the middle of a cell: probability times raw
value above the object's lowest, seen by a difference of two Gaussians; and the distance to the object's edge,
slightly smoothed. The widths follow the expected diameter of a cell in µm::

    landscape        .  ^  .  .  ^  .          peak of cell 0, valley, peak of cell 1
    object        . # # # # # # # # # .
    pieces        . 0 0 0 0 0 1 1 1 1 .

``maxima`` is the idea of the original ecc, without its random noise: each voxel goes to the nearest local maximum
of the probability (of the raw value where probabilities are equal). It divides noisy objects too often.

Within an object voxels are neighbours across faces, edges and corners, however the object was found.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecc_rf.cells.basins import basins, coordinates, edge_distance, nearest_maxima, neighbours, smooth
from ecc_rf.compiling import compiled

_Taps = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]

# Found on synthetic clusters of spheres (overlapping by up to 0.3 diameters, 20 % unequal, with noise, voxels from
# 1:1 to 1:4), where they are a broad optimum: the diameter may be wrong by a fifth either way.
INNER, OUTER = 0.15, 0.30  # sigmas of the two Gaussians, in diameters
SURROUND = 0.65  # weight of the wider one
DISTANCE = 0.08  # sigma of the distance to the edge, in diameters
DEPTH = 0.01  # a peak that stands less above its valley, as a part of its height, is noise
CLOSEST = 0.5  # peaks nearer than this, in diameters, belong to one cell
SMALLEST = 0.2  # what has less than this part of a cell's expected volume is no piece


def ball_content(diameter: float, n_axes: int) -> float:
    """Volume of a sphere, area of a disc, or length of a line.

    >>> [round(ball_content(2.0, n), 4) for n in (1, 2, 3)]
    [2.0, 3.1416, 4.1888]
    """
    return float(np.pi ** (n_axes // 2) / {1: 1, 2: 4, 3: 6}[n_axes] * diameter**n_axes)


def diameter_of(voxels: float, voxel_size: tuple[float, float, float], shape: tuple[int, ...]) -> float:
    """Diameter in µm of the ball of so many voxels; a disc in an image of one plane.

    >>> round(diameter_of(np.pi / 6 * 10**3 / 4, (4, 1, 1), (50, 50, 50)), 9)
    10.0
    >>> round(diameter_of(np.pi / 4 * 10**2, (4, 1, 1), (1, 50, 50)), 9)
    10.0
    """
    sizes = _real_sizes(voxel_size, shape)
    content = voxels * np.prod(sizes)
    return float((content / ball_content(1.0, len(sizes))) ** (1 / len(sizes)))


def _real_sizes(voxel_size: tuple[float, float, float], shape: tuple[int, ...]) -> list[float]:
    """Extents of a voxel along the axes that have more than one."""
    return [size for size, n in zip(voxel_size, shape) if n > 1] or [voxel_size[2]]


@dataclass(frozen=True)
class Splitter:
    """Divides objects.

    Attributes
    ----------
    method : {'watershed', 'maxima'}
    diameter_um : float
        Expected diameter of a cell.
    voxel_size : (z, y, x) in µm
    min_volume : int
        Pieces have more voxels.
    shape : (z, y, x)
        Extents of the volume.
    """

    method: str
    diameter_um: float
    voxel_size: tuple[float, float, float]
    min_volume: int
    shape: tuple[int, ...]

    def split(
        self,
        index: NDArray[np.int64],
        bounds: NDArray[np.int64],
        probability: NDArray[np.float64],
        raw: NDArray[np.float64],
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Divide several objects, each for itself.

        Parameters
        ----------
        index : ndarray of int64, shape (n,)
            Raster indices in the volume of all voxels, object after object, ascending within each.
        bounds : ndarray of int64, shape (m + 1,)
            Object i has the voxels ``bounds[i]:bounds[i + 1]``.
        probability, raw : ndarray of float64, shape (n,)
            Without a raw volume, ones.

        Returns
        -------
        labels : ndarray of int32, shape (n,)
            Pieces, numbered from 0 within each object by first voxels.
        counts : ndarray of int64, shape (m,)
            Number of pieces of each object.
        """
        return _split_all(
            index,
            bounds,
            probability,
            raw,
            (self.shape[0], self.shape[1], self.shape[2]),
            self.method == "watershed",
            self._taps(INNER),
            self._taps(OUTER),
            self._taps(DISTANCE),
            np.array(self.voxel_size),
            self.diameter_um,
            self._smallest,
        )

    def _taps(self, sigma: float) -> _Taps:
        """Kernels along z, y, x of a Gaussian whose sigma is given in diameters."""
        z, y, x = (gaussian_taps(sigma * self.diameter_um / size) for size in self.voxel_size)
        return z, y, x

    @property
    def _smallest(self) -> float:
        sizes = _real_sizes(self.voxel_size, self.shape)
        expected = ball_content(self.diameter_um, len(sizes)) / float(np.prod(sizes))
        return max(self.min_volume + 1.0, SMALLEST * expected)


def gaussian_taps(sigma: float) -> NDArray[np.float64]:
    """A Gaussian kernel from its middle to three sigmas, whole sum 1.

    >>> gaussian_taps(0.1).tolist()
    [1.0]
    >>> gaussian_taps(1.0).round(4).tolist()
    [0.3991, 0.242, 0.054, 0.0044]
    """
    taps = np.exp(-0.5 * (np.arange(int(3 * sigma + 0.5) + 1) / sigma) ** 2)
    return np.asarray(taps / (taps[0] + 2 * taps[1:].sum()))


@compiled
def _split_all(
    index: NDArray[np.int64],
    bounds: NDArray[np.int64],
    probability: NDArray[np.float64],
    raw: NDArray[np.float64],
    shape: tuple[int, int, int],
    watershed: bool,
    inner: _Taps,
    outer: _Taps,
    slight: _Taps,
    spacing: NDArray[np.float64],
    diameter: float,
    smallest: float,
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    labels = np.zeros(index.size, np.int32)
    counts = np.ones(bounds.size - 1, np.int64)
    for i in range(bounds.size - 1):
        a, b = bounds[i], bounds[i + 1]
        at = coordinates(index[a:b], shape[1], shape[2])
        table = neighbours(index[a:b], at, shape[1], shape[2])
        if watershed:
            height = _rise(probability[a:b], raw[a:b], at, inner, outer)
            distance = edge_distance(at, shape, spacing, diameter)
            _smooth(distance, at, slight)
            height *= distance
            pieces, _ = basins(height, table, at, spacing, CLOSEST * diameter, DEPTH, smallest)
        else:
            height = _levels(probability[a:b], raw[a:b])
            pieces = nearest_maxima(height, table, at, spacing, CLOSEST * diameter)
        labels[a:b] = pieces
        counts[i] = pieces.max() + 1
    return labels, counts


@compiled
def _rise(
    probability: NDArray[np.float64], raw: NDArray[np.float64], at: NDArray[np.int64], inner: _Taps, outer: _Taps
) -> NDArray[np.float64]:
    """Probability times raw value, as far as it stands out from its surroundings; never below 0."""
    narrow = probability.copy()
    if raw.max() > raw.min():
        narrow *= raw - raw.min()
    wide = narrow.copy()
    _smooth(narrow, at, inner)
    _smooth(wide, at, outer)
    return np.maximum(narrow - SURROUND * wide, 0.0)


@compiled
def _smooth(values: NDArray[np.float64], at: NDArray[np.int64], taps: _Taps) -> None:
    for axis in range(3):
        smooth(values, at, taps[axis], axis)


@compiled
def _levels(probability: NDArray[np.float64], raw: NDArray[np.float64]) -> NDArray[np.float64]:
    """Numbers in the order of probability, and of raw value where that is equal; equal ones where both are."""
    order = np.argsort(raw, kind="mergesort")
    order = order[np.argsort(probability[order], kind="mergesort")]
    levels = np.empty(order.size, np.float64)
    level = 0.0
    for k in range(order.size):
        i = order[k]
        if k > 0:
            j = order[k - 1]
            level += probability[i] != probability[j] or raw[i] != raw[j]
        levels[i] = level
    return levels
