"""Objects that are too large for one cell: what the pieces are, and that blocks do not matter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.segmentation import watershed

from ecc_rf.cells import CellFinder
from ecc_rf.cells.basins import basins, coordinates, edge_distance, neighbours, smooth
from ecc_rf.cells.splitting import gaussian_taps
from ecc_rf.errors import FormatError, OutputExistsError, SettingError
from ecc_rf.volumes import open_volume
from tests.reference_cells import reference_cells

VOXEL = (3.0, 1.0, 2.0)
UNIT = np.ones(3)
ALL = np.ones((3, 3, 3), bool)

Sparse = tuple[np.ndarray, np.ndarray, np.ndarray]


def sparse(mask: np.ndarray) -> Sparse:
    index = np.flatnonzero(mask)
    at = coordinates(index, *mask.shape[1:])
    return index, at, neighbours(index, at, *mask.shape[1:])


@st.composite
def bodies(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """A mask of any form and a smooth height without ties."""
    shape = draw(st.tuples(*[st.integers(1, 12)] * 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    mask = rng.random(shape) < draw(st.floats(0.2, 1.0))
    mask[tuple(n // 2 for n in shape)] = True
    height = (
        ndimage.gaussian_filter(rng.random(shape), draw(st.floats(0.0, 1.5)), mode="wrap") + rng.random(shape) / 1e6
    )
    return mask, height


@given(bodies())
@settings(max_examples=40, deadline=None)
def test_neighbours_are_those_of_the_array(body: tuple[np.ndarray, np.ndarray]) -> None:
    mask, _ = body
    index, at, table = sparse(mask)
    np.testing.assert_array_equal(at, np.argwhere(mask))
    place = {tuple(p): i for i, p in enumerate(at.tolist())}
    for i, p in enumerate(at.tolist()):
        expected = {
            place[q] for step in np.argwhere(ALL) - 1 if step.any() and (q := tuple((p + step).tolist())) in place
        }
        assert set(table[i][table[i] >= 0].tolist()) == expected
    assert index.size == table.shape[0]


@given(bodies(), st.floats(0.05, 3.0), st.integers(0, 2))
@settings(max_examples=40, deadline=None)
def test_smoothing_is_scipys_with_zeros_outside(body: tuple[np.ndarray, np.ndarray], sigma: float, axis: int) -> None:
    mask, height = body
    _, at, _ = sparse(mask)
    values = height[mask]
    taps = gaussian_taps(sigma)
    smooth(values, at, taps, axis)
    whole = np.concatenate([taps[:0:-1], taps])
    expected = ndimage.correlate1d(np.where(mask, height, 0), whole, axis, mode="constant")[mask]
    np.testing.assert_allclose(values, expected, rtol=1e-12)


@given(bodies(), st.floats(1.0, 30.0))
@settings(max_examples=60, deadline=None)
def test_distance_to_the_edge_is_scipys(body: tuple[np.ndarray, np.ndarray], largest: float) -> None:
    mask, _ = body
    _, at, _ = sparse(mask)
    distance = edge_distance(at, mask.shape, np.array(VOXEL), largest)
    expected = ndimage.distance_transform_edt(mask, sampling=VOXEL)[mask] if not mask.all() else np.inf
    np.testing.assert_allclose(distance, np.minimum(expected, largest), rtol=1e-12)


@given(bodies())
@settings(max_examples=60, deadline=None)
def test_basins_are_scikit_images(body: tuple[np.ndarray, np.ndarray]) -> None:
    """Every local maximum a basin: the classical watershed from all maxima, voxel for voxel."""
    mask, height = body
    _, at, table = sparse(mask)
    labels, peaks = basins(height[mask], table, at, UNIT, 0.0, 0.0, 0.0)
    inside = np.where(mask, height, -np.inf)
    is_peak = mask & (inside == ndimage.maximum_filter(inside, footprint=ALL, mode="constant", cval=-np.inf))
    np.testing.assert_array_equal(np.sort(peaks), np.flatnonzero(is_peak[mask]))
    markers = np.zeros(mask.shape, int)
    markers[tuple(at[peaks].T)] = np.arange(1, len(peaks) + 1)
    expected = watershed(-height, markers, connectivity=ALL, mask=mask)
    np.testing.assert_array_equal(labels + 1, expected[mask])


def row(*heights: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    mask = np.ones((1, 1, len(heights)), bool)
    _, at, table = sparse(mask)
    return np.array(heights), table, at


@pytest.mark.parametrize(
    ("heights", "distance", "depth", "smallest", "expected"),
    [
        ([1, 5, 1, 9, 1], 0, 0.0, 0, [0, 0, 1, 1, 1]),  # a valley goes to the higher side
        ([5, 5, 5, 5], 0, 0.0, 0, [0, 0, 0, 0]),  # a plateau is one peak
        ([5, 5, 1, 5, 5], 0, 0.0, 0, [0, 0, 0, 1, 1]),  # two plateaus are two
        ([5, 4, 5], 0, 0.19, 0, [0, 0, 1]),  # stands 1/5 of its height above the valley
        ([5, 4, 5], 0, 0.21, 0, [0, 0, 0]),
        ([5, 1, 9], 2.0, 0.0, 0, [0, 1, 1]),  # two apart
        ([5, 1, 9], 2.1, 0.0, 0, [0, 0, 0]),
        ([9, 8, 2, 5, 3, 8, 9], 0, 0.0, 2, [0, 0, 0, 1, 1, 1, 1]),  # the small one goes over its higher pass
    ],
)
def test_peaks_that_are_kept(
    heights: list[float], distance: float, depth: float, smallest: float, expected: list[int]
) -> None:
    height, table, at = row(*heights)
    labels, _ = basins(height, table, at, UNIT, distance, depth, smallest)
    assert labels.tolist() == expected


def spheres(
    seed: int, voxel: tuple[float, float, float], diameter: float, closest: float = 0.75
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Clusters of unequal spheres, at least `closest` diameters apart: probability, raw, centres in µm."""
    rng = np.random.default_rng(seed)
    size = np.array(voxel)
    extent = np.array([80.0, 80.0, 80.0])
    shape = tuple((extent / size).astype(int))
    centres: list[np.ndarray] = []
    while len(centres) < 60:
        step = rng.standard_normal(3)
        near = centres and rng.random() < 0.8
        centre = (
            centres[rng.integers(len(centres))] + step / np.linalg.norm(step) * diameter * rng.uniform(closest, 1)
            if near
            else rng.uniform(diameter, extent - diameter)
        )
        inside = (centre > diameter / 2).all() and (centre < extent - diameter / 2).all()
        if inside and all(np.linalg.norm(centre - other) >= closest * diameter for other in centres):
            centres.append(centre)
    probability, raw = np.zeros(shape), np.zeros(shape)
    for centre in centres:
        start, stop = (np.clip((centre + reach) / size, 0, shape).astype(int) for reach in (-diameter, diameter))
        box = tuple(map(slice, start, stop))
        grid = np.moveaxis(np.mgrid[box], 0, -1) * size
        ratio = np.linalg.norm(grid - centre, axis=-1) / (diameter / 2 * rng.uniform(0.9, 1.1))
        probability[box] = np.maximum(probability[box], ratio <= 1)
        raw[box] = np.maximum(raw[box], rng.uniform(0.5, 1) * np.sqrt(np.clip(1.1 - ratio**2, 0, 1)))
    probability = ndimage.gaussian_filter(probability, 0.04 * diameter / size)
    probability += rng.normal(0, 0.05, shape) * (probability > 0.05)
    raw = ndimage.gaussian_filter(raw, 0.08 * diameter / size) * 3000 + 500 + rng.normal(0, 150, shape)
    return (
        np.clip(probability, 0, 1).astype(np.float32),
        np.clip(raw, 0, 65535).astype(np.uint16),
        np.array(centres),
    )


