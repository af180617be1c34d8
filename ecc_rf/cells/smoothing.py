"""The probability smoothed by a Gaussian that is as wide in µm along every axis, block by block."""

from __future__ import annotations

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
        values = self._scale.to_probability(stored.astype(np.float64)).astype(np.float32)
        for axis, (s, w, taps, r) in enumerate(zip(box, wide, self._taps, reach)):
            missing = [(0, 0)] * 3
            missing[axis] = (r - (s.start - w.start), r - (w.stop - s.stop))  # what lies beyond the volume
            turned = np.moveaxis(np.pad(values, missing, mode="symmetric") if any(missing[axis]) else values, axis, 0)
            shape = (turned.shape[0] - 2 * r, *turned.shape[1:])
            values = np.moveaxis(_convolved(np.ascontiguousarray(turned), taps, shape), 0, axis)
        return np.ascontiguousarray(values)

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


@compiled
def _convolved(
    values: NDArray[np.float32], taps: NDArray[np.float32], shape: tuple[int, int, int]
) -> NDArray[np.float32]:
    """Along the first axis, where all of the kernel lies within."""
    out = np.empty(shape, np.float32)
    r = taps.size - 1
    for z in range(shape[0]):
        for y in range(shape[1]):
            for x in range(shape[2]):
                out[z, y, x] = taps[0] * values[z + r, y, x]
            for k in range(1, r + 1):
                for x in range(shape[2]):
                    out[z, y, x] += taps[k] * (values[z + r - k, y, x] + values[z + r + k, y, x])
    return out
