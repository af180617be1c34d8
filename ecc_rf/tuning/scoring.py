"""How many true cells are found when some detections are left out, again and again."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.compiling import compiled
from ecc_rf.evaluation.matching import MatchingRule, VoxelSize, candidate_pairs


class Pairing:
    """The pairs of detections and true cells of a volume, in the order in which they are taken.

    Parameters
    ----------
    detections, centres, voxel_size, rule, inside
        As for `ecc_rf.evaluation.match`.
    """

    def __init__(
        self,
        detections: NDArray[np.float64],
        centres: NDArray[np.float64],
        voxel_size: VoxelSize,
        rule: MatchingRule,
        inside: NDArray[np.int64] | None,
    ) -> None:
        self._cells = len(centres)
        self._d, self._o = candidate_pairs(detections, centres, voxel_size, rule, inside)

    def matched(self, kept: NDArray[np.bool_]) -> int:
        """How many true cells the detections that are kept find, as `match` would say of them alone."""
        return int(_greedy(self._d, self._o, kept, self._cells))


@compiled
def _greedy(d: NDArray[np.int64], o: NDArray[np.int64], kept: NDArray[np.bool_], cells: int) -> Any:
    free = kept.copy()
    taken = np.zeros(cells, np.bool_)
    count = 0
    for k in range(d.size):
        if free[d[k]] and not taken[o[k]]:
            free[d[k]] = False
            taken[o[k]] = True
            count += 1
    return count
