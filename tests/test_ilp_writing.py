"""Projects that are written can be read again, by this package and by ilastik's own rules."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from ecc_rf.errors import AxesError, LabelError, OutputError, OutputExistsError, SettingError, ShapeError
from ecc_rf.features import FeatureSelection
from ecc_rf.forest import RandomForest, Tree
from ecc_rf.ilp import IlastikProject, LaneLabels, NewLane, write_project

SHAPE = (16, 50, 60)


def some_labels() -> LaneLabels:
    rng = np.random.default_rng(2)
    coords = np.column_stack([rng.integers(0, n, 200) for n in (*SHAPE, 1)])
    return LaneLabels.from_voxels("zyxc", coords, rng.integers(1, 4, 200))


def some_forest() -> RandomForest:
    tree = Tree(
        feature=np.array([15, -1, -1]),
        threshold=np.array([0.5, 0, 0]),
        left=np.array([1, -1, -1]),
        right=np.array([2, -1, -1]),
        leaf_probability=np.array([[1.0, 0.0], [0.25, 0.75]]),
        leaf_weight=np.array([3.0, 4.0]),
    )
    return RandomForest.from_trees([[tree] * 3, [tree]], 16, [1, 3], 4)


def image(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["data"] = np.ones(SHAPE, np.uint8)
    return path


def test_round_trip(tmp_path: Path) -> None:
    images = [image(tmp_path / "images" / "a.h5"), image(tmp_path / "b.h5")]
    labels, forest, features = some_labels(), some_forest(), FeatureSelection.recommended()
    names = ["cell", "false σ", "background", "unused"]
    columns = features.plan(SHAPE, 1).names
    lanes = [
        NewLane(images[0] / "data", "zyx", SHAPE, labels),
        NewLane(images[1], "zyx", SHAPE, link="absolute", nickname="second"),
    ]
    colors = [(1, 2, 3)]
    write_project(
        tmp_path / "p.ilp", lanes, features, names, colors=colors, forest=forest, feature_names=columns, n_trees=50
    )
    project = IlastikProject.open(tmp_path / "p.ilp")
    assert (project.ilastik_version, project.notes, project.label_names) == ("1.4.1", [], names)
    assert project.label_colors == [(1, 2, 3), (0, 130, 200), (230, 25, 75), (70, 240, 240)]
    assert (project.features.matrix, project.features.compute_in_2d) == (features.matrix, (False,) * 7)
    assert [(lane.kind, lane.stored_path, lane.nickname) for lane in project.lanes] == [
        ("relative", "images/a.h5/data", "a-data"),
        ("absolute", images[1].as_posix(), "second"),
    ]
    assert all(lane.open().read().all() for lane in project.lanes)
    found = project.labels(0)
    assert np.array_equal(found.coords, labels.coords) and np.array_equal(found.values, labels.values)
    assert found.notes == () and project.labels(1).counts == {}
    again = project.forest()
    assert again.trees_per_forest == (3, 1) and (again.classes, again.n_labels) == ((1, 3), 4)
    assert np.array_equal(again.leaf_probability, forest.leaf_probability)
    summary = project.forest_summary()
    assert (summary.n_rows, summary.feature_names) == (len(labels.values), columns)
    assert (project.classifier.n_trees, project.classifier.n_forests) == (50, 2)


def test_everything_that_ilastik_needs_is_there(tmp_path: Path) -> None:
    lanes = [NewLane(tmp_path / "a.h5/data", "zyx", SHAPE, some_labels())]
    write_project(tmp_path / "p.ilp", lanes, FeatureSelection.recommended(), ["a", "b", "c"])
    with h5py.File(tmp_path / "p.ilp") as file:
        for path in (
            "ilastikVersion",
            "workflowName",
            *(f"Input Data/{name}" for name in ("StorageVersion", "Role Names", "local_data")),
            "Input Data/infos/lane0000/Prediction Mask",
            *(
                f"Input Data/infos/lane0000/Raw Data/{name}"
                for name in ("allowLabels", "nickname", "axistags", "shape", "__class__", "location", "filePath")
            ),
            *(
                f"FeatureSelections/{name}"
                for name in ("StorageVersion", "FeatureIds", "Scales", "SelectionMatrix", "ComputeIn2d")
            ),
            *(f"PixelClassification/{name}" for name in ("StorageVersion", "LabelNames", "LabelColors", "PmapColors")),
            "PixelClassification/ClassifierFactory",
            "PixelClassification/LabelSets/labels000/block0000",
        ):
            assert path in file, path
        assert "ClassifierForests" not in file["PixelClassification"]
        assert file["Input Data/StorageVersion"][()] == b"0.2"
        assert file["PixelClassification/LabelNames"].attrs["isEmpty"] == np.False_
        assert file["FeatureSelections/SelectionMatrix"].dtype == bool
        for name, block in file["PixelClassification/LabelSets/labels000"].items():
            bounds = [part.split(":") for part in block.attrs["blockSlice"].strip("[]").split(",")]
            assert tuple(int(b) - int(a) for a, b in bounds) == block.shape, name
            assert block.dtype == np.uint8 and block.compression is None


def test_the_same_project_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        lanes = [NewLane(tmp_path / name / "a.h5", "zyx", SHAPE, some_labels())]
        write_project(
            tmp_path / name / "p.ilp", lanes, FeatureSelection.recommended(), ["a", "b", "c"], forest=some_forest()
        )
    assert (tmp_path / "one" / "p.ilp").read_bytes() == (tmp_path / "two" / "p.ilp").read_bytes()


def test_flat_images_are_filtered_in_2d(tmp_path: Path) -> None:
    lanes = [NewLane(tmp_path / "a.png", "yxc", (50, 60, 3))]
    write_project(tmp_path / "p.ilp", lanes, FeatureSelection.recommended(), ["a"])
    project = IlastikProject.open(tmp_path / "p.ilp")
    assert project.features.compute_in_2d == (True,) * 7
    assert (project.lanes[0].internal_axes, project.labels(0).axes) == ("yxc", "yxc")


def test_a_relative_link_only_leads_downwards(tmp_path: Path) -> None:
    lanes = [NewLane(tmp_path / "deep" / ".." / "a.h5", "zyx", SHAPE)]
    write_project(tmp_path / "deep" / "p.ilp", lanes, FeatureSelection.recommended(), ["a"])
    lane = IlastikProject.open(tmp_path / "deep" / "p.ilp").lanes[0]
    assert (lane.kind, lane.stored_path) == ("absolute", (tmp_path / "a.h5").as_posix())


def test_a_project_is_complete_or_absent(tmp_path: Path) -> None:
    features = FeatureSelection.recommended()
    lanes = [NewLane(tmp_path / "a.h5", "zyx", SHAPE)]
    write_project(tmp_path / "p.ilp", lanes, features, ["a"])
    before = (tmp_path / "p.ilp").read_bytes()
    with pytest.raises(OutputExistsError):
        write_project(tmp_path / "p.ilp", lanes, features, ["b"])
    with pytest.raises(ShapeError, match="1 feature names"):
        write_project(
            tmp_path / "p.ilp", lanes, features, list("abcd"), forest=some_forest(), feature_names=["x"], overwrite=True
        )
    assert (tmp_path / "p.ilp").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["p.ilp"]
    write_project(tmp_path / "p.ilp", lanes, features, ["b"], overwrite=True)
    assert IlastikProject.open(tmp_path / "p.ilp").label_names == ["b"]
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_project(tmp_path / "file" / "p.ilp", lanes, features, ["a"])


def test_what_does_not_fit_together(tmp_path: Path) -> None:
    features = FeatureSelection.recommended()
    with pytest.raises(AxesError):
        NewLane("a.h5", "zy", (3, 3))
    with pytest.raises(AxesError, match="'zyxc'"):
        NewLane("a.h5", "yx", (50, 60), some_labels())
    with pytest.raises(ShapeError, match="outside"):
        NewLane("a.h5", "zyx", (16, 50, 30), some_labels())
    with pytest.raises(ShapeError, match="no voxels"):
        NewLane("a.h5", "zyx", (12, 50, 0))
    with pytest.raises(SettingError, match="link"):
        NewLane("a.h5", "zyx", SHAPE, link="hard")  # type: ignore[arg-type]
    lane = NewLane("a.h5", "zyx", SHAPE, some_labels())
    with pytest.raises(LabelError, match="label 3 is used, there are 2"):
        write_project(tmp_path / "p.ilp", [lane], features, ["a", "b"])
    with pytest.raises(SettingError, match="at least one label name"):
        write_project(tmp_path / "p.ilp", [], features, [])
    assert not list(tmp_path.iterdir())


def test_without_lanes(tmp_path: Path) -> None:
    write_project(tmp_path / "p.ilp", [], FeatureSelection.recommended(), ["a", "b", "c"], forest=some_forest())
    project = IlastikProject.open(tmp_path / "p.ilp")
    assert project.lanes == [] and project.features.compute_in_2d is None
    assert project.forest_summary().n_rows == 7  # the samples in the first tree
