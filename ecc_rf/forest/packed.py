"""The forest in the form in which it is walked: only the decisions, as integers.

**Keys instead of floats.** A float32 is mapped to the int32 that has the same order::

    float32   -inf ... -1.0 ... -1e-45   -0.0  0.0   1e-45 ...  1.0 ... inf    (NaN lies outside, at both ends)
    int32      least    ...      -1         0    0      1    ...               largest

The float64 threshold t becomes the key of the smallest float32 >= t; then ``x < t`` in float64 says the same
as ``key(x) < key(t)`` for every float32 x, -0.0 equals 0.0, and denormal numbers count even in a process
where another library has switched them off.

**Only decisions.** A decision is two words of 64 bits::

    word 0    threshold key (low half)  | start of the feature's keys in a tile (high half)
    word 1    left child (low half)     | right child (high half)

A child is the number of another decision, or a leaf: `LEAF` and, below it, what the walk wants to know of it.
That is the row of the leaf tables in `nodes`; in `vote_nodes`, for forests whose leaves give whole votes, it is
the class, and `COUNTED` unless it is the class that is left uncounted because it is the commonest: its votes
are what the others leave over. Leaves of such a forest that are not pure after all vote for an extra class,
which marks the voxel for the general way.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ecc_rf.forest.bits import LANES
from ecc_rf.forest.model import RandomForest

KEY_OF_INFINITY = 0x7F800000  # the key of NaN is beyond it, or below its negative
LEAF = 0x80000000
COUNTED = 0x40000000

# Pure leaves are counted as whole votes in 16 bits; more trees than that go the general way.
_MOST_TREES = 65535


class PackedForest(NamedTuple):
    """Plain arrays, as compiled functions take them.

    Attributes
    ----------
    nodes, vote_nodes : (2 * decisions,) uint64
        Two words a decision. `vote_nodes` is empty if votes cannot be counted.
    roots, vote_roots : (trees,) uint32
        Child words of the roots.
    leaf_vote : (leaves, classes) float64
        What a leaf adds to each class: its probabilities, times its weight in a weighted forest.
    forest_start : (forests + 1,) int64
        Number of each forest's first tree, and the number of trees at the end.
    channel : (classes,) int64
        Output channel of each class column.
    uncounted : int
        The class whose leaves are not counted.
    n_labels, n_features : int
    """

    nodes: npt.NDArray[np.uint64]
    roots: npt.NDArray[np.uint32]
    vote_nodes: npt.NDArray[np.uint64]
    vote_roots: npt.NDArray[np.uint32]
    leaf_vote: npt.NDArray[np.float64]
    forest_start: npt.NDArray[np.int64]
    channel: npt.NDArray[np.int64]
    uncounted: int
    n_labels: int
    n_features: int


def pack(forest: RandomForest) -> PackedForest:
    """Bring a forest into the form that the compiled walks take."""
    leaf = forest.feature < 0
    leaf_class, uncounted = _leaf_classes(forest)
    n_leaves = len(forest.leaf_weight)
    nodes, roots = _words(forest, leaf, np.arange(n_leaves))
    can_count = not any(forest.weighted) and forest.n_trees <= _MOST_TREES
    if can_count:
        codes = np.where(leaf_class == uncounted, leaf_class, leaf_class | COUNTED)
        vote_nodes, vote_roots = _words(forest, leaf, codes)
    else:
        vote_nodes, vote_roots = np.empty(0, np.uint64), np.empty(0, np.uint32)
    return PackedForest(
        nodes=nodes,
        roots=roots,
        vote_nodes=vote_nodes,
        vote_roots=vote_roots,
        leaf_vote=_leaf_votes(forest),
        forest_start=np.cumsum([0, *forest.trees_per_forest], dtype=np.int64),
        channel=np.array(forest.classes, np.int64) - 1,
        uncounted=uncounted,
        n_labels=forest.n_labels,
        n_features=forest.n_features,
    )


def float32_at_least(threshold: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """The smallest float32 that is not below each threshold."""
    with np.errstate(over="ignore", under="ignore"):  # what overflows becomes infinity, which is right
        nearest = threshold.astype(np.float32)
    return np.where(nearest < threshold, np.nextafter(nearest, np.float32(np.inf)), nearest)


def keys_of(values: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
    """The int32 keys of float32 values: same order, one key for both zeros."""
    bits = values.view(np.int32)
    return np.where(bits < 0, np.int32(-(2**31)) - bits, bits)


def _words(
    forest: RandomForest, leaf: npt.NDArray[np.bool_], leaf_codes: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint32]]:
    """Decisions and roots, with `leaf_codes` (one for each leaf) below `LEAF` in place of leaves."""
    child = np.empty(len(leaf), np.uint64)
    child[leaf] = leaf_codes.astype(np.uint64) | np.uint64(LEAF)
    child[~leaf] = np.arange(len(leaf) - len(leaf_codes), dtype=np.uint64)
    key = keys_of(float32_at_least(forest.threshold[~leaf])).view(np.uint32).astype(np.uint64)
    start = forest.feature[~leaf].astype(np.uint64) * np.uint64(LANES)
    words = np.empty((len(key), 2), np.uint64)
    words[:, 0] = key | start << np.uint64(32)
    words[:, 1] = child[forest.left[~leaf]] | child[forest.right[~leaf]] << np.uint64(32)
    return words.ravel(), child[forest.tree_start[:-1]].astype(np.uint32)


def _leaf_classes(forest: RandomForest) -> tuple[npt.NDArray[np.int64], int]:
    """The class that gets a leaf's whole vote, the number of classes for impure leaves; the commonest class."""
    pure = (forest.leaf_probability == 1).sum(axis=1) == 1
    pure &= (forest.leaf_probability == 0).sum(axis=1) == forest.n_classes - 1
    leaf_class = np.where(pure, forest.leaf_probability.argmax(axis=1), forest.n_classes)
    leaves_per_class = np.bincount(leaf_class, minlength=forest.n_classes)[: forest.n_classes]
    return leaf_class, int(leaves_per_class.argmax())


def _leaf_votes(forest: RandomForest) -> npt.NDArray[np.float64]:
    if not any(forest.weighted):
        return forest.leaf_probability.copy()  # compiled functions tell read-only arrays apart
    weighted_trees = np.repeat(forest.weighted, forest.trees_per_forest)
    leaves_per_tree = np.add.reduceat(forest.feature < 0, forest.tree_start[:-1], dtype=np.int64)
    weighted_leaves = np.repeat(weighted_trees, leaves_per_tree)
    return forest.leaf_probability * np.where(weighted_leaves, forest.leaf_weight, 1.0)[:, np.newaxis]
