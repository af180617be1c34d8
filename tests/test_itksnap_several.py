"""Label files of several lanes, and training on them."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from ecc_rf.cli import main
from ecc_rf.errors import LabelError, SettingError
from ecc_rf.features.grammar import parse_selection
from ecc_rf.ilp import IlastikProject, LaneLabels, NewLane, write_project
from ecc_rf.itksnap import ImportSettings, export_labels, import_label_files
from ecc_rf.retraining import retrain
from ecc_rf.training import TrainingSettings, train_project
from tests.snap_projects import same

SHAPE = (12, 20, 24)
NAMES = ["cell", "false signal", "background"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project without labels, p.ilp, and one with labels in both lanes, drawn.ilp; label files a.npy and b.npy."""
    rng = np.random.default_rng(5)
    lanes, bare = [], []
    for name in "ab":
        image = rng.integers(0, 50, SHAPE, np.uint16)
        image[:, :, 12:] += 500
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["data"] = image
        coords = np.column_stack([rng.integers(0, n, 120) for n in SHAPE] + [np.zeros(120, int)])
        labels = LaneLabels.from_voxels("zyxc", coords, np.where(coords[:, 2] >= 12, 1, 3))
        lanes.append(NewLane(tmp_path / f"{name}.h5/data", "zyx", SHAPE, labels))
        bare.append(NewLane(tmp_path / f"{name}.h5/data", "zyx", SHAPE))
        array = np.zeros(SHAPE, np.uint8)
        array[tuple(labels.coords[:, :3].T)] = labels.values
        np.save(tmp_path / f"{name}.npy", array)
    selection = parse_selection("gaussian:0.7 hessian:1.0")
    write_project(tmp_path / "drawn.ilp", lanes, selection, NAMES)
    write_project(tmp_path / "p.ilp", bare, selection, NAMES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_train_on_files_of_two_lanes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawn = IlastikProject.open("drawn.ilp")
    for lane, name in enumerate("ab"):
        export_labels(drawn, lane, f"{name}.nii.gz", names_output="n.txt", overwrite=True)
    expected = train_project(drawn, TrainingSettings(trees=5)).forest
    files = "--labels 0=a.nii.gz --labels b-data=b.nii.gz"
    for number, meaning in enumerate(("", "--names n.txt", "--map 1=cell,3=background")):
        assert main(f"train p.ilp {files} {meaning} --trees 5 -o {number}.ilp".split()) == 0
        new = IlastikProject.open(f"{number}.ilp")
        assert all(same(new.labels(lane), drawn.labels(lane)) for lane in range(2)) and new.label_names == NAMES
        assert np.array_equal(new.forest().threshold, expected.threshold) and new.stale() == []
    report = json.loads(Path("0.training.json").read_text())
    assert [image["name"] for image in report["images"]] == ["a-data", "b-data"]
    assert not any(len(IlastikProject.open("p.ilp").labels(lane).values) for lane in range(2))
    capsys.readouterr()
    assert main(["train", "p.ilp", "--labels", "0=a.nii.gz", "--labels", "a-data=b.nii.gz", "-o", "x.ilp"]) == 2
    assert "named twice" in capsys.readouterr().err
    assert main(["train", "p.ilp", "--labels", "0=gone.nii.gz", "-o", "x.ilp"]) == 2
    assert main(["train", "p.ilp", "--labels", "a.nii.gz", "-o", "x.ilp"]) == 2
    assert not Path("x.ilp").exists() and not Path("x.training.json").exists()


def test_labels_of_other_lanes_stay(folder: Path) -> None:
    drawn = IlastikProject.open("drawn.ilp")
    training = retrain("drawn.ilp", "new.ilp", TrainingSettings(trees=2), label_files={1: "a.npy"})
    new = IlastikProject.open("new.ilp")
    assert same(new.labels(0), drawn.labels(0)) and same(new.labels(1), drawn.labels(0))
    assert any("a.npy: " in text and "replaced" in text for text in training.report.warnings)


def test_labels_that_are_merged_are_not_remarked_as_drawn_twice(folder: Path) -> None:
    drawn = IlastikProject.open("drawn.ilp")
    array = np.load("a.npy")
    np.save("a.npy", np.where(array == 1, 2, array))
    for merge, kept in (("keep", 1), ("overwrite", 2)):
        settings = ImportSettings(merge=merge)  # type: ignore[arg-type]
        labels = import_label_files(drawn, {0: "a.npy"}, settings).labels[0]
        assert kept in labels.counts and 3 - kept not in labels.counts and labels.notes == ()


def test_new_labels_of_several_files(folder: Path) -> None:
    array = np.load("b.npy")
    array[0, 0, :5] = 7
    np.save("b.npy", array)
    array = np.load("a.npy")
    array[0, 0, :5] = 8
    np.save("a.npy", array)
    settings = ImportSettings(mapping={1: 1, 3: 3, 7: "vessel", 8: "nerve"}, create_labels=True)
    retrain(
        "p.ilp", "new.ilp", TrainingSettings(trees=2), label_files={0: "a.npy", 1: "b.npy"}, label_settings=settings
    )
    new = IlastikProject.open("new.ilp")
    assert new.label_names == [*NAMES, "nerve", "vessel"]
    assert (new.labels(0).counts[4], new.labels(1).counts[5]) == (5, 5)
    settings = ImportSettings(mapping={1: 1, 3: 3, 7: "odd", 8: "odd"}, new_labels=["odd"])
    read = import_label_files(IlastikProject.open("p.ilp"), {0: "a.npy", 1: "b.npy"}, settings)
    assert read.label_names == [*NAMES, "odd"] and read.labels[1].counts[4] == 5


def test_values_mean_the_same_in_all_files(folder: Path) -> None:
    for name, factor in (("a", 5), ("b", 1)):
        np.save(f"{name}.npy", np.load(f"{name}.npy") * np.uint8(factor))
    project = IlastikProject.open("p.ilp")
    assert import_label_files(project, {0: "a.npy"}).labels[0].counts.keys() == {1, 2}  # by rank, as ilastik does
    with pytest.raises(LabelError, match=r"(?s)values 5, 15 .*--map"):
        import_label_files(project, {0: "a.npy", 1: "b.npy"})
    with pytest.raises(SettingError, match="one of them"):
        retrain("p.ilp", "x.ilp", labels={0: LaneLabels.empty("zyxc")}, label_files={0: "a.npy"})
