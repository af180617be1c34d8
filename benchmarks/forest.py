"""How fast the forest predicts, against vigra and scikit-learn: same trees, same features, one thread each.

    python benchmarks/forest.py [PROJECT IMAGE] [--cube 64] [--cubes 4] [--rounds 5]

PROJECT and IMAGE default to the cFos project and volume beside the repository. The peers take turns with ours, round by
round; what is printed are medians over the rounds, and ratios within a round. Before anything is timed, the
results are compared. vigra runs in the system's Python (Debian: python3-vigra) and is left out without it.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree._tree import Tree as SklearnTree

from ecc_rf import IlastikProject, open_volume
from ecc_rf.features import compute_features
from ecc_rf.forest import RandomForest
from ecc_rf.forest.packed import float32_at_least

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
SYSTEM_PYTHON = "/usr/bin/python3"

# Predicts once for every line it reads, and answers with the seconds it took.
VIGRA = """
import sys, time, numpy, vigra
file, count, rows, result = sys.argv[1:]
rows = numpy.load(rows)
group = "PixelClassification/ClassifierForests/Forest%04d"
forests = [vigra.learning.RandomForest(file, group % k) for k in range(int(count))]
trees = numpy.float32(sum(forest.treeCount() for forest in forests))
for line in sys.stdin:
    start = time.perf_counter()
    total = 0
    for forest in forests:
        total = total + forest.predictProbabilities(rows) * numpy.float32(forest.treeCount())
    total /= trees
    seconds = time.perf_counter() - start
    numpy.save(result, total)
    print(seconds, flush=True)
