"""An order of voxels in which neighbours agree: by the first decisions of the forest itself.

Voxels that two of the forest's trees send the same way at their first decisions are alike to the other
trees too. So the voxels of a chunk are sorted by those answers, each answer one bit::

    tree A, first three levels     tree B, first three levels     answers
        right, left, left              left, left, right          1 0 0  0 0 1

Tiles cut from that order meet a good third fewer decisions than tiles that are cubes of the image, with
no need to know the image's shape. Results do not depend on the order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ecc_rf.forest.compiled import compiled
from ecc_rf.forest.model import RandomForest
from ecc_rf.forest.packed import float32_at_least, keys_of
from ecc_rf.forest.tile import Keys, Voxels

_LEVELS = 6
_PLACES = 1 << _LEVELS
_ANSWERS = _PLACES * _PLACES

_0, _1, _LEVEL_BITS = np.uint64(0), np.uint64(1), np.uint64(_LEVELS)
_PLACE = np.uint64(_PLACES - 1)


class Guide(NamedTuple):
    """The first levels of two trees, each as a complete binary tree: the root is 1, children of i are 2i, 2i + 1.

    Attributes
    ----------
    feature : (2, places) uint64
    threshold : (2, places) int32
        Keys; beyond every number where the tree has no decision: everything goes left.
    """

    feature: npt.NDArray[np.uint64]
    threshold: npt.NDArray[np.int32]


def guide_of(forest: RandomForest) -> Guide:
    """Take over the first levels of the forest's largest trees."""
    feature = np.zeros((2, _PLACES), np.uint64)
    threshold = np.full((2, _PLACES), np.iinfo(np.int32).max, np.int32)
    keys = keys_of(float32_at_least(forest.threshold))
    largest = np.argsort(-np.diff(forest.tree_start), kind="stable")[:2]
    for number, tree in enumerate(largest):
        at = {1: int(forest.tree_start[tree])}  # node at each place
        for place in range(1, _PLACES):
            node = at.get(place, -1)
            if node >= 0 and forest.feature[node] >= 0:
                feature[number, place] = forest.feature[node]
                threshold[number, place] = keys[node]
                at[2 * place] = int(forest.left[node])
                at[2 * place + 1] = int(forest.right[node])
    return Guide(feature, threshold)


@compiled
def sort_voxels(keys: Keys, rows: npt.NDArray[np.uint64], threshold: Keys, order: Voxels) -> None:
    """Fill `order` with the numbers of a chunk's voxels, sorted by the guide.

    Parameters
    ----------
    keys : (features * stride,) int32
        The chunk, feature by feature, of at least ``len(order)`` voxels.
    rows : (2, places) uint64
        The guide's features, times `stride`.
    threshold : (2, places) int32
        The guide's thresholds.
    order : (voxels,) uint32
    """
    answers = np.empty(order.size, np.uint16)
    for i in range(order.size):
        voxel, a, b = np.uint64(i), _1, _1
        for _ in range(_LEVELS):  # both trees at once: two chains of loads that do not wait for each other
            a = a << _1 | np.uint64(keys[rows[_0, a] + voxel] >= threshold[_0, a])
            b = b << _1 | np.uint64(keys[rows[_1, b] + voxel] >= threshold[_1, b])
        answers[i] = (a & _PLACE) << _LEVEL_BITS | (b & _PLACE)
    end = np.zeros(_ANSWERS + 1, np.uint32)
    for answer in answers:
        end[np.uint64(answer) + _1] += np.uint32(1)
    for i in range(_ANSWERS):
        end[i + 1] += end[i]
    for i in range(order.size):
        own = np.uint64(answers[i])
        order[np.uint64(end[own])] = i
        end[own] += np.uint32(1)
