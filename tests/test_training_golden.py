"""Training on the labels of real projects, against the forests that ilastik grew on them."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from ecc_rf import CellFinder, FeatureSelection, IlastikProject, PixelClassifier, open_volume
from ecc_rf.errors import EccError
from ecc_rf.retraining import retrain
from ecc_rf.training import TrainingSettings
from tests.test_cells_golden import VOXEL, scorer, votes


@pytest.mark.parametrize(
    "name",
    [
        "flat_1channel",
        "flat_3channel_allfeatures",
        "flat_label_without_annotation",
        "time_series_2channel",
        "volume_2channel",
        "volume_2d3d_mix",
        "volume_ilastik_1_2",
        "volume_seed_features",
    ],
)
def test_real_projects_are_trained_as_ilastik_did(golden: Path, tmp_path: Path, name: str) -> None:
    folder = golden / name
    case = json.loads((folder / "case.json").read_text())
    stored = IlastikProject.open(folder / "project.ilp", images={0: folder / case["image"]})
    summary = stored.forest_summary()
    training = retrain(folder / "project.ilp", tmp_path / "new.ilp", images={0: folder / case["image"]})
    new = IlastikProject.open(tmp_path / "new.ilp")
    assert training.report.voxels == summary.n_rows and tuple(training.report.classes) == summary.classes
    assert new.forest_summary().n_features == summary.n_features
    # Two trainings of ilastik differ as well, the more the fewer voxels are labelled (16 to 7,119 here): as much as two
    # of ours. Twice that is what a wrong row or column exceeds, and chance does not.
    again = PixelClassifier.train(stored, seed=1)
    with stored.lanes[0].open() as volume:
        array, axes = volume.read(), volume.axes
    theirs, ours = (PixelClassifier.from_project(each).predict(array, axes) for each in (stored, new))
    spread = np.abs(ours - again.predict(array, axes)).mean()
    assert np.abs(ours - theirs).mean() < 2 * spread


def test_an_embedded_image_is_trained_on(golden: Path, tmp_path: Path) -> None:
    path = golden / "projects_only" / "cleared_brain_2016_embedded.ilp"
    stored = IlastikProject.open(path)
    training = retrain(path, tmp_path / "new.ilp", TrainingSettings(trees=20))
    assert training.report.voxels == stored.forest_summary().n_rows
    new = IlastikProject.open(tmp_path / "new.ilp")
    with new.lanes[0].open() as volume, stored.lanes[0].open() as before:
        assert np.array_equal(volume.read(), before.read())
    with pytest.raises(EccError):
        retrain(golden / "projects_only" / "broken_no_data.ilp", tmp_path / "other.ilp")


def test_real_labels_give_ilastiks_cells(cfos: Path, tmp_path: Path) -> None:
    """The labels as ITK-SNAP saves them, trained here, against ilastik's votes on patches that neither has seen."""
    split = json.loads((cfos / "split.json").read_text())
    classifier = PixelClassifier.train_on(
        [cfos / "patches" / f"{name}.h5" for name in split["TRAIN"]],
        [cfos / "labels" / f"{name}.nii.gz" for name in split["TRAIN"]],
        FeatureSelection.recommended(),
        ["cell", "false signal", "background"],
    )
    score, scores, differences = scorer(cfos), [], []
    for name in split["VAL"]:
        with open_volume(cfos / "patches" / f"{name}.h5") as volume:
            p = classifier.predict(volume.read(), "zyx")[..., 0]
        differences.append(np.abs(p - votes(cfos, name)).mean())
        cells = CellFinder(threshold=0.7, min_volume=2).find(p, voxel_size=VOXEL)
        with h5py.File(cfos / "truth" / f"{name}.h5") as file:
            scores.append(score.score(cells[["z", "y", "x"]].to_numpy(), file["data"][()]))
    # two trainings of ilastik differ by 0.0052 here; its F1 is 0.454
    assert np.mean(differences) <= 0.0062
    assert score.pool(scores)["f1"] == pytest.approx(0.454, abs=0.02)
