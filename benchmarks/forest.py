"""The forest: the project's own trees, against vigra and scikit-learn, on the same features, one thread each.

Before anything counts, the results are compared.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from measuring import Measurement, VigraPeer, has_vigra, rates, ratios, take_turns, timed
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree._tree import Tree as SklearnTree
from workload import Workload

from ecc_rf.forest import RandomForest
from ecc_rf.forest.packed import float32_at_least

PART = "forest"
EDGE, CUBES = 48, 4
THRESHOLD = 0.7


def measure(workload: Workload, rounds: int) -> list[Measurement]:
    forest = workload.project.forest()
    features = workload.features(EDGE, CUBES)
    rows = np.ascontiguousarray(features.T)
    n, label = features.shape[1], forest.classes[0]
    classes = [one - 1 for one in forest.classes]
    expected = forest.predict_features(features)
    above = forest.decide_features(features, label, THRESHOLD)
    assert np.array_equal(above, expected[:, label - 1] > np.float32(THRESHOLD))
    classifier = as_sklearn(forest)
    # scikit-learn adds up in float64 and divides once
    assert np.allclose(expected[:, classes], classifier.predict_proba(rows), rtol=0, atol=1e-5)
    tasks = {
        "all": lambda: timed(lambda: forest.predict_features(features)),
        "one": lambda: timed(lambda: forest.predict_features(features, labels=[label])),
        "mask": lambda: timed(lambda: forest.decide_features(features, label, THRESHOLD)),
        "sklearn": lambda: timed(lambda: classifier.predict_proba(rows)),
    }
    vigra = has_vigra()
    with tempfile.TemporaryDirectory() as folder:
        saved, result = Path(folder) / "rows.npy", Path(folder) / "result.npy"
        np.save(saved, rows)
        if vigra:
            with VigraPeer("forest", workload.project_path, str(len(forest.trees_per_forest)), saved, result) as peer:
                found = take_turns(tasks | {"vigra": lambda: peer.seconds(1)}, rounds)
            assert np.array_equal(expected[:, classes], np.load(result)), "vigra gives other probabilities"
        else:
            found = take_turns(tasks, rounds)
    trees = f"{forest.n_trees} trees of {len(forest.feature) / forest.n_trees:.0f} nodes"
    lines = [
        Measurement(PART, f"all labels ({trees})", rates(n, found["all"]), "Mvoxel/s"),
        Measurement(PART, "label 1", rates(n, found["one"]), "Mvoxel/s"),
        Measurement(PART, f"is label 1 above {THRESHOLD}", rates(n, found["mask"]), "Mvoxel/s"),
    ]
    if vigra:
        against = ratios(found["vigra"], found["all"])
        lines.append(Measurement(PART, "against vigra, all labels", against, "x", floor=10, goal=25))
        lines.append(Measurement(PART, "against vigra, label 1", ratios(found["vigra"], found["one"]), "x"))
    against = ratios(found["sklearn"], found["all"])
    lines.append(Measurement(PART, "against scikit-learn, all labels", against, "x", floor=6, goal=15))
    lines.append(Measurement(PART, "against scikit-learn, label 1", ratios(found["sklearn"], found["one"]), "x"))
    return lines


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
