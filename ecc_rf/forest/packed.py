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
That is the row of the leaf tables in `nodes`; in `vote_nodes`, which is for whole votes, it is the group of classes
(see :mod:`~ecc_rf.forest.groups`), and `COUNTED` unless it is the group that is left uncounted. Leaves that are not
pure vote for an extra group, which marks the voxel for the general way.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ecc_rf.forest.bits import LANES
from ecc_rf.forest.groups import group_classes, node_groups, reached_nodes
from ecc_rf.forest.model import RandomForest

KEY_OF_INFINITY = 0x7F800000  # the key of NaN is beyond it, or below its negative
LEAF_BIT, COUNTED_BIT = 31, 30
LEAF, COUNTED = 1 << LEAF_BIT, 1 << COUNTED_BIT


class PackedForest(NamedTuple):
    """Plain arrays, as compiled functions take them.

    Attributes
    ----------
    nodes, vote_nodes : (2 * decisions,) uint64
        Two words a decision.
    roots, vote_roots : (trees,) uint32
        Child words of the roots. `vote_roots` is empty if leaves vote with their weight.
    leaf_vote : (leaves, classes) float64
        What a leaf adds to each class: its probabilities, times its weight in a weighted forest.
    forest_start : (forests + 1,) int64
        Number of each forest's first tree, and the number of trees at the end.
    class_of_channel, group_of_channel : (channels,) int64
        Class and group of each output channel, -1 for labels that were never annotated.
    n_groups : int
    uncounted : int
        The group whose votes are not counted.
    """

    nodes: npt.NDArray[np.uint64]
    roots: npt.NDArray[np.uint32]
    vote_nodes: npt.NDArray[np.uint64]
    vote_roots: npt.NDArray[np.uint32]
    leaf_vote: npt.NDArray[np.float64]
    forest_start: npt.NDArray[np.int64]
    class_of_channel: npt.NDArray[np.int64]
    group_of_channel: npt.NDArray[np.int64]
    n_groups: int
    uncounted: int


def pack(forest: RandomForest, labels: tuple[int, ...]) -> PackedForest:
    """Bring a forest into the form that the compiled walks take, to predict these labels."""
    leaf = forest.feature < 0
    nodes, roots = _words(forest, leaf, np.cumsum(leaf) - 1)
    groups = group_classes(forest, labels)
    vote_nodes, vote_roots = np.empty(0, np.uint64), np.empty(0, np.uint32)
    if not any(forest.weighted):
        group = node_groups(forest, groups)
        counted = np.where(group == groups.uncounted, 0, COUNTED)
        vote_nodes, vote_roots = _words(forest, group >= 0, group | counted)
    class_of_channel = np.array([_place(forest.classes, label) for label in labels], np.int64)
    return PackedForest(
        nodes=nodes,
        roots=roots,
        vote_nodes=vote_nodes,
        vote_roots=vote_roots,
        leaf_vote=_leaf_votes(forest),
        forest_start=np.cumsum([0, *forest.trees_per_forest], dtype=np.int64),
        class_of_channel=class_of_channel,
        group_of_channel=np.where(class_of_channel < 0, -1, groups.of_class[class_of_channel]),
        n_groups=groups.count,
        uncounted=groups.uncounted,
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


def _place(classes: tuple[int, ...], label: int) -> int:
    return classes.index(label) if label in classes else -1


def _words(
    forest: RandomForest, is_leaf: npt.NDArray[np.bool_], leaf_code: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint32]]:
    """Decisions and roots; where a node is to be a leaf, `LEAF` and its code stand in its place."""
    kept = np.flatnonzero(reached_nodes(forest, is_leaf) & ~is_leaf)
    child = leaf_code.astype(np.uint64) | np.uint64(LEAF)
    child[kept] = np.arange(len(kept), dtype=np.uint64)
    key = keys_of(float32_at_least(forest.threshold[kept])).view(np.uint32).astype(np.uint64)
    start = forest.feature[kept].astype(np.uint64) * np.uint64(LANES)
    words = np.empty((len(kept), 2), np.uint64)
    words[:, 0] = key | start << np.uint64(32)
    words[:, 1] = child[forest.left[kept]] | child[forest.right[kept]] << np.uint64(32)
    return words.ravel(), child[forest.tree_start[:-1]].astype(np.uint32)


def _leaf_votes(forest: RandomForest) -> npt.NDArray[np.float64]:
    if not any(forest.weighted):
        return forest.leaf_probability.copy()  # compiled functions tell read-only arrays apart
    weighted_trees = np.repeat(forest.weighted, forest.trees_per_forest)
    leaves_per_tree = np.add.reduceat(forest.feature < 0, forest.tree_start[:-1], dtype=np.int64)
    weighted_leaves = np.repeat(weighted_trees, leaves_per_tree)
    return forest.leaf_probability * np.where(weighted_leaves, forest.leaf_weight, 1.0)[:, np.newaxis]
