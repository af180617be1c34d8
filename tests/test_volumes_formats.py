"""What is special to the formats other than HDF5."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import tifffile
import zarr

from ecc_rf.errors import AxesError, FormatError, MissingFileError
from ecc_rf.volumes import create_volume, open_volume
from ecc_rf.volumes.tiff import TiffVolume

IMAGE = np.arange(4 * 5 * 6, dtype="u2").reshape(4, 5, 6)


class Bomb:
    """Unpickling it would be noticed."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path("exploded").touch, ()


# --- Zarr ---


def image_metadata(path: str, **entries: Any) -> dict[str, Any]:
    return {"axes": [{"name": axis} for axis in "zyx"], "datasets": [{"path": path}], **entries}


def write_zarr(path: Path, arrays: dict[str, Any], attributes: dict[str, dict[str, Any]], **options: Any) -> None:
    zarr.create_group(path, **options)
    for name, entries in attributes.items():
        zarr.create_group(path / name, attributes=entries, overwrite=not name, **options)
    for name, array in arrays.items():
        zarr.open_group(path, mode="a").create_array(name, data=array)


def test_zarr_with_several_images(tmp_path: Path) -> None:
    images = {name: {"ome": {"multiscales": [image_metadata("s")]}} for name in ("0", "1")}
    write_zarr(tmp_path / "a.zarr", {"0/s": IMAGE, "1/s": IMAGE + 1, "plain": IMAGE, "line": np.arange(3)}, images)
    with pytest.raises(FormatError, match="3 images: 0, 1, plain"):
        open_volume(tmp_path / "a.zarr")
    np.testing.assert_array_equal(open_volume(tmp_path / "a.zarr" / "1").read(), IMAGE + 1)
    np.testing.assert_array_equal(open_volume(tmp_path / "a.zarr" / "1" / "s").read(), IMAGE + 1)
    with pytest.raises(MissingFileError, match="did you mean plain"):
        open_volume(tmp_path / "a.zarr" / "plane")


def test_zarr_with_one_image_further_down(tmp_path: Path) -> None:
    """As bioformats2raw writes it."""
    images = {"OME": {}, "0": {"ome": {"multiscales": [image_metadata("0")]}}}
    write_zarr(tmp_path / "a.zarr", {"0/0": IMAGE, "0/1": IMAGE[::2]}, images)
    with open_volume(tmp_path / "a.zarr") as volume:
        assert volume.name.endswith("a.zarr/0")
        np.testing.assert_array_equal(volume.read(), IMAGE)


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        (["z", "y", "x"], "zyx"),
        ([{"name": "T"}, {"name": "Y"}, {"name": "X"}], "tyx"),
        ([{"name": "stain", "type": "channel"}, {"name": "y"}, {"name": "x"}], "cyx"),
        ([{"name": "time", "type": "time"}, {"name": "y"}, {"name": "x"}], "tyx"),
        ([{"name": "depth", "type": "space"}, {"name": "y"}, {"name": "x"}], None),
    ],
)
def test_zarr_axis_names(tmp_path: Path, axes: list[Any], expected: str | None) -> None:
    attributes = {"": {"ome": {"multiscales": [image_metadata("0", axes=axes)]}}}
    write_zarr(tmp_path / "a.zarr", {"0": IMAGE}, attributes)
    if expected is None:
        with pytest.raises(AxesError):
            open_volume(tmp_path / "a.zarr")
    else:
        assert open_volume(tmp_path / "a.zarr").axes == expected
    assert open_volume(tmp_path / "a.zarr", axes="zyx").axes == "zyx"


def test_zarr_without_axes_is_tczyx(tmp_path: Path) -> None:
    """Versions 0.1 and 0.2."""
    image = {"datasets": [{"path": "0"}], "version": "0.1"}
    write_zarr(tmp_path / "a.zarr", {"0": IMAGE[None, None]}, {"": {"multiscales": [image]}}, zarr_format=2)
    assert open_volume(tmp_path / "a.zarr").axes == "tczyx"


