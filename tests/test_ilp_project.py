"""Opening projects, describing them, and everything that is no project."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ecc_rf.errors import FormatError, MissingFileError, NoForestError, ProjectError, WorkflowError
from ecc_rf.features import FEATURE_IDS
from ecc_rf.ilp import IlastikProject
from tests.ilp_projects import RawBlock, RawProject, lane, write_vigra_forest

LEAVES = [(4.0, [1.0, 0.0]), (4.0, [0.25, 0.75])]


def full_project(path: Path, **changes: Any) -> Path:
    """A lane with 5 labelled voxels, and a forest trained on them: 4 columns for one channel."""
    block = RawBlock(np.array([1, 1, 2, 2, 2], np.uint8).reshape(1, 1, 5, 1), (0, 3, 2, 0), "zyxc")
    options: dict[str, Any] = {"lanes": [lane(b"a.h5/data", "zyx", (30, 30, 30))], "labels": [[block]], **changes}
    RawProject(**options).write(path)
    with h5py.File(path, "r+") as file:
        forests = file.create_group("PixelClassification/ClassifierForests")
        write_vigra_forest(forests.create_group("Forest0000"), [(1, 0.5, *LEAVES)] * 3, 4, [1, 2], rows=5)
        forests["known_labels"] = np.array([1, 2], np.uint32)
    return path


def test_parts_of_a_project(tmp_path: Path) -> None:
    project = IlastikProject.open(full_project(tmp_path / "p.ilp"))
    assert (project.ilastik_version, project.workflow, project.notes) == ("1.4.1", "Pixel Classification", [])
    assert project.label_names == ["cell", "background"]
    assert project.label_colors == [(255, 225, 25), (0, 130, 200)]
    assert project.features.cells == (("GaussianSmoothing", 0), ("HessianOfGaussianEigenvalues", 1))
    assert project.features.compute_in_2d is None
    assert project.forest().n_trees == 3
    assert project.stale() == []


def test_a_project_may_be_named_by_text_and_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full_project(tmp_path / "p.ilp")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert IlastikProject.open("~/p.ilp").path == tmp_path / "p.ilp"
    relative = IlastikProject.open("p.ilp")
    assert relative.lanes[0].project == tmp_path / "p.ilp"


def test_description(tmp_path: Path) -> None:
    described = IlastikProject.open(full_project(tmp_path / "p.ilp")).describe()
    assert json.loads(json.dumps(described, allow_nan=False)) == described
    assert described["labels"] == [
        {"value": 1, "name": "cell", "color": [255, 225, 25], "voxels": 2},
        {"value": 2, "name": "background", "color": [0, 130, 200], "voxels": 3},
    ]
    found = described["lanes"][0]
    assert (found["kind"], found["path"], found["axes"], found["shape"]) == ("relative", None, "zyx", [30, 30, 30])
    assert found["labels"] == {"1": 2, "2": 3} and found["tried"][0].startswith(str(tmp_path / "a.h5" / "data"))
    assert described["forest"] == {
        "trees": 3,
        "forests": 1,
        "classes": [1, 2],
        "rows": 5,
        "features": 4,
        "stale": False,
        "stale_reasons": [],
    }
    assert described["features"]["selected"] == [["GaussianSmoothing", 0.7], ["HessianOfGaussianEigenvalues", 1.0]]


def test_a_stale_forest(tmp_path: Path) -> None:
    one = RawBlock(np.array([1, 3], np.uint8).reshape(1, 1, 2, 1), (0, 3, 2, 0), "zyxc")
    path = full_project(tmp_path / "p.ilp", labels=[[one]])
    with h5py.File(path, "r+") as file:
        file["FeatureSelections/SelectionMatrix"][0, 1] = True
    project = IlastikProject.open(path)
    assert project.stale() == [
        "it was trained on 5 labelled voxels, now there are 2",
        "it knows the labels [1, 2], now [1, 3] are annotated",
        "it was trained on 4 features, now 5 are selected",
    ]
    described = project.describe()
    assert described["forest"]["stale"] and described["forest"]["stale_reasons"] == project.stale()
    assert described["notes"] == ["the labels [3] are annotated but have no name"]


def test_label_names_that_are_not_stored(tmp_path: Path) -> None:
    blocks = [RawBlock(np.array([4, 100], np.uint8).reshape(1, 1, 2, 1), (0, 3, 2, 0))]
    path = full_project(tmp_path / "p.ilp", labels=[blocks], label_names=None)
    assert IlastikProject.open(path).label_names == ["Label 1", "Label 2", "Label 3", "Label 4"]
    path = full_project(tmp_path / "q.ilp", labels=[], label_names=None)
    project = IlastikProject.open(path)
    assert project.label_names == ["Label 1", "Label 2"] and project.forest().n_labels == 2


def test_empty_lists_hold_garbage(tmp_path: Path) -> None:
    path = RawProject(label_names=None).write(tmp_path / "p.ilp")
    with h5py.File(path, "r+") as file:
        for name in ("LabelNames", "LabelColors", "PmapColors"):
            file[f"PixelClassification/{name}"] = np.array([6.93948331e-310])
            file[f"PixelClassification/{name}"].attrs["isEmpty"] = True
    project = IlastikProject.open(path)
    assert (project.label_names, project.label_colors, project.lanes) == ([], [], [])


def test_label_colors(tmp_path: Path) -> None:
    colors = np.array([[1, 2, 3], [400, -5, 6]])
    more = {"PixelClassification/LabelColors": colors}
    project = IlastikProject.open(RawProject(label_names=[b"a", b"b", b"c"], more=more).write(tmp_path / "p.ilp"))
    assert project.label_colors == [(1, 2, 3), (255, 0, 6), (230, 25, 75)]


@pytest.mark.parametrize(
    "workflow", ["AutocontextTwoStage", "Object Classification (from pixel classification)", "Carving"]
)
def test_other_workflows(tmp_path: Path, workflow: str) -> None:
    with pytest.raises(WorkflowError) as caught:
        IlastikProject.open(RawProject(workflow=workflow).write(tmp_path / "p.ilp"))
    assert workflow in caught.value.what and "Pixel Classification" in caught.value.do


def test_a_missing_workflow_is_pixel_classification(tmp_path: Path) -> None:
    project = IlastikProject.open(RawProject(workflow=None).write(tmp_path / "p.ilp"))
    assert project.workflow == "Pixel Classification" and "assumed" in project.notes[0]


@pytest.mark.parametrize("version", [0.5, b"0.5", None])
def test_projects_of_ilastik_0_5(tmp_path: Path, version: Any) -> None:
    path = RawProject(version=version, more={"Project/Name": b"old", "DataSets/x": 1}).write(tmp_path / "p.ilp")
    with pytest.raises(WorkflowError, match=r"ilastik 0\.5"):
        IlastikProject.open(path)


def test_versions_beyond_what_is_known(tmp_path: Path) -> None:
    assert IlastikProject.open(RawProject(version=b"1.5.0").write(tmp_path / "p.ilp")).notes == []
    for version, note in ((b"1.7.0", "newer"), (b"mine", "cannot be understood")):
        assert note in IlastikProject.open(RawProject(version=version).write(tmp_path / "p.ilp")).notes[0]


def test_a_group_without_a_version_counts_as_absent(tmp_path: Path) -> None:
    project = IlastikProject.open(full_project(tmp_path / "p.ilp", storage_version=None))
    assert "PixelClassification has no StorageVersion" in project.notes[0]
    assert project.label_names == [] and project.labels(0).counts == {}
    with pytest.raises(NoForestError):
        project.forest()


def test_labels_of_more_lanes_than_there_are(tmp_path: Path) -> None:
    project = IlastikProject.open(RawProject(labels=[[], []]).write(tmp_path / "p.ilp"))
    assert project.notes == ["labels of 2 lanes are stored, there are 0 lanes"]


def test_files_that_are_no_project(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError):
        IlastikProject.open(tmp_path / "absent.ilp")
    (tmp_path / "text.ilp").write_text("hello")
    with pytest.raises(FormatError, match="not an ilastik project"):
        IlastikProject.open(tmp_path / "text.ilp")
    with h5py.File(tmp_path / "brain.h5", "w") as file:
        file["data"] = np.zeros((3, 3))
    with pytest.raises(ProjectError, match="not an ilastik project"):
        IlastikProject.open(tmp_path / "brain.h5")


def test_projects_that_are_cut_off(tmp_path: Path) -> None:
    whole = full_project(tmp_path / "p.ilp").read_bytes()
    for length in range(0, len(whole), max(1, len(whole) // 40)):
        (tmp_path / "cut.ilp").write_bytes(whole[:length])
        with pytest.raises(FormatError):
            IlastikProject.open(tmp_path / "cut.ilp")


def test_damage_anywhere_gives_one_of_our_errors(tmp_path: Path) -> None:
    """Bytes overwritten: either nothing that is read was hit, or the error is a FormatError or its like."""
    whole = full_project(tmp_path / "p.ilp").read_bytes()
    rng = np.random.default_rng(11)
    failed = 0
    for _ in range(60):
        damaged = np.frombuffer(whole, np.uint8).copy()
        at = int(rng.integers(len(damaged)))
        damaged[at : at + 16] = rng.integers(0, 256, len(damaged[at : at + 16]))
        (tmp_path / "damaged.ilp").write_bytes(damaged.tobytes())
        try:
            project = IlastikProject.open(tmp_path / "damaged.ilp")
            project.describe()
            project.forest()
        except (FormatError, ProjectError):
            failed += 1
    assert failed > 3


def test_links_to_other_files_are_not_followed(tmp_path: Path) -> None:
    full_project(tmp_path / "other.ilp")
    path = RawProject().write(tmp_path / "p.ilp")
    with h5py.File(path, "r+") as file:
        file["PixelClassification/ClassifierForests"] = h5py.ExternalLink(
            "other.ilp", "/PixelClassification/ClassifierForests"
        )
    project = IlastikProject.open(path)
    with pytest.raises(FormatError, match="is a link"):
        project.forest()
    with h5py.File(path, "r+") as file:
        del file["ilastikVersion"]
        file["ilastikVersion"] = h5py.ExternalLink("other.ilp", "/ilastikVersion")
    with pytest.raises(FormatError, match="is a link"):
        IlastikProject.open(path)


@pytest.mark.parametrize(
    ("member", "value", "error", "message"),
    [
        ("SelectionMatrix", None, ProjectError, "no features are selected"),
        ("SelectionMatrix", np.zeros((2, 2), bool), ProjectError, "no features are selected"),
        ("SelectionMatrix", np.ones((2, 3), bool), FormatError, "2 filters and 2 scales"),
        ("SelectionMatrix", np.ones((2, 2)), FormatError, "unexpected float64"),
        ("FeatureIds", np.array([b"GaussianSmoothing", b"MyFilter"]), ProjectError, "MyFilter"),
        ("FeatureIds", None, FormatError, "0 filters"),
        ("Scales", np.array([0.7, -1.0]), ProjectError, "-1"),
        ("Scales", np.array([0.7, np.nan]), ProjectError, "nan"),
        ("ComputeIn2d", np.array([True]), ProjectError, "1 values for 2 scales"),
        ("StorageVersion", None, ProjectError, "no features are selected"),
    ],
)
def test_feature_selections_that_cannot_be_used(
    tmp_path: Path, member: str, value: Any, error: type[Exception], message: str
) -> None:
    path = full_project(tmp_path / "p.ilp")
    with h5py.File(path, "r+") as file:
        if member in file["FeatureSelections"]:
            del file["FeatureSelections"][member]
        if value is not None:
            file["FeatureSelections"][member] = value
    project = IlastikProject.open(path)
    with pytest.raises(error, match=message):
        _ = project.features
    assert "problem" in project.describe()["features"]
    assert project.forest().n_trees == 3


def test_features_of_another_program(tmp_path: Path) -> None:
    path = RawProject().write(tmp_path / "p.ilp")
    with h5py.File(path, "r+") as file:
        del file["FeatureSelections/SelectionMatrix"]
        file["FeatureSelections/FeatureListFilename"] = np.array([b"a.txt"])
    with pytest.raises(ProjectError, match="computed beforehand"):
        _ = IlastikProject.open(path).features


def test_which_scales_are_2d(tmp_path: Path) -> None:
    for stored, expected in ((np.array([True, False]), (True, False)), (np.array([], bool), None)):
        more = {"FeatureSelections/ComputeIn2d": stored}
        assert IlastikProject.open(RawProject(more=more).write(tmp_path / "p.ilp")).features.compute_in_2d == expected


REAL = {
    "flat_1channel": ("1.4.1b15", 2, 25, 157),
    "flat_3channel_allfeatures": ("1.4.2", 3, 57, 591),
    "flat_label_without_annotation": ("1.4.2", 4, 13, 331),
    "time_series_2channel": ("1.2.2rc4", 2, 46, 67),
    "volume_2channel": ("1.4.2", 3, 48, 812),
    "volume_2d3d_mix": ("1.4.1b15", 2, 11, 60),
    "volume_ilastik_1_2": ("1.2.2rc4", 2, 34, 16),
    "volume_seed_features": ("1.4.2", 3, 16, 7119),
}


@pytest.mark.parametrize("name", REAL)
def test_real_projects(golden: Path, name: str) -> None:
    project = IlastikProject.open(golden / name / "project.ilp")
    described = project.describe()
    json.dumps(described, allow_nan=False)
    version, n_labels, columns, rows = REAL[name]
    assert (project.ilastik_version, len(project.label_names), project.notes) == (version, n_labels, [])
    assert project.features.feature_ids == FEATURE_IDS
    forest = described["forest"]
    assert (forest["trees"], forest["features"], forest["rows"], forest["stale"]) == (100, columns, rows, False)
    assert sum(label["voxels"] for label in described["labels"]) == rows
    assert project.classifier.n_trees == 100


@pytest.mark.parametrize("name", [*REAL, "cfos"])
def test_names_of_the_columns_are_those_of_the_features(golden: Path, cfos: Path, name: str) -> None:
    project = IlastikProject.open(cfos / "cfos.ilp" if name == "cfos" else golden / name / "project.ilp")
    image = project.lanes[0]
    if image.shape is None:  # the oldest projects do not store it, and these images are not where they were
        case = json.loads((golden / name / "case.json").read_text())
        given = golden / name / case["image"]
        project = IlastikProject.open(
            project.path, images={0: f"{given}/{case['dataset']}" if case["dataset"] else given}
        )
        image = project.lanes[0]
    assert image.shape is not None
    extents = dict(zip(image.axes, image.shape))
    plan = project.features.plan((extents.get("z", 1), extents["y"], extents["x"]), extents.get("c", 1))
    names = plan.names
    if project.features.compute_in_2d is None:  # ilastik did not say so before scales could be computed in 2D
        names = tuple(name.replace(" in 2D", "") for name in names)
    assert project.forest_summary().feature_names == names


def test_real_projects_that_are_incomplete(golden: Path) -> None:
    folder = golden / "projects_only"
    without_forest = IlastikProject.open(folder / "broken_no_classifier.ilp")
    assert len(without_forest.lanes) == 1 and without_forest.labels(0).counts == {}
    without_data = IlastikProject.open(folder / "broken_no_data.ilp")
    assert (without_data.lanes, without_data.label_names) == ([], [])
    for project in (without_forest, without_data):
        with pytest.raises(NoForestError):
            project.forest()
        assert project.describe()["forest"] == {"problem": "the project holds no trained forest"}
    with pytest.raises(ProjectError, match="no features are selected"):
        _ = without_data.features
    with pytest.raises(WorkflowError, match="AutocontextTwoStage"):
        IlastikProject.open(folder / "autocontext_3d.ilp")
    from_2016 = IlastikProject.open(folder / "cleared_brain_2016_embedded.ilp")
    assert from_2016.label_names == ["Label 1", "Label 3", "Label 4"]
    assert from_2016.label_colors == [(0, 0, 255), (170, 0, 0), (0, 255, 0)]
    assert from_2016.stale() == [] and from_2016.forest().trees_per_forest == (25, 25, 25, 25)


def test_a_project_without_its_images_still_has_its_forest(golden: Path, tmp_path: Path) -> None:
    shutil.copy(golden / "volume_seed_features" / "project.ilp", tmp_path / "moved.ilp")
    project = IlastikProject.open(tmp_path / "moved.ilp")
    assert project.lanes[0].location.path is None
    assert project.forest().n_trees == 100 and project.labels(0).counts == {1: 3126, 2: 2541, 3: 1452}
    found = IlastikProject.open(tmp_path / "moved.ilp", search=[golden / "volume_seed_features"])
    assert found.lanes[0].open().shape == (96, 128, 112)
