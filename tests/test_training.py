"""Training from annotations: the right features of the right voxels, a report, and remarks."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from ecc_rf import FeatureSelection, IlastikProject, PixelClassifier, open_volume
from ecc_rf.errors import (
    AxesError,
    FormatError,
    ImageTooSmallError,
    ImageValueError,
    LabelError,
    MemoryBudgetError,
    MissingFileError,
    OutputExistsError,
    SettingError,
    ShapeError,
)
from ecc_rf.features import compute_features
from ecc_rf.features.grammar import parse_selection
from ecc_rf.gathering import LabelledImage, gather
from ecc_rf.ilp import LabelBlock, LaneLabels, NewLane, write_project
from ecc_rf.retraining import retrain
from ecc_rf.training import TrainingSettings, train_images, train_project
from ecc_rf.training_advice import advice
from ecc_rf.volumes import internal_axes, transpose_to
from ecc_rf.volumes.array import ArrayVolume
from tests.test_ilp_editing import digest

GB = 2**30
NAMES = ["cell", "false signal", "background"]
SMALL = parse_selection("gaussian:0.7 hessian:1.0")


def strokes(axes: str, shape: tuple[int, ...], n: int = 60, seed: int = 0) -> LaneLabels:
    """Scattered voxels and a few lines along x, in the internal axes of such an image."""
    rng = np.random.default_rng(seed)
    internal = internal_axes(axes, shape)
    extents = {**dict(zip(axes, shape)), "c": 1}
    coords = np.column_stack([rng.integers(0, extents[axis], n) for axis in internal])
    line = np.repeat(coords[:1], extents["x"] // 2, axis=0)
    line[:, internal.index("x")] = np.arange(len(line))
    return LaneLabels.from_voxels(internal, np.concatenate([coords, line]), rng.integers(1, 4, n + len(line)))


IMAGES = {
    "volume": ("zyx", (40, 60, 70)),
    "two channels": ("zyxc", (20, 30, 25, 2)),
    "channels first": ("czyx", (2, 20, 30, 25)),
    "flat": ("yx", (60, 50)),
    "colour": ("yxc", (60, 50, 3)),
    "time": ("tyxc", (4, 40, 30, 2)),
    "time volume": ("tzyx", (3, 12, 20, 25)),
    "x first": ("xyz", (70, 30, 20)),
}


@pytest.mark.parametrize("kind", IMAGES)
@pytest.mark.parametrize("selection", ["recommended", "gaussian:0.3 structure:1.0 hessian:0.7 2d:0.7"])
def test_rows_are_the_features_of_the_whole_image(kind: str, selection: str) -> None:
    axes, shape = IMAGES[kind]
    rng = np.random.default_rng(1)
    image = rng.integers(0, 5000, shape, np.uint16)
    chosen = parse_selection(selection)
    if min(n for axis, n in zip(axes, shape) if axis in "zyx") < 14:
        chosen = SMALL
    labels = strokes(axes, shape)
    labelled = LabelledImage(ArrayVolume("image", image, axes), labels, "image")
    rows = gather([labelled], chosen, memory=2 * GB, workers=2)

    tczyx = transpose_to(image, axes, "tczyx")
    plan = labelled.plan(chosen)
    every = np.stack([compute_features(frame, plan) for frame in tczyx])
    positions = labelled.positions()
    expected = every[positions[:, 0], :, positions[:, 1], positions[:, 2], positions[:, 3]]
    np.testing.assert_array_equal(rows.features, expected)
    seen = tczyx[positions[:, 0], :, positions[:, 1], positions[:, 2], positions[:, 3]]
    np.testing.assert_array_equal(rows.brightness, seen.astype(np.float32))
    assert rows.names == plan.names and np.array_equal(rows.labels, labels.values)


def test_rows_do_not_depend_on_tiles_and_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.random.default_rng(0).integers(0, 5000, (40, 60, 70), np.uint16)
    labelled = LabelledImage(ArrayVolume("image", image, "zyx"), strokes("zyx", image.shape), "image")
    usual = gather([labelled], FeatureSelection.recommended(), memory=2 * GB, workers=1)
    for tile, workers in ((7, 3), (64, 2)):
        monkeypatch.setattr("ecc_rf.gathering.LARGEST_TILE", tile)
        other = gather([labelled], FeatureSelection.recommended(), memory=2 * GB, workers=workers)
        assert other.features.tobytes() == usual.features.tobytes()


class Watched(ArrayVolume):
    """Remembers how much of it was read."""

    voxels = 0
    largest = 0

    def __getitem__(self, index: Any) -> NDArray[Any]:
        block = super().__getitem__(index)
        self.voxels += block.size
        self.largest = max(self.largest, block.size)
        return block


def test_only_the_surroundings_of_labels_are_read() -> None:
    image = Watched("image", np.zeros((200, 200, 200), np.uint8), "zyx")
    near = [[5, 5, 5, 0], [5, 6, 5, 0], [150, 150, 150, 0]]
    labels = LaneLabels.from_voxels("zyxc", np.array(near), np.array([1, 2, 1]))
    plan = FeatureSelection.recommended().plan(image.shape)
    gather([LabelledImage(image, labels, "image")], FeatureSelection.recommended(), memory=2 * GB)
    assert image.largest <= np.prod([2 * halo + 2 for halo in plan.halo])
    assert image.voxels <= 2 * image.largest < image._array.size / 100
    with pytest.raises(MemoryBudgetError):
        gather([LabelledImage(image, labels, "image")], FeatureSelection.recommended(), memory=GB // 4)


def test_several_images_of_the_same_kind() -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 99, shape, np.uint8) for shape in ((20, 30, 25), (25, 30, 20), (16, 40, 20))]
    labelled = [
        LabelledImage(ArrayVolume(f"i{k}", array, "zyx"), strokes("zyx", array.shape, seed=k), f"i{k}")
        for k, array in enumerate(arrays)
    ]
    labelled[1] = LabelledImage(labelled[1].volume, LaneLabels.empty("zyxc"), "i1")
    rows = gather(labelled, SMALL, memory=2 * GB)
    parts = [gather([labelled[k]], SMALL, memory=2 * GB) for k in (0, 2)]
    assert np.array_equal(rows.features, np.concatenate([part.features for part in parts]))
    assert np.array_equal(np.unique(rows.image), [0, 2])
    two = rng.integers(0, 99, (20, 30, 25, 2), np.uint8)
    labelled[1] = LabelledImage(ArrayVolume("two", two, "zyxc"), strokes("zyxc", two.shape), "two channels")
    with pytest.raises(ShapeError, match="2 channels and 8 features, i0 has 1 and 4"):
        gather(labelled, SMALL, memory=2 * GB)


def test_what_cannot_be_gathered() -> None:
    image = np.zeros((20, 30, 25), np.float32)
    volume = ArrayVolume("image", image, "zyx")
    with pytest.raises(LabelError, match="no voxel is annotated"):
        gather([LabelledImage(volume, LaneLabels.empty("zyxc"), "image")], SMALL, memory=2 * GB)
    outside = LaneLabels.from_voxels("zyxc", np.array([[20, 0, 0, 0]]), np.array([1]))
    with pytest.raises(ShapeError, match="outside"):
        LabelledImage(volume, outside, "image")
    one = LaneLabels.from_voxels("zyxc", np.array([[10, 10, 10, 0]]), np.array([1]))
    image[11, 12, 13] = np.nan
    with pytest.raises(ImageValueError, match="z=11, y=12, x=13"):
        gather([LabelledImage(volume, one, "image")], SMALL, memory=2 * GB)
    image[11, 12, 13] = 0
    image[19, 29, 24] = np.nan  # which no labelled voxel depends on
    assert gather([LabelledImage(volume, one, "image")], SMALL, memory=2 * GB).features.shape == (1, 4)
    with pytest.raises(ImageTooSmallError):
        gather([LabelledImage(volume, one, "image")], parse_selection("gaussian:10"), memory=2 * GB)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Two volumes with bright and dark halves, in one of them relative; labels in both."""
    rng = np.random.default_rng(3)
    lanes = []
    for number in range(2):
        image = rng.integers(0, 50, (20, 30, 40), np.uint16)
        image[:, :, 20:] += 500
        path = tmp_path / "images" / f"{number}.h5"
        path.parent.mkdir(exist_ok=True)
        with h5py.File(path, "w") as file:
            file["data"] = image
        coords = np.column_stack([rng.integers(0, n, 150) for n in (20, 30, 40)] + [np.zeros(150, int)])
        labels = LaneLabels.from_voxels("zyxc", coords, np.where(coords[:, 2] >= 20, 1, 3))
        lanes.append(NewLane(path / "data", "zyx", image.shape, labels))
    write_project(tmp_path / "p.ilp", lanes, SMALL, NAMES)
    return tmp_path / "p.ilp"


