"""Forests from trees and from scikit-learn; forests that must be refused."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

from ecc_rf.errors import FormatError, SettingError, ShapeError
from ecc_rf.forest import RandomForest, Tree
from ecc_rf.forest.from_sklearn import strictly_below_threshold
from ecc_rf.forest.packed import float32_at_least, keys_of
from tests.reference_forest import TELLING, leaf_of, random_tree


def small_tree() -> Tree:
    """The tree of the picture in `ecc_rf.forest.tree`."""
    return Tree(
        feature=np.array([4, -1, 0, -1, -1], np.int32),
        threshold=np.array([1.5, 0, 0.2, 0, 0]),
        left=np.array([1, -1, 3, -1, -1], np.int32),
        right=np.array([2, -1, 4, -1, -1], np.int32),
        leaf_probability=np.array([[1, 0], [0, 1], [0.25, 0.75]]),
        leaf_weight=np.array([3.0, 2.0, 4.0]),
    )


def changed(**arrays: Any) -> Tree:
    return dataclasses.replace(small_tree(), **arrays)


def test_trees_come_back_as_they_were_given() -> None:
    rng = np.random.default_rng(0)
    forests = [[random_tree(rng, int(n), 5, 3, pure=0.5) for n in rng.integers(0, 30, count)] for count in (3, 1, 4)]
    forest = RandomForest.from_trees(forests, 5, [1, 3, 7], 9, weighted=[False, True, False])
    assert forest.trees_per_forest == (3, 1, 4)
    assert (forest.n_trees, forest.n_classes, forest.n_labels, forest.n_features) == (8, 3, 9, 5)
    assert forest.classes == (1, 3, 7)
    for given, found in zip(forests, forest.forests(), strict=True):
        for one, other in zip(given, found, strict=True):
            inner = one.feature >= 0
            np.testing.assert_array_equal(other.feature, one.feature)
            np.testing.assert_array_equal(other.threshold[inner], one.threshold[inner])
            np.testing.assert_array_equal(other.left, one.left)
            np.testing.assert_array_equal(other.right, one.right)
            np.testing.assert_array_equal(other.leaf_probability, one.leaf_probability)
            np.testing.assert_array_equal(other.leaf_weight, one.leaf_weight)
            assert (other.n_nodes, other.n_leaves) == (one.n_nodes, one.n_leaves)


def test_arrays_cannot_be_changed() -> None:
    forest = RandomForest.from_trees([[small_tree()]], 5, [1, 2])
    with pytest.raises(ValueError, match="read-only"):
        forest.threshold[0] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        forest.n_labels = 3  # type: ignore[misc]


def test_pure_means_whole_votes() -> None:
    pure = changed(leaf_probability=np.array([[1.0, 0], [0, 1], [0, 1]]))
    assert RandomForest.from_trees([[pure]], 5, [1, 2]).is_pure
    assert not RandomForest.from_trees([[pure]], 5, [1, 2], weighted=True).is_pure
    assert not RandomForest.from_trees([[pure, small_tree()]], 5, [1, 2]).is_pure


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (changed(left=np.array([1, -1, 5, -1, -1])), "Node 2 has child 5; expected a node number from 0 to 4"),
        (changed(left=np.array([-1, -1, 3, -1, -1])), "Node 0 has child -1"),
        (changed(left=np.array([1, -1, 1, -1, -1])), "Node 1 is reached 2 times"),
        (changed(left=np.array([1, -1, 0, -1, -1])), "Node 0 is reached 2 times"),
        (changed(right=np.array([2, -1, 3, -1, -1])), "Node 3 is reached 2 times"),
        (changed(feature=np.array([5, -1, 0, -1, -1])), "looks at column 5; expected 0 to 4"),
        (changed(threshold=np.array([np.nan, 0, 0.2, 0, 0])), "Node 0 has threshold NaN"),
        (changed(threshold=np.zeros(4)), "threshold has 4 entries; expected one for each of 5 nodes"),
        (changed(feature=np.array([4.0, -1, 0, -1, -1])), "feature is float64"),
        (changed(feature=np.array([4, -1, 0, -1, -(2**40)])), "fit 32 bits"),
        (changed(leaf_weight=np.array([1.0, -1, 2])), "Leaf 1 has weight -1.0"),
        (changed(leaf_weight=np.array([1.0, 1, np.inf])), "Leaf 2 has weight inf"),
        (changed(leaf_weight=np.array([np.nan, 1, 1])), "Leaf 0 has weight nan"),
        (changed(leaf_weight=np.ones(2)), r"expected \(3, 2\) and \(3,\) for 3 leaves and 2 classes"),
        (changed(leaf_probability=np.array([[1.0, 0], [0, 1], [np.nan, 0]])), "Leaf 2 has probabilities"),
        (changed(leaf_probability=np.array([[1.0, 0], [2, -1], [0, 1]])), "Leaf 1 has probabilities"),
        (changed(leaf_probability=np.array([[1.0, 0], [0, 0], [0, 1]])), "Leaf 1 has probabilities"),
        (changed(leaf_probability=np.eye(3)), "leaf tables have shapes"),
        (Tree(*(np.array([], int) for _ in range(6))), "no nodes|leaf_probability is"),
    ],
)
def test_damaged_trees_are_refused_with_their_name(tree: Tree, message: str) -> None:
    with pytest.raises(FormatError, match=message) as caught:
        RandomForest.from_trees([[small_tree()], [small_tree(), tree]], 5, [1, 2], where="p.ilp")
    assert caught.value.where == "p.ilp, forest 1, tree 1"


def test_loops_apart_from_the_root_are_found() -> None:
    """Every node has one parent, but two decisions are each other's."""
    loop = Tree(
        feature=np.array([-1, 0, 0, -1, -1]),
        threshold=np.zeros(5),
        left=np.array([-1, 2, 1, -1, -1]),
        right=np.array([-1, 3, 4, -1, -1]),
        leaf_probability=np.ones((3, 1)),
        leaf_weight=np.ones(3),
    )
    with pytest.raises(FormatError, match="loop"):
        RandomForest.from_trees([[loop]], 1, [1])


