"""Training on normalised images: what a project notes, and what fits it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from ecc_rf import IlastikProject, PixelClassifier, open_volume
from ecc_rf.cli import main
from ecc_rf.errors import SettingError
from ecc_rf.ilp import ProjectChanges, edit_project
from ecc_rf.ilp.normalization_note import forest_digest
from ecc_rf.image_normalization import ImageReader, NormalizationChoice, trained_normalization
from ecc_rf.lane_normalization import LaneChoice, LaneNormalizer
from ecc_rf.normalization import Normalization, NormalizedVolume, ScaledNormalization
from ecc_rf.prediction import CANONICAL
from ecc_rf.preview import PreviewSettings, preview_classifier
from ecc_rf.preview.sections import View, compute_sections
from ecc_rf.volumes import AxisView

TREES = ["--trees", "5", "-q"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fixtures, so that links are where results may be written, and a project trained on normalised images."""
    folder = tmp_path_factory.mktemp("normalised")
    for name in ("cells.ilp", "brain.h5"):
        shutil.copy(Path(__file__).parents[1] / "data/fixtures" / name, folder)
    arguments = ["train", str(folder / "cells.ilp"), "-o", str(folder / "normal.ilp"), "--normalize"]
    assert main([*arguments, "--window-um", "60", *TREES]) == 0
    return folder