def f1(found: np.ndarray, truth: np.ndarray, reach: float) -> float:
    """Greedy one-to-one matches within `reach`, the nearest first."""
    near = cKDTree(truth).query_ball_point(found, reach)
    pairs = sorted((np.linalg.norm(found[i] - truth[j]), i, j) for i, js in enumerate(near) for j in js)
    used: tuple[set[int], set[int]] = (set(), set())
    for _, i, j in pairs:
        if i not in used[0] and j not in used[1]:
            used[0].add(i)
            used[1].add(j)
    return 2 * len(used[0]) / (len(found) + len(truth))


def usual_recipe(probability: np.ndarray, voxel: tuple[float, float, float]) -> np.ndarray:
    """Centres by scikit-image on the whole volume: watershed of the smoothed distance to the background."""
    foreground = probability > 0.5
    distance = ndimage.distance_transform_edt(foreground, sampling=voxel)
    distance = ndimage.gaussian_filter(distance, 1 / np.array(voxel))
    at_peak = (distance == ndimage.maximum_filter(distance, footprint=ALL)) & foreground
    markers, _ = ndimage.label(at_peak, ALL)
    labels = watershed(-distance, markers, mask=foreground)
    numbers = np.flatnonzero(np.bincount(labels.ravel()) > 2)[1:]
    return np.array(ndimage.center_of_mass(foreground, labels, numbers)) * voxel