def test_a_project_is_trained_and_written(tmp_path: Path, project: Path) -> None:
    before = digest(project)
    training = retrain(project, tmp_path / "new.ilp", TrainingSettings(trees=20))
    assert digest(project) == before
    report = json.loads((tmp_path / "new.training.json").read_text())
    new = IlastikProject.open(tmp_path / "new.ilp")
    assert new.stale() == [] and new.forest_summary().feature_names == training.feature_names
    assert (new.classifier.n_trees, new.classifier.n_forests) == (20, 8)
    assert new.forest_summary().n_rows == report["voxels"] == training.report.voxels
    assert new.forest_summary().classes == tuple(report["classes"]) == (1, 3)
    assert [image["name"] for image in report["images"]] == ["0-data", "1-data"]
    assert report["labels"][1] == {"value": 2, "name": "false signal", "voxels": 0}
    assert report["error"] < 0.05 and sum(map(sum, report["confusion"])) == report["judged"]
    assert np.sum([image["confusion"] for image in report["images"]], axis=0).tolist() == report["confusion"]
    assert [feature["name"] for feature in report["features"]] == list(training.feature_names)
    assert [(cell["filter"], cell["scale"], cell["features"]) for cell in report["cells"]] == [
        ("GaussianSmoothing", 0.7, 1),
        ("HessianOfGaussianEigenvalues", 1.0, 3),
    ]
    assert {"features", "trees", "judging", "total"} <= set(report["seconds"])

    classifier = PixelClassifier.from_project(new)
    with open_volume(tmp_path / "images" / "0.h5") as volume:
        p = classifier.predict(volume.read(), "zyx")
    assert (p[:, :, 22:, 0] > 0.5).mean() > 0.99 and (p[:, :, :18, 2] > 0.5).mean() > 0.99 and not p[..., 1].any()
    direct = PixelClassifier.train(project, trees=20)
    assert np.array_equal(direct.predict(volume_of(tmp_path), "zyx"), p)
    assert direct.training is not None and direct.training.error == report["error"]