def test_weighted_leaves_need_weights() -> None:
    tree = changed(leaf_weight=np.array([1.0, 0, 2]))
    RandomForest.from_trees([[tree]], 5, [1, 2])
    with pytest.raises(FormatError, match="weight 0"):
        RandomForest.from_trees([[tree]], 5, [1, 2], weighted=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": [2, 1]}, "ascending"),
        ({"classes": [0, 1]}, "1 to 255"),
        ({"classes": [1, 256]}, "1 to 255"),
        ({"classes": []}, "1 to 255"),
        ({"n_labels": 1}, "only 1 labels"),
        ({"n_features": 0}, "0 feature columns"),
        ({"n_features": 2**24}, "expected 1 to 8388608"),
        ({"forests": [[small_tree()] * 65536]}, "65535 at the most"),
        ({"forests": []}, "at least one"),
        ({"forests": [[], [small_tree()]]}, "at least one"),
        ({"weighted": [True, False]}, "2 weighting flags for 1 forests"),
    ],
)
def test_forests_that_make_no_sense_are_refused(arguments: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {"forests": [[small_tree()]], "n_features": 5, "classes": [1, 2]}
    with pytest.raises(FormatError, match=message):
        RandomForest.from_trees(**{**good, **arguments})


def grown(labels: list[int], n: int = 400, **settings: Any) -> tuple[RandomForestClassifier, np.ndarray]:
    rng = np.random.default_rng(1)
    x = rng.integers(0, 8, (n, 4)).astype(np.float32)  # whole and half numbers: samples lie on thresholds
    y = rng.choice(labels, n)
    return RandomForestClassifier(30, random_state=0, n_jobs=1, **settings).fit(x / 2, y), x / 2


@pytest.mark.parametrize("settings", [{}, {"max_depth": 3}, {"min_samples_leaf": 5}, {"max_depth": 1}])
@pytest.mark.parametrize("n_forests", [1, 7])
def test_scikit_learn_gives_the_same(settings: dict[str, Any], n_forests: int) -> None:
    classifier, x = grown([1, 3, 4], **settings)
    forest = RandomForest.from_sklearn(classifier, 4, n_labels=5, n_forests=n_forests)
    assert forest.trees_per_forest == ((30,) if n_forests == 1 else (5, 5, 4, 4, 4, 4, 4))
    assert forest.leaf_weight.sum() == 30 * len(x)
    expected = np.zeros((len(x), 5))
    expected[:, [0, 2, 3]] = classifier.predict_proba(x)
    # scikit-learn adds up in float64, we as vigra does in float32: 30 roundings of at most 2**-24 each
    np.testing.assert_allclose(forest.predict_proba(x), expected, rtol=0, atol=30 * 2.0**-24)


def test_scikit_learn_samples_on_thresholds_walk_the_same_way() -> None:
    classifier, x = grown([1, 2])
    forest = RandomForest.from_sklearn(classifier, 4)
    thresholds = classifier.estimators_[0].tree_.threshold.astype(np.float32)
    rows = np.random.default_rng(2).choice(np.concatenate([thresholds, x.ravel()]), (3000, 4))
    for number, estimator in enumerate(classifier.estimators_):
        leaves = np.flatnonzero(estimator.tree_.children_left < 0)
        np.testing.assert_array_equal(leaves[leaf_of(forest.tree(number), rows)], estimator.apply(rows))


def test_scikit_learn_labels_can_be_named_anew() -> None:
    classifier, _ = grown([0, 1])
    assert RandomForest.from_sklearn(classifier, 4, [2, 5]).classes == (2, 5)
    with pytest.raises(FormatError, match="1 to 255"):
        RandomForest.from_sklearn(classifier, 4)


def test_scikit_learn_forests_of_another_kind_are_refused() -> None:
    classifier, x = grown([1, 2])
    with pytest.raises(ShapeError, match="fitted on 4 features; expected 5"):
        RandomForest.from_sklearn(classifier, 5)
    with pytest.raises(SettingError, match="n_forests is 31"):
        RandomForest.from_sklearn(classifier, 4, n_forests=31)
    twofold = ExtraTreesClassifier(3).fit(x, np.ones((len(x), 2), int))
    with pytest.raises(ShapeError, match="2 outputs"):
        RandomForest.from_sklearn(twofold, 4)


def test_thresholds_for_strict_comparison() -> None:
    rng = np.random.default_rng(3)
    at_most = np.concatenate([TELLING.astype(np.float64)[:-2], rng.normal(size=300), rng.normal(size=300) * 1e-42])
    near = at_most.astype(np.float32)
    x = np.concatenate([near, *(np.nextafter(near, np.float32(to)) for to in (-np.inf, np.inf))])
    strict = strictly_below_threshold(at_most)
    np.testing.assert_array_equal(x[:, np.newaxis] < strict, x[:, np.newaxis] <= at_most)


def test_keys_have_the_order_of_the_numbers() -> None:
    rng = np.random.default_rng(4)
    bits = rng.integers(-(2**31), 2**31, 3000).astype(np.int32)
    x = np.concatenate([TELLING, bits.view(np.float32)])
    x = x[~np.isnan(x)]
    t = np.concatenate([x[:500].astype(np.float64), x[:500] * (1 + 1e-12), [1e39, -1e39, 1e-300, -1e-300]])
    keys, thresholds = keys_of(x), keys_of(float32_at_least(t))
    np.testing.assert_array_equal(keys[:, np.newaxis] < thresholds, x[:, np.newaxis].astype(np.float64) < t)


def test_stored_functions_are_stale_when_any_file_of_the_room_has_changed() -> None:
    from ecc_rf.forest.masks import walk_masks

    _, files = walk_masks._cache._cache_file._source_stamp  # type: ignore[attr-defined]
    assert {"bits.py", "lists.py", "masks.py", "packed.py"} <= {name for name, _, _ in files}


def test_reading_a_forest_does_not_load_the_compiler() -> None:
    code = "import sys, ecc_rf.forest; assert not {'numba', 'sklearn'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
