"""The normalised image: equal to its definition, the same in every block, and refused where it does not fit."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from ecc_rf.blocks import Grid, run_blocks
from ecc_rf.errors import FormatError, ImageValueError, SettingError
from ecc_rf.ilp.normalization_note import LaneNote, NormalizationNote, read_note, write_note
from ecc_rf.normalization import LocalBackground, Normalization, NormalizedVolume, Window, estimate_scales
from ecc_rf.normalization.settings import check_fit
from ecc_rf.volumes.array import ArrayVolume

VOXEL = (6.0, 1.62, 1.62)
SHAPE = (33, 61, 70)


def brain(shape: tuple[int, ...] = SHAPE, dtype: str = "uint16") -> np.ndarray:
    rng = np.random.default_rng(5)
    return (rng.gamma(3, 200, shape) + np.linspace(200, 900, shape[-1])).astype(dtype)


def slow_background(image: np.ndarray, window: Window) -> tuple[np.ndarray, np.ndarray]:
    """Median and spread at every voxel: each node by itself, then numpy's interpolation axis by axis."""
    pitch = window.pitch
    nodes = [np.arange(0, n - 1 + p, p) for n, p in zip(image.shape, pitch)]
    fields = np.empty((2, *map(len, nodes)))
    for at in np.ndindex(*fields.shape[1:]):
        inside = []
        for n, i, p, every, reach in zip(image.shape, at, pitch, window.every, window.reach):
            samples = np.arange(0, n, every)
            inside.append(samples[np.abs(samples - i * p) <= reach * every])
        values = np.sort(image[np.ix_(*inside)].astype(float), axis=None)
        median = values[(values.size - 1) // 2]
        deviations = np.sort(np.abs(values - median))
        fields[(slice(None), *at)] = median, 1.4826 * deviations[(values.size - 1) // 2]
    for axis, n in enumerate(image.shape, start=1):
        fields = np.apply_along_axis(
            lambda line, a=axis, m=n: np.interp(np.arange(m), nodes[a - 1], line), axis, fields
        )
    return fields[0], fields[1]


@pytest.mark.parametrize("width", [75.0, 40.0, 20.0])
def test_background_is_the_median_of_the_window_between_nodes(width: float) -> None:
    image, window = brain(), Window.of(width, VOXEL)
    background = LocalBackground(lambda box: image[box], SHAPE, window, spread=True)
    whole = tuple(slice(0, n) for n in SHAPE)
    found = background.fields(whole)
    for ours, theirs in zip(found, slow_background(image, window)):
        np.testing.assert_allclose(ours, theirs, rtol=2e-6)  # float32 against float64
    points = np.array([[0, 0, 0], [32, 60, 69], [7, 33, 12]])
    assert np.array_equal(background.at_voxels(points), found[:, points[:, 0], points[:, 1], points[:, 2]])


def test_a_flat_image_and_one_of_one_plane() -> None:
    image = np.full((1, 40, 50), 7, np.uint8)
    volume = NormalizedVolume(ArrayVolume("flat", image, "zyx", voxel_size=VOXEL), Normalization(), (3.5,))
    assert not volume.read().any()


@pytest.mark.parametrize("block", [(33, 61, 70), (8, 8, 8), (5, 61, 13)])
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_same_bytes_in_every_block(
    block: tuple[int, int, int], workers: int, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = brain(dtype=dtype)
    scales = estimate_scales([ArrayVolume("brain", image, "zyx")])

    def volume() -> NormalizedVolume:
        return NormalizedVolume(ArrayVolume("brain", image, "zyx", voxel_size=VOXEL), Normalization(40.0), scales)

    whole = volume().read()
    monkeypatch.setattr("ecc_rf.normalization.background.KEPT_BYTES", 1)  # nodes are forgotten and computed again
    monkeypatch.setattr("ecc_rf.normalization.background._BRICK_VOXELS", (8, 30, 30))
    blockwise = volume()
    result = np.empty(SHAPE, np.float32)
    for one, values in run_blocks(lambda b: blockwise[b.read], Grid(SHAPE, block, (2, 3, 1)), workers=workers):
        result[one.core] = values[one.inner]
    assert result.tobytes() == whole.tobytes()


def test_values_are_as_defined_whatever_the_axes() -> None:
    images = np.stack([brain(), brain() // 3 + 50])
    several = ArrayVolume("two channels", images.transpose(3, 0, 1, 2).copy(), "xczy", voxel_size=VOXEL)
    scales = estimate_scales([several])
    assert scales == tuple(float(np.median(image)) for image in images)
    found = NormalizedVolume(several, Normalization(40.0), scales)[3:20].transpose(1, 2, 3, 0)
    for ours, image, scale in zip(found, images, scales):
        expected = (image - slow_background(image, Window.of(40.0, VOXEL))[0]) / scale
        np.testing.assert_allclose(ours, expected[:, :, 3:20], atol=1e-5)


def test_pieces_of_a_brain_share_its_scale() -> None:
    image = brain()
    parts = [ArrayVolume("a", image[:10], "zyx"), ArrayVolume("b", image[10:], "zyx")]
    assert estimate_scales(parts) == estimate_scales([ArrayVolume("whole", image, "zyx")])
    margin = np.concatenate([np.zeros_like(image), image])  # never imaged
    assert estimate_scales([ArrayVolume("margin", margin, "zyx")]) == estimate_scales(parts)


def test_a_large_volume_is_sampled_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ecc_rf.normalization.scale._MOST_VOXELS", 1000)
    monkeypatch.setattr("ecc_rf.normalization.scale._MOST_BRICKS", 8)
    image = brain((64, 300, 280))
    read = []

    class Counted(ArrayVolume):
        def _read(self, slices: tuple[slice, ...]) -> np.ndarray:
            found = super()._read(slices)
            read.append(found.size)
            return found

    (scale,) = estimate_scales([Counted("large", image, "zyx")])
    assert sum(read) < image.size / 5
    # the gradient along x and the noise leave the median of a few per cent of the voxels within some per cent
    assert abs(scale - np.median(image)) < 0.05 * np.median(image)


def test_what_cannot_be_a_scale() -> None:
    with pytest.raises(ImageValueError, match="median of channel 1 is 0"):
        estimate_scales([ArrayVolume("dark", np.zeros((5, 6, 7), np.uint8), "zyx")])
    with pytest.raises(ImageValueError, match="1 and 2 channels"):
        estimate_scales([ArrayVolume("a", brain(), "zyx"), ArrayVolume("b", np.ones((2, 9, 9, 9)), "czyx")])
    with pytest.raises(SettingError, match="voxel size is not known"):
        NormalizedVolume(ArrayVolume("a", brain(), "zyx"), Normalization(), (1.0,))
    with pytest.raises(SettingError, match="2 scales for 1"):
        NormalizedVolume(ArrayVolume("a", brain(), "zyx", voxel_size=VOXEL), Normalization(), (1.0, 2.0))
    with pytest.raises(SettingError, match="window_um"):
        Normalization(-1)


def noted(path: Path) -> NormalizationNote | None:
    with h5py.File(path, "r") as file:
        return read_note(file)


def test_a_project_keeps_its_normalisation(tmp_path: Path) -> None:
    path = tmp_path / "project.ilp"
    with h5py.File(path, "w") as file:
        file["Input Data/x"] = 1
    assert noted(path) is None
    lanes = {0: LaneNote(True, (3.5,)), 2: LaneNote(False, (1.0, 2.0), "brain", True, (5.0, 2.0, 2.0))}
    note = NormalizationNote(Normalization(60.0), lanes, "digest")
    with h5py.File(path, "a") as file:
        write_note(file, NormalizationNote(Normalization(50.0)))
        write_note(file, note)
    assert noted(path) == note
    for damage in (
        "{",
        '{"version": 2, "window_um": 3}',
        "[1]",
        '{"version": 1, "window_um": 60, "lanes": {"0": {"stored": true, "scales": [0]}}}',
        '{"version": 1, "window_um": 60, "lanes": {"x": {}}}',
        '{"version": 1, "window_um": 60, "lanes": 7}',
    ):
        with h5py.File(path, "a") as file:
            file["ecc_rf/normalization"].attrs["settings"] = damage
        with pytest.raises(FormatError):
            noted(path)
    with h5py.File(path, "a") as file:
        del file["ecc_rf"]
        file["ecc_rf"] = h5py.ExternalLink("elsewhere.h5", "/")
    assert noted(path) is None  # nothing outside is followed


def test_what_does_not_fit_is_refused() -> None:
    trained, stored = Normalization(50.0), Normalization(50.0).as_dict()
    assert check_fit(None, None, False) is None
    assert check_fit(trained, None, True) == trained
    assert check_fit(trained, stored, False) is None
    for arguments, message in (
        ((trained, None, False), "trained on normalised images, this one is not"),
        ((None, None, True), "not normalised, this one is"),
        ((None, stored, False), "not normalised, this one is"),
        ((Normalization(60.0), stored, False), "windows of 50 µm"),
    ):
        with pytest.raises(SettingError, match=message):
            check_fit(*arguments)
        check_fit(*arguments, anyway=True)
    with pytest.raises(SettingError, match="already"):
        check_fit(trained, stored, True, anyway=True)
