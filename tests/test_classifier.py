"""PixelClassifier on arrays and volumes of every kind: channels, time, flat, other axis orders, other types."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from ecc_rf import FeatureSelection, IlastikProject, PixelClassifier, RandomForest, create_volume, open_volume
from ecc_rf.errors import ImageValueError, LabelError, NoForestError, NoLaneError, ShapeError
from ecc_rf.features import FEATURE_IDS
from ecc_rf.forest import Tree
from ecc_rf.ilp.writing import NewLane, write_project


def selection(*cells: tuple[str, float], flat: tuple[bool, ...] | None = None) -> FeatureSelection:
    scales = tuple(sorted({scale for _, scale in cells}))
    matrix = tuple(tuple((name, scale) in cells for scale in scales) for name in FEATURE_IDS)
    return FeatureSelection(tuple(FEATURE_IDS), scales, matrix, flat)


MIXED = selection(
    ("GaussianSmoothing", 0.7), ("HessianOfGaussianEigenvalues", 1.0), ("StructureTensorEigenvalues", 1.6)
)


def random_forest(n_features: int, values: np.ndarray, seed: int = 0, trees: int = 30) -> RandomForest:
    """A forest of small random trees over two labels, with thresholds among the features' values."""
    rng = np.random.default_rng(seed)

    def tree() -> Tree:
        column = rng.integers(0, n_features, 3)
        threshold = np.array([rng.choice(values[:, c]) for c in column], np.float64)
        return Tree(
            feature=np.array([column[0], column[1], -1, -1, column[2], -1, -1], np.int32),
            threshold=np.array([threshold[0], threshold[1], 0, 0, threshold[2], 0, 0]),
            left=np.array([1, 2, -1, -1, 5, -1, -1], np.int32),
            right=np.array([4, 3, -1, -1, 6, -1, -1], np.int32),
            leaf_probability=np.eye(2)[rng.integers(0, 2, 4)],
            leaf_weight=np.ones(4),
        )

    return RandomForest.from_trees([[tree() for _ in range(trees)]], n_features, (1, 2))


def classifier_for(features: FeatureSelection, array: np.ndarray, axes: str) -> PixelClassifier:
    """A classifier whose forest asks about values that occur in this array."""
    extents = dict(zip(axes, array.shape))
    channels = extents.get("c", 1)
    plan = features.plan((extents.get("z", 1), extents["y"], extents["x"]), channels)
    one_leaf = Tree(
        np.array([-1], np.int32), np.zeros(1), *(np.array([-1], np.int32),) * 2, np.array([[1.0, 0.0]]), np.ones(1)
    )
    plain = RandomForest.from_trees([[one_leaf]], plan.n_features, (1, 2))
    rows = PixelClassifier(features, plain, ["a", "b"]).features(array, axes).reshape(-1, plan.n_features)
    return PixelClassifier(features, random_forest(plan.n_features, rows), ["a", "b"])


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 4000, (18, 24, 31, 2)).astype(np.uint16)


@pytest.fixture(scope="module")
def two_channels(image: np.ndarray) -> PixelClassifier:
    return classifier_for(MIXED, image, "zyxc")


def test_every_axis_order_gives_the_same(image: np.ndarray, two_channels: PixelClassifier) -> None:
    expected = two_channels.predict(image, "zyxc")
    for axes in map("".join, itertools.permutations("zyxc")):
        array = np.transpose(image, ["zyxc".index(a) for a in axes])
        found = two_channels.predict(array, axes)
        back = [axes.replace("c", "").index(a) for a in "zyx"]
        assert np.array_equal(np.transpose(found, [*back, 3]), expected), axes


def test_time_steps_are_independent(image: np.ndarray, two_channels: PixelClassifier) -> None:
    steps = np.stack([image, image[::-1]])
    found = two_channels.predict(steps, "tzyxc")
    assert found.shape == (2, 18, 24, 31, 2)
    for step, array in zip(found, steps):
        assert np.array_equal(step, two_channels.predict(array, "zyxc"))


