"""Deciding early: is the probability of one label above a limit?

Trees are asked a few at a time, and a voxel asks no more once those that are left cannot change its side. With 100
trees and a limit of 0.7, 71 votes are above it::

    votes in the end     0 . . . . . . . . . . . . 70 | 71 . . . . . . 100
                         at most so many: not above   |   from here on: above

    asked   32           48           64           80          100
    votes    1           17           48           71
            1 + 68 = 69  17 + 52 = 69 48 + 36 = 84 71
            not above    not above    goes on      above

Where the label is rare, most voxels are decided by the first trees. Where it is common, most are not, and all that are
left ask all other trees at once, in full tiles. No tree is asked twice in either case.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from ecc_rf.forest.bits import LANES
from ecc_rf.forest.compiled import compiled
from ecc_rf.forest.masks import TREES_AT_ONCE
from ecc_rf.forest.packed import PackedForest
from ecc_rf.forest.tile import Keys, Voxels, fill_tile
from ecc_rf.forest.voting import Segments, TileSpace, count_votes

_SLACK = 2  # votes that a voxel below the limit may have among the first trees, which most have not
_MANY = 0.5  # share of a chunk that is left after the first trees, from which deciding early no longer pays


def vote_bounds(segments: Segments, limit: np.float32) -> tuple[int, int]:
    """With at most so many votes a probability is not above the limit, and from so many votes on it is.

    In one run of trees the probability follows from the number of votes, and one bound follows the other. In several
    runs it also depends, in its last bits, on how the votes are spread: each run's share is rounded twice, their sum
    once a run, and the result once more, each time by at most 2^-24 of a sum of numbers that are not negative.
    Counts that lie so close to the limit are left out of both bounds.

    Examples
    --------
    >>> from ecc_rf.forest.voting import segments_of
    >>> vote_bounds(segments_of([100]), np.float32(0.7)), vote_bounds(segments_of([13, 87]), np.float32(0.7))
    ((70, 71), (69, 71))
    """
    n_trees, n_runs = int(segments.start[-1]), segments.n_trees.size
    if n_runs == 1:
        counts = np.arange(n_trees + 1, dtype=np.float32)
        above = counts / segments.n_trees * segments.n_trees / np.float32(segments.divisor) > limit
        first = n_trees + 1 - int(np.count_nonzero(above))
        return first - 1, first
    share = np.arange(n_trees + 1) / n_trees
    rounding = 2 * (n_runs + 3) * 2.0**-24  # twice the sum of the bounds covers their products
    not_above, above = share * (1 + rounding) <= float(limit), share * (1 - rounding) > float(limit)
    return int(np.count_nonzero(not_above)) - 1, n_trees + 1 - int(np.count_nonzero(above))


def first_trees(n_trees: int, at_most: int) -> int:
    """How many trees are asked first: as many as decide against the label if hardly any of them votes for it.

    >>> first_trees(100, 70), first_trees(100, 10), first_trees(100, 100)
    (32, 96, 16)
    """
    against = n_trees - at_most + _SLACK
    return min(math.ceil(against / TREES_AT_ONCE) * TREES_AT_ONCE, n_trees)


@compiled
def decide_chunk(
    forest: PackedForest,
    keys: Keys,
    order: Voxels,
    space: TileSpace,
    n_first: int,
    bounds: tuple[int, int],
    votes: npt.NDArray[np.uint16],
    out: npt.NDArray[np.bool_],
) -> int:
    """Whether voxels have enough votes for group 0.

    Parameters
    ----------
    forest : PackedForest
        Made for one label, with pure leaves; group 0 is not the uncounted one.
    keys, order, space
        A chunk; see :mod:`~ecc_rf.forest.traversal`. `order` is overwritten.
    n_first : int
        Trees of the first round.
    bounds : (int, int)
        Of `vote_bounds`.
    votes : (voxels,) uint16
        Working memory.
    out : (voxels,) bool
        Filled, but for the voxels that stay undecided.

    Returns
    -------
    int
        Number of voxels whose votes lie between the bounds; they stand first in `order`.
    """
    n_trees = forest.vote_roots.size
    at_most, at_least = bounds
    votes[:] = 0
    n_left = np.int64(order.size)
    first, last = 0, n_first
    while first < n_trees and n_left > 0:
        n_tiled, n_left = n_left, np.int64(0)
        for start in range(0, n_tiled, LANES):
            voxels = order[start : min(start + LANES, n_tiled)]
            fill_tile(keys, voxels, space.keys, space.at)
            space.counts[:] = 0
            count_votes(forest, space, first, last)
            for lane in range(voxels.size):
                voxel = voxels[lane]
                votes[np.uint64(voxel)] += space.counts[0, lane]
                found = np.int64(votes[np.uint64(voxel)])
                out[np.uint64(voxel)] = found >= at_least
                order[n_left] = voxel  # never beyond the voxel that was just read
                n_left += np.int64((found < at_least) & (found + n_trees - last > at_most))
        first, last = last, n_trees if n_left > _MANY * order.size else min(last + TREES_AT_ONCE, n_trees)
    return int(n_left)
