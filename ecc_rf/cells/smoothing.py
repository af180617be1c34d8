"""The probability smoothed by a Gaussian that is as wide in µm along every axis, block by block."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.cells.cache import BrickCache
from ecc_rf.cells.inputs import Box, Channel, ProbabilityScale
from ecc_rf.compiling import compiled

_TRUNCATE = 4.0  # sigmas to which the kernel reaches, as scipy's


class SmoothedChannel(Channel):
    """A probability volume as smoothed probabilities, float32; the volume is mirrored at its edges.

    A voxel has the same value in whatever block it is read.

    Parameters
    ----------
    probability : Channel
    scale : ProbabilityScale
        What its stored values mean.
    mask : Channel, optional
        Where it is not 0 the probability counts as 0.
    sigma_um : float
    voxel_size : (z, y, x) in µm
    cache : BrickCache
        Through which the volume is read.
    """

    def __init__(
        self,
        probability: Channel,
        scale: ProbabilityScale,
        mask: Channel | None,
        sigma_um: float,
        voxel_size: tuple[float, float, float],
        cache: BrickCache,
    ) -> None:
        self.name, self.role, self.shape = probability.name, probability.role, probability.shape
        self.voxel_size = probability.voxel_size
        self.dtype = np.dtype(np.float32)
        self.drange = (0.0, 1.0)
        self.mask_threshold = None  # a mask has no probability to smooth: it is refused before
        self.chunks = None  # never kept: what is kept are the bricks of the volume itself
        self._probability, self._scale, self._mask, self._cache = probability, scale, mask, cache
        self._table: NDArray[np.float32] | None = None  # of all stored values, if they are few
        self._taps = [
            gaussian_taps(sigma_um / size) if n > 1 else np.ones(1, np.float32)
            for size, n in zip(voxel_size, self.shape)
        ]

    def __getitem__(self, box: Box) -> NDArray[np.float32]:
        """Smoothed voxels of a box.

        Raises
        ------
        ImageValueError
            If float probabilities leave their range.
        """
        reach = [taps.size - 1 for taps in self._taps]
        wide = tuple(slice(max(0, s.start - r), min(n, s.stop + r)) for s, r, n in zip(box, reach, self.shape))
        stored = self._cache.read(self._probability, wide)
        if self._mask is not None:
            stored = np.where(self._cache.read(self._mask, wide) != 0, stored.dtype.type(self._scale.low), stored)
        self._scale.check(stored, self.name)
        if not (stored != self._scale.low).any():  # such as the margin of a stitched volume
            return np.zeros([s.stop - s.start for s in box], np.float32)
        values = self._probabilities(stored)
        for axis, (s, w, taps, n) in enumerate(zip(box, wide, self._taps, self.shape)):
            places = _mirrored(np.arange(s.start - taps.size + 1, s.stop + taps.size - 1), n) - w.start
            values = (_along_z, _along_y, _along_x)[axis](values, places, taps)
        return values

    def _probabilities(self, stored: NDArray[Any]) -> NDArray[np.float32]:
        if stored.dtype.kind != "u" or stored.dtype.itemsize > 2:
            return self._scale.to_probability(stored.astype(np.float64)).astype(np.float32)
        if self._table is None:
            every = np.arange(2 ** (8 * stored.dtype.itemsize), dtype=np.float64)
            self._table = self._scale.to_probability(every).astype(np.float32)
        return np.asarray(_looked_up(self._table, np.ascontiguousarray(stored)))

    def close(self) -> None:
        """Nothing: the volume belongs to another channel."""


def gaussian_taps(sigma: float) -> NDArray[np.float32]:
    """A Gaussian kernel from its middle on, whole sum 1.

    >>> gaussian_taps(1.0).round(4).tolist() == np.float32([0.3989, 0.242, 0.054, 0.0044, 0.0001]).tolist()
    True
    """
    reach = int(_TRUNCATE * sigma + 0.5)
    taps = np.exp(-0.5 * (np.arange(reach + 1) / max(sigma, 1e-9)) ** 2)
    return np.asarray(taps / (taps[0] + 2 * taps[1:].sum()), np.float32)


def _mirrored(places: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Places beyond the ends of an axis of `n` voxels, mirrored at its edges.

    >>> _mirrored(np.arange(-3, 6), 3).tolist()
    [2, 1, 0, 0, 1, 2, 2, 1, 0]
    """
    around = places % (2 * n)
    return np.minimum(around, 2 * n - 1 - around)


@compiled
def _looked_up(table: NDArray[np.float32], stored: NDArray[Any]) -> NDArray[np.float32]:
    """What the table has for each value; the table has all values of the type."""
    out = np.empty(stored.shape, np.float32)
    source, target = stored.ravel(), out.ravel()
    for i in range(source.size):
        target[i] = table[source[i]]
    return out


# Along an axis: the voxel in the middle first, then pairs outwards, whichever axis it is.


@compiled
def _along_z(values: NDArray[np.float32], places: NDArray[np.int64], taps: NDArray[np.float32]) -> NDArray[np.float32]:
    r = taps.size - 1
    out = np.empty((places.size - 2 * r, values.shape[1], values.shape[2]), np.float32)
    for z in range(out.shape[0]):
        for y in range(out.shape[1]):
            middle = values[places[z + r], y]
            for x in range(out.shape[2]):
                out[z, y, x] = taps[0] * middle[x]
            for k in range(1, r + 1):
                before, after = values[places[z + r - k], y], values[places[z + r + k], y]
                for x in range(out.shape[2]):
                    out[z, y, x] += taps[k] * (before[x] + after[x])
    return out


@compiled
def _along_y(values: NDArray[np.float32], places: NDArray[np.int64], taps: NDArray[np.float32]) -> NDArray[np.float32]:
    r = taps.size - 1
    out = np.empty((values.shape[0], places.size - 2 * r, values.shape[2]), np.float32)
    for z in range(out.shape[0]):
        for y in range(out.shape[1]):
            middle = values[z, places[y + r]]
            for x in range(out.shape[2]):
                out[z, y, x] = taps[0] * middle[x]
            for k in range(1, r + 1):
                before, after = values[z, places[y + r - k]], values[z, places[y + r + k]]
                for x in range(out.shape[2]):
                    out[z, y, x] += taps[k] * (before[x] + after[x])
    return out


@compiled
def _along_x(values: NDArray[np.float32], places: NDArray[np.int64], taps: NDArray[np.float32]) -> NDArray[np.float32]:
    r = taps.size - 1
    out = np.empty((values.shape[0], values.shape[1], places.size - 2 * r), np.float32)
    line = np.empty(places.size, np.float32)
    for z in range(out.shape[0]):
        for y in range(out.shape[1]):
            for x in range(places.size):
                line[x] = values[z, y, places[x]]
            # views that begin where they are read: of an index that might be negative no vector is made
            row, middle = out[z, y], line[r:]
            for x in range(row.size):
                row[x] = taps[0] * middle[x]
            for k in range(1, r + 1):
                before, after = line[r - k :], line[r + k :]
                for x in range(row.size):
                    row[x] += taps[k] * (before[x] + after[x])
    return out
