"""How probable cells are on average around a cell: in quiet tissue the same spot means more than in bright texture.

The mean is taken over a box of voxels, clipped at the volume. Sums are of integers, so that they are the same however
they are added up: plane by plane, each as a table of which the sum of any rectangle is had from its four corners
(Crow 1984)::

    A . . B        sum of what lies between = D - B - C + A
    . # # .
    . # # .
    C . . D
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.cells.components import as_compiled
from ecc_rf.cells.inputs import Box, Channel, ProbabilityScale
from ecc_rf.cells.passes import Resources
from ecc_rf.compiling import compiled

WIDTH_UM = 75.0  # as wide as the window of the background; measured: see docs/accuracy_ideas.md
_PLANES = 32  # that are read at once


class Neighbourhood:
    """Mean probability around voxels, as it is stored, not smoothed.

    Parameters
    ----------
    probability : Channel
    scale : ProbabilityScale
        What its stored values mean.
    mask : Channel, optional
        Where it is not 0 the probability counts as 0.
    voxel_size : (z, y, x) in µm
    use : Resources
    """

    def __init__(
        self,
        probability: Channel,
        scale: ProbabilityScale,
        mask: Channel | None,
        voxel_size: tuple[float, float, float],
        use: Resources,
    ) -> None:
        self._probability, self._scale, self._mask, self._use = probability, scale, mask, use
        self._reach = np.array([round(WIDTH_UM / 2 / size) for size in voxel_size], np.int64)

    def means(self, voxels: NDArray[np.int64]) -> NDArray[np.float64]:
        """Mean probability around voxels, which should lie close together.

        Parameters
        ----------
        voxels : ndarray of int64, shape (n, 3)

        Raises
        ------
        ImageValueError
            If float probabilities leave their range.
        """
        shape = np.array(self._probability.shape)
        start = np.maximum(voxels.min(axis=0) - self._reach, 0)
        stop = np.minimum(voxels.max(axis=0) + self._reach + 1, shape)
        low, high = np.maximum(voxels - self._reach, 0), np.minimum(voxels + self._reach + 1, shape)
        sums = np.zeros(len(voxels), np.int64)
        for first in range(int(start[0]), int(stop[0]), _PLANES):
            begin = np.array([first, start[1], start[2]])
            end = np.array([min(first + _PLANES, stop[0]), stop[1], stop[2]])
            box = tuple(map(slice, begin.tolist(), end.tolist()))
            _add_planes(self._read(box), low - begin, high - begin, sums, self._scale.factor)
        return self._scale.to_probability(sums / (self._scale.factor * (high - low).prod(axis=1)))

    def _read(self, box: Box) -> NDArray[Any]:
        stored = self._use.cache.read(self._probability, box)
        if self._mask is not None:
            stored = np.where(self._use.cache.read(self._mask, box) != 0, stored.dtype.type(self._scale.low), stored)
        self._scale.check(stored, self._probability.name)
        return as_compiled(stored)


@compiled
def _add_planes(
    values: NDArray[Any], low: NDArray[np.int64], high: NDArray[np.int64], sums: NDArray[np.int64], factor: float
) -> None:
    """Add what lies within each box, from `low` up to `high`; along z a box may go beyond the values."""
    table = np.zeros((values.shape[1] + 1, values.shape[2] + 1), np.int64)
    for z in range(values.shape[0]):
        for y in range(values.shape[1]):
            above, row, line = table[y], table[y + 1], values[z, y]
            total = np.int64(0)
            for x in range(line.size):
                total += np.int64(np.rint(line[x] * factor))
                row[x + 1] = above[x + 1] + total
        for i in range(sums.size):
            if low[i, 0] <= z < high[i, 0]:
                top, bottom = table[low[i, 1]], table[high[i, 1]]
                sums[i] += bottom[high[i, 2]] - bottom[low[i, 2]] - top[high[i, 2]] + top[low[i, 2]]