def test_zarr_of_unknown_size(tmp_path: Path) -> None:
    transformations = [{"type": "scale", "scale": [3.0, 2.0, 1.0]}]
    image = image_metadata("0", coordinateTransformations=transformations)
    write_zarr(tmp_path / "a.zarr", {"0": IMAGE}, {"": {"ome": {"multiscales": [image]}}})
    assert open_volume(tmp_path / "a.zarr").voxel_size is None


@pytest.mark.parametrize(
    "image", [{}, {"datasets": []}, {"datasets": [{"path": "none"}]}, {"datasets": [{"path": "../b.zarr/0"}]}, 3]
)
def test_zarr_with_damaged_metadata(tmp_path: Path, image: Any) -> None:
    write_zarr(tmp_path / "b.zarr", {"0": IMAGE}, {})
    write_zarr(tmp_path / "a.zarr", {"0": IMAGE}, {"": {"ome": {"multiscales": [image]}}})
    with pytest.raises(FormatError):
        open_volume(tmp_path / "a.zarr")


@pytest.mark.parametrize(("names", "expected"), [(("X", "y", "z"), "xyz"), (("a", "y", "x"), "zyx"), (None, "zyx")])
def test_zarr_dimension_names(tmp_path: Path, names: tuple[str, ...] | None, expected: str) -> None:
    zarr.create_array(tmp_path / "a.zarr", data=IMAGE, dimension_names=names)
    assert open_volume(tmp_path / "a.zarr").axes == expected
    attributes = {"_ARRAY_DIMENSIONS": list(names)} if names else {}
    zarr.create_array(tmp_path / "b.zarr", data=IMAGE, zarr_format=2, attributes=attributes)
    assert open_volume(tmp_path / "b.zarr").axes == expected


