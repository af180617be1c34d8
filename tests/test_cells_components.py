"""Components are those of the whole volume, whatever the blocks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from ecc_rf.blocks import Grid
from ecc_rf.cells import CellFinder
from ecc_rf.cells.labelling import label_block
from ecc_rf.cells.seams import Layers, Seams
from tests.reference_cells import reference_cells, structure

VOXEL = (3.0, 1.0, 2.0)


@st.composite
def masks(draw: st.DrawFn, largest: int = 14) -> np.ndarray:
    """Noise from sparse to dense, and smoothed noise whose objects wind through the whole volume."""
    shape = draw(st.tuples(*[st.integers(1, largest)] * 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    noise = rng.random(shape)
    if draw(st.booleans()):
        noise = ndimage.gaussian_filter(noise, 1.0)
    return noise > np.quantile(noise, draw(st.floats(0.05, 0.95)))


@given(masks(), st.sampled_from([6, 18, 26]))
@settings(max_examples=150, deadline=None)
def test_labels_of_a_block_are_scipys(mask: np.ndarray, connectivity: int) -> None:
    positions, labels, count = label_block(mask, connectivity)
    expected, expected_count = ndimage.label(mask, structure(connectivity))
    assert count == expected_count
    np.testing.assert_array_equal(positions, np.flatnonzero(mask))
    expected = expected[mask]
    # the same partition: each of our labels meets one of scipy's, and the first voxels number ours
    assert len(np.unique(np.stack([labels, expected]), axis=1).T) == count
    _, first = np.unique(labels, return_index=True)
    assert (np.diff(first) > 0).all()


def values_on(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(mask.size)
    probability = np.where(mask, rng.integers(179, 256, mask.shape), rng.integers(0, 179, mask.shape))
    return probability.astype(np.uint8), rng.integers(0, 65536, mask.shape).astype(np.uint16)


@given(
    masks(),
    st.sampled_from([6, 18, 26]),
    st.tuples(*[st.integers(1, 9)] * 3),
    st.sampled_from([1, 2]),
    st.sampled_from(["mean", "max", "local"]),
    st.integers(0, 3),
)
@settings(max_examples=60, deadline=None)
@pytest.mark.filterwarnings("ignore:No cell was found")
def test_the_table_is_that_of_the_whole_volume(
    mask: np.ndarray, connectivity: int, block: tuple[int, int, int], workers: int, mode: str, min_volume: int
) -> None:
    probability, raw = values_on(mask)
    finder = CellFinder(connectivity=connectivity, intensity=mode, min_volume=min_volume)
    whole = finder.find(probability, raw, voxel_size=VOXEL, block_shape=mask.shape)
    cut = finder.find(probability, raw, voxel_size=VOXEL, block_shape=block, workers=workers)
    assert cut.to_csv() == whole.to_csv()

    expected = reference_cells(
        mask, probability / 255, raw, voxel_size=VOXEL, mode=mode, connectivity=connectivity, min_volume=min_volume
    )
    assert whole["label"].tolist() == list(range(1, len(expected) + 1))
    for column in expected:
        if column == "touches_border":
            continue  # the reference does not know of axes of one voxel
        # X, Y, Z may be a hundred-millionth of a voxel from the centre where it lies between two voxels
        tolerance = {"atol": 4e-8, "rtol": 0} if column in "XYZ" else {"rtol": 1e-12}
        np.testing.assert_allclose(
            whole[column].to_numpy(float), expected[column].to_numpy(float), err_msg=column, **tolerance
        )


def test_an_object_through_every_block() -> None:
    """A solid volume and a spiral: one object each, whatever the cuts."""
    solid = np.full((9, 10, 11), 255, np.uint8)
    spiral = np.zeros((4, 40, 40), np.uint8)
    spiral[0, ::2] = 255
    spiral[0, 1::4, -1] = 255
    spiral[0, 3::4, 0] = 255
    for volume, block in ((solid, (2, 3, 4)), (spiral, (3, 7, 7))):
        cells = CellFinder().find(volume, voxel_size=VOXEL, block_shape=block, workers=2)
        assert cells["voxels"].tolist() == [np.count_nonzero(volume)]


def test_neighbouring_blocks_on_a_diagonal() -> None:
    probability = np.zeros((4, 4, 4), np.float32)
    probability[:2, :2, :2] = probability[2:, 2:, 2:] = 1  # touch by a corner
    for connectivity, count in ((6, 2), (18, 2), (26, 1)):
        cells = CellFinder(connectivity=connectivity).find(probability, voxel_size=VOXEL, block_shape=(2, 2, 2))
        assert len(cells) == count
    probability[2:, 2:, 2:] = 0
    probability[:2, 2:, 2:] = 1  # touch by an edge
    for connectivity, count in ((6, 2), (18, 1), (26, 1)):
        cells = CellFinder(connectivity=connectivity).find(probability, voxel_size=VOXEL, block_shape=(2, 2, 2))
        assert len(cells) == count


def test_layers_are_forgotten_when_all_neighbours_came() -> None:
    """The memory of the seams is that of the blocks still waiting for a neighbour."""
    grid = Grid((8, 4, 4), (2, 4, 4))
    seams = Seams(grid, 6)
    nothing = Layers(np.empty(0, np.int64), np.empty(0, np.int32))
    waiting = []
    for index in range(4):
        seams.add(index, nothing)
        waiting.append(len(seams._waiting))
    assert waiting == [1, 1, 1, 0]
    assert seams.pairs().shape == (0, 4)


def test_float_volumes_do_not_depend_on_blocks_either() -> None:
    """Sums of floats are exact, so their order does not matter."""
    rng = np.random.default_rng(4)
    probability = ndimage.gaussian_filter(rng.random((20, 21, 22)), 1.5).astype(np.float32)
    probability = (probability - probability.min()) / np.float32(np.ptp(probability))
    raw = (rng.standard_normal(probability.shape) * 10.0 ** rng.integers(-20, 20, probability.shape)).astype("f4")
    finder = CellFinder(threshold=0.55, intensity="mean")
    tables = [
        finder.find(probability, raw, voxel_size=VOXEL, block_shape=block, workers=workers).to_csv()
        for block, workers in [((20, 21, 22), 1), ((5, 5, 5), 2), ((7, 21, 3), 1)]
    ]
    assert tables[0] == tables[1] == tables[2]
    whole = finder.find(probability, raw, voxel_size=VOXEL)
    expected = reference_cells(probability > np.float32(0.55), probability, raw, voxel_size=VOXEL, mode="mean")
    pd.testing.assert_series_equal(whole["voxels"], expected["voxels"])
    # the reference sums raw values of 40 orders of magnitude in float64; probabilities are summed to 2**-33
    np.testing.assert_allclose(whole["mean_probability"], expected["mean_probability"], rtol=0, atol=2**-32)
    np.testing.assert_allclose(whole["deltaI"], expected["deltaI"], rtol=1e-9)
