"""Whom a leaf's vote counts for, and the decisions that matter to it.

Counting needs to know apart only the classes that are asked for. All others are one group, the rest, and a
decision below which every leaf is of one group decides nothing: it becomes a leaf::

    asked for class A:            x < 3                    x < 3
                                 /     \\                   /     \\
                              y < 1     A      ──►      rest      A
                              /   \\
                             B     C

The rest is not counted at all. If every class is asked for there is no rest, and the commonest class goes uncounted
instead: its votes are what the others leave over.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ecc_rf.forest.model import RandomForest

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Groups:
    """Groups of classes, by number.

    Attributes
    ----------
    of_class : (classes,) int64
        Group of each class: those asked for have their own, ascending; the rest share the last.
    count : int
        Number of groups. The number after the last stands for leaves that are not pure.
    uncounted : int
        The group whose votes are not counted.
    """

    of_class: Numbers
    count: int
    uncounted: int


def group_classes(forest: RandomForest, labels: tuple[int, ...]) -> Groups:
    """The groups for a prediction of these labels."""
    wanted = np.isin(forest.classes, labels)
    of_class = np.where(wanted, np.cumsum(wanted) - 1, wanted.sum())
    if wanted.all():
        return Groups(of_class, forest.n_classes, int(forest.leaf_probability.sum(axis=0).argmax()))
    return Groups(of_class, int(wanted.sum()) + 1, int(wanted.sum()))


def node_groups(forest: RandomForest, groups: Groups) -> Numbers:
    """For each node, the group of all leaves below it, or -1 if there are several: then it is a decision.

    Returns
    -------
    (nodes,) int64
    """
    pure = (forest.leaf_probability == 1).sum(axis=1) == 1
    pure &= (forest.leaf_probability == 0).sum(axis=1) == forest.n_classes - 1
    group = np.full(len(forest.feature), -1, np.int64)
    own = groups.of_class[forest.leaf_probability.argmax(axis=1)]
    group[forest.feature < 0] = np.where(pure, own, groups.count)
    for level in reversed(_levels(forest)):
        left, right = group[forest.left[level]], group[forest.right[level]]
        group[level] = np.where(left == right, left, -1)
    return group


def reached_nodes(forest: RandomForest, is_leaf: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Which nodes are still reached if some decisions have become leaves."""
    reached = np.zeros(len(forest.feature), bool)
    reached[forest.tree_start[:-1]] = True
    for level in _levels(forest):
        alive = level[reached[level] & ~is_leaf[level]]
        reached[forest.left[alive]] = True
        reached[forest.right[alive]] = True
    return reached


def _levels(forest: RandomForest) -> list[Numbers]:
    """The decisions of all trees, level by level from the roots down."""
    levels = []
    level = forest.tree_start[:-1]
    while len(level := level[forest.feature[level] >= 0]):
        levels.append(level)
        level = np.concatenate([forest.left[level], forest.right[level]]).astype(np.int64)
    return levels
