"""Settings, what counts as a cell's voxel, and what is refused."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from ecc_rf.blocks import Grid
from ecc_rf.cells import COLUMNS, CellFinder, filter_cells
from ecc_rf.cells.cache import BrickCache
from ecc_rf.cells.inputs import Channel
from ecc_rf.cells.measure import measure_cubes
from ecc_rf.cells.passes import Resources
from ecc_rf.errors import (
    AxesError,
    EccError,
    FormatError,
    ImageValueError,
    LabelError,
    MemoryBudgetError,
    MissingFileError,
    SettingError,
    ShapeError,
)
from ecc_rf.volumes import create_volume
from ecc_rf.volumes.array import ArrayVolume

VOXEL = (6.0, 1.5, 2.0)


def row_of(values: list[float], dtype: str) -> np.ndarray:
    """Each value three times, apart from each other by a voxel of 0."""
    row = np.zeros((1, 1, 4 * len(values)), dtype)
    for i, value in enumerate(values):
        row[..., 4 * i : 4 * i + 3] = value
    return row


@pytest.mark.parametrize(
    ("values", "dtype", "threshold", "kept"),
    [
        ([177, 178, 179, 255], "uint8", 0.7, 2),  # 255 x 0.7 = 178.5
        ([50, 51, 52], "uint8", 0.2, 1),  # 255 x 0.2 = 51: itself is out
        ([45874, 45875], "uint16", 0.7, 1),  # 65535 x 0.7 = 45874.5
        ([0.69, 0.7, np.nextafter(np.float32(0.7), np.float32(1))], "float32", 0.7, 1),
        ([0.7, np.nextafter(0.7, 1)], "float64", 0.7, 1),
        ([0.7, 0.71], "float16", 0.7, 1),
        ([True], "bool", 0.7, 1),
        ([0, 1], "uint8", 0.0, 1),
        ([255], "uint8", 1.0, 0),
    ],
)
@pytest.mark.filterwarnings("ignore:No cell was found")
def test_threshold_in_the_stored_precision(values: list[float], dtype: str, threshold: float, kept: int) -> None:
    cells = CellFinder(threshold=threshold).find(row_of(values, dtype), voxel_size=VOXEL)
    assert len(cells) == kept


def test_a_recorded_range_says_what_integers_mean() -> None:
    values = ArrayVolume("p", row_of([699, 700, 701], "int32"), "zyx", drange=(0, 1000))
    cells = CellFinder().find(values, voxel_size=VOXEL)
    assert cells["peak_probability"].tolist() == [0.701]
    with pytest.raises(ImageValueError, match="0 to 700; there is 0 to 701"):
        CellFinder().find(ArrayVolume("p", row_of([701], "int32"), "zyx", drange=(0, 700)), voxel_size=VOXEL)


def test_channels_and_time() -> None:
    probability = np.zeros((1, 4, 5, 6, 2), np.uint8)
    probability[0, 1:3, 1:3, 1:3, 0] = 200
    probability[0, 1:3, 1:3, 1:4, 1] = 250
    assert CellFinder().find(probability, voxel_size=VOXEL)["voxels"].tolist() == [8]
    assert CellFinder(label=2).find(probability, voxel_size=VOXEL)["voxels"].tolist() == [12]
    assert CellFinder().find(probability[0, ..., :1], voxel_size=VOXEL)["voxels"].tolist() == [8]
    assert CellFinder().find(probability[0, 1, ..., 0], voxel_size=VOXEL)["voxels"].tolist() == [4]
    with pytest.raises(LabelError, match="no channel 3"):
        CellFinder(label=3).find(probability, voxel_size=VOXEL)
    with pytest.raises(AxesError, match="2 time points"):
        CellFinder().find(np.concatenate([probability] * 2), voxel_size=VOXEL)
    with pytest.raises(ShapeError, match="2 channels"):
        CellFinder().find(probability, raw=probability, voxel_size=VOXEL)
    cells = CellFinder(raw_channel=2, background_radius=0).find(probability, raw=probability, voxel_size=VOXEL)
    assert cells["BG"].tolist() == [250]


def test_axes_in_any_order() -> None:
    rng = np.random.default_rng(0)
    array = rng.integers(0, 256, (7, 8, 9)).astype(np.uint8)
    expected = CellFinder().find(array, array, voxel_size=VOXEL, block_shape=(3, 3, 3))
    turned = ArrayVolume("p", array.transpose(2, 0, 1)[:, None], "xczy", voxel_size=VOXEL)
    cells = CellFinder().find(turned, turned, block_shape=(3, 3, 3))
    assert cells.to_csv() == expected.to_csv()


def test_formats_do_not_matter(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    shape = (30, 40, 50)
    probability = rng.random(shape).astype(np.float32)
    raw = rng.integers(0, 5000, shape).astype(np.uint16)
    finder = CellFinder(threshold=0.75, max_volume=10)
    tables = [finder.find(probability, raw, voxel_size=VOXEL).to_csv()]
    for suffix, chunks in ((".h5", (7, 8, 9)), (".ome.zarr", (16, 16, 16)), (".npy", None), (".tif", None)):
        for name, array in (("p", probability), ("r", raw)):
            path = tmp_path / f"{name}{suffix}"
            with create_volume(path, shape, array.dtype, "zyx", chunks=chunks, voxel_size=VOXEL) as volume:
                volume[:] = array
        found = finder.find(tmp_path / f"p{suffix}", tmp_path / f"r{suffix}", voxel_size=VOXEL, workers=2)
        tables.append(found.to_csv())
    assert len(set(tables)) == 1


def test_masked_voxels_are_ignored() -> None:
    probability = np.zeros((3, 4, 12), np.float32)
    probability[1, 1:3, 1:4] = 0.9
    probability[1, 1:3, 6:10] = np.nan  # whatever is masked, even what is no probability
    mask = np.zeros(probability.shape, np.uint8)
    mask[:, :, 5:] = 7
    assert CellFinder().find(probability, voxel_size=VOXEL, mask=mask)["voxels"].tolist() == [6]
    mask[:, :, 3] = 1
    assert CellFinder().find(probability, voxel_size=VOXEL, mask=mask)["voxels"].tolist() == [4]


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"threshold": 1.5}, "threshold"),
        ({"threshold": float("nan")}, "threshold"),
        ({"min_volume": -1}, "min_volume"),
        ({"max_volume": 0}, "max_volume"),
        ({"connectivity": 8}, "connectivity"),
        ({"intensity": "median"}, "intensity"),
        ({"background_percentile": 101}, "background_percentile"),
        ({"background_radius": -1}, "background_radius"),
        ({"signal_radius": -1}, "signal_radius"),
        ({"label": 0}, "label"),
        ({"raw_channel": 0}, "raw_channel"),
    ],
)
def test_settings_outside_their_range(settings: dict, name: str) -> None:
    with pytest.raises(SettingError, match=f"^{name} is "):
        CellFinder(**settings)


GOOD = np.zeros((4, 5, 6), np.float32)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"voxel_size": None}, SettingError, "voxel size is not known"),
        ({"voxel_size": (1, 0, 1)}, SettingError, "three positive lengths"),
        ({"raw": np.zeros((4, 5, 7))}, ShapeError, r"raw volume has the shape \(4, 5, 7\)"),
        ({"mask": np.zeros((4, 5, 7))}, ShapeError, r"mask volume has the shape \(4, 5, 7\)"),
        ({"probability": GOOD + 2}, ImageValueError, r"lie in 0 to 1; there is 2 to 2"),
        ({"probability": GOOD - 1}, ImageValueError, r"there is -1 to -1"),
        ({"probability": np.where(np.arange(6) > 4, np.nan, GOOD)}, ImageValueError, "there is NaN"),
        ({"probability": GOOD.astype(np.int32)}, FormatError, "stored as int32"),
        ({"probability": "absent.h5"}, MissingFileError, "no such file"),
        ({"probability": np.zeros(4)}, AxesError, "1 dimensions"),
        ({"workers": 0}, SettingError, "workers"),
        ({"memory": "1MB"}, MemoryBudgetError, "needs? at least"),
        ({"memory": "much"}, SettingError, "not an amount"),
        ({"block_shape": (4, 0, 4)}, SettingError, "at least 1"),
    ],
)
def test_bad_input_is_refused(arguments: dict, error: type[EccError], message: str) -> None:
    probability = arguments.pop("probability", GOOD)
    with pytest.raises(error, match=message):
        CellFinder().find(probability, **{"voxel_size": VOXEL, **arguments})


def test_raw_values_that_cannot_be_measured() -> None:
    probability = np.ones((3, 3, 3), np.float32)
    raw = np.full((3, 3, 3), np.nan)
    for mode in ("mean", "max"):
        with pytest.raises(ImageValueError, match="NaN or infinite"):
            CellFinder(intensity=mode).find(probability, raw, voxel_size=VOXEL)


def test_no_cell_gives_an_empty_table_and_a_warning() -> None:
    with pytest.warns(UserWarning, match=r"No cell was found: no object of more than 2 voxels.*above 0.7"):
        cells = CellFinder().find(GOOD, GOOD, voxel_size=VOXEL)
    assert len(cells) == 0
    assert tuple(cells.columns) == COLUMNS
    assert len(filter_cells(cells, min_sbr=2)) == 0


def test_an_image_in_place_of_the_probability_is_suspected() -> None:
    with pytest.warns(UserWarning, match="an image must be classified first"):
        CellFinder().find(np.full((3, 4, 5), 900, np.uint16), voxel_size=VOXEL)


def test_without_raw_the_intensities_are_missing() -> None:
    cells = CellFinder().find(np.ones((3, 4, 5), np.uint8) * 255, voxel_size=VOXEL)
    assert cells[["deltaI", "BG", "deltaI_total", "sbr"]].isna().all(axis=None)
    with pytest.raises(SettingError, match="no values in the column sbr"):
        filter_cells(cells, min_sbr=1)


def test_voxel_size_comes_from_the_volumes() -> None:
    p = np.ones((3, 4, 5), np.float32)
    with_size = ArrayVolume("p", p, "zyx", voxel_size=VOXEL)
    for arguments in ({"probability": with_size}, {"probability": p, "raw": with_size}):
        cells = CellFinder().find(**arguments)
        # y is halfway between voxels 1 and 2: moved a hundred-millionth of a voxel towards 2
        np.testing.assert_allclose(cells[["Z", "Y", "X"]], [[6.0, 1.5 * 1.50000001, 4.0]], rtol=1e-12)
    assert CellFinder().find(with_size, voxel_size=(1, 1, 1))["vol"].tolist() == [60.0]


def test_filters_keep_labels() -> None:
    rng = np.random.default_rng(1)
    probability = rng.random((12, 12, 12)).astype(np.float32)
    raw = rng.integers(0, 1000, probability.shape).astype(np.uint16)
    cells = CellFinder(threshold=0.6).find(probability, raw, voxel_size=VOXEL)
    for argument, column in (("min_sbr", "sbr"), ("min_intensity", "deltaI"), ("min_diameter_um", "diameter_um")):
        limit = float(cells[column].sort_values().iloc[len(cells) // 2])
        kept = filter_cells(cells, **{argument: limit})
        assert 0 < len(kept) < len(cells)
        assert kept["label"].tolist() == cells.loc[cells[column] >= limit, "label"].tolist()
    with pytest.raises(SettingError, match="must be a number"):
        filter_cells(cells, min_sbr=float("nan"))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32", "float64"])
@pytest.mark.parametrize("percentile", [0, 5, 37.3, 50, 100])
def test_cubes_are_numpys(dtype: str, percentile: float) -> None:
    """Percentile, mean and maximum of clipped cubes, bit for bit for integers."""
    rng = np.random.default_rng(2)
    raw = (rng.random((9, 30, 11)) * 250).astype(dtype)
    voxels = np.stack([rng.integers(0, n, 40) for n in raw.shape], axis=1)
    channel = Channel(raw, "raw")
    background, mean, maximum = measure_cubes(
        channel,
        np.arange(40),
        voxels,
        Resources(Grid(raw.shape, (4, 7, 11)), BrickCache(0), workers=2),
        background_radius=4,
        percentile=percentile,
        signal_radius=1,
    )
    as_float = raw.astype(np.float32).astype(float)
    for i, voxel in enumerate(voxels):
        large, small = (as_float[tuple(slice(max(v - r, 0), v + r + 1) for v in voxel)] for r in (4, 1))
        assert background[i] == np.percentile(large, percentile)
        assert maximum[i] == small.max()
        assert mean[i] == pytest.approx(small.mean(), rel=1e-14)  # numpy sums in another order


def test_bricks_are_read_once_and_forgotten(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    array = rng.integers(0, 1000, (50, 70, 90)).astype(np.uint16)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("data", data=array, chunks=(16, 16, 16))
    reads = []

    class Counting(Channel):
        def __getitem__(self, box: tuple[slice, ...]) -> np.ndarray:
            reads.append(box)
            return super().__getitem__(box)

    channel = Counting(tmp_path / "a.h5", "raw")
    for budget, again in ((10**9, 0), (0, 1)):
        cache = BrickCache(budget)
        for box in ((slice(3, 40), slice(0, 70), slice(10, 85)), (slice(7, 8), slice(5, 6), slice(20, 21))):
            np.testing.assert_array_equal(cache.read(channel, box), array[box])
        reads.clear()
        cache.read(channel, (slice(7, 8), slice(50, 51), slice(80, 81)))
        assert len(reads) == again
    channel.close()
