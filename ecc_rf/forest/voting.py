"""From leaves to probabilities, in the arithmetic of vigra and ilastik, operation by operation.

Each forest sums its trees in float32 in their order and divides by the sum of what it added; ilastik multiplies
each forest's result with its number of trees, sums that over the forests, and divides by all trees.
Every step rounds to float32, so the order of operations is part of the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ecc_rf.forest.bits import LANE_OF_POSITION, LANES, WORDS, aligned
from ecc_rf.forest.compiled import compiled
from ecc_rf.forest.lists import walk_lists
from ecc_rf.forest.masks import (
    MOST_VOTES,
    PLANES,
    TREES_AT_ONCE,
    MaskSpace,
    empty_planes,
    mask_space,
    walk_masks,
)
from ecc_rf.forest.packed import COUNTED, COUNTED_BIT, LEAF, PackedForest

_LIST_LENGTH = 1024  # stragglers that are worth walking together

_1, _32 = np.uint64(1), np.uint64(32)
_LEAF_ROW, _COUNTED_BIT, _GROUP = np.uint64(LEAF - 1), np.uint64(COUNTED_BIT), np.uint64(COUNTED - 1)


class Segments(NamedTuple):
    """Runs of trees whose whole votes may be counted together.

    Attributes
    ----------
    start : (segments + 1,) int64
        First tree of each run, and the number of trees at the end.
    n_trees : (segments,) float32
        What counts are divided by and multiplied with; 1 where that changes no count.
    divisor : float
        What the sum of all runs is divided by at the end.
    """

    start: npt.NDArray[np.int64]
    n_trees: npt.NDArray[np.float32]
    divisor: float


def segments_of(trees_per_forest: Sequence[int]) -> Segments:
    """One run for each forest, but one for all at the beginning for which ``float32(count / n) * n`` is exact.

    Sums of whole numbers are exact, so joining those is invisible. After the first forest that is not exact (13 trees
    are the fewest), sums are rounded and their order matters.
    """
    exact = 0
    while exact < len(trees_per_forest) and _is_exact(trees_per_forest[exact]):
        exact += 1
    rounded = trees_per_forest[exact:]
    runs = [sum(trees_per_forest[:exact]), *rounded] if exact else list(rounded)
    return Segments(
        start=np.cumsum([0, *runs], dtype=np.int64),
        n_trees=np.array([1, *rounded] if exact else rounded, np.float32),
        divisor=float(sum(trees_per_forest)),
    )


def whole_votes(n_trees: int) -> Segments:
    """One run of all trees, nothing divided: the result is the number of votes."""
    return Segments(np.array([0, n_trees], np.int64), np.ones(1, np.float32), 1.0)


def _is_exact(n_trees: int) -> bool:
    counts = np.arange(n_trees + 1, dtype=np.float32)
    return bool((counts / np.float32(n_trees) * np.float32(n_trees) == counts).all())


class TileSpace(NamedTuple):
    """Working memory for one tile after the other, and what comes out.

    Attributes
    ----------
    keys : (features * LANES,) int32
        The tile.
    at : (LANES,) uint32
        The voxel at each position of the tile.
    sums : (classes, LANES) float32
        Result, for each group when counting and for each class else: sums over the forests, not yet divided.
    impure : (LANES,) uint8
        Result of counting: whether the lane came to an impure leaf. Its sums mean nothing then.
    masks : MaskSpace
    planes : ((groups + 1) * PLANES * WORDS,) uint64
        Counters of the masks; the extra group is that of impure leaves. Zero between the runs.
    counts : (groups + 1, LANES) uint16
    items, done : uint64
        Lists.
    one_forest : (classes, LANES) float32
    totals : (LANES,) float64
    """

    keys: npt.NDArray[np.int32]
    at: npt.NDArray[np.uint32]
    sums: npt.NDArray[np.float32]
    impure: npt.NDArray[np.uint8]
    masks: MaskSpace
    planes: npt.NDArray[np.uint64]
    counts: npt.NDArray[np.uint16]
    items: npt.NDArray[np.uint64]
    done: npt.NDArray[np.uint64]
    one_forest: npt.NDArray[np.float32]
    totals: npt.NDArray[np.float64]


def tile_space(n_features: int, n_classes: int) -> TileSpace:
    """Allocate the working memory; there are no more groups than classes."""
    n_items = _LIST_LENGTH + TREES_AT_ONCE * LANES
    planes = aligned((n_classes + 1) * PLANES * WORDS, np.uint64)
    planes[:] = 0
    return TileSpace(
        keys=aligned(n_features * LANES, np.int32),
        at=aligned(LANES, np.uint32),
        sums=np.empty((n_classes, LANES), np.float32),
        impure=np.empty(LANES, np.uint8),
        masks=mask_space(),
        planes=planes,
        counts=np.empty((n_classes + 1, LANES), np.uint16),
        items=aligned(n_items, np.uint64),
        done=aligned(n_items + 1, np.uint64),
        one_forest=np.empty((n_classes, LANES), np.float32),
        totals=np.empty(LANES, np.float64),
    )


@compiled
def sum_whole_votes(forest: PackedForest, segments: Segments, space: TileSpace) -> None:
    """Count the votes of pure leaves and add them up as probabilities are: ``space.sums``, ``space.impure``."""
    n_groups = forest.n_groups
    sums, counts = space.sums, space.counts
    sums[:] = 0
    space.impure[:] = 0
    for segment in range(segments.n_trees.size):
        first, last = segments.start[segment], segments.start[segment + 1]
        counts[:] = 0
        count_votes(forest, space, first, last)
        rest = counts[forest.uncounted]
        rest[:] = last - first
        for group in range(n_groups + 1):
            if group != forest.uncounted:
                for lane in range(LANES):
                    rest[lane] -= counts[group, lane]
        trees = segments.n_trees[segment]
        for group in range(n_groups):
            for lane in range(LANES):
                sums[group, lane] += np.float32(counts[group, lane]) / trees * trees
        for lane in range(LANES):
            space.impure[lane] |= counts[n_groups, lane] != 0


@compiled
def count_votes(forest: PackedForest, space: TileSpace, first: int, last: int) -> None:
    """Add the votes of a run of trees to ``space.counts``, but for the uncounted group."""
    nodes = forest.vote_nodes
    n_items, in_planes = np.int64(0), 0
    for tree in range(first, last, TREES_AT_ONCE):
        end = min(tree + TREES_AT_ONCE, last)
        roots = forest.vote_roots[tree:end]
        n_items = walk_masks(nodes, roots, space.keys, space.planes, space.masks, space.items, n_items)
        in_planes += TREES_AT_ONCE
        if n_items >= _LIST_LENGTH or end == last:
            walk_lists(nodes, space.keys, space.items, n_items, space.done)
            for i in range(n_items):
                item = space.done[np.uint64(i)]
                lane = np.uint64(LANE_OF_POSITION[item >> _32])
                space.counts[item & _GROUP, lane] += np.uint16((item >> _COUNTED_BIT) & _1)
            n_items = np.int64(0)
        if in_planes + TREES_AT_ONCE > MOST_VOTES or end == last:
            for group in range(forest.n_groups + 1):
                if group != forest.uncounted:
                    empty_planes(space.planes, group, space.counts[group])
            in_planes = 0


@compiled
def sum_leaf_votes(forest: PackedForest, space: TileSpace) -> None:
    """Add up the votes of any leaves, one tree after the other: ``space.sums``."""
    sums, one_forest, totals = space.sums, space.one_forest, space.totals
    sums[:] = 0
    for number in range(forest.forest_start.size - 1):
        first, last = forest.forest_start[number], forest.forest_start[number + 1]
        one_forest[:] = 0
        totals[:] = 0
        for tree in range(first, last):
            _add_leaf_votes(forest, forest.roots[tree], space)
        trees = np.float32(last - first)
        for c in range(forest.leaf_vote.shape[1]):
            for lane in range(LANES):
                sums[c, lane] += one_forest[c, lane] / np.float32(totals[lane]) * trees


@compiled
def _add_leaf_votes(forest: PackedForest, root: np.uint32, space: TileSpace) -> None:
    """Add the votes of one tree to ``space.one_forest`` and ``space.totals``."""
    items, done = space.items, space.done
    for position in range(LANES):
        item = np.uint64(position) << _32 | np.uint64(root)
        items[position], done[position] = item, item  # done already if the root is a leaf
    if root < LEAF:
        walk_lists(forest.nodes, space.keys, items, np.int64(LANES), done)
    for i in range(LANES):
        lane = np.uint64(LANE_OF_POSITION[done[i] >> _32])
        leaf = done[i] & _LEAF_ROW
        for c in range(forest.leaf_vote.shape[1]):
            vote = forest.leaf_vote[leaf, c]
            space.one_forest[c, lane] += np.float32(vote)
            space.totals[lane] += vote
