"""vigra's forests: read exactly, written so that vigra reads them exactly."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from ecc_rf.errors import FormatError, NoForestError, SettingError, ShapeError
from ecc_rf.forest import RandomForest, Tree
from ecc_rf.ilp import IlastikProject, read_forests, write_forests
from ecc_rf.ilp.classifier_type import CLASSIFIER_TYPE, parse_factory
from ecc_rf.ilp.vigra_trees import tree_arrays, trees_from_arrays
from tests.ilp_projects import (
    Leaves,
    Node,
    RawProject,
    merged,
    model_leaves,
    plain_leaves,
    telling_rows,
    vigra_arrays,
    write_vigra_forest,
)

SYSTEM_PYTHON = "/usr/bin/python3"  # where Debian's python3-vigra is found
GOLDEN = [
    "flat_1channel",
    "flat_3channel_allfeatures",
    "flat_label_without_annotation",
    "time_series_2channel",
    "volume_2channel",
    "volume_2d3d_mix",
    "volume_ilastik_1_2",
    "volume_seed_features",
    "cfos",
]


@pytest.fixture(params=GOLDEN)
def real_project(request: pytest.FixtureRequest, golden: Path, cfos: Path) -> Path:
    return cfos / "cfos.ilp" if request.param == "cfos" else golden / request.param / "project.ilp"


@pytest.fixture(scope="session")
def vigra() -> None:
    probe = [SYSTEM_PYTHON, "-c", "import vigra"]
    if shutil.which(SYSTEM_PYTHON) is None or subprocess.run(probe, capture_output=True, timeout=60).returncode:
        pytest.skip(f"needs vigra (Debian: python3-vigra) in {SYSTEM_PYTHON}")


def grown(depth: int, rng: np.random.Generator, n_features: int, n_classes: int) -> Node:
    if depth == 0 or rng.random() < 0.15:
        counts = rng.integers(0, 5, n_classes) + np.eye(n_classes, dtype=int)[rng.integers(n_classes)]
        return float(counts.sum()), (counts / counts.sum()).tolist()
    threshold = float(np.nextafter(np.float32(rng.normal()), 2)) + 1e-12
    children = [grown(depth - 1, rng, n_features, n_classes) for _ in range(2)]
    return int(rng.integers(n_features)), threshold, *children


def some_forests(group: h5py.Group, trees: Sequence[int], labels: Sequence[int], n_features: int = 5) -> h5py.Group:
    """Forests with these numbers of trees."""
    rng = np.random.default_rng(len(trees))
    for number, count in enumerate(trees):
        members = [grown(6, rng, n_features, len(labels)) for _ in range(count)]
        write_vigra_forest(group.create_group(f"Forest{number:04d}"), members, n_features, labels)
    group["known_labels"] = np.array(labels, np.uint32)
    return group


def same(one: RandomForest, other: RandomForest) -> bool:
    arrays = ("feature", "threshold", "left", "right", "leaf_probability", "leaf_weight", "tree_start")
    values = ("trees_per_forest", "weighted", "classes", "n_labels", "n_features")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in arrays) and all(
        getattr(one, name) == getattr(other, name) for name in values
    )


def equal(one: Leaves, other: Leaves) -> bool:
    return len(one) == len(other) and all(np.array_equal(a, b) for a, b in zip(one, other))


def test_real_forests_lead_to_the_leaves_of_their_plain_reading(real_project: Path) -> None:
    forest = IlastikProject.open(real_project).forest()
    with h5py.File(real_project) as file:
        group = file["PixelClassification/ClassifierForests"]
        rows = telling_rows(group, 40)
        expected = plain_leaves(group, rows)
    assert equal(model_leaves(forest, rows), expected)
    assert len(np.unique(merged(expected).argmax(axis=1))) > 1  # the rows tell something


def test_real_forests_are_written_as_vigra_wrote_them(real_project: Path, tmp_path: Path) -> None:
    forest = IlastikProject.open(real_project).forest()
    summary = IlastikProject.open(real_project).forest_summary()
    with h5py.File(real_project) as file, h5py.File(tmp_path / "new.h5", "w") as new:
        old = file["PixelClassification/ClassifierForests"]
        write_forests(new, forest, summary.feature_names, n_rows=summary.n_rows)
        paths: list[str] = []
        old.visititems(lambda path, node: paths.append(path) if isinstance(node, h5py.Dataset) else None)
        assert len(paths) > 200
        for path in paths:
            if path == "pickled_type":  # its memo numbers differ between Python 2 and 3
                continue
            mine, theirs = new[path], old[path]
            assert np.array_equal(mine[()], theirs[()]), path
            assert mine.dtype == theirs.dtype or path == "feature_names"
        assert same(read_forests(new, forest.n_labels), forest)


def test_labels_that_were_never_annotated(golden: Path) -> None:
    forest = IlastikProject.open(golden / "flat_label_without_annotation" / "project.ilp").forest()
    assert (forest.classes, forest.n_labels) == ((1, 3), 4)


def test_several_forests_in_the_order_of_their_names(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        group = some_forests(file, [3, 1, 12], [1, 2, 5])
        forest = read_forests(group, 6)
        assert forest.trees_per_forest == (3, 1, 12)
        assert (forest.classes, forest.n_labels, forest.n_features) == ((1, 2, 5), 6, 5)
        rows = telling_rows(group, 200)
        assert equal(model_leaves(forest, rows), plain_leaves(group, rows))


def test_only_the_announced_trees_predict(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        group = some_forests(file, [12], [1, 2])
        group["Forest0000/_options/tree_count_"][0] = 4
        assert read_forests(group).trees_per_forest == (4,)
        rows = telling_rows(group, 50)
        assert equal(model_leaves(read_forests(group), rows), plain_leaves(group, rows))
        group["Forest0000/_options/tree_count_"][0] = 13
        with pytest.raises(FormatError, match="12 trees are stored, 13 announced"):
            read_forests(group)


def test_classes_without_known_labels(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        group = some_forests(file, [2], [1, 3])
        del group["known_labels"]
        assert read_forests(group).classes == (1, 3)
        group["Forest0000/_ext_param/labels"][...] = [0, 1]
        assert read_forests(group).classes == (1, 2)


@pytest.mark.parametrize("seed", range(5))
def test_trees_to_arrays_and_back(seed: int) -> None:
    rng = np.random.default_rng(seed)
    given = [vigra_arrays(grown(seed * 3, rng, 7, 4), 7, 4) for _ in range(9)]
    trees = trees_from_arrays([topology for topology, _ in given], [parameters for _, parameters in given], 4)
    for tree, (topology, parameters) in zip(trees, given):
        again = tree_arrays(tree, 7, 4)
        assert np.array_equal(again[0], topology) and np.array_equal(again[1], parameters)
        assert again[0].dtype == np.int32 and again[1].dtype == np.float64


def test_nodes_in_any_order() -> None:
    """child0 first instead of child1, and parameters the other way round."""
    topology = np.array([2, 2, 0, 6, 7, 9, 1, 0x40000000, 3, 0x40000000, 0], np.int32)
    parameters = np.array([8.0, 0.25, 0.75, 4.0, 1.0, 0.0, 1.0, 0.5])
    (tree,) = trees_from_arrays([topology], [parameters], 2)
    assert tree.feature.tolist() == [1, -1, -1]
    assert (tree.left[0], tree.right[0], tree.threshold[0]) == (1, 2, 0.5)
    assert tree.leaf_probability.tolist() == [[1.0, 0.0], [0.25, 0.75]] and tree.leaf_weight.tolist() == [4.0, 8.0]


LEAF = 0x40000000
SPLIT = [2, 2, 0, 0, 7, 9, 1, LEAF, 2, LEAF, 5]  # columns, classes, a split and two leaves


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({4: 2}, "reached twice"),
        ({5: 7}, "reached twice"),
        ({4: 70}, "outside of its array"),
        ({4: 10}, "outside of its array"),
        ({4: -5}, "nodes begin at 2"),
        ({4: 0}, "nodes begin at 2"),
        ({2: 1}, "a node of kind 1"),
        ({7: LEAF + 1}, "a node of kind"),
        ({7: -(2**31)}, "a node of kind"),
        ({6: -1}, "negative column"),
        ({8: 6}, "parameters at 6, outside"),
        ({8: -1}, "parameters at -1, outside"),
        ({3: 7}, "parameters at 7, outside"),
        ({9: 0}, "outside of its array"),
    ],
)
def test_damaged_trees(changes: dict[int, int], message: str) -> None:
    topology = np.array(SPLIT, np.int32)
    parameters = np.array([1.0, 0.5, 3.0, 1.0, 0.0, 2.0, 0.0, 1.0])
    good = trees_from_arrays([topology, topology], [parameters, parameters], 2)
    assert [tree.n_nodes for tree in good] == [3, 3]
    for at, value in changes.items():
        topology[at] = value
    for arrays in ([np.array(SPLIT, np.int32), topology], [topology, np.array(SPLIT, np.int32)]):
        with pytest.raises(FormatError, match=message):
            trees_from_arrays(arrays, [parameters, parameters], 2)


def test_shared_subtrees_do_not_grow_without_end() -> None:
    """30 splits, both children of each are the next split: 2^30 nodes if walked."""
    topology = [2, 2]
    for number in range(30):
        topology += [0, 0, 2 + 5 * (number + 1), 2 + 5 * (number + 1), 0]
    topology += [LEAF, 0]
    with pytest.raises(FormatError, match="reached twice"):
        trees_from_arrays([np.array(topology, np.int32)], [np.array([1.0, 0.5, 0.5])], 2)


def test_a_forest_whose_columns_lie_outside(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        group = some_forests(file, [2], [1, 2])
        group["Forest0000/Tree_0/topology"][6] = 5
        with pytest.raises(FormatError, match="column 5"):
            read_forests(group)


def _remove(path: str) -> Callable[[h5py.Group], None]:
    def change(group: h5py.Group) -> None:
        del group[path]

    return change


def _replace(path: str, value: object) -> Callable[[h5py.Group], None]:
    def change(group: h5py.Group) -> None:
        del group[path]
        group[path] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_remove("Forest0000/_options"), "is missing"),
        (_remove("Forest0000/_ext_param/labels"), "is missing"),
        (_remove("Forest0001/Tree_0/topology"), "found nothing"),
        (_replace("Forest0001/Tree_0/topology", np.zeros(9)), "float64"),
        (_replace("Forest0001/Tree_0/topology", np.zeros((3, 3), np.int32)), "shape"),
        (_replace("Forest0001/Tree_0/topology", np.array([4, 2, LEAF, 0], np.int32)), r"begins with \[4, 2\]"),
        (_replace("Forest0001/Tree_0/topology", np.array([5, 3, LEAF, 0], np.int32)), r"begins with \[5, 3\]"),
        (_replace("Forest0001/Tree_0/topology", np.array([5], np.int32)), r"begins with \[5\]"),
        (_replace("Forest0001/Tree_0/topology", np.array([5, 2], np.int32)), "outside of its array"),
        (_replace("Forest0001/_ext_param/column_count_", np.array([6.0])), "differ in their numbers"),
        (_replace("Forest0001/_ext_param/column_count_", np.array([np.nan])), "expected a count"),
        (_replace("Forest0000/_options/tree_count_", np.array([0.0])), "0 announced"),
        (_replace("known_labels", np.array([1, 2, 3], np.uint32)), "3 known labels for 2 classes"),
        (_replace("known_labels", np.array([2, 1], np.uint32)), "ascending"),
        (_replace("known_labels", np.array([1, 300], np.uint32)), "1 to 255"),
        (_replace("known_labels", h5py.SoftLink("/Forest0000/_ext_param/labels")), "is a link"),
        (_replace("Forest0001", h5py.ExternalLink("other.h5", "/Forest0001")), "is a link"),
    ],
)
def test_damaged_forests(tmp_path: Path, change: Callable[[h5py.Group], None], message: str) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        some_forests(file, [2, 2], [1, 2])
        assert read_forests(file).n_trees == 4
        change(file)
        with pytest.raises(FormatError, match=message):
            read_forests(file)


def test_classifiers_that_are_no_forest(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        with pytest.raises(NoForestError, match="holds no trained forest"):
            read_forests(file)
        file["pickled_type"] = np.void(
            b"clazyflow.classifiers.sklearnLazyflowClassifier\nSklearnLazyflowClassifier\np0\n."
        )
        with pytest.raises(NoForestError, match="cannot be read: SklearnLazyflowClassifier"):
            read_forests(file)
        # would leave a file behind if it were opened as a pickle
        bomb = f"cpathlib\nPath.touch\n(cpathlib\nPath\n(S'{tmp_path}/bang'\ntRtR.".encode()
        file["pickled_classifier"] = np.void(bomb)
        with pytest.raises(NoForestError, match="never opened"):
            read_forests(file)
    assert not (tmp_path / "bang").exists()


def test_a_forest_of_more_labels_than_the_project_has(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        some_forests(file, [2], [1, 2, 3])
        with pytest.raises(NoForestError, match=r"knows the labels \[1, 2, 3\], the project has only 2"):
            read_forests(file, 2)
        file["Forest0000/_ext_param/problem_type_"][0] = 0
        with pytest.raises(NoForestError, match="regression"):
            read_forests(file, 3)


def test_feature_names(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        some_forests(file, [2], [1, 2])
        forest = read_forests(file)
        names = ["Gaussian Smoothing (σ=0.3)", "b", "c", "d", "e"]
        write_forests(file.create_group("new"), forest, names)
        from ecc_rf.ilp.vigra_forest import summarize_forests

        assert summarize_forests(file["new"]).feature_names == tuple(names)
        with pytest.raises(ShapeError, match="4 feature names for 5 columns"):
            write_forests(file.create_group("wrong"), forest, names[1:])
        del file["new/feature_names"]
        file["new/feature_names"] = np.array([b"a"])
        with pytest.raises(FormatError, match="1 feature names for 5 columns"):
            read_forests(file["new"])


def test_spreading_trees_over_forests(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        forest = read_forests(some_forests(file.create_group("old"), [30], [1, 2, 4]))
        write_forests(file.create_group("new"), forest, n_forests=8)
        spread = read_forests(file["new"])
        assert len(spread.trees_per_forest) == 8 and spread.n_trees == 30
        assert max(spread.trees_per_forest) - min(spread.trees_per_forest) <= 1
        assert np.array_equal(spread.feature, forest.feature) and np.array_equal(spread.left, forest.left)
        for number in (0, 31):
            with pytest.raises(SettingError, match="1 to 30"):
                write_forests(file.create_group(f"bad{number}"), forest, n_forests=number)


def test_trees_that_vote_with_their_weight(tmp_path: Path) -> None:
    leaf = Tree(*(np.array(v) for v in ([-1], [0.0], [-1], [-1], [[1.0, 0.0]], [3.0])))
    forest = RandomForest.from_trees([[leaf], [leaf]], 2, [1, 2], weighted=[True, False])
    with h5py.File(tmp_path / "f.h5", "w") as file:
        write_forests(file, forest)
        assert same(read_forests(file), forest)
        with pytest.raises(SettingError, match="vote with their weight"):
            write_forests(file.create_group("new"), forest, n_forests=1)


def _sklearn_forest() -> tuple[RandomForest, NDArray[np.float32]]:
    from sklearn.ensemble import RandomForestClassifier

    rng = np.random.default_rng(3)
    rows = rng.integers(0, 12, (400, 6)).astype(np.float32)  # many rows lie on the thresholds
    values = np.array([1, 3, 4])[(rows[:, 0] + rows[:, 1] > 11).astype(int) + (rows[:, 2] > 8)]
    classifier = RandomForestClassifier(30, random_state=0).fit(rows, values)
    return RandomForest.from_sklearn(classifier, 6, n_labels=5), rng.integers(0, 12, (300, 6)).astype(np.float32)


@pytest.mark.usefixtures("vigra")
@pytest.mark.parametrize("n_forests", [1, 7])
def test_vigra_reads_what_is_written(tmp_path: Path, n_forests: int) -> None:
    forest, rows = _sklearn_forest()
    with h5py.File(tmp_path / "f.h5", "w") as file:
        write_forests(file.create_group("forests"), forest, [f"feature {k}" for k in range(6)], n_forests=n_forests)
    np.save(tmp_path / "rows.npy", rows)
    script = (
        "import sys, numpy, vigra\n"
        "folder, count = sys.argv[1], int(sys.argv[2])\n"
        "rows = numpy.load(folder + '/rows.npy')\n"
        "forests = [vigra.learning.RandomForest(folder + '/f.h5', 'forests/Forest%04d' % k) for k in range(count)]\n"
        "votes = [f.predictProbabilities(rows) * numpy.float32(f.treeCount()) for f in forests]\n"
        "count = numpy.float32(sum(f.treeCount() for f in forests))\n"
        "numpy.save(folder + '/vigra.npy', sum(votes[1:], votes[0]) / count)\n"
        "numpy.save(folder + '/labels.npy', forests[0].predictLabels(rows))\n"
    )
    subprocess.run([SYSTEM_PYTHON, "-c", script, str(tmp_path), str(n_forests)], check=True, timeout=120)
    with h5py.File(tmp_path / "f.h5") as file:
        again = read_forests(file["forests"], 5)
    theirs = np.load(tmp_path / "vigra.npy")
    assert theirs.dtype == np.float32 and np.array_equal(merged(model_leaves(again, rows)), theirs)
    assert set(np.unique(np.load(tmp_path / "labels.npy"))) <= {1, 3, 4}


def test_the_kind_of_classifier_is_searched_in_the_text() -> None:
    old = (
        "ccopy_reg\n_reconstructor\np1\n(clazyflow.classifiers.parallelVigraRfLazyflowClassifier\n"
        "ParallelVigraRfLazyflowClassifierFactory\np2\nc__builtin__\nobject\np3\nNtRp4\n(dp5\n"
        "S'_num_trees'\np11\nI70\nsS'_label_proportion'\np12\nF0.5\nsS'_num_forests'\np13\nI8\nsb."
    )
    found = parse_factory(old)
    assert found.name == "ParallelVigraRfLazyflowClassifierFactory"
    assert (found.n_trees, found.n_forests, found.label_proportion) == (70, 8, 0.5)
    sklearn = (
        "(clazyflow.classifiers.sklearnLazyflowClassifier\nSklearnLazyflowClassifierFactory\np1\n"
        "V_classifier_type\np7\ncsklearn.ensemble._forest\nRandomForestClassifier\np8\nsV_args\n"
    )
    assert parse_factory(sklearn).name == "RandomForestClassifier"
    assert parse_factory("") == parse_factory("nonsense\n" * 1000)
    assert "ParallelVigraRf" in CLASSIFIER_TYPE


def test_a_project_without_a_forest_opens(tmp_path: Path) -> None:
    project = IlastikProject.open(RawProject().write(tmp_path / "p.ilp"))
    for ask in (project.forest, project.forest_summary):
        with pytest.raises(NoForestError, match="holds no trained forest"):
            ask()
    assert project.stale() == []