@pytest.mark.parametrize("with_raw", [True, False])
@pytest.mark.parametrize("voxel", [(1.0, 1.0, 1.0), (4.0, 1.0, 1.0)])
def test_touching_spheres_are_told_apart(voxel: tuple[float, float, float], with_raw: bool) -> None:
    diameter = 12.0
    finder = CellFinder(threshold=0.5, max_volume=int(np.pi / 6 * diameter**3 / np.prod(voxel)))
    ours, usual = [], []
    for seed in range(4):
        probability, raw, truth = spheres(seed, voxel, diameter, closest=0.72)
        tables = [
            finder.find(probability, raw if with_raw else None, voxel_size=voxel, block_shape=block)
            for block in (probability.shape, (10, 40, 40))
        ]
        assert tables[0].to_csv() == tables[1].to_csv()
        assert (tables[0]["pieces"] > 1).sum() > 20
        ours.append(f1(tables[0][["Z", "Y", "X"]].to_numpy(), truth, diameter / 2))
        usual.append(f1(usual_recipe(probability, voxel), truth, diameter / 2))
    assert min(ours) >= 0.95
    assert np.mean(ours) >= np.mean(usual)


@st.composite
def blobs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    shape = draw(st.tuples(*[st.integers(1, 16)] * 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    noise = ndimage.gaussian_filter(rng.random(shape), draw(st.floats(0.3, 1.2)))
    rank = noise.ravel().argsort().argsort().reshape(shape) / noise.size
    # few distinct values: plateaus and ties
    return np.rint(rank * 20).astype(np.uint8) * 12, rng.integers(0, 30, shape).astype(np.uint16)


@given(
    blobs(),
    st.sampled_from(["watershed", "maxima", "none"]),
    st.sampled_from(["mean", "max"]),
    st.sampled_from([6, 26]),
    st.tuples(*[st.integers(1, 9)] * 3),
    st.sampled_from([1, 2]),
)
@settings(max_examples=60, deadline=None)
@pytest.mark.filterwarnings("ignore:No cell was found")
def test_pieces_do_not_depend_on_blocks(
    blob: tuple[np.ndarray, np.ndarray],
    method: str,
    mode: str,
    connectivity: int,
    block: tuple[int, int, int],
    workers: int,
) -> None:
    finder = CellFinder(
        threshold=0.4, max_volume=10, split=method, intensity=mode, connectivity=connectivity, cell_diameter_um=6
    )
    whole = finder.find(*blob, voxel_size=VOXEL, block_shape=blob[0].shape)
    cut = finder.find(*blob, voxel_size=VOXEL, block_shape=block, workers=workers)
    assert cut.to_csv() == whole.to_csv()


@pytest.mark.parametrize("suffix", [".h5", ".ome.zarr", ".npy"])
@pytest.mark.parametrize("method", ["watershed", "maxima", "none"])
def test_objects_bear_the_numbers_of_the_table(tmp_path: Path, method: str, suffix: str) -> None:
    """All that the table says of a cell can be measured in the volume of objects."""
    rng = np.random.default_rng(6)
    shape = (70, 80, 90)
    noise = ndimage.gaussian_filter(rng.random(shape), 2.0)
    probability = (noise.ravel().argsort().argsort().reshape(shape) / noise.size).astype(np.float32)
    raw = (noise * 60000).astype(np.uint16)
    finder = CellFinder(threshold=0.9, max_volume=60, split=method, intensity="mean")
    path = tmp_path / f"objects{suffix}"
    cells = finder.find(probability, raw, voxel_size=VOXEL, objects=path, block_shape=(20, 30, 40), workers=2)
    with open_volume(path) as volume:
        assert volume.shape == shape
        assert volume.dtype == np.uint32
        objects = volume.read()
    expected = reference_cells(
        probability > np.float32(0.9), probability, raw, voxel_size=VOXEL, mode="mean", labels=objects.astype(int)
    )
    assert len(expected) == len(cells)
    for column in ("z", "y", "x", "voxels", "deltaI", "BG", "vol", "mean_probability", "z0", "y1", "touches_border"):
        # probabilities are summed to 2**-33; the rest is exact but for the order of the reference's sums
        np.testing.assert_allclose(
            cells[column].to_numpy(float), expected[column].to_numpy(float), rtol=1e-9, err_msg=column
        )
    # what is above the threshold is in a cell, or in an object too small to be one
    outside = (probability > np.float32(0.9)) & (objects == 0)
    sizes = np.bincount(ndimage.label(outside)[0].ravel())[1:]
    assert (sizes <= finder.min_volume).all()
    if method != "none":
        parents = ndimage.label(probability > np.float32(0.9))[0]
        pieces_of_parent = {parent: np.unique(objects[parents == parent]) for parent in np.unique(parents[objects > 0])}
        split = [numbers for numbers in pieces_of_parent.values() if len(numbers) > 1]
        assert len(split) > 10
        for numbers in split:
            assert (cells["pieces"].iloc[numbers[numbers > 0] - 1] == len(numbers)).all()
    again = finder.find(probability, raw, voxel_size=VOXEL, objects=path, overwrite=True, block_shape=shape)
    assert again.to_csv() == cells.to_csv()
    with open_volume(path) as volume:
        np.testing.assert_array_equal(volume.read(), objects)


def test_objects_are_refused_before_the_work_and_removed_after_a_failure(tmp_path: Path) -> None:
    probability = np.ones((4, 4, 4), np.float32)
    path = tmp_path / "objects.h5"
    path.write_text("mine")
    with pytest.raises(OutputExistsError):
        CellFinder().find(probability, voxel_size=VOXEL, objects=path)
    path.unlink()
    with pytest.raises(FormatError):
        CellFinder().find(probability, voxel_size=VOXEL, objects=tmp_path / "objects.ods")
    with pytest.raises(ValueError):
        CellFinder().find(probability * 2, voxel_size=VOXEL, objects=path)
    assert not list(tmp_path.iterdir())


def test_maxima_take_the_nearest_voxels() -> None:
    probability = np.full((1, 1, 20), 0.8, np.float32)
    probability[..., 4] = probability[..., 14] = 0.9
    raw = np.zeros(probability.shape, np.uint16)
    cells = CellFinder(max_volume=10, split="maxima", cell_diameter_um=8).find(probability, raw, voxel_size=(1, 1, 1))
    assert cells["voxels"].tolist() == [10, 10]
    assert cells["pieces"].tolist() == [2, 2]
    # nearer than half a diameter they are one
    cells = CellFinder(max_volume=10, split="maxima", cell_diameter_um=21).find(probability, raw, voxel_size=(1, 1, 1))
    assert cells["voxels"].tolist() == [20]


def test_only_large_objects_are_split() -> None:
    probability, raw, _ = spheres(4, (1.0, 1.0, 1.0), 12.0)
    kwargs = {"threshold": 0.5, "cell_diameter_um": 12.0}
    untouched = CellFinder(**kwargs).find(probability, raw, voxel_size=(1, 1, 1))
    limit = 1500
    split = CellFinder(**kwargs, max_volume=limit).find(probability, raw, voxel_size=(1, 1, 1))
    small = untouched[untouched["voxels"] <= limit].drop(columns="label")
    kept = split[split["pieces"] == 1].drop(columns="label")
    assert kept[kept["voxels"] <= limit].to_csv(index=False) == small.to_csv(index=False)
    assert split["voxels"].sum() == untouched["voxels"].sum()
    assert len(split) > len(untouched)


def test_discs_in_one_plane() -> None:
    """The scale is that of discs, whatever the thickness of the plane is said to be."""
    y, x = np.mgrid[:40, :50]
    discs = (np.hypot(y - 20, x - 16) <= 9) | (np.hypot(y - 20, x - 32) <= 9)
    for thickness in (1.0, 50.0):
        cells = CellFinder(max_volume=260).find(discs.astype(np.float32), voxel_size=(thickness, 1.0, 1.0))
        np.testing.assert_allclose(cells[["y", "x"]], [[20, 16], [20, 32]], atol=0.5)


@pytest.mark.parametrize("constant", [0, 700])
def test_a_raw_image_that_says_nothing(constant: int) -> None:
    """Without contrast the probability decides alone."""
    probability, _, _ = spheres(5, (1.0, 1.0, 1.0), 12.0)
    finder = CellFinder(threshold=0.5, max_volume=900)
    raw = np.full(probability.shape, constant, np.uint16)
    alone = finder.find(probability, voxel_size=(1, 1, 1))
    assert finder.find(probability, raw, voxel_size=(1, 1, 1))["voxels"].tolist() == alone["voxels"].tolist()


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"split": "erosion"}, "split"),
        ({"cell_diameter_um": 0}, "cell_diameter_um"),
        ({"cell_diameter_um": float("inf")}, "cell_diameter_um"),
        ({"max_volume": 2, "min_volume": 2}, "max_volume"),
    ],
)
def test_settings_outside_their_range(settings: dict, name: str) -> None:
    with pytest.raises(SettingError, match=f"^{name} is "):
        CellFinder(**settings)
