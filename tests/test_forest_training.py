"""Growing forests: like scikit-learn's, the same for the same seed, whatever the scale of the features."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from ecc_rf.errors import ImageValueError, LabelError, SettingError, ShapeError
from ecc_rf.forest import RandomForest
from ecc_rf.forest.out_of_bag import LARGEST_SAMPLE, OutOfBag, out_of_bag, permuted
from ecc_rf.forest.training import GrownForest, features_tried, grow_forest


def problem(n: int = 1500, n_features: int = 9, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Three noisy classes; the columns after the third say nothing."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, n_features)).astype(np.float32)
    score = rows[:, 0] + 0.6 * rows[:, 1] - 0.4 * rows[:, 2] + rng.normal(size=n) * 0.5
    return rows, np.digitize(score, [-0.5, 0.5]) + 1


def arrays(forest: RandomForest) -> list[bytes]:
    return [getattr(forest, name).tobytes() for name in ("feature", "threshold", "left", "right", "leaf_probability")]


def test_the_same_for_any_number_of_workers() -> None:
    rows, labels = problem()
    one, two = (grow_forest(rows, labels, trees=20, seed=5, workers=workers) for workers in (1, 3))
    assert arrays(one.forest) == arrays(two.forest)
    assert np.array_equal(out_of_bag(one, workers=1).votes, out_of_bag(two, workers=4).votes)
    assert permuted(one, [[0], [1, 2]], workers=1) == permuted(two, [[0], [1, 2]], workers=4)
    other = grow_forest(rows, labels, trees=20, seed=6)
    assert arrays(one.forest) != arrays(other.forest)


def test_fewer_trees_are_the_first_ones() -> None:
    rows, labels = problem(300)
    few, many = (grow_forest(rows, labels, trees=trees).forest for trees in (3, 10))
    for number in range(3):
        assert np.array_equal(few.tree(number).threshold, many.tree(number).threshold)
    assert (few.trees_per_forest, many.trees_per_forest) == ((1, 1, 1), (2, 2, 1, 1, 1, 1, 1, 1))
    assert grow_forest(rows, labels, trees=100).forest.trees_per_forest == (13, 13, 13, 13, 12, 12, 12, 12)


def test_like_the_forest_of_scikit_learn() -> None:
    """Leaves, depth and predictions agree as two forests of scikit-learn with other seeds do."""
    rows, labels = problem(2000)
    unseen, _ = problem(2000, seed=1)
    theirs = [
        RandomForestClassifier(100, max_features=features_tried(9), random_state=seed).fit(rows, labels)
        for seed in (0, 1)
    ]
    ours = grow_forest(rows, labels).forest
    probability = [forest.predict_proba(unseen) for forest in theirs]
    spread = np.sqrt(np.mean((probability[0] - probability[1]) ** 2))
    difference = np.sqrt(np.mean((ours.predict_proba(unseen) - probability[0]) ** 2))
    # the root mean square of 6000 differences has a relative error of about 2 %
    assert difference < 1.1 * spread
    leaves = [np.mean([tree.get_n_leaves() for tree in forest.estimators_]) for forest in theirs]
    assert len(ours.leaf_weight) / 100 == pytest.approx(np.mean(leaves), rel=0.03)
    assert ours.is_pure and ours.classes == (1, 2, 3)
    # every tree has seen as many rows as there are, drawn with replacement
    ends = np.cumsum([0, *((tree.leaf_probability.shape[0]) for tree in map(ours.tree, range(100)))])
    assert all(ours.leaf_weight[a:b].sum() == 2000 for a, b in itertools.pairwise(ends))


def test_columns_tried() -> None:
    # floor(sqrt(F) + 0.5), which for 35 is one more than scikit-learn's "sqrt"
    assert [features_tried(n) for n in (1, 2, 3, 16, 20, 21, 35, 49)] == [1, 1, 2, 4, 4, 5, 6, 7]


@pytest.mark.parametrize("exponent", [-120, -40, -20, 0, 20, 60])
def test_the_scale_of_features_does_not_matter(exponent: int) -> None:
    """scikit-learn takes values for equal that are less than 1e-7 apart: a power of two must change nothing."""
    rows, labels = problem(400, 4)
    plain = grow_forest(rows, labels, trees=5).forest
    scaled = grow_forest(np.ldexp(rows, exponent).astype(np.float32), labels, trees=5).forest
    assert np.array_equal(plain.feature, scaled.feature) and np.array_equal(plain.left, scaled.left)
    unseen, _ = problem(400, 4, seed=3)
    expected = plain.predict_proba(unseen)
    assert np.array_equal(scaled.predict_proba(np.ldexp(unseen, exponent).astype(np.float32)), expected)


def test_thresholds_lie_between_the_values_of_the_rows() -> None:
    """Every bagged row reaches a leaf of its own class, also when values are as close as float32 allows."""
    rng = np.random.default_rng(0)
    base = np.float32(1000)
    steps = np.cumsum(rng.integers(1, 3, 200))
    column = np.array([np.nextafter(base, np.inf)] * 200, np.float32).view(np.int32) + steps
    rows = np.stack([column.astype(np.int32).view(np.float32), np.zeros(200, np.float32)], axis=1)
    labels = rng.integers(1, 3, 200)
    grown = grow_forest(rows, labels, trees=30)
    for number in range(30):
        tree, seen = grown.forest.tree(number), np.setdiff1d(np.arange(200), grown.unseen(number))
        single = RandomForest.from_trees([[tree]], 2, [1, 2])
        assert (single.predict_proba(rows[seen]).argmax(axis=1) + 1 == labels[seen]).all()


def test_out_of_bag_votes_are_those_of_the_trees_that_have_not_seen_the_row() -> None:
    rows, labels = problem(300)
    grown = grow_forest(rows, labels, trees=7)
    expected, unseen_by = np.zeros((300, 3)), np.zeros(300)
    for number in range(7):
        single = RandomForest.from_trees([[grown.forest.tree(number)]], 9, [1, 2, 3])
        unseen = grown.unseen(number)
        assert 60 < len(unseen) < 160  # 37 % of 300
        expected[unseen] += single.predict_proba(rows[unseen])
        unseen_by[unseen] += 1
    judged = out_of_bag(grown)
    assert np.array_equal(judged.votes, expected) and np.array_equal(judged.judged, unseen_by > 0)
    winners = expected.argmax(axis=1) + 1
    assert judged.error == np.mean(winners[unseen_by > 0] != labels[unseen_by > 0])
    confusion = judged.confusion()
    assert confusion.sum() == np.count_nonzero(unseen_by) and confusion[0, 1] == np.count_nonzero(
        (labels == 1) & (winners == 2) & (unseen_by > 0)
    )


def test_the_out_of_bag_error_is_that_on_other_rows() -> None:
    rows, labels = problem(4000)
    grown = grow_forest(rows, labels)
    unseen, truth = problem(20000, seed=9)
    error = np.mean(grown.forest.predict_proba(unseen).argmax(axis=1) + 1 != truth)
    # 4000 and 20000 trials with a share of about 0.3: a standard error of 0.008
    assert out_of_bag(grown).error == pytest.approx(error, abs=0.025)


def test_shuffled_columns() -> None:
    rows, labels = problem(2000)
    grown = grow_forest(rows, labels)
    (first, second, nothing, all_three) = (rise for _, rise in permuted(grown, [[0], [1], [7], [0, 1, 2]]))
    assert first is not None and second is not None and nothing is not None and all_three is not None
    assert all_three > first > second > 0.03 and abs(nothing) < 0.02
    assert grown.gini.sum() == pytest.approx(1) and grown.gini.argmax() == 0
    # a large problem is judged on a sample
    rows, labels = problem(LARGEST_SAMPLE + 2000)
    ((error, _),) = permuted(grow_forest(rows, labels, trees=5), [[7]])
    assert error is not None and round(error * LARGEST_SAMPLE) != error * (LARGEST_SAMPLE + 2000)


def test_one_tree_does_not_judge_every_row() -> None:
    rows, labels = problem(300)
    grown = grow_forest(rows, labels, trees=1)
    assert out_of_bag(grown).confusion().sum() == len(grown.unseen(0))
    assert OutOfBag(np.zeros((3, 2)), np.zeros(3, np.int64)).error is None


def test_the_largest_seed_and_odd_labels() -> None:
    rows, labels = problem(300)
    forest = grow_forest(rows, labels * 85, n_labels=255, trees=2, seed=2**32 - 1).forest
    assert forest.classes == (85, 170, 255) and forest.n_labels == 255


def test_what_cannot_be_trained() -> None:
    rows, labels = problem(50)

    def grow(rows: NDArray[np.float32] = rows, labels: NDArray[np.int64] = labels, **more: int) -> GrownForest:
        return grow_forest(rows, labels, **more)

    with pytest.raises(LabelError, match="only label 2"):
        grow(labels=np.full(50, 2))
    with pytest.raises(LabelError, match="no voxel"):
        grow(rows[:0], labels[:0])
    with pytest.raises(LabelError, match="3 voxels are annotated for 4 labels"):
        grow(rows[:3], np.array([1, 2, 3]), n_labels=4)
    with pytest.raises(LabelError, match="label 3 is annotated"):
        grow(n_labels=2)
    with pytest.raises(LabelError):
        grow(labels=labels - 1)
    for bad in (np.nan, np.inf):
        broken = rows.copy()
        broken[7, 2] = bad
        with pytest.raises(ImageValueError, match="1 annotated voxels"):
            grow(broken)
    with pytest.raises(ShapeError):
        grow(rows[:, 0])
    with pytest.raises(ShapeError):
        grow(labels=labels[:-1])
    with pytest.raises(SettingError, match="trees"):
        grow(trees=0)
    with pytest.raises(SettingError, match="seed"):
        grow(seed=-1)
    with pytest.raises(SettingError, match="workers"):
        grow(workers=0)
