"""Predictions, bit for bit, against plain numpy."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ecc_rf.errors import LabelError, SettingError, ShapeError
from ecc_rf.forest import RandomForest, Tree
from ecc_rf.forest.bits import LANES
from ecc_rf.forest.deciding import vote_bounds
from ecc_rf.forest.traversal import CHUNK
from ecc_rf.forest.voting import segments_of
from tests.reference_forest import TELLING, leaf_of, predict, random_tree


def telling_rows(rng: np.random.Generator, n: int, n_features: int) -> NDArray[np.float32]:
    """Samples on thresholds, between them, infinite, denormal; one in ten has a NaN."""
    rows = rng.choice(np.concatenate([TELLING, rng.normal(size=4).astype(np.float32)]), (n, n_features))
    return np.where((rng.random((n, 1)) < 0.1) & (rng.random((n, n_features)) < 0.3), np.float32(np.nan), rows)


def assert_exact(
    forests: Sequence[Sequence[Tree]],
    rows: NDArray[np.float32],
    classes: Sequence[int],
    n_labels: int | None = None,
    weighted: Sequence[bool] | None = None,
) -> RandomForest:
    """Both entries give exactly what the reference gives."""
    weighted = [False] * len(forests) if weighted is None else weighted
    forest = RandomForest.from_trees(forests, rows.shape[1], classes, n_labels, weighted=weighted)
    expected = predict(forests, rows, classes, forest.n_labels, weighted)
    for found in (forest.predict_proba(rows), forest.predict_features(np.ascontiguousarray(rows.T))):
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected)
    return forest


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_rows=st.sampled_from([0, 1, 2, 31, 63, LANES - 1, LANES, LANES + 1, 3 * LANES + 7]),
    n_features=st.sampled_from([1, 2, 3, 17]),
    n_classes=st.sampled_from([1, 2, 3, 7, 20]),
    trees=st.lists(st.sampled_from([1, 2, 3, 12, 13, 25]), min_size=1, max_size=4),
    decisions=st.sampled_from([0, 1, 2, 7, 40, 200]),
    pure=st.sampled_from([1.0, 1.0, 0.97, 0.0]),
    chain=st.booleans(),
    weighted=st.booleans(),
)
def test_every_forest_is_exact(
    seed: int,
    n_rows: int,
    n_features: int,
    n_classes: int,
    trees: list[int],
    decisions: int,
    pure: float,
    chain: bool,
    weighted: bool,
) -> None:
    rng = np.random.default_rng(seed)
    forests = [
        [
            random_tree(rng, int(rng.integers(decisions + 1)), n_features, n_classes, pure=pure, chain=chain)
            for _ in range(count)
        ]
        for count in trees
    ]
    classes = np.sort(rng.choice(np.arange(1, 30), n_classes, replace=False)).tolist()
    flags = [weighted and bool(rng.integers(2)) for _ in trees]
    assert_exact(forests, telling_rows(rng, n_rows, n_features), classes, classes[-1] + 2, flags)


@pytest.mark.parametrize("trees", [[300], [255], [256], [240, 1, 60], [1] * 70, [13] * 8, [7] * 3])
@pytest.mark.parametrize("pure", [1.0, 0.999])
def test_any_number_of_trees(trees: list[int], pure: float) -> None:
    rng = np.random.default_rng(len(trees))
    forests = [[random_tree(rng, 30, 4, 3, pure=pure) for _ in range(count)] for count in trees]
    assert_exact(forests, telling_rows(rng, 700, 4), [1, 2, 3])


def test_all_votes_of_more_trees_than_eight_bits_hold_for_one_class() -> None:
    leaf = Tree(*(np.array([value]) for value in (-1, 0.0, -1, -1)), np.array([[0.0, 1.0]]), np.array([1.0]))
    decision = random_tree(np.random.default_rng(0), 1, 1, 2)
    forest = assert_exact([[leaf] * 600 + [decision]], np.zeros((300, 1), np.float32), [1, 2])
    votes = forest.count_votes(np.zeros((1, 300), np.float32))
    assert votes.dtype == np.uint16
    assert votes[0].sum() == 601 and votes[0, 1] >= 600


@pytest.mark.parametrize("n_classes", [1, 2, 100, 255])
def test_many_classes(n_classes: int) -> None:
    rng = np.random.default_rng(n_classes)
    forests = [[random_tree(rng, 400, 3, n_classes) for _ in range(9)]]
    assert_exact(forests, telling_rows(rng, 400, 3), list(range(1, n_classes + 1)))


def test_chains_300_deep() -> None:
    rng = np.random.default_rng(5)
    values = rng.normal(size=500).astype(np.float32)
    forests = [[random_tree(rng, 300, 2, 2, chain=True, values=values) for _ in range(20)]]
    assert_exact(forests, rng.choice(values, (1000, 2)), [1, 2])


def test_many_thousand_nodes_and_more_than_a_chunk() -> None:
    rng = np.random.default_rng(6)
    values = rng.normal(size=5000).astype(np.float32)
    forests = [[random_tree(rng, 5000, 5, 3, pure=0.9999, values=values) for _ in range(6)] for _ in range(2)]
    smooth = np.cumsum(rng.normal(size=(CHUNK + 1000, 5)), axis=0) / 100  # neighbours agree, as in an image
    assert_exact(forests, smooth.astype(np.float32), [1, 2, 4], 5)


def test_samples_exactly_on_float64_thresholds() -> None:
    """The float32 next to a float64 threshold, below and above, goes where float64 says."""
    rng = np.random.default_rng(7)
    threshold = rng.normal(size=400) * 10.0 ** rng.integers(-44, 38, 400)
    near = threshold.astype(np.float32)
    rows = np.concatenate([np.nextafter(near, np.float32(to)) for to in (-np.inf, np.inf)] + [near])
    node = np.array([0, -1, -1]), np.array([1, -1, -1]), np.array([2, -1, -1])
    trees = [
        Tree(node[0], np.array([t, 0, 0]), node[1], node[2], np.array([[1.0, 0], [0, 1.0]]), np.ones(2))
        for t in threshold
    ]
    assert_exact([trees], rows[:, np.newaxis], [1, 2])


def test_grouping_of_voxels_does_not_matter() -> None:
    rng = np.random.default_rng(8)
    forests = [[random_tree(rng, 100, 4, 3, pure=0.99) for _ in range(13)] for _ in range(3)]
    forest = RandomForest.from_trees(forests, 4, [1, 2, 3])
    rows = telling_rows(rng, 2000, 4)
    whole = forest.predict_proba(rows)
    for order in (rng.permutation(2000), np.arange(2000)[::-1]):
        np.testing.assert_array_equal(forest.predict_proba(rows[order]), whole[order])
    pieces = [forest.predict_proba(rows[i : i + 77]) for i in range(0, 2000, 77)]
    np.testing.assert_array_equal(np.concatenate(pieces), whole)


def test_rows_with_nan_are_zero_whatever_column_the_nan_is_in() -> None:
    rng = np.random.default_rng(9)
    trees = [random_tree(rng, 20, 2, 2) for _ in range(10)]  # columns 2 and 3 are never asked
    rows = np.zeros((8, 4), np.float32)
    for i in range(4):
        rows[i, i] = [np.nan, -np.nan, np.nan, -np.nan][i]
    forest = assert_exact([trees], rows, [1, 2])
    assert not forest.predict_proba(rows)[:4].any()
    assert not forest.count_votes(np.ascontiguousarray(rows.T))[:4].any()


def test_votes_are_what_the_trees_say() -> None:
    rng = np.random.default_rng(10)
    trees = [random_tree(rng, 50, 3, 3) for _ in range(120)]
    rows = rng.choice(TELLING, (900, 3))
    forest = RandomForest.from_trees([trees[:50], trees[50:]], 3, [1, 3, 4], 4)
    expected = np.zeros((900, 4), int)
    for tree in trees:
        label = np.array([0, 2, 3])[tree.leaf_probability[leaf_of(tree, rows)].argmax(axis=1)]
        expected[np.arange(900), label] += 1
    votes = forest.count_votes(np.ascontiguousarray(rows.T))
    assert votes.dtype == np.uint8
    np.testing.assert_array_equal(votes, expected)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    labels=st.lists(st.integers(1, 7), max_size=4),
    trees=st.lists(st.sampled_from([1, 3, 13, 25]), min_size=1, max_size=3),
    decisions=st.sampled_from([0, 3, 60]),
    pure=st.sampled_from([1.0, 0.97, 0.0]),
    weighted=st.booleans(),
)
def test_few_labels_have_the_values_they_have_among_all(
    seed: int, labels: list[int], trees: list[int], decisions: int, pure: float, weighted: bool
) -> None:
    rng = np.random.default_rng(seed)
    forests = [[random_tree(rng, decisions, 3, 4, pure=pure) for _ in range(count)] for count in trees]
    forest = RandomForest.from_trees(forests, 3, [1, 2, 4, 6], 7, weighted=weighted)
    features = np.ascontiguousarray(telling_rows(rng, 500, 3).T)
    channels = [label - 1 for label in labels]
    np.testing.assert_array_equal(
        forest.predict_features(features, labels=labels), forest.predict_features(features)[:, channels]
    )
    if forest.is_pure:
        np.testing.assert_array_equal(
            forest.count_votes(features, labels=labels), forest.count_votes(features)[:, channels]
        )


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    label=st.integers(1, 5),
    trees=st.lists(st.sampled_from([1, 3, 13, 25, 50, 100]), min_size=1, max_size=3),
    classes=st.sampled_from([[1], [1, 2], [2, 3, 4]]),
    threshold=st.one_of(st.sampled_from([-1.0, 0.0, 0.5, 0.7, 1.0, 2.0, 0.1]), st.floats(0, 1)),
    pure=st.sampled_from([1.0, 1.0, 0.97]),
)
def test_decisions_are_those_of_the_probabilities(
    seed: int, label: int, trees: list[int], classes: list[int], threshold: float, pure: float
) -> None:
    rng = np.random.default_rng(seed)
    forests = [[random_tree(rng, 6, 2, len(classes), pure=pure) for _ in range(count)] for count in trees]
    forest = RandomForest.from_trees(forests, 2, classes, 5)
    features = np.ascontiguousarray(telling_rows(rng, 700, 2).T)
    probability = forest.predict_features(features)[:, label - 1]
    for limit in (threshold, float(rng.choice(probability))):  # one that many voxels meet exactly, too
        np.testing.assert_array_equal(forest.decide_features(features, label, limit), probability > np.float32(limit))


@pytest.mark.parametrize("trees", [[100], [10] * 10, [13] * 4 + [12] * 4, [1], [300, 13, 60], [255], [1] * 40])
@pytest.mark.parametrize("power", [0.1, 1, 10])
def test_decisions_on_every_number_of_votes(trees: list[int], power: float) -> None:
    """Trees that ask the same column, so that the votes run through all numbers; few or many voxels are above."""
    rng = np.random.default_rng(sum(trees))
    thresholds = rng.choice(np.linspace(0, 1, sum(trees) // 2 + 2, dtype=np.float32), sum(trees))
    columns = np.array([0, -1, -1]), np.array([1, -1, -1]), np.array([2, -1, -1])
    ends = np.cumsum([0, *trees])
    forests = [
        [
            Tree(columns[0], np.array([t, 0, 0]), columns[1], columns[2], np.array([[0, 1.0], [1.0, 0]]), np.ones(2))
            for t in thresholds[a:b]
        ]
        for a, b in pairwise(ends)
    ]
    forest = RandomForest.from_trees(forests, 1, [2, 3])
    features = (1.1 * rng.random((1, CHUNK + 3000)) ** power).astype(np.float32)
    features[0, ::97] = np.nan
    probability = forest.predict_features(features)
    values = np.unique(probability)
    assert len(values) > min(sum(trees), 20) // 2
    for limit in [*rng.choice(values, 8), 0.5, -0.5, np.inf, np.nextafter(values[-1], np.float32(0))]:
        for label in (1, 2, 3):
            found = forest.decide_features(features, label, float(limit))
            np.testing.assert_array_equal(found, probability[:, label - 1] > np.float32(limit))


@settings(max_examples=200, deadline=None)
@given(
    trees=st.lists(st.integers(1, 30), min_size=1, max_size=6),
    threshold=st.one_of(st.sampled_from([0.0, 0.5, 0.7, 1.0]), st.floats(0, 1)),
    seed=st.integers(0, 2**32 - 1),
)
def test_bounds_of_votes_hold_however_the_votes_are_spread(trees: list[int], threshold: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    runs = segments_of(trees)
    sizes = np.diff(runs.start)
    votes = rng.integers(0, sizes + 1, (500, len(sizes)))
    total = np.zeros(500, np.float32)
    for k, n in enumerate(runs.n_trees):
        total += votes[:, k].astype(np.float32) / n * n
    probability = total / np.float32(runs.divisor)
    for limit in (np.float32(threshold), rng.choice(probability)):
        at_most, at_least = vote_bounds(runs, limit)
        counts = votes.sum(axis=1)
        assert not (probability[counts <= at_most] > limit).any()
        assert (probability[counts >= at_least] > limit).all()
        assert at_least - at_most <= 2  # at most one number of votes is left open


@pytest.mark.parametrize("labels", [[0], [1, 4], [-1]])
def test_labels_that_are_not_there_are_refused(labels: list[int]) -> None:
    forest = RandomForest.from_trees([[random_tree(np.random.default_rng(0), 5, 3, 2)]], 3, [1, 2], 3)
    with pytest.raises(LabelError, match="labels 1 to 3"):
        forest.predict_features(np.zeros((3, 1), np.float32), labels=labels)


def test_divided_votes_cannot_be_counted() -> None:
    rng = np.random.default_rng(11)
    forest = RandomForest.from_trees([[random_tree(rng, 5, 1, 2, pure=0.0)]], 1, [1, 2])
    with pytest.raises(SettingError, match="divide their vote"):
        forest.count_votes(np.zeros((1, 1), np.float32))


def test_a_given_array_is_filled_and_read_only_input_is_fine() -> None:
    rng = np.random.default_rng(12)
    forest = RandomForest.from_trees([[random_tree(rng, 50, 3, 2) for _ in range(9)]], 3, [2, 3])
    features = rng.choice(TELLING, (3, 500))
    expected = forest.predict_features(features)
    features.flags.writeable = False
    out = np.full((500, 3), np.float32(7))
    assert forest.predict_features(features, out) is out
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(forest.predict_features(features[:, ::3]), expected[::3])


@pytest.mark.parametrize("shape", [(4, 10), (30,), (3, 10, 1)])
def test_other_numbers_of_features_are_refused(shape: tuple[int, ...]) -> None:
    forest = RandomForest.from_trees([[random_tree(np.random.default_rng(0), 5, 3, 2)]], 3, [1, 2])
    with pytest.raises(ShapeError, match="expected two axes"):
        forest.predict_features(np.zeros(shape, np.float32))
    with pytest.raises(ShapeError, match="axis 1 has 3 features"):
        forest.predict_proba(np.zeros(shape, np.float32))


def test_results_of_another_shape_or_type_are_refused() -> None:
    forest = RandomForest.from_trees([[random_tree(np.random.default_rng(0), 5, 3, 2)]], 3, [1, 2])
    for out in (np.zeros((9, 2), np.float32), np.zeros((10, 2)), np.zeros((2, 10), np.float32).T):
        with pytest.raises(ShapeError, match="expected float32 of"):
            forest.predict_features(np.zeros((3, 10), np.float32), out)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="expected real numbers"):
        forest.predict_features(np.zeros((3, 10), np.complex64))  # type: ignore[arg-type]


def test_threads_and_copies_agree() -> None:
    rng = np.random.default_rng(13)
    forest = RandomForest.from_trees([[random_tree(rng, 300, 6, 3) for _ in range(30)]], 6, [1, 2, 3])
    features = rng.choice(TELLING, (6, 5000))
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(forest.predict_features, [features, features])
    copy = pickle.loads(pickle.dumps(forest))
    for found in (second, copy.predict_features(features)):
        np.testing.assert_array_equal(found, first)