def volume_of(folder: Path) -> NDArray[np.uint16]:
    with h5py.File(folder / "images" / "0.h5") as file:
        array: NDArray[np.uint16] = file["data"][()]
    return array


def test_the_same_bytes_for_any_number_of_workers(tmp_path: Path, project: Path) -> None:
    for name, workers in (("one", 1), ("two", 3)):
        retrain(project, tmp_path / f"{name}.ilp", TrainingSettings(trees=9, seed=4, workers=workers))
    assert digest(tmp_path / "one.ilp") == digest(tmp_path / "two.ilp")
    retrain(project, tmp_path / "three.ilp", TrainingSettings(trees=9, seed=5))
    assert digest(tmp_path / "one.ilp") != digest(tmp_path / "three.ilp")


def test_outputs_are_complete_or_absent(tmp_path: Path, project: Path) -> None:
    (tmp_path / "new.training.json").write_text("precious")
    with pytest.raises(OutputExistsError, match=r"new\.training\.json"):
        retrain(project, tmp_path / "new.ilp")
    with pytest.raises(OutputExistsError):
        retrain(project, project)
    retrain(project, project, TrainingSettings(trees=2), report=tmp_path / "r.json", overwrite=True)
    assert IlastikProject.open(project).forest().n_trees == 2
    assert not (tmp_path / "new.ilp").exists() and not list(tmp_path.glob("*.unfinished"))


def test_lost_images(tmp_path: Path, project: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "images" / "1.h5").rename(elsewhere.with_suffix(".h5"))
    with pytest.raises(MissingFileError, match=r"(?s)lane 1 \(1-data\).*--image 1=PATH"):
        retrain(project, tmp_path / "new.ilp")
    assert not (tmp_path / "new.ilp").exists()
    images: dict[int | str, str | Path] = {"1-data": tmp_path / "elsewhere.h5"}
    retrain(project, tmp_path / "new.ilp", TrainingSettings(trees=2), images=images)
    assert IlastikProject.open(tmp_path / "new.ilp").lanes[1].stored_path == "elsewhere.h5/data"
    np.save(tmp_path / "other.npy", np.zeros((20, 30, 41), np.uint16))
    with pytest.raises(ShapeError):
        retrain(project, tmp_path / "two.ilp", images={1: tmp_path / "other.npy"})
    # a lane without labels is not needed
    empty = {1: LaneLabels.empty("zyxc")}
    training = train_project(IlastikProject.open(project), TrainingSettings(trees=2), labels=empty)
    assert [image.index for image in training.report.images] == [0]
    assert any("only one image" in text for text in training.report.warnings)


def test_images_that_are_found_elsewhere_are_linked_there(tmp_path: Path, project: Path) -> None:
    (tmp_path / "moved" / "images").mkdir(parents=True)
    for number in range(2):
        (tmp_path / "images" / f"{number}.h5").rename(tmp_path / "moved" / "images" / f"{number}.h5")
    retrain(project, tmp_path / "new.ilp", TrainingSettings(trees=2), search=[tmp_path / "moved"])
    new = IlastikProject.open(tmp_path / "new.ilp")
    assert [lane.stored_path for lane in new.lanes] == [f"moved/images/{k}.h5/data" for k in range(2)]


