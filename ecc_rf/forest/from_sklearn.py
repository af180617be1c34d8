"""The trees of a fitted scikit-learn forest in vigra's terms."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ecc_rf.errors import SettingError, ShapeError
from ecc_rf.forest.tree import FloatArray, IntArray, Tree

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier


def trees_from_sklearn(classifier: RandomForestClassifier, n_features: int) -> list[Tree]:
    """Convert every tree so that each float32 sample reaches the corresponding leaf.

    Raises
    ------
    ShapeError
        A classifier for another number of features or with several outputs.
    """
    if classifier.n_features_in_ != n_features:
        raise ShapeError(f"The classifier was fitted on {classifier.n_features_in_} features; expected {n_features}.")
    if classifier.n_outputs_ != 1:
        raise ShapeError(f"The classifier has {classifier.n_outputs_} outputs; expected 1.")
    return [tree_from_sklearn(estimator.tree_) for estimator in classifier.estimators_]


def spread(trees: Sequence[Tree], n_forests: int) -> list[Sequence[Tree]]:
    """Spread trees over forests as ilastik does, the first ones get one more.

    Raises
    ------
    SettingError
        More forests than trees.
    """
    if not 1 <= n_forests <= len(trees):
        raise SettingError(f"n_forests is {n_forests}; expected 1 to {len(trees)}, the number of trees.")
    each, more = divmod(len(trees), n_forests)
    ends = list(itertools.accumulate([each + 1] * more + [each] * (n_forests - more)))
    return [trees[begin:end] for begin, end in zip([0, *ends], ends)]


def tree_from_sklearn(tree: Any, exponents: IntArray | None = None) -> Tree:
    """Convert scikit-learn's `Tree` in the same way.

    Parameters
    ----------
    tree : sklearn.tree._tree.Tree
    exponents : (features,) int, optional
        The tree was grown on columns multiplied by two to these powers; the result is for the columns themselves.
    """
    leaf = tree.children_left < 0
    value = tree.value[leaf, 0, :]  # fractions in scikit-learn >= 1.3, counts before
    threshold = (
        tree.threshold if exponents is None else np.ldexp(tree.threshold, -exponents[np.maximum(tree.feature, 0)])
    )
    return Tree(
        feature=np.where(leaf, -1, tree.feature).astype(np.int32),
        threshold=np.where(leaf, 0.0, strictly_below_threshold(threshold)),
        left=tree.children_left.astype(np.int32),
        right=tree.children_right.astype(np.int32),
        leaf_probability=value / value.sum(axis=1, keepdims=True),
        leaf_weight=tree.weighted_n_node_samples[leaf].astype(np.float64),
    )


def strictly_below_threshold(at_most: FloatArray) -> FloatArray:
    """The t for which ``x < t`` says the same of every float32 x as ``x <= at_most``.

    It is the float64 that follows the largest float32 not above `at_most`.
    """
    with np.errstate(over="ignore"):  # beyond float32 the neighbour is infinity, which the next line corrects
        nearest = at_most.astype(np.float32)
    below = np.where(nearest > at_most, np.nextafter(nearest, np.float32(-np.inf)), nearest)
    return np.nextafter(below.astype(np.float64), np.inf)