def fails(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    assert main([str(argument) for argument in arguments]) == 2
    return capsys.readouterr().err


def forest_of(project: Path) -> str:
    return forest_digest(IlastikProject.open(project).forest())


def brain_scale(folder: Path) -> float:
    with open_volume(folder / "brain.h5") as volume:
        return float(np.median(volume.read()))


def test_the_forest_is_that_of_normalised_files(folder: Path, tmp_path: Path) -> None:
    """Trained on the fly, and on files that `normalize` wrote: the same trees."""
    assert main(["normalize", str(folder / "brain.h5"), "-o", str(tmp_path), "--window-um", "60", "-q"]) == 0
    shutil.copy(folder / "cells.ilp", tmp_path)
    out = tmp_path / "written.ilp"
    assert main(["train", str(tmp_path / "cells.ilp"), "-o", str(out), *TREES]) == 0
    on_the_fly, written = (IlastikProject.open(path) for path in (folder / "normal.ilp", out))
    assert forest_of(folder / "normal.ilp") == forest_of(out) != forest_of(folder / "cells.ilp")
    one, other = on_the_fly.normalization, written.normalization
    assert one is not None and other is not None
    assert one.normalization == other.normalization == Normalization(60.0)
    assert one.lanes[0].scales == other.lanes[0].scales == (brain_scale(folder),)
    assert (one.lanes[0].stored, other.lanes[0].stored) == (False, True)
    report = json.loads((folder / "normal.training.json").read_text())
    assert report["normalization"]["lanes"]["0"]["scales"] == [brain_scale(folder)]


def test_what_was_trained_normalised_refuses_raw_images(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    normal, brain = folder / "normal.ilp", folder / "brain.h5"
    for command in ("run", "classify", "preview"):
        out = tmp_path / f"{command}.png"
        assert "trained on normalised images, this one is not" in fails(capsys, command, normal, brain, "-o", out)
        said = fails(capsys, command, folder / "cells.ilp", brain, "--normalize", "-o", out)
        assert "trained on images that are not normalised" in said
        assert not out.exists()
    with pytest.raises(SettingError, match="trained on normalised images"):
        PixelClassifier.from_project(normal).predict_volume(brain, tmp_path / "p.npy")


def test_training_again_normalises_again(folder: Path, tmp_path: Path) -> None:
    again, raw = tmp_path / "again.ilp", tmp_path / "raw.ilp"
    assert main(["train", str(folder / "normal.ilp"), "-o", str(again), *TREES]) == 0
    assert main(["train", str(folder / "normal.ilp"), "-o", str(raw), "--no-normalize", *TREES]) == 0
    assert forest_of(again) == forest_of(folder / "normal.ilp") != forest_of(raw)
    assert IlastikProject.open(again).normalization == IlastikProject.open(folder / "normal.ilp").normalization
    assert IlastikProject.open(raw).normalization is None
    trained = PixelClassifier.train(folder / "cells.ilp", trees=5, normalization=Normalization(60.0))
    assert trained.forest.n_trees == 5 and trained.normalization == Normalization(60.0)
    assert PixelClassifier.train(folder / "cells.ilp", trees=5).normalization is None


def test_everyone_sees_the_same_voxels(folder: Path, tmp_path: Path) -> None:
    """`run`, `classify`, `preview` and Python, in threads and in processes."""
    normal, brain = folder / "normal.ilp", folder / "brain.h5"
    outputs = [tmp_path / f"{n}.npy" for n in range(3)]
    for out, arguments in zip(outputs, (["--workers", "1"], ["--block", "24,48,48"], ["--part", "1/1"])):
        assert main(["classify", str(normal), str(brain), "-o", str(out), "--normalize", "-q", *arguments]) == 0
    classifier = PixelClassifier.from_project(normal)
    classifier.predict_volume(brain, tmp_path / "python.npy", normalization=True)
    expected = np.load(outputs[0])
    for out in (*outputs[1:], tmp_path / "python.npy"):
        assert np.array_equal(np.load(out), expected)
    with open_volume(brain) as image:
        volume = NormalizedVolume(image, Normalization(60.0), (brain_scale(folder),))
        (section, *_) = compute_sections(AxisView(volume, CANONICAL), View((20, 40, 40), 64), classifier)
    rows, columns = (slice(a, a + n) for a, n in zip(section.start, section.raw.shape))
    assert section.probabilities is not None
    assert np.array_equal(section.probabilities, expected[20, rows, columns])
    out = tmp_path / "p.png"
    assert main(["preview", str(normal), str(brain), "-o", str(out), "--normalize", "--size", "64"]) == 0
    assert out.stat().st_size > 1000
    with pytest.raises(SettingError, match="this one is not"):
        preview_classifier(classifier, brain, PreviewSettings(size=64))


def test_a_lane_keeps_the_scale_it_was_trained_on(folder: Path, tmp_path: Path) -> None:
    for name in ("cells.ilp", "brain.h5"):
        shutil.copy(folder / name, tmp_path)
    out, result = tmp_path / "given.ilp", tmp_path / "run"
    arguments = ["train", str(tmp_path / "cells.ilp"), "-o", str(out), "--normalize", "--scale", "0=321.5"]
    assert main([*arguments, *TREES]) == 0
    run = ["run", str(out), str(tmp_path / "brain.h5"), "-o", str(result), "--normalize", "--no-report", "-q"]
    assert main(run) == 0
    record = json.loads((result / "run.json").read_text())["normalization"]
    assert record["scales"] == [321.5] and record["origin"] == "as lane 0 of the project"
    shutil.copy(tmp_path / "brain.h5", tmp_path / "other.h5")
    how = ImageReader(IlastikProject.open(out), [tmp_path / "other.h5"], NormalizationChoice(True)).of_path(
        tmp_path / "other.h5"
    )
    assert isinstance(how, ScaledNormalization)
    assert (how.scales, how.origin) == ((brain_scale(folder),), "estimated")
    # a second training keeps what was given
    assert main(["train", str(out), "-o", str(tmp_path / "again.ilp"), *TREES]) == 0
    assert IlastikProject.open(tmp_path / "again.ilp").normalization == IlastikProject.open(out).normalization


def test_a_forest_of_another_program_is_not_taken_for_ours(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As if ilastik had trained in the project: it leaves our note where it is."""
    for name in ("normal.ilp", "brain.h5"):
        shutil.copy(folder / name, tmp_path)
    project = IlastikProject.open(folder / "cells.ilp")
    note = IlastikProject.open(tmp_path / "normal.ilp").normalization
    foreign = tmp_path / "foreign.ilp"
    changes = ProjectChanges(
        forest=project.forest(), feature_names=project.features.plan((40, 96, 96), 1).names, normalization=note
    )
    edit_project(tmp_path / "normal.ilp", foreign, changes=changes)
    assert trained_normalization(IlastikProject.open(foreign)) == Normalization(60.0)  # the note names this forest
    other = tmp_path / "other.ilp"
    edit_project(foreign, other, changes=ProjectChanges(drop_forest=True))
    with h5py.File(other, "a") as file, h5py.File(tmp_path / "normal.ilp") as source:
        source.copy("PixelClassification/ClassifierForests", file["PixelClassification"])
    said = fails(capsys, "classify", other, tmp_path / "brain.h5", "--normalize", "-o", tmp_path / "p.npy")
    assert "forest was trained by a program that does not do that" in said
    arguments = ["classify", str(other), str(tmp_path / "brain.h5"), "-o", str(tmp_path / "p.npy"), "-q"]
    assert main([*arguments, "--any-normalization"]) == 0
    assert main(["info", str(other)]) == 0
    assert "not trained on images normalised so" in capsys.readouterr().out


def test_new_projects_note_scales_before_anything_is_trained(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_volume(folder / "brain.h5") as volume:
        image = volume.read()
    for name, part in (("a_1", image[:20]), ("a_2", image[20:]), ("b_1", image[:, :60] * 2)):
        np.save(tmp_path / f"{name}.npy", part)
    images = [str(tmp_path / f"{name}.npy") for name in ("a_1", "a_2", "b_1")]
    out = tmp_path / "new.ilp"
    new = ["new", str(out), *images, "--features", "gaussian:1.0", "--normalize"]
    assert "voxel size is not known" in fails(capsys, *new)
    assert not list(tmp_path.glob("*.ilp")) and not list(tmp_path.glob(".*"))
    assert main([*new, "--voxel-size", "5,2,2", "--group", "A=a_*"]) == 0
    assert "lane 1 of A" in capsys.readouterr().out
    project = IlastikProject.open(out)
    note = project.normalization
    assert note is not None
    shared, own = float(np.median(image)), float(np.median(image[:, :60] * 2))
    assert [note.lanes[n].scales for n in range(3)] == [(shared,), (shared,), (own,)]
    assert [note.lanes[n].voxel_size for n in range(3)] == [(5.0, 2.0, 2.0)] * 3
    with LaneNormalizer(project, project.lanes).open(project.lanes[1]) as lane:  # as noted, nothing is said again
        assert isinstance(lane, NormalizedVolume) and lane.scales == (shared,)
    together = LaneNormalizer(project, project.lanes[:1], LaneChoice(together=True)).note
    assert together is not None and len({lane.scales for lane in together.lanes.values()}) == 1
    for choice, message in (
        (LaneChoice(groups={"A": "c_*"}), "No lane's nickname fits"),
        (LaneChoice(groups={"A": "a_*", "B": "*_1"}), "belongs to two groups"),
    ):
        with pytest.raises(SettingError, match=message):
            LaneNormalizer(project, project.lanes, choice)
    assert "--scale" in fails(capsys, *new, "--overwrite", "--scale", "0=no")


def test_files_that_are_normalised_are_noted(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    brain = folder / "brain.h5"
    assert main(["normalize", str(brain), "-o", str(tmp_path), "-q"]) == 0
    written, out = tmp_path / "brain.h5", tmp_path / "new.ilp"
    assert main(["new", str(out), str(written), "--link", "copy"]) == 0  # a copy does not say it: the note does
    note = IlastikProject.open(out).normalization
    assert note is not None and note.all_stored and note.lanes[0].scales == (brain_scale(folder),)
    assert trained_normalization(IlastikProject.open(out)) == Normalization()
    said = fails(capsys, "new", tmp_path / "both.ilp", written, brain)
    assert (
        "The file of lane 0 is normalised, that of lane 1 (brain-data) is not" in said and "both.ilp.plain" not in said
    )
    assert main(["new", str(tmp_path / "both.ilp"), str(written), str(brain), "--normalize"]) == 0
    both = IlastikProject.open(tmp_path / "both.ilp").normalization
    assert both is not None and [both.lanes[n].stored for n in (0, 1)] == [True, False]
    said = fails(capsys, "new", tmp_path / "x.ilp", written, brain, "--normalize", "--window-um", "50")
    assert "windows of 50 and 75 µm" in said
    # ilastik cannot note it: the files of its lanes are asked
    plain = IlastikProject.create(tmp_path / "plain.ilp", [written])
    assert plain.normalization is None and trained_normalization(plain) == Normalization()
