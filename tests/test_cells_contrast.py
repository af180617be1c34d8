"""Smoothing, hysteresis and contrast: equal to the whole volume at once, in every block."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from ecc_rf.cells import COLUMNS, CellFinder
from ecc_rf.cells.table import CONTRAST_COLUMNS
from ecc_rf.errors import SettingError
from ecc_rf.normalization import LocalBackground, Window
from ecc_rf.volumes import create_volume, open_volume

VOXEL = (5.0, 1.6, 1.6)
SHAPE = (36, 50, 70)


@pytest.fixture(scope="module")
def volumes() -> tuple[np.ndarray, np.ndarray]:
    """A probability with some large and many small objects, and a raw image that goes with it."""
    rng = np.random.default_rng(11)
    smooth = ndimage.gaussian_filter(rng.standard_normal(SHAPE), (0.8, 2, 2))
    probability = np.clip(0.4 + smooth / smooth.std() * 0.3, 0, 1).astype(np.float32)
    raw = (300 + 200 * probability**3 + rng.gamma(2, 30, SHAPE) + np.linspace(0, 300, SHAPE[2])).astype(np.uint16)
    return probability, raw


def labelled(foreground: np.ndarray) -> list[tuple[np.ndarray, ...]]:
    """Voxels of each object, in the order of first voxels."""
    labels, count = ndimage.label(foreground)
    objects = [np.nonzero(labels == n) for n in range(1, count + 1)]
    return sorted(objects, key=lambda voxels: np.ravel_multi_index(voxels, SHAPE)[0])


@pytest.mark.parametrize("sigma", [1.62, 4.0])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_smoothing_equals_scipy_on_the_whole(volumes: tuple[np.ndarray, np.ndarray], sigma: float, dtype: str) -> None:
    probability = volumes[0] if dtype == "float32" else np.rint(volumes[0] * 255).astype(np.uint8)
    share = probability if dtype == "float32" else probability.astype(np.float32) / np.float32(255)
    smoothed = ndimage.gaussian_filter(share, [sigma / size for size in VOXEL], truncate=4)
    # no voxel so near the threshold that the last bits of float32 decide
    threshold = 0.6
    assert np.abs(smoothed - threshold).min() > 1e-7
    expected = [v for v in labelled(smoothed > threshold) if v[0].size > 5]
    cells = CellFinder(threshold=threshold, min_volume=5, smoothing_um=sigma).find(probability, voxel_size=VOXEL)
    assert cells["voxels"].tolist() == [v[0].size for v in expected]
    np.testing.assert_allclose(cells["peak_probability"], [smoothed[v].max() for v in expected], atol=1e-6)
    np.testing.assert_allclose(cells["z"], [v[0].mean() for v in expected], atol=1e-9)


def test_a_mask_is_no_probability_even_for_its_neighbours() -> None:
    probability = np.full((9, 20, 20), 0.9, np.float32)
    mask = np.zeros(probability.shape, np.uint8)
    probability[:, :, 12:], mask[:, :, 12:] = np.nan, 1
    expected = ndimage.gaussian_filter(np.where(mask, 0, probability), [2 / size for size in VOXEL]) > 0.6
    finder = CellFinder(threshold=0.6, smoothing_um=2.0)
    cells = finder.find(probability, mask=mask, voxel_size=VOXEL, block_shape=(4, 5, 6))
    assert cells["voxels"].tolist() == [int((expected & (mask == 0)).sum())]


def test_hysteresis_keeps_what_has_a_strong_voxel(volumes: tuple[np.ndarray, np.ndarray]) -> None:
    probability, _ = volumes
    expected = [v for v in labelled(probability > 0.6) if v[0].size > 2 and probability[v].max() > np.float32(0.95)]
    finder = CellFinder(threshold=0.95, low_threshold=0.6)
    for block in (SHAPE, (7, 11, 13)):
        cells = finder.find(probability, voxel_size=VOXEL, block_shape=block)
        assert cells["voxels"].tolist() == [v[0].size for v in expected]
    assert 0 < len(expected) < len(CellFinder(threshold=0.6).find(probability, voxel_size=VOXEL))


def test_contrast_is_as_defined(volumes: tuple[np.ndarray, np.ndarray]) -> None:
    probability, raw = volumes
    background = LocalBackground(lambda box: raw[box], SHAPE, Window.of(40.0, VOXEL), spread=True)
    median, spread = background.fields(tuple(slice(0, n) for n in SHAPE)).astype(float)
    voxelwise = (raw - median) / np.maximum(spread, 0.01 * median + 10)
    objects = [v for v in labelled(probability > 0.7) if v[0].size > 2]
    cells = CellFinder(contrast=True, background_window_um=40.0).find(probability, raw, voxel_size=VOXEL)
    assert list(cells.columns) == [*COLUMNS, *CONTRAST_COLUMNS]
    # summed in units of 2**-20
    np.testing.assert_allclose(cells["contrast"], [voxelwise[v].mean() for v in objects], atol=1e-6)
    centre = tuple(np.rint([[axis.mean() for axis in v] for v in objects]).astype(int).T)
    means = np.array([raw[v].mean() for v in objects])
    np.testing.assert_allclose(cells["ratio"], means / median[centre], rtol=1e-12)
    np.testing.assert_allclose(cells["extent_z_um"], [(np.ptp(v[0]) + 1) * 5.0 for v in objects])


def test_surroundings_equal_the_slow_reference(volumes: tuple[np.ndarray, np.ndarray]) -> None:
    probability, raw = volumes
    cells = CellFinder(contrast=True, background_window_um=40.0).find(probability, raw, voxel_size=VOXEL)
    background = LocalBackground(lambda box: raw[box], SHAPE, Window.of(40.0, VOXEL), spread=True)
    median, spread = background.fields(tuple(slice(0, n) for n in SHAPE)).astype(float)
    spread = np.maximum(spread, 0.01 * median + 10)
    grid = np.indices(SHAPE).transpose(1, 2, 3, 0)
    for _, cell in cells.iloc[:: max(1, len(cells) // 25)].iterrows():
        voxel = np.rint([cell.z, cell.y, cell.x]).astype(int)
        offset = (grid - voxel) * VOXEL
        distance = np.sqrt((offset**2).sum(axis=-1))
        radius = min((3 / (4 * np.pi) * cell.vol) ** (1 / 3), 12.0)
        shell = (distance >= radius + 1.5) & (distance <= radius + 6)
        values = raw[shell & (probability <= np.float32(0.7))].astype(float)
        if values.size < 8:
            values = raw[shell].astype(float)
        values.sort()
        middle = values[(values.size - 1) // 2]
        ring = 1.4826 * np.sort(np.abs(values - middle))[(values.size - 1) // 2]
        ring = max(ring, 0.01 * middle + 10)
        mean = raw[labels_of(probability, cell)].mean()
        assert cell.ring_contrast == pytest.approx((mean - middle) / ring, rel=1e-9)
        assert cell.ring_relative == pytest.approx((mean - middle) / middle, rel=1e-9)
        near = (np.abs(offset[..., 0]) <= 1.5) & (np.abs(offset[..., 1:]) <= 1.6 + 1e-9).all(axis=-1)
        assert cell.ring_peak == pytest.approx((raw[near].max() - middle) / ring, rel=1e-9)
        for name, sigma in (("dog_fine", 2.0), ("dog_coarse", 4.0)):
            means = []
            within = (np.abs(offset) <= 3 * 1.6 * sigma).all(axis=-1)
            for one in (sigma, 1.6 * sigma):
                weight = np.exp(-0.5 * (distance / one) ** 2) * within
                means.append((weight * raw).sum() / weight.sum())
            assert cell[name] == pytest.approx((means[0] - means[1]) / spread[tuple(voxel)], rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "uint8", "uint16"])
def test_local_probability_is_the_mean_around(volumes: tuple[np.ndarray, np.ndarray], dtype: str) -> None:
    probability, raw = volumes
    most = 1 if dtype == "float32" else np.iinfo(dtype).max
    stored = (probability * most if dtype == "float32" else np.rint(probability * most)).astype(dtype)
    mask = np.zeros(SHAPE, np.uint8)
    mask[:, :10] = 1
    size = (9.0, 3.7, 4.4)  # the cube is smaller than the volume
    finder = CellFinder(contrast=True, smoothing_um=1.0)
    cells = finder.find(stored, raw, mask=mask, voxel_size=size, block_shape=(7, 11, 13))
    counted = np.where(mask, 0, stored).astype(np.float64) / most
    reach = [4, 10, 9]  # 75 / 2 / size
    assert any(2 * r + 1 < n for r, n in zip(reach, SHAPE)) and len(cells) > 5
    for cell in cells.itertuples():
        voxel = np.rint([cell.z, cell.y, cell.x]).astype(int)
        box = tuple(slice(max(0, v - r), v + r + 1) for v, r in zip(voxel, reach))
        # floats are summed in units of 2**-32
        assert cell.local_probability == pytest.approx(counted[box].mean(), rel=1e-9 if most > 1 else 1e-8)


def labels_of(probability: np.ndarray, cell: pd.Series) -> np.ndarray:
    labels, count = ndimage.label(probability > np.float32(0.7))
    for number in range(1, count + 1):
        inside = labels == number
        if inside.sum() == cell.voxels and np.allclose(np.argwhere(inside).mean(axis=0), [cell.z, cell.y, cell.x]):
            return np.asarray(inside)
    raise AssertionError("no such object")


@pytest.mark.parametrize("raw_type", ["uint16", "float32"])
def test_same_bytes_in_all_blocks(tmp_path: Path, volumes: tuple[np.ndarray, np.ndarray], raw_type: str) -> None:
    probability, raw = volumes
    for name, array in (("p", np.rint(probability * 255).astype(np.uint8)), ("r", (raw * 1.1).astype(raw_type))):
        with create_volume(tmp_path / f"{name}.h5", SHAPE, array.dtype, "zyx", chunks=(9, 16, 17)) as volume:
            volume[:] = array
    finder = CellFinder(
        threshold=0.55,
        low_threshold=0.5,
        smoothing_um=1.6,
        min_contrast=1.0,
        background_window_um=40.0,
        max_volume=60,
        min_volume=5,
    )
    results = []
    for number, (block, workers) in enumerate([(SHAPE, 1), ((8, 8, 8), 2), ((5, 50, 13), 3), ((64, 64, 64), 1)]):
        objects = tmp_path / f"objects{number}.h5"
        with open_volume(tmp_path / "p.h5") as p, open_volume(tmp_path / "r.h5") as r:
            cells = finder.find(p, r, voxel_size=VOXEL, block_shape=block, workers=workers)
            drawn = finder.find(p, r, voxel_size=VOXEL, block_shape=block, workers=workers, objects=objects)
        with open_volume(objects) as volume:
            labels = volume.read()
        assert np.bincount(labels.ravel())[1:].tolist() == drawn["voxels"].tolist()
        results.append((cells.to_csv(), drawn.to_csv(), labels.tobytes()))
    assert len(set(results)) == 1 and results[0][0] == results[0][1]
    cells = finder.find(tmp_path / "p.h5", tmp_path / "r.h5", voxel_size=VOXEL)
    assert (cells["contrast"] >= 1.0).all() and (cells["pieces"] > 1).any() and len(cells) > 20
    assert cells["label"].tolist() == list(range(1, len(cells) + 1))
    all_cells = replace(finder, min_contrast=None, contrast=True).find(
        tmp_path / "p.h5", tmp_path / "r.h5", voxel_size=VOXEL
    )
    assert int((all_cells["contrast"] >= 1.0).sum()) == len(cells) < len(all_cells)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"smoothing_um": -1.0}, "smoothing_um"),
        ({"low_threshold": 0.8}, "low_threshold"),
        ({"min_contrast": float("nan")}, "min_contrast"),
        ({"background_window_um": 0.0}, "background_window_um"),
        ({"object_cut": 2.0}, "object_cut"),
    ],
)
def test_settings_out_of_range(settings: dict[str, float], name: str) -> None:
    with pytest.raises(SettingError, match=name):
        CellFinder(**settings)  # type: ignore[arg-type]


def test_contrast_needs_the_raw_volume() -> None:
    with pytest.raises(SettingError, match="raw volume"):
        CellFinder(min_contrast=2.0).find(np.zeros((5, 6, 7), np.float32), voxel_size=VOXEL)
