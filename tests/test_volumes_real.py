"""Images that other programs wrote."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from ecc_rf.errors import FormatError
from ecc_rf.volumes import AxisView, open_volume


def test_images_of_the_reference_projects(golden: Path) -> None:
    """ilastik's probabilities have the extents of the image, whatever the axes of both."""
    cases = sorted(golden.glob("*/case.json"))
    assert len(cases) >= 8
    for case in cases:
        described = json.loads(case.read_text())
        expected = dict(zip(described["probabilities_axes"], described["probabilities_shape"]))
        with open_volume(case.parent / described["image"] / (described["dataset"] or "")) as volume:
            t, z, y, x, _ = AxisView(volume).shape
            assert [t, z, y, x] == [expected.get(axis, 1) for axis in "tzyx"], case
            assert volume.read().std() > 0


def test_png(golden: Path) -> None:
    with open_volume(golden / "flat_1channel" / "image.png") as volume:
        assert (volume.axes, volume.shape[2]) == ("yxc", 1)
        assert volume.read().std() > 0


def test_npy(golden: Path) -> None:
    with open_volume(golden / "volume_2d3d_mix" / "Data_3D.npy") as volume:
        assert volume.axes == "zyxc"
        stored = np.load(golden / "volume_2d3d_mix" / "Data_3D.npy", allow_pickle=False)
        np.testing.assert_array_equal(volume[3:9, 4:], stored[3:9, 4:])


@pytest.mark.parametrize(
    ("name", "dtype", "channels", "drange"),
    [("u8", "u1", 3, (0, 255)), ("u16", "u2", 3, (0, 65535)), ("seg", "u1", 1, (0, 1)), ("uncert", "f4", 1, (0, 1))],
)
def test_exports_of_ilastik(golden: Path, name: str, dtype: str, channels: int, drange: tuple[float, float]) -> None:
    path = golden / "exports" / f"{name}.h5"
    with open_volume(path) as volume:
        assert volume.name == f"{path}/exported_data"
        assert (volume.axes, volume.dtype, volume.drange) == ("zyxc", np.dtype(dtype), drange)
        assert (volume.shape, volume.voxel_size) == ((96, 128, 112, channels), None)
        with h5py.File(path) as file:
            np.testing.assert_array_equal(volume[:, 5:9], file["exported_data"][:, 5:9])


def test_image_inside_a_project(golden: Path) -> None:
    project = golden / "projects_only" / "cleared_brain_2016_embedded.ilp"
    with h5py.File(project) as file:
        (name,) = file["Input Data/local_data"]
        stored = file["Input Data/local_data"][name][()]
    with open_volume(project / "Input Data" / "local_data" / name) as volume:
        np.testing.assert_array_equal(volume.read(), stored)
        assert len(volume.axes) == stored.ndim
    with pytest.raises(FormatError, match="name one of them"):
        open_volume(project)


def test_tiff(shared: Path) -> None:
    with open_volume(shared / "data" / "mouse_brain_crop" / "signal.tif") as volume:
        assert (volume.axes, volume.shape, volume.dtype) == ("zyx", (30, 510, 667), np.dtype("u2"))
        np.testing.assert_array_equal(volume[10:12, 100:300, 50:60], volume.read()[10:12, 100:300, 50:60])


def test_nifti_labels(cfos: Path) -> None:
    """The strokes lie where the annotator meant them: label 1 on the cells of the mask."""
    hits = strokes = 0
    for path in sorted((cfos / "labels").glob("*.nii.gz")):
        name = path.name.removesuffix(".nii.gz")
        with open_volume(path) as labels, open_volume(cfos / "truth" / f"{name}.h5/data") as truth:
            assert (labels.axes, labels.shape, labels.dtype) == ("zyx", (100, 100, 100), np.dtype("u1"))
            cells = labels.read() == 1
            hits += int((cells & (truth.read() > 0)).sum())
            strokes += int(cells.sum())
    assert strokes == 4919
    assert hits > 0.99 * strokes