@pytest.mark.parametrize("codec", ["pickle", "json2", "msgpack2", "categorize"])
def test_zarr_codecs_that_could_run_code(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "a.zarr"
    zarr.create_array(path, data=IMAGE, zarr_format=2)
    metadata = json.loads((path / ".zarray").read_text())
    for change in ({"compressor": {"id": codec}}, {"filters": [{"id": codec}]}):
        (path / ".zarray").write_text(json.dumps({**metadata, **change}))
        with pytest.raises(FormatError):
            open_volume(path)


def test_zarr_codecs_are_chosen_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ecc_rf.volumes.zarr_store._COMPRESSORS", {})
    zarr.create_array(tmp_path / "a.zarr", data=IMAGE, zarr_format=2)
    with pytest.raises(FormatError, match="codec 'zstd'"):
        open_volume(tmp_path / "a.zarr")


def test_zarr_relabelled_axes_of_our_own_files(tmp_path: Path) -> None:
    """The letters given go by the shape that the caller sees, not by the order in which it is stored."""
    image = np.arange(2 * 3 * 4 * 5, dtype="u1").reshape(2, 3, 4, 5)
    with create_volume(tmp_path / "a.zarr", image.shape, "u1", "zyxc") as volume:
        volume[()] = image
    with open_volume(tmp_path / "a.zarr", axes="tyxz") as volume:
        assert volume.axes == "tyxz"
        np.testing.assert_array_equal(volume.read(), image)


# --- NPY and NPZ ---


def test_pickled_arrays_are_never_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    bombs = np.array([[Bomb(), 1], [2, 3]], dtype=object)
    np.save("a.npy", bombs)
    np.savez("a.npz", data=bombs)
    for file in ("a.npy", "a.npz", "a.npz/data"):
        with pytest.raises(FormatError):
            open_volume(file)
    assert not Path("exploded").exists()


@pytest.mark.parametrize("dtype", ["c16", "U4", "M8[s]"])
def test_numpy_voxels_that_are_no_numbers(tmp_path: Path, dtype: str) -> None:
    np.save(tmp_path / "a.npy", np.zeros((3, 4), dtype))
    np.savez(tmp_path / "a.npz", data=np.zeros((3, 4), dtype))
    for file in ("a.npy", "a.npz"):
        with pytest.raises(FormatError, match="voxels must be"):
            open_volume(tmp_path / file)


def claim_more(stored: bytes) -> bytes:
    """The shape in the header of an NPY file made a million times larger."""
    return stored.replace(b"(4, 5, 6), }       ", b"(4000000, 5, 6), } ")


def test_numpy_headers_that_claim_too_much(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", IMAGE)
    stored = (tmp_path / "a.npy").read_bytes()
    assert claim_more(stored) != stored
    (tmp_path / "a.npy").write_bytes(claim_more(stored))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("data.npy", claim_more(stored))
    for file in ("a.npy", "a.npz"):
        with pytest.raises(FormatError):
            open_volume(tmp_path / file)


def test_npz_arrays_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", first=IMAGE, second=IMAGE + 1, third=np.arange(3))
    with pytest.raises(FormatError, match="2 images: first, second"):
        open_volume(tmp_path / "a.npz")
    np.testing.assert_array_equal(open_volume(tmp_path / "a.npz/second").read(), IMAGE + 1)
    with pytest.raises(MissingFileError, match="did you mean first"):
        open_volume(tmp_path / "a.npz/frist")
    with pytest.raises(FormatError, match="2 to 5 dimensions"):
        open_volume(tmp_path / "a.npz/third")


# --- TIFF ---


@pytest.mark.parametrize(
    ("shape", "options", "expected"),
    [
        ((4, 5, 6), {"metadata": None}, "zyx"),
        ((5, 6), {"metadata": None}, "yx"),
        ((4, 5, 6), {"metadata": {"axes": "TYX"}}, "tyx"),
        ((2, 4, 5, 6), {"metadata": {"axes": "CZYX"}}, "czyx"),
        ((4, 5, 6), {"metadata": {"axes": "QYX"}}, "zyx"),
        ((2, 5, 6, 3), {"photometric": "rgb", "metadata": {"axes": "CYXS"}}, "zyxc"),  # two letters c
    ],
)
def test_tiff_axes(tmp_path: Path, shape: tuple[int, ...], options: dict[str, Any], expected: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros(shape, "u1"), **{"photometric": "minisblack", **options})
    assert open_volume(tmp_path / "a.tif").axes == expected


@pytest.mark.parametrize(("unit", "factor"), [("um", 1), ("micron", 1), ("mm", 1000), ("nm", 0.001), ("pixel", None)])
def test_imagej_units(tmp_path: Path, unit: str, factor: float | None) -> None:
    metadata = {"axes": "ZYX", "spacing": 4.0, "unit": unit}
    tifffile.imwrite(tmp_path / "a.tif", IMAGE, imagej=True, resolution=(2, 4), metadata=metadata)
    expected = None if factor is None else pytest.approx((4 * factor, factor / 4, factor / 2))
    assert open_volume(tmp_path / "a.tif").voxel_size == expected


def test_imagej_without_spacing_has_no_voxel_size(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", IMAGE, imagej=True, resolution=(2, 4), metadata={"axes": "ZYX", "unit": "um"})
    assert open_volume(tmp_path / "a.tif").voxel_size is None


def test_a_slab_of_a_compressed_stack_reads_only_its_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.random.default_rng(0).integers(0, 99, (40, 160, 64)).astype("u2")
    tifffile.imwrite(tmp_path / "a.tif", image, compression="zlib", rowsperstrip=16, metadata=None)
    with open_volume(tmp_path / "a.tif") as volume:
        assert isinstance(volume, TiffVolume)
        assert volume.chunks == (1, 64, 64)  # strips of 16 rows are decoded together
        decoded = []
        decode = tifffile.TiffPage.decode.func  # type: ignore[attr-defined]

        def counting(page: tifffile.TiffPage) -> Any:
            inner = decode(page)

            def count(*args: Any, **options: Any) -> Any:
                decoded.append(1)
                return inner(*args, **options)

            return count

        monkeypatch.setattr(tifffile.TiffPage, "decode", property(counting))
        np.testing.assert_array_equal(volume[10:13, :20], image[10:13, :20])
        np.testing.assert_array_equal(volume[10:13, 5:64, 20:], image[10:13, 5:64, 20:])
    assert len(decoded) == 3 * 4  # three pages, the first four strips of each, once


@pytest.mark.parametrize("options", [{"metadata": None}, {"imagej": True}, {"ome": True}, {"compression": "zlib"}])
@pytest.mark.parametrize("missing", [1, 100, 1000, 2500, 8000, 40000])
def test_a_tiff_that_was_not_copied_to_its_end(tmp_path: Path, options: dict[str, Any], missing: int) -> None:
    image = np.random.default_rng(0).integers(0, 2**16, (20, 32, 32)).astype("u2")
    metadata = {"axes": "TYX"}
    tifffile.imwrite(tmp_path / "a.tif", image, **{"metadata": metadata, **options})
    whole = open_volume(tmp_path / "a.tif")
    stored = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "b.tif").write_bytes(stored[:-missing])
    try:
        cut = open_volume(tmp_path / "b.tif").read()
    except FormatError:
        return
    # the last bytes may be of no use: then nothing at all is lost
    assert missing <= 100
    assert open_volume(tmp_path / "b.tif").axes == whole.axes
    np.testing.assert_array_equal(cut, image)


def test_tiff_of_complex_numbers(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 6), "c8"))
    with pytest.raises(FormatError, match="voxels must be"):
        open_volume(tmp_path / "a.tif")


