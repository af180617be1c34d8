"""One decision tree as plain arrays, and the checks that make it safe to walk.

A tree of five nodes; node 0 is the root, a negative `feature` marks a leaf, and the k-th leaf in
node order owns row k of the leaf tables::

                0: x[4] < 1.5 ?                   node         0    1    2    3    4
                 /          \\                     feature      4   -1    0   -1   -1
              yes            no                   threshold  1.5    0   0.2   0    0
               /              \\                   left         1   -1    3   -1   -1
        1: leaf, row 0     2: x[0] < 0.2 ?        right        2   -1    4   -1   -1
                             /        \\
                     3: leaf, row 1  4: leaf, row 2
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ecc_rf.errors import FormatError

IntArray = npt.NDArray[np.int32]
FloatArray = npt.NDArray[np.float64]

# A leaf's weight is a number of samples. Beyond this it is none, and weighted votes would leave float32.
_LARGEST_WEIGHT = 1e18


@dataclass(frozen=True, eq=False)
class Tree:
    """A decision tree; a sample goes left where ``x[feature] < threshold``, else right.

    Parameters
    ----------
    feature : (nodes,) int32
        Feature column a node looks at; negative: the node is a leaf.
    threshold : (nodes,) float64
        Not read at leaves.
    left, right : (nodes,) int32
        Node numbers of the two children (vigra's child0 and child1). Not read at leaves.
    leaf_probability : (leaves, classes) float64
        Class probabilities of the leaves, in the order in which leaves appear among the nodes.
    leaf_weight : (leaves,) float64
        Number of (bagged) training samples in each leaf.

    Only thresholds on single columns are represented: that is all that ilastik's training makes. vigra's
    hyperplane and hypersphere nodes have no counterpart here, so a reader has to refuse them.
    """

    feature: IntArray
    threshold: FloatArray
    left: IntArray
    right: IntArray
    leaf_probability: FloatArray
    leaf_weight: FloatArray

    @property
    def n_nodes(self) -> int:
        return len(self.feature)

    @property
    def n_leaves(self) -> int:
        return len(self.leaf_weight)


def checked_tree(tree: Tree, n_features: int, n_classes: int, *, weighted: bool, where: str) -> Tree:
    """Return `tree` with its arrays in their exact dtypes, after every check that walking it relies on.

    Parameters
    ----------
    tree : Tree
    n_features, n_classes : int
        Of the forest the tree belongs to.
    weighted : bool
        Whether leaves vote with their weight: then no weight may be zero.
    where : str
        Which tree this is, for messages.

    Raises
    ------
    FormatError
        Arrays that do not fit together, children outside of the tree, a node with two parents or none, a
        loop, a column the forest does not have, a NaN threshold, or leaf tables that hold no probabilities
        or weights.
    """
    feature = _integers(tree.feature, "feature", where)
    left = _integers(tree.left, "left", where)
    right = _integers(tree.right, "right", where)
    threshold = _floats(tree.threshold, "threshold", 1, where)
    probability = _floats(tree.leaf_probability, "leaf_probability", 2, where)
    weight = _floats(tree.leaf_weight, "leaf_weight", 1, where)

    n_nodes = len(feature)
    if n_nodes == 0:
        raise FormatError("The tree has no nodes; expected at least one leaf.", where)
    for name, array in (("threshold", threshold), ("left", left), ("right", right)):
        if len(array) != n_nodes:
            raise FormatError(f"{name} has {len(array)} entries; expected one for each of {n_nodes} nodes.", where)
    leaf = feature < 0
    inner = np.flatnonzero(~leaf)
    n_leaves = n_nodes - len(inner)
    if probability.shape != (n_leaves, n_classes) or weight.shape != (n_leaves,):
        raise FormatError(
            f"The leaf tables have shapes {probability.shape} and {weight.shape}; expected "
            f"({n_leaves}, {n_classes}) and ({n_leaves},) for {n_leaves} leaves and {n_classes} classes.",
            where,
        )
    too_large = inner[feature[inner] >= n_features]
    if len(too_large):
        node = int(too_large[0])
        raise FormatError(
            f"Node {node} looks at column {feature[node]}; expected 0 to {n_features - 1}.",
            where,
        )
    nan = inner[np.isnan(threshold[inner])]
    if len(nan):
        raise FormatError(f"Node {nan[0]} has threshold NaN; expected a number.", where)
    _check_topology(inner, left, right, n_nodes, where)
    _check_leaves(probability, weight, weighted, where)

    # One form for what is never read, so that equal trees have equal arrays.
    return Tree(
        feature=np.where(leaf, np.int32(-1), feature).astype(np.int32),
        threshold=np.where(leaf, 0.0, threshold),
        left=np.where(leaf, np.int32(-1), left).astype(np.int32),
        right=np.where(leaf, np.int32(-1), right).astype(np.int32),
        leaf_probability=probability,
        leaf_weight=weight,
    )


def _check_topology(inner: npt.NDArray[np.intp], left: IntArray, right: IntArray, n_nodes: int, where: str) -> None:
    children = np.concatenate([left[inner], right[inner]])
    parents = np.concatenate([inner, inner])
    outside = np.flatnonzero((children < 0) | (children >= n_nodes))
    if len(outside):
        k = outside[0]
        raise FormatError(
            f"Node {parents[k]} has child {children[k]}; expected a node number from 0 to {n_nodes - 1}.",
            where,
        )
    times_reached = np.bincount(children, minlength=n_nodes)
    times_reached[0] += 1  # the root is where a walk starts
    wrong = np.flatnonzero(times_reached != 1)
    if len(wrong):
        node = int(wrong[0])
        raise FormatError(f"Node {node} is reached {times_reached[node]} times; expected exactly once.", where)
    # Every node now has one parent, so what does not descend from the root goes round in a loop. Doubling the
    # step upwards finds that in log2(nodes) rounds, however deep the tree is.
    ancestor = np.zeros(n_nodes, np.intp)
    ancestor[children] = parents
    for _ in range(n_nodes.bit_length()):
        ancestor = ancestor[ancestor]
    if ancestor.any():
        raise FormatError(f"Node {np.flatnonzero(ancestor)[0]} is on or below a loop; expected a tree.", where)


def _check_leaves(probability: FloatArray, weight: FloatArray, weighted: bool, where: str) -> None:
    sums = probability.sum(axis=1)
    # Written so that NaN is caught as well. Fractions of counts sum to 1 to within rounding.
    bad = np.flatnonzero(~((probability >= 0).all(axis=1) & (np.abs(sums - 1) < 1e-3)))
    if len(bad):
        raise FormatError(
            f"Leaf {bad[0]} has probabilities {probability[bad[0]].tolist()}; expected no negative, sum 1.",
            where,
        )
    bad = np.flatnonzero(~((weight >= 0) & (weight <= _LARGEST_WEIGHT)))
    if len(bad):
        raise FormatError(
            f"Leaf {bad[0]} has weight {weight[bad[0]]}; expected a finite number of samples.",
            where,
        )
    if weighted and not weight.all():
        raise FormatError("A leaf has weight 0 in a forest whose leaves vote with their weight.", where)


def _integers(array: Any, name: str, where: str) -> IntArray:
    given = np.asarray(array)
    if given.ndim != 1 or given.dtype.kind not in "iu":
        raise FormatError(f"{name} is {given.dtype} of shape {given.shape}; expected integers in one dimension.", where)
    if given.size and (given.max() > np.iinfo(np.int32).max or given.min() < np.iinfo(np.int32).min):
        raise FormatError(f"{name} holds {given.max()}; expected numbers that fit 32 bits.", where)
    return given.astype(np.int32)


def _floats(array: Any, name: str, ndim: int, where: str) -> FloatArray:
    given = np.asarray(array)
    if given.ndim != ndim or given.dtype.kind not in "fiu":
        raise FormatError(
            f"{name} is {given.dtype} of shape {given.shape}; expected numbers in {ndim} dimensions.",
            where,
        )
    return given.astype(np.float64)
