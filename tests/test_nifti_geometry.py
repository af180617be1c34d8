"""Where the voxels of NIfTI files lie: nibabel is the second opinion."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from ecc_rf.errors import FormatError
from ecc_rf.volumes import create_volume, open_volume
from ecc_rf.volumes.nifti import write_planes
from ecc_rf.volumes.nifti_geometry import header_bytes, plain_affine, read_geometry

SIZE = (6.0, 1.62, 1.5)


def voxels(shape: tuple[int, ...] = (5, 7, 9)) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(0, 60000, shape).astype(np.uint16)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_as_nibabel_sees_it(tmp_path: Path, name: str) -> None:
    array = voxels()
    with create_volume(tmp_path / name, array.shape, array.dtype, "zyx", voxel_size=SIZE) as volume:
        volume[()] = array
    image = nibabel.load(tmp_path / name)
    np.testing.assert_array_equal(np.asarray(image.dataobj), array.T, strict=True)
    assert nibabel.aff2axcodes(image.affine) == ("L", "P", "S")
    header = image.header
    for affine, code in (header.get_sform(coded=True), header.get_qform(coded=True)):
        assert code == 1
        np.testing.assert_allclose(affine, np.diag([-0.0015, -0.00162, 0.006, 1]), rtol=1e-6)  # float32
    assert header.get_xyzt_units()[0] == "mm" and (image.dataobj.slope, image.dataobj.inter) == (1, 0)
    with open_volume(tmp_path / name) as volume:
        assert volume.voxel_size == SIZE


def test_an_unknown_voxel_size_stays_unknown(tmp_path: Path) -> None:
    with create_volume(tmp_path / "a.nii", (5, 7, 9), "u1", "zyx") as volume:
        volume[()] = np.ones((5, 7, 9), np.uint8)
    assert open_volume(tmp_path / "a.nii").voxel_size is None
    geometry = read_geometry(tmp_path / "a.nii")
    assert geometry.unit is None and geometry.shape == (9, 7, 5)
    np.testing.assert_array_equal(geometry.transforms["sform"], np.diag([-1, -1, 1, 1]))


@pytest.mark.parametrize("compressed", [False, True])
def test_planes_give_the_same_bytes_as_blocks(tmp_path: Path, compressed: bool) -> None:
    array, name = voxels(), "a.nii.gz" if compressed else "a.nii"
    with create_volume(tmp_path / name, array.shape, array.dtype, "zyx", voxel_size=SIZE) as volume:
        volume[3:] = array[3:]
        volume[:3] = array[:3]
    write_planes(
        tmp_path / "b",
        array.shape,
        array.dtype,
        plain_affine(SIZE),
        (array[z : z + 2] for z in range(0, 5, 2)),
        sized=True,
        compressed=compressed,
        name="b",
    )
    assert (tmp_path / "b").read_bytes() == (tmp_path / name).read_bytes()


def test_long_axes_need_nifti_2(tmp_path: Path) -> None:
    shape = (2, 3, 40_000)
    array = voxels(shape)
    with create_volume(tmp_path / "a.nii", shape, array.dtype, "zyx", voxel_size=SIZE) as volume:
        volume[()] = array
    image = nibabel.load(tmp_path / "a.nii")
    assert isinstance(image, nibabel.Nifti2Image)
    np.testing.assert_array_equal(np.asarray(image.dataobj), array.T)
    np.testing.assert_array_equal(open_volume(tmp_path / "a.nii")[1:, :, 39_000:], array[1:, :, 39_000:])


def test_a_compressed_file_is_decompressed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array = voxels((40, 30, 50))
    with create_volume(tmp_path / "a.nii.gz", array.shape, array.dtype, "zyx") as volume:
        volume[()] = array
    rewound = []
    original = gzip._GzipReader._rewind  # type: ignore[attr-defined]

    def counting(reader: Any) -> None:
        rewound.append(reader)
        original(reader)

    with open_volume(tmp_path / "a.nii.gz") as volume:
        monkeypatch.setattr(gzip._GzipReader, "_rewind", counting)  # type: ignore[attr-defined]
        for z in range(40):
            np.testing.assert_array_equal(volume[z : z + 1], array[z : z + 1])
        assert len(rewound) <= 1
        np.testing.assert_array_equal(volume[3:4], array[3:4])
        assert rewound  # what is counted is what happens on the way back


@pytest.mark.parametrize(("unit", "factor"), [("mm", 1.0), ("micron", 1e-3), ("meter", 1e3), ("unknown", 1.0)])
def test_lengths_are_in_mm(tmp_path: Path, unit: str, factor: float) -> None:
    affine = np.array([[0, -2.0, 0, 5], [3, 0, 0, 6], [0, 0, 4, 7], [0, 0, 0, 1]])
    image = nibabel.Nifti1Image(np.zeros((3, 4, 5), np.uint8), affine)
    image.header.set_xyzt_units(unit)
    nibabel.save(image, tmp_path / "a.nii")
    geometry = read_geometry(tmp_path / "a.nii")
    np.testing.assert_allclose(geometry.transforms["sform"][:3], affine[:3] * factor, rtol=1e-6)
    assert geometry.unit == (None if unit == "unknown" else unit)


def test_only_transforms_that_are_meant_count(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.zeros((3, 4, 5), np.uint8), None)
    image.header.set_zooms((2, 3, 4))
    nibabel.save(image, tmp_path / "a.nii")
    assert read_geometry(tmp_path / "a.nii").transforms == {}
    image.set_qform(np.diag([-1.0, -1, 1, 1]), 1)
    nibabel.save(image, tmp_path / "a.nii")
    assert list(read_geometry(tmp_path / "a.nii").transforms) == ["qform"]


def test_what_is_no_nifti(tmp_path: Path) -> None:
    (tmp_path / "a.nii").write_bytes(b"junk" * 200)
    with pytest.raises(FormatError):
        read_geometry(tmp_path / "a.nii")
    with pytest.raises(FormatError, match="write them as uint8"):
        header_bytes((3, 4, 5), np.dtype(bool), np.eye(4), sized=True, name="a.nii")