# --- NIfTI ---


def write_nifti(path: Path, array: np.ndarray[Any, Any], unit: str = "mm") -> None:
    image = nibabel.Nifti1Image(array.T, np.eye(4), dtype=array.dtype)
    image.header.set_xyzt_units(unit)
    nibabel.save(image, path)


@pytest.mark.parametrize(
    ("unit", "expected"),
    [("micron", (1.0, 1.0, 1.0)), ("mm", (1000.0, 1000.0, 1000.0)), ("meter", (1e6, 1e6, 1e6)), ("unknown", None)],
)
def test_nifti_units(tmp_path: Path, unit: str, expected: tuple[float, ...] | None) -> None:
    write_nifti(tmp_path / "a.nii", IMAGE, unit)
    assert open_volume(tmp_path / "a.nii").voxel_size == expected


@pytest.mark.parametrize("scale", [(np.nan, np.nan), (1.0, 0.0), (0.0, 0.0)])
def test_nifti_without_a_scale_keeps_its_dtype(tmp_path: Path, scale: tuple[float, float]) -> None:
    write_nifti(tmp_path / "a.nii", IMAGE)
    stored = bytearray((tmp_path / "a.nii").read_bytes())
    stored[112:120] = np.array(scale, "<f4").tobytes()
    (tmp_path / "a.nii").write_bytes(stored)
    np.testing.assert_array_equal(open_volume(tmp_path / "a.nii").read(), IMAGE, strict=True)


def test_nifti_that_claims_too_much(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii", IMAGE)
    stored = bytearray((tmp_path / "a.nii").read_bytes())
    stored[42:48] = np.array([30000, 30000, 30000], "<i2").tobytes()  # dim
    (tmp_path / "a.nii").write_bytes(stored)
    with pytest.raises(FormatError, match="truncated"):
        open_volume(tmp_path / "a.nii")


def test_nifti_of_colours_is_refused(tmp_path: Path) -> None:
    colours = np.zeros((4, 5, 6), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nibabel.save(nibabel.Nifti1Image(colours, np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(FormatError, match="voxels must be"):
        open_volume(tmp_path / "a.nii")
