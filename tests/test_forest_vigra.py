"""Predictions, bit for bit, against vigra itself."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from ecc_rf.forest import RandomForest
from ecc_rf.forest.training import grow_forest
from ecc_rf.ilp.vigra_forest import read_forests, write_forests
from tests.reference_forest import TELLING, random_tree

SYSTEM_PYTHON = "/usr/bin/python3"  # where Debian's python3-vigra is found

# What ilastik does with its forests, in ascending order.
MERGE = """
import sys, numpy, vigra
file, group, count, rows, result = sys.argv[1:]
rows = numpy.load(rows)
total, trees = 0, 0
for number in range(int(count)):
    forest = vigra.learning.RandomForest(file, "%s/Forest%04d" % (group, number))
    total = total + forest.predictProbabilities(rows) * numpy.float32(forest.treeCount())
    trees += forest.treeCount()
numpy.save(result, total / numpy.float32(trees))
"""


@pytest.fixture(scope="module", autouse=True)
def vigra() -> None:
    probe = [SYSTEM_PYTHON, "-c", "import vigra"]
    if shutil.which(SYSTEM_PYTHON) is None or subprocess.run(probe, capture_output=True, timeout=60).returncode:
        pytest.skip(f"needs vigra (Debian: python3-vigra) in {SYSTEM_PYTHON}")


def vigra_predicts(
    file: Path, group: str, n_forests: int, rows: NDArray[np.float32], folder: Path
) -> NDArray[np.float32]:
    np.save(folder / "rows.npy", rows.astype(np.float32))
    arguments = [file, group, n_forests, folder / "rows.npy", folder / "result.npy"]
    subprocess.run([SYSTEM_PYTHON, "-c", MERGE, *map(str, arguments)], check=True, timeout=300)
    result: NDArray[np.float32] = np.load(folder / "result.npy")
    return result


@pytest.mark.parametrize("trees", [[1], [100], [13, 13, 12], [7, 1, 50]])
@pytest.mark.parametrize(("pure", "weighted"), [(1.0, False), (0.98, False), (0.5, False), (0.5, True)])
def test_vigra_gives_the_same(tmp_path: Path, trees: list[int], pure: float, weighted: bool) -> None:
    rng = np.random.default_rng(len(trees))
    forests = [[random_tree(rng, int(rng.integers(60)), 5, 3, pure=pure) for _ in range(count)] for count in trees]
    forest = RandomForest.from_trees(forests, 5, [1, 2, 3], weighted=weighted)
    with h5py.File(tmp_path / "forest.h5", "w") as file:
        write_forests(file.create_group("forests"), forest)
    rows = rng.choice(TELLING, (1500, 5))
    rows[rng.random(1500) < 0.05, rng.integers(5)] = np.nan
    theirs = vigra_predicts(tmp_path / "forest.h5", "forests", len(trees), rows, tmp_path)
    np.testing.assert_array_equal(forest.predict_proba(rows), theirs)


def test_vigra_gives_the_same_with_a_real_forest(cfos: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with h5py.File(cfos / "cfos.ilp") as file:
        forest = read_forests(file["PixelClassification/ClassifierForests"])
    inner = forest.feature >= 0
    columns = []
    for feature in range(forest.n_features):  # values where the forest's thresholds are, on them and near them
        thresholds = forest.threshold[inner & (forest.feature == feature)].astype(np.float32)
        chosen = rng.choice(thresholds, 4000)
        columns.append(np.where(rng.random(4000) < 0.3, chosen, chosen * rng.normal(1, 0.05, 4000)))
    rows = np.stack(columns, axis=1).astype(np.float32)
    group = "PixelClassification/ClassifierForests"
    theirs = vigra_predicts(cfos / "cfos.ilp", group, len(forest.trees_per_forest), rows, tmp_path)
    assert len(np.unique(theirs)) > 50
    np.testing.assert_array_equal(forest.predict_proba(rows), theirs)


@pytest.mark.parametrize("classes", [[1], [1, 2], [1, 3], [2, 3, 4], [1, 2, 3, 4]])
@pytest.mark.parametrize(("trees", "n_forests"), [(1, 1), (13, 5), (100, 8), (200, 40)])
def test_vigra_predicts_what_a_trained_forest_does(
    tmp_path: Path, classes: list[int], trees: int, n_forests: int
) -> None:
    rng = np.random.default_rng(trees)
    rows = rng.integers(0, 30, (400, 6)).astype(np.float32)  # many of equal value, on the thresholds too
    labels = np.array(classes)[(rows[:, 0] + rng.integers(0, 12, 400)).astype(int) % len(classes)]
    if len(classes) > 1:
        forest = grow_forest(rows, labels, n_labels=4, trees=trees).forest
    else:  # which ilastik can write, but we do not train
        forest = RandomForest.from_sklearn(RandomForestClassifier(trees).fit(rows, labels), 6, n_labels=4)
    with h5py.File(tmp_path / "forest.h5", "w") as file:
        write_forests(file.create_group("forests"), forest, n_forests=n_forests, n_rows=400)
        known = file["forests/known_labels"][()].tolist()
    theirs = vigra_predicts(
        tmp_path / "forest.h5", "forests", n_forests, rows + rng.choice([0, 0.5], (400, 6)), tmp_path
    )
    ours = forest.predict_proba(np.load(tmp_path / "rows.npy"))
    assert known == classes
    # spread over other forests than ours, the votes are summed in another order of float32
    np.testing.assert_allclose(theirs, ours[:, np.array(known) - 1], rtol=0, atol=1e-6)
    assert not ours[:, np.setdiff1d(np.arange(4), np.array(known) - 1)].any()
