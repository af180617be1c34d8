"""A classifier that meets images unlike those of its training says so, with both figures."""

from __future__ import annotations

import html
import json
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from ecc_rf import IlastikProject, open_volume
from ecc_rf.cli import main
from ecc_rf.ilp import ProjectChanges, edit_project
from ecc_rf.image_statistics import ImageStatistics, image_statistics
from ecc_rf.trained_on import TrainedOn, misfits, stored_training, trained_on, training_summary
from ecc_rf.volumes.array import ArrayVolume

LIKE = ImageStatistics("a", "uint16", (5.0, 2.0, 2.0), False, ((150.0, 240.0, 600.0),))


def write_image(path: Path, voxels: np.ndarray, size: tuple[float, float, float] | None = None) -> str:
    with h5py.File(path, "w") as file:
        data = file.create_dataset("data", data=voxels, chunks=(20, 48, 48))
        if size:
            data.attrs["element_size_um"] = size
    return str(path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fixtures' project trained here, and then parted from its image."""
    folder = tmp_path_factory.mktemp("trained")
    fixtures = Path(__file__).parents[1] / "data/fixtures"
    for name in ("cells.ilp", "brain.h5"):
        shutil.copy(fixtures / name, folder)
    path = folder / "new.ilp"
    arguments = ["--trees", "4", "--marker", "c-Fos", "-q", "--json"]
    assert main(["train", str(folder / "cells.ilp"), "-o", str(path), *arguments]) == 0
    (folder / "brain.h5").unlink()
    return path


def test_training_is_noted_in_the_project(trained: Path, fixtures: Path, tmp_path: Path) -> None:
    project = IlastikProject.open(trained)
    stored = stored_training(project)
    assert stored is not None and stored.marker == "c-Fos" and stored.voxels == 780
    assert stored.error is not None and 0 <= stored.error < 0.5
    with open_volume(fixtures / "brain.h5") as brain:
        assert [replace(image, name="") for image in stored.images] == [replace(image_statistics(brain), name="")]
    assert training_summary(project)["out_of_bag_error"] == stored.error
    # kept where something else is changed, gone where the forest is
    edit_project(trained, tmp_path / "named.ilp", changes=ProjectChanges(label_names=["x", "y", "z"]))
    assert stored_training(IlastikProject.open(tmp_path / "named.ilp")) == stored
    edit_project(trained, tmp_path / "bare.ilp", changes=ProjectChanges(drop_forest=True))
    assert stored_training(IlastikProject.open(tmp_path / "bare.ilp")) is None


@pytest.mark.parametrize("text", [b"", b"{}", b"[1]", b"\xff", b'{"version": 1, "marker": 0, "images": [1]}'])
def test_what_is_not_understood_is_not_used(trained: Path, tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "p.ilp"
    shutil.copy(trained, path)
    with h5py.File(path, "r+") as file:
        del file["ecc_rf/training"]
        file["ecc_rf/training"] = np.void(text) if text else "x" * 10
    project = IlastikProject.open(path)
    assert stored_training(project) is None and trained_on(project).images == ()


def test_run_and_classify_tell(
    trained: Path, fixtures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With both figures, on standard error, in run.json and in the report; nothing of an image that is alike."""
    with h5py.File(fixtures / "brain.h5") as file:
        voxels = file["data"][:, :48, :48]
    project = str(trained)
    alike = write_image(tmp_path / "alike.h5", voxels)
    out = str(tmp_path / "alike")
    assert main(["run", project, alike, "-o", out, "--voxel-size", "5,2,2", "--marker", "cFos", "--no-report"]) == 0
    assert "classifier was trained on" not in capsys.readouterr().err

    other = write_image(tmp_path / "other.h5", (voxels * 10).astype(np.uint16))
    out = str(tmp_path / "other")
    assert main(["run", project, other, "-o", out, "--voxel-size", "5,1,1", "--marker", "PV"]) == 0
    told = capsys.readouterr().err
    notes = json.loads((tmp_path / "other" / "run.json").read_text())["notes"]
    report = (tmp_path / "other" / "report.html").read_text()
    for note, expected in zip(
        notes[:3],
        (
            ["PV", "c-Fos"],
            ["5 × 1 × 1 µm", "5 × 2 × 2 µm"],
            [f"{10 * stored_range(voxels)[0]:,.4g}", f"{stored_training_range(trained)[1]:,.4g}", "brighter"],
        ),
    ):
        assert all(figure in note for figure in expected), note
        assert note in told and html.escape(note) in report

    arguments = ["--voxel-size", "5,2,2", "--labels", "1", "-q"]
    assert main(["classify", project, other, "-o", str(tmp_path / "p.h5"), *arguments]) == 0
    told = capsys.readouterr().err
    assert "brighter than" in told and "PV" not in told and "another size" not in told


def stored_range(voxels: np.ndarray) -> np.ndarray:
    return np.quantile(voxels[voxels != 0], (0.01, 0.999))


def stored_training_range(project: Path) -> tuple[float, float]:
    stored = stored_training(IlastikProject.open(project))
    assert stored is not None
    (low, _, high), *_ = stored.images[0].quantiles
    return low, high


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ""),
        ({"voxel_size": (5.4, 2.0, 2.0)}, ""),
        ({"voxel_size": (5.6, 2.0, 2.0)}, "5.6 × 2 × 2"),
        ({"voxel_size": None}, ""),
        ({"voxel_size": (9.0, 2.0, 2.0), "flat": True}, ""),  # a plane has no depth
        ({"quantiles": ((100.0, 120.0, 310.0),)}, ""),  # a brain with a dark margin
        ({"quantiles": ((10.0, 12.0, 290.0),)}, "darker"),
        ({"quantiles": ((150.0, 240.0, 1190.0),)}, ""),
        ({"quantiles": ((150.0, 240.0, 1210.0),)}, "brighter"),
        ({"quantiles": ((300.0, 400.0, 700.0),)}, "of another range"),  # another offset of the camera
        ({"quantiles": ((),)}, ""),
        ({"quantiles": ((150.0, 240.0, 600.0), (1.0, 2.0, 3.0))}, ""),
        ({"dtype": "float32"}, ""),
    ],
)
def test_what_is_told(changes: dict[str, object], expected: str) -> None:
    notes = misfits(TrainedOn((LIKE,)), replace(LIKE, **changes))  # type: ignore[arg-type]
    assert len(notes) == bool(expected) and all(expected in note for note in notes)


def test_range_of_several_images_counts() -> None:
    bright = replace(LIKE, quantiles=((300.0, 500.0, 2000.0),), voxel_size=(6.0, 1.62, 1.62))
    both = TrainedOn((LIKE, bright), "cFos")
    between = replace(LIKE, quantiles=((200.0, 300.0, 1100.0),), voxel_size=(6.0, 1.6, 1.6))
    assert misfits(both, between, marker="CFOS") == []
    assert misfits(both, replace(between, quantiles=((9.0, 9.0, 9.0),)), intensity=False) == []
    assert misfits(TrainedOn(), between, marker="PV") == []


def test_statistics_are_those_of_the_voxels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    small = rng.integers(0, 1000, (20, 30, 40)).astype(np.uint16)
    found = image_statistics(ArrayVolume("a", small, "zyx"))
    assert found.quantiles[0] == pytest.approx(np.quantile(small[small > 0], (0.01, 0.5, 0.999)))
    assert image_statistics(ArrayVolume("a", np.zeros((9, 9, 9)), "zyx")).quantiles == ((),)
    large = rng.normal(500, 100, (2, 64, 200, 300)).astype(np.float32)
    large[1] *= 2
    large[:, ::7] = np.nan
    first, second = image_statistics(ArrayVolume("a", large, "czyx")).quantiles
    # of a sample of some hundred thousand voxels
    assert first[1] == pytest.approx(500, rel=0.01) and second[1] == pytest.approx(1000, rel=0.01)
    assert first[0] == pytest.approx(500 - 2.326 * 100, rel=0.05)
    assert TrainedOn.from_text(TrainedOn((found,), "β", 3, None).text()) == TrainedOn((found,), "β", 3, None)


def test_projects_of_ilastik_are_looked_at(cfos: Path, fixtures: Path) -> None:
    """Of brains of one study, imaged alike, nothing is told; of another microscope's it is."""
    project = trained_on(IlastikProject.open(cfos / "cfos.ilp"))
    assert len(project.images) == 8
    for name in json.loads((cfos / "split.json").read_text())["VAL"]:
        with open_volume(cfos / "patches" / f"{name}.h5") as patch:
            assert misfits(project, image_statistics(patch)) == []
    with open_volume(cfos.parent / "mouse_brain_crop" / "signal.tif") as other:
        notes = misfits(trained_on(IlastikProject.open(fixtures / "cells.ilp")), image_statistics(other))
        assert len(notes) == 1 and "brighter" in notes[0]