def test_arrays_without_a_project(tmp_path: Path, project: Path) -> None:
    lanes = IlastikProject.open(project)
    images, labels = [], []
    for number in range(2):
        with open_volume(tmp_path / "images" / f"{number}.h5") as volume:
            images.append(volume.read())
        found = lanes.labels(number)
        dense = np.zeros(images[-1].shape, np.uint8)
        dense[tuple(found.coords[:, :3].T)] = found.values
        labels.append(dense)
    settings = TrainingSettings(trees=7)
    by_project = train_project(lanes, settings).forest
    for given in (
        labels,
        [dense.astype(np.float32) for dense in labels],
        [lanes.labels(number) for number in range(2)],
    ):
        by_arrays = PixelClassifier.train_on(images, given, SMALL, NAMES, settings).forest
        assert np.array_equal(by_arrays.threshold, by_project.threshold)
    transposed = [np.ascontiguousarray(dense.T) for dense in labels]
    volumes = [ArrayVolume("labels", dense, "xyz") for dense in transposed]
    assert np.array_equal(train_images(images, volumes, SMALL, NAMES, settings).forest.threshold, by_project.threshold)
    with pytest.raises(ShapeError, match="the image"):
        train_images(images, transposed, SMALL, NAMES)
    with pytest.raises(SettingError, match="1 label volumes"):
        train_images(images, labels[:1], SMALL, NAMES)
    with pytest.raises(LabelError, match="label 3 is annotated, there are 2"):
        train_images(images, labels, SMALL, NAMES[:2])
    with pytest.raises(FormatError, match="whole numbers"):
        train_images(images, [dense * 0.5 for dense in labels], SMALL, NAMES)
    with pytest.raises(LabelError, match="label 900"):
        train_images(images, [dense.astype(np.int64) * 300 for dense in labels], SMALL, NAMES)
    with pytest.raises(AxesError):
        train_images(images, labels, SMALL, NAMES, axes="zy")


def remarks(labels: NDArray[np.int64], names: list[str], brightness: NDArray[np.float64] | None = None) -> str:
    from ecc_rf.gathering import TrainingRows

    bright = np.where(labels == 1, 9.0, 1.0) if brightness is None else brightness
    features = np.stack([bright, np.ones(len(labels))], axis=1).astype(np.float32)
    rows = TrainingRows(
        features, labels.astype(np.uint8), np.arange(len(labels)) % 2, bright[:, None].astype(np.float32), ("a", "b")
    )
    return "\n".join(advice(rows, names))


def test_a_careful_colleague() -> None:
    many = np.repeat([1, 2, 3], 6000)
    assert remarks(many, NAMES) == "the same for all annotated voxels, and of no use: b"
    assert "label 1 is called 'background'" in remarks(many, ["background", "cells", "rest"])
    assert "is darker than the other labels" in remarks(many, NAMES, np.where(many == 1, 1.0, 9.0))
    assert re.search(r"4,999 annotated voxels; 5,000", remarks(many[1001:], NAMES))
    assert "label 4 (unused) has no annotation" in remarks(many, [*NAMES, "unused"])
    assert "unbalanced: label 1 (cell) has 6,000 annotated voxels, label 3 (background) 200" in remarks(
        many[:12200], NAMES
    )
    assert "only one image" not in remarks(many, NAMES)


def test_voxels_labelled_twice_are_remarked(tmp_path: Path, project: Path) -> None:
    with h5py.File(project, "a") as file:
        sets = file["PixelClassification/LabelSets/labels000"]
        block = sets["block0000"]
        again = block[()]
        count = int(np.count_nonzero(again))
        sets["block9999"] = np.where(again > 0, 4 - again, 0).astype(np.uint8)
        for name, value in block.attrs.items():
            sets["block9999"].attrs[name] = value
    report = train_project(IlastikProject.open(project), TrainingSettings(trees=2)).report
    assert any(f"{count} voxels are labelled twice" in text for text in report.warnings)
    same = LaneLabels.from_blocks("yxc", [LabelBlock((0, 0, 0), np.ones((2, 2, 1), np.uint8))] * 2)
    assert same.notes == () and same.counts == {1: 4}


def test_a_stale_forest_is_remarked(tmp_path: Path, project: Path) -> None:
    retrain(project, tmp_path / "new.ilp", TrainingSettings(trees=2))
    with h5py.File(tmp_path / "new.ilp", "a") as file:
        del file["PixelClassification/LabelSets/labels001"]
        file["PixelClassification/LabelSets"].create_group("labels001")
    report = train_project(IlastikProject.open(tmp_path / "new.ilp"), TrainingSettings(trees=2)).report
    assert any("the stored forest is not that of the labels" in text for text in report.warnings)
