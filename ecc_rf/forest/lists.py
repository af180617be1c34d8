"""Walking trees by lists of voxels: the general way, and the way for single voxels.

A list holds one item for each voxel that is still on its way: the voxel's position in the tile and the
decision it has come to. In each round all of them go one decision further, and those that reach a leaf
move to another list, so a round costs only what is left::

    round 0    1@a 2@a 3@a 4@a 5@b
    round 1    1@c 2@d     4@c           done  3@leaf 5@leaf
    round 2        2@e                   done  3@leaf 5@leaf 1@leaf 4@leaf

The items are independent of each other, so the processor works on many at once although each walk is a
chain of dependent loads. For the same reason a round is two loops: the first writes every item back to its own place;
only the second, which loads nothing that takes long, writes to places that depend on the data.
Loads do not wait for such writes then, which makes it twice as fast as the one loop.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ecc_rf.forest.compiled import compiled

Words = npt.NDArray[np.uint64]

_LOW = np.uint64(0xFFFFFFFF)
_0, _1, _5, _31, _32 = (np.uint64(value) for value in (0, 1, 5, 31, 32))


@compiled
def walk_lists(nodes: Words, keys: npt.NDArray[np.int32], items: Words, n_items: np.int64, done: Words) -> np.int64:
    """Bring voxels from the decisions they are at to their leaves.

    Parameters
    ----------
    nodes : (2 * decisions,) uint64
        `nodes` or `vote_nodes` of a :class:`~ecc_rf.forest.packed.PackedForest`.
    keys : (features * LANES,) int32
        The tile.
    items : uint64
        The first `n_items` are walked: position in the tile (high half), decision (low half). Overwritten.
    done : uint64
        Filled with position (high half) and leaf (low half), in no order; one entry longer than `items`.

    Returns
    -------
    int
        Number of entries of `done`: those of `n_items`.
    """
    n_done = _0
    while n_items > 0:
        for i in range(n_items):
            item = items[np.uint64(i)]
            position = item >> _32
            decision = (item & _LOW) << _1
            word = nodes[decision]
            right = np.uint64(keys[(word >> _32) + position] >= np.int32(word & _LOW))
            child = (nodes[decision + _1] >> (right << _5)) & _LOW
            items[np.uint64(i)] = position << _32 | child
        still = _0
        for i in range(n_items):
            item = items[np.uint64(i)]
            leaf = (item >> _31) & _1
            items[still] = item  # always written, kept only if the counter moves on: no branch to mispredict
            done[n_done] = item
            still += leaf ^ _1
            n_done += leaf
        n_items = np.int64(still)
    return np.int64(n_done)
