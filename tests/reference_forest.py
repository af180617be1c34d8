"""The random forest in plain numpy, tree by tree and row by row, and forests of every shape to try it on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ecc_rf.forest import Tree

# Values of which many tie, so that samples lie exactly on thresholds; 1e-40 is a denormal float32.
TELLING = np.array(
    [0.0, -0.0, 1e-45, -1e-45, 1e-40, -1e-40, 1e-38, 0.1, 1 / 3, 1, 1.0000001, 2, -1, -2, 3e38, -3e38, np.inf, -np.inf],
    np.float32,
)


def leaf_of(tree: Tree, rows: NDArray[np.float32]) -> NDArray[np.intp]:
    """The leaf (row of the leaf tables) that each sample reaches: float64 comparisons, equality goes right."""
    leaf_row = np.cumsum(tree.feature < 0) - 1
    at = np.zeros(len(rows), np.intp)
    while (walking := np.flatnonzero(tree.feature[at] >= 0)).size:
        node = at[walking]
        left = rows[walking, tree.feature[node]].astype(np.float64) < tree.threshold[node]
        at[walking] = np.where(left, tree.left[node], tree.right[node])
    return leaf_row[at]


def one_forest(trees: Sequence[Tree], rows: NDArray[np.float32], weighted: bool) -> NDArray[np.float32]:
    """vigra's predictProbabilities."""
    n_classes = trees[0].leaf_probability.shape[1]
    probability = np.zeros((len(rows), n_classes), np.float32)
    total = np.zeros(len(rows), np.float64)
    for tree in trees:
        leaf = leaf_of(tree, rows)
        for c in range(n_classes):
            vote = tree.leaf_probability[leaf, c]
            if weighted:
                vote = vote * tree.leaf_weight[leaf]
            probability[:, c] += vote.astype(np.float32)
            total += vote
    probability /= total.astype(np.float32)[:, np.newaxis]
    probability[np.isnan(rows).any(axis=1)] = 0
    return probability


def predict(
    forests: Sequence[Sequence[Tree]],
    rows: NDArray[np.float32],
    classes: Sequence[int],
    n_labels: int,
    weighted: Sequence[bool],
) -> NDArray[np.float32]:
    """ilastik's merge of several forests, with one channel for each label."""
    with np.errstate(invalid="ignore"):
        merged = np.zeros((len(rows), len(classes)), np.float32)
        for trees, flag in zip(forests, weighted, strict=True):
            merged += one_forest(trees, rows, flag) * np.float32(len(trees))
        merged /= np.float32(sum(len(trees) for trees in forests))
    out = np.zeros((len(rows), n_labels), np.float32)
    out[:, np.array(classes) - 1] = merged
    return out


def random_tree(
    rng: np.random.Generator,
    n_decisions: int,
    n_features: int,
    n_classes: int,
    *,
    pure: float = 1.0,
    chain: bool = False,
    values: NDArray[np.float32] = TELLING,
) -> Tree:
    """A tree of any shape; its nodes stand in any order behind the root.

    Parameters
    ----------
    pure : float
        Share of the leaves that give their whole vote to one class.
    chain : bool
        Every decision has a leaf as one child: as deep as can be.
    values : float32
        What thresholds are drawn from; some are moved off by less than float32 resolves.
    """
    n_nodes = 2 * n_decisions + 1
    left, right = np.full(n_nodes, -1), np.full(n_nodes, -1)
    open_nodes, inner = [0], []
    for i in range(n_decisions):
        node = open_nodes.pop(-1 if chain else rng.integers(len(open_nodes)))
        inner.append(node)
        left[node], right[node] = 2 * i + 1, 2 * i + 2
        children = [2 * i + 1, 2 * i + 2]
        rng.shuffle(children)
        open_nodes += children
    feature = np.full(n_nodes, -1)
    feature[inner] = rng.integers(n_features, size=n_decisions)
    threshold = rng.choice(values, n_nodes).astype(np.float64)
    with np.errstate(over="ignore"):
        threshold += rng.choice([0, 0, 1e-300, -1e-300], n_nodes)
        threshold *= rng.choice([1, 1, 1 + 1e-12, 1 - 1e-12], n_nodes)
    place = np.concatenate([[0], 1 + rng.permutation(n_nodes - 1)])  # where each node is moved to
    origin = np.argsort(place)
    n_leaves = n_decisions + 1
    counts = rng.integers(0, 4, (n_leaves, n_classes)) * (rng.random((n_leaves, 1)) >= pure)
    counts[np.arange(n_leaves), rng.integers(n_classes, size=n_leaves)] += 1
    return Tree(
        feature=feature[origin].astype(np.int32),
        threshold=threshold[origin],
        left=np.where(left[origin] < 0, -1, place[left[origin]]).astype(np.int32),
        right=np.where(right[origin] < 0, -1, place[right[origin]]).astype(np.int32),
        leaf_probability=counts / counts.sum(axis=1, keepdims=True),
        leaf_weight=counts.sum(axis=1).astype(np.float64),
    )