@pytest.mark.parametrize("axes", ["yx", "yxc", "tyx", "xy", "zyx"])
def test_flat_images_are_filtered_in_two_dimensions(axes: str) -> None:
    rng = np.random.default_rng(2)
    array = rng.random([{"t": 3, "c": 2, "z": 1}.get(a, 40) for a in axes]).astype(np.float32)
    classifier = classifier_for(MIXED, array, axes)
    assert classifier.forest.n_features == 5 * (array.shape[axes.index("c")] if "c" in axes else 1)
    found = classifier.predict(array, axes)
    assert found.shape[-1] == 2 and set(np.unique(found.sum(axis=-1))) == {1.0}
    assert all(name.startswith(("Gaussian", "Hessian", "Structure")) for name in classifier.feature_names(flat=True))


def test_planes_that_are_filtered_in_two_dimensions_are_independent() -> None:
    stack = np.random.default_rng(3).integers(0, 255, (6, 30, 30)).astype(np.uint8)
    flat = selection(("GaussianSmoothing", 1.0), ("HessianOfGaussianEigenvalues", 1.0), flat=(True,))
    classifier = classifier_for(flat, stack, "zyx")
    whole = classifier.predict(stack, "zyx")
    assert np.array_equal(whole[4], classifier.predict(stack[4], "yx"))


@pytest.mark.parametrize("dtype", ["uint8", "int16", ">u2", "int64", "float32", "float64", "bool"])
def test_types_are_taken_as_they_are(dtype: str) -> None:
    array = np.random.default_rng(4).integers(0, 2 if dtype == "bool" else 100, (18, 20, 20)).astype(dtype)
    classifier = classifier_for(MIXED, array, "zyx")
    assert np.array_equal(classifier.predict(array), classifier.predict(array.astype(np.float32)))


@pytest.mark.parametrize("name", ["out.h5", "out.ome.zarr", "out.npy"])
@pytest.mark.parametrize("workers", [1, 2])
def test_volumes_equal_arrays(
    tmp_path: Path, image: np.ndarray, two_channels: PixelClassifier, name: str, workers: int
) -> None:
    with create_volume(tmp_path / "image.h5", image.shape, image.dtype, "zyxc", voxel_size=(5, 2, 2)) as volume:
        volume[:] = image
    expected = two_channels.predict(image, "zyxc")
    for number, block in enumerate([(7, 9, 11), (18, 24, 31), None]):
        out = tmp_path / str(number) / name
        two_channels.predict_volume(tmp_path / "image.h5", out, workers=workers, block_shape=block)
        with open_volume(out) as found:
            assert np.array_equal(found.read(), expected)
            if name != "out.npy":
                assert found.voxel_size == (5, 2, 2) and found.axes == "zyxc"


def test_output_axes_are_those_of_the_image(tmp_path: Path, two_channels: PixelClassifier, image: np.ndarray) -> None:
    with create_volume(tmp_path / "image.h5", (2, 31, 24, 18), image.dtype, "cxyz") as volume:
        volume[:] = image.transpose(3, 2, 1, 0)
    two_channels.predict_volume(tmp_path / "image.h5", tmp_path / "out.h5")
    with open_volume(tmp_path / "out.h5") as found:
        assert found.axes == "cxyz"
        assert np.array_equal(found.read().transpose(3, 2, 1, 0), two_channels.predict(image, "zyxc"))


def test_labels_that_were_never_annotated_have_probability_zero() -> None:
    array = np.random.default_rng(5).random((18, 20, 20)).astype(np.float32)
    forest = classifier_for(MIXED, array, "zyx").forest
    (trees,) = forest.forests()
    gap = RandomForest.from_trees([trees], forest.n_features, (2, 4), 5)
    found = PixelClassifier(MIXED, gap, list("abcde")).predict(array)
    assert np.array_equal(found[..., [1, 3]], PixelClassifier(MIXED, forest, ["a", "b"]).predict(array))
    assert not found[..., [0, 2, 4]].any()