"""


def real_features(project: IlastikProject, image: str, cube: int, cubes: int) -> np.ndarray:
    """Features of cubes along the diagonal of the image, one behind the other."""
    with open_volume(image) as volume:
        shape = volume.shape
        plan = project.features.plan(shape, 1)
        parts = []
        for i in range(cubes):
            at = [round((extent - cube) * (i + 0.5) / cubes) for extent in shape]
            outer = [(max(a - h, 0), min(a + cube + h, n)) for a, h, n in zip(at, plan.halo, shape)]
            block = np.asarray(volume[tuple(slice(*ends) for ends in outer)])[np.newaxis]
            core = tuple(slice(a - lo, a - lo + cube) for a, (lo, _) in zip(at, outer))
            parts.append(compute_features(block, plan, core, origin=tuple(lo for lo, _ in outer)))
    return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)


@dataclass
class Task:
    """Something we do, and how long it took in each round."""

    name: str
    action: Callable[[], object]
    times: list[float] = field(default_factory=list)


def tasks(forest: RandomForest, features: np.ndarray) -> list[Task]:
    label = forest.classes[0]
    found = [
        Task("all labels", lambda: forest.predict_features(features)),
        Task(f"label {label} only", lambda: forest.predict_features(features, labels=[label])),
        Task(f"is label {label} above 0.7", lambda: forest.decide_features(features, label, 0.7)),
    ]
    for task in found:  # what is made ready at the first call
        task.action()
    return found


def run_once(ours: list[Task]) -> None:
    for task in ours:
        task.times.append(seconds(task.action))


def seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def report(name: str, n: int, ours: list[Task], theirs: list[float]) -> None:
    print(f"{name:28} {n / np.median(theirs) / 1e6:6.3f} Mvoxel/s")
    for task in ours:
        ratio = np.median(np.array(theirs) / np.array(task.times))
        print(f"    ours, {task.name:22} {n / np.median(task.times) / 1e6:6.3f} Mvoxel/s   ratio {ratio:5.1f}")


def against_vigra(project: IlastikProject, forest: RandomForest, features: np.ndarray, rounds: int) -> None:
    probe = [SYSTEM_PYTHON, "-c", "import vigra"]
    if shutil.which(SYSTEM_PYTHON) is None or subprocess.run(probe, capture_output=True).returncode:
        print("vigra: not installed")
        return
    with tempfile.TemporaryDirectory() as folder:
        rows, result = Path(folder) / "rows.npy", Path(folder) / "result.npy"
        np.save(rows, np.ascontiguousarray(features.T))
        command = [SYSTEM_PYTHON, "-c", VIGRA, project.path, len(forest.trees_per_forest), rows, result]
        peer = subprocess.Popen([*map(str, command)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert peer.stdin is not None and peer.stdout is not None
        ours, theirs = tasks(forest, features), []
        for _ in range(rounds):
            peer.stdin.write("predict\n")
            peer.stdin.flush()
            theirs.append(float(peer.stdout.readline()))
            run_once(ours)
        peer.stdin.close()
        peer.wait()
        found = forest.predict_features(features)[:, [label - 1 for label in forest.classes]]
        assert np.array_equal(found, np.load(result)), "vigra gives other probabilities"
    report("vigra", features.shape[1], ours, theirs)


def against_sklearn(forest: RandomForest, features: np.ndarray, rounds: int) -> None:
    classifier = as_sklearn(forest)
    rows = np.ascontiguousarray(features.T)
    found, expected = forest.predict_features(features), classifier.predict_proba(rows)
    # scikit-learn adds up in float64 and divides once
    assert np.allclose(found[:, [label - 1 for label in forest.classes]], expected, rtol=0, atol=1e-5)
    ours, theirs = tasks(forest, features), []
    for _ in range(rounds):
        theirs.append(seconds(lambda: classifier.predict_proba(rows)))
        run_once(ours)
    report("scikit-learn", len(rows), ours, theirs)


def as_sklearn(forest: RandomForest) -> RandomForestClassifier:
    """The same trees in a scikit-learn classifier: a small one is fitted, and its trees are replaced."""
    rng = np.random.default_rng(0)
    x = rng.random((4 * forest.n_classes, forest.n_features))
    classifier = RandomForestClassifier(forest.n_trees, random_state=0, n_jobs=1)
    classifier.fit(x, np.tile(forest.classes, 4))
    for number, estimator in enumerate(classifier.estimators_):
        tree = forest.tree(number)
        leaf = tree.feature < 0
        nodes = np.zeros(tree.n_nodes, estimator.tree_.__getstate__()["nodes"].dtype)
        nodes["left_child"], nodes["right_child"] = tree.left, tree.right
        nodes["feature"] = np.where(leaf, -2, tree.feature)
        below = np.nextafter(float32_at_least(tree.threshold), np.float32(-np.inf))  # x <= it is x < threshold
        nodes["threshold"] = np.where(leaf, -2.0, below)
        nodes["n_node_samples"] = nodes["weighted_n_node_samples"] = 1
        values = np.zeros((tree.n_nodes, 1, forest.n_classes))
        values[leaf, 0] = tree.leaf_probability
        replaced = SklearnTree(forest.n_features, np.array([forest.n_classes], np.intp), 1)
        replaced.__setstate__({"max_depth": 1, "node_count": tree.n_nodes, "nodes": nodes, "values": values})
        estimator.tree_ = replaced
    return classifier


def main() -> None:
    parser = argparse.ArgumentParser(description="How fast the forest predicts, against vigra and scikit-learn.")
    parser.add_argument("project", nargs="?", default=str(SHARED / "data/cfos/cfos.ilp"))
    parser.add_argument("image", nargs="?", default=str(SHARED / "data/cfos/volume_256/image.h5/data"))
    parser.add_argument("--cube", type=int, default=64, help="edge of a cube of voxels")
    parser.add_argument("--cubes", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if not Path(options.project).exists():
        sys.exit(f"{options.project} is not there; name a PROJECT and an IMAGE")
    project = IlastikProject.open(options.project)
    forest = project.forest()
    features = real_features(project, options.image, options.cube, options.cubes)
    nodes = len(forest.feature) / forest.n_trees
    print(f"{features.shape[1]} voxels, {forest.n_features} features, {forest.n_trees} trees of {nodes:.0f} nodes")
    first = seconds(lambda: forest.predict_features(features[:, :1000]))
    print(f"first prediction, compiling or loading what was compiled: {first:.1f} s")
    against_vigra(project, forest, features, options.rounds)
    against_sklearn(forest, features, options.rounds)


if __name__ == "__main__":
    main()