def test_forest_and_image_that_do_not_fit(image: np.ndarray, two_channels: PixelClassifier) -> None:
    with pytest.raises(ShapeError, match="2 channel") as error:
        two_channels.predict(image[..., 0], "zyx")
    assert "7 features" in str(error.value) and "14" in str(error.value)
    with pytest.raises(ShapeError):
        PixelClassifier(MIXED, two_channels.forest, ["one"])
    with pytest.raises(LabelError):
        two_channels.predict_volume("no.h5", "out.h5", labels=[3])


def test_infinity_is_refused(two_channels: PixelClassifier, image: np.ndarray) -> None:
    bad = image.astype(np.float32)
    bad[2, 3, 4, 1] = np.inf
    with pytest.raises(ImageValueError, match="z=2, y=3, x=4"):
        two_channels.predict(bad, "zyxc")


def test_features_are_named_and_in_order(two_channels: PixelClassifier, image: np.ndarray) -> None:
    names = two_channels.feature_names(2)
    assert names[:2] == ("Gaussian Smoothing (σ=0.7) [0]", "Gaussian Smoothing (σ=0.7) [1]")
    found = two_channels.features(image, "zyxc")
    assert found.shape == (*image.shape[:3], len(names)) and found.dtype == np.float32
    eigenvalues = found[..., [i for i, name in enumerate(names) if name.startswith("Hessian")]]
    assert (np.diff(eigenvalues.reshape(*image.shape[:3], 2, 3), axis=-1) <= 0).all()


def test_projects_that_cannot_predict(tmp_path: Path, two_channels: PixelClassifier) -> None:
    lane = NewLane(tmp_path / "gone.h5/data", "zyxc", (18, 24, 31, 2))
    write_project(tmp_path / "untrained.ilp", [lane], MIXED, ["a", "b"])
    with pytest.raises(NoForestError):
        PixelClassifier.from_project(tmp_path / "untrained.ilp")
    write_project(tmp_path / "no_lane.ilp", [], MIXED, ["a", "b"], forest=two_channels.forest, n_rows=10)
    with pytest.raises(NoLaneError):
        PixelClassifier.from_project(IlastikProject.open(tmp_path / "no_lane.ilp"))


def test_a_broken_link_does_not_stop_a_prediction(
    tmp_path: Path, two_channels: PixelClassifier, image: np.ndarray
) -> None:
    lane = NewLane(tmp_path / "gone.h5/data", "zyxc", (18, 24, 31, 2))
    write_project(tmp_path / "p.ilp", [lane], MIXED, ["a", "b"], forest=two_channels.forest, n_rows=10)
    classifier = PixelClassifier.from_project(tmp_path / "p.ilp")
    assert np.array_equal(classifier.predict(image, "zyxc"), two_channels.predict(image, "zyxc"))


def test_real_projects_that_cannot_predict(golden: Path) -> None:
    for name in ("broken_no_classifier", "broken_no_data"):
        with pytest.raises(NoForestError, match="forest"):
            PixelClassifier.from_project(golden / f"projects_only/{name}.ilp")


def test_a_real_embedded_image_predicts_itself(golden: Path) -> None:
    """ilastik 1.1.9: the forest must know the voxels that it was trained on."""
    project = IlastikProject.open(golden / "projects_only/cleared_brain_2016_embedded.ilp")
    with project.lanes[0].open() as volume:
        probabilities = PixelClassifier.from_project(project).predict(volume.read(), volume.axes)
    labels = project.labels(0)
    at = labels.coords[:, ["zyxc".index(a) for a in "zyx"]]
    winners = probabilities[tuple(at.T)].argmax(axis=-1) + 1
    # Trees grown to purity on distinct rows know nearly all of their training voxels.
    assert (winners == labels.values).mean() > 0.99
