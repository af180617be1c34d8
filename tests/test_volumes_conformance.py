"""One set of tests that every format must pass. The files are written by the formats' own libraries, not by ours."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import imagecodecs
import nibabel
import numpy as np
import pytest
import tifffile
import zarr

from ecc_rf.errors import AxesError, FormatError, MissingFileError, SettingError
from ecc_rf.volumes import AxisView, open_volume, transpose_to
from tests.n5_writing import write_n5

Array = np.ndarray[Any, Any]
SIZE = (5.0, 1.5, 1.25)


def random_array(shape: tuple[int, ...], dtype: str) -> Array:
    rng = np.random.default_rng(len(shape))
    if np.dtype(dtype).kind == "f":
        return rng.normal(size=shape).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, endpoint=True, dtype=np.dtype(dtype).newbyteorder("=")).astype(
        dtype
    )


def write_h5(path: Path, array: Array, **storage: Any) -> None:
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("raw/data", data=array, **storage)
        dataset.attrs["element_size_um"] = SIZE


def write_ome_zarr(path: Path, array: Array, version: str) -> None:
    axes: list[dict[str, str]] = [{"name": "c", "type": "channel"}]
    axes += [{"name": axis, "type": "space", "unit": "nanometer"} for axis in "zyx"]
    scale = [1.0, *(1000 * size / 2 for size in SIZE)]
    level = {"path": "s0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}
    coarse = {"path": "s1", "coordinateTransformations": [{"type": "scale", "scale": scale}]}
    image = {
        "axes": axes,
        "datasets": [level, coarse],
        "coordinateTransformations": [{"type": "scale", "scale": [1.0, 2.0, 2.0, 2.0]}],
    }
    new = version == "0.5"
    attributes: dict[str, Any] = (
        {"ome": {"version": version, "multiscales": [image]}}
        if new
        else {"multiscales": [{**image, "version": version}]}
    )
    group = zarr.create_group(path, zarr_format=3 if new else 2, attributes=attributes)
    for name, data in (("s0", array), ("s1", array[:, ::2, ::2, ::2])):
        stored = group.create_array(name, shape=data.shape, dtype=data.dtype, chunks=(1, 7, 8, 9))
        stored[...] = data


def write_zarr(path: Path, array: Array) -> None:
    stored = zarr.create_group(path).create_array("raw", shape=array.shape, dtype=array.dtype, chunks=(8, 9, 10))
    stored[...] = array


def flat_squares(array: Array) -> Array:
    """What JPEG keeps exactly: squares of 8 x 8 pixels of one value."""
    return np.kron(array[::8, ::8], np.ones((8, 8), array.dtype))


def write_npy(path: Path, array: Array) -> None:
    np.save(path, array)


def write_ome_tiff(path: Path, array: Array) -> None:
    metadata = {"axes": "ZCYX", "PhysicalSizeZ": 5000, "PhysicalSizeZUnit": "nm"}
    metadata |= {"PhysicalSizeY": 1.5, "PhysicalSizeX": 1.25}
    tifffile.imwrite(path, array, ome=True, metadata=metadata, compression="zlib", photometric="minisblack")


def write_imagej(path: Path, array: Array) -> None:
    metadata = {"axes": "ZYX", "spacing": 5.0, "unit": "\\u00B5m"}
    tifffile.imwrite(path, array, imagej=True, resolution=(1 / 1.25, 1 / 1.5), metadata=metadata)


def write_nifti(path: Path, array: Array) -> None:
    endianness = ">" if array.dtype.byteorder == ">" else "<"
    image = nibabel.Nifti1Image(array.T, np.eye(4), nibabel.Nifti1Header(endianness=endianness), dtype=array.dtype)
    image.header.set_zooms((0.00125, 0.0015, 0.005, 1.0)[: array.ndim])
    image.header.set_xyzt_units("mm", "sec")
    nibabel.save(image, path)


def write_scaled_nifti(path: Path, array: Array) -> None:
    write_nifti(path, array)
    stored = bytearray(path.read_bytes())
    stored[112:120] = np.array([0.5, 3], "<f4").tobytes()  # scl_slope and scl_inter
    path.write_bytes(stored)


def write_planes(path: Path, array: Array, **options: Any) -> None:
    path.mkdir()
    for number, plane in enumerate(array, 8):  # the order of numbers is not that of letters
        options = {"photometric": "minisblack", **options}
        tifffile.imwrite(path / f"brain 2_z{number}.tif", plane, metadata=None, **options)


N5: dict[str, Any] = {"pixelResolution": {"dimensions": [*SIZE[::-1]], "unit": "um"}}


@dataclass(frozen=True)
class Case:
    id: str
    file: str
    write: Callable[[Path, Array], None]
    shape: tuple[int, ...]
    dtype: str
    axes: str
    voxel_size: tuple[float, float, float] | None = None
    inner: str = ""
    array: Callable[[Array], Array] = lambda array: array  # from what is written to what is read


ZYX = (19, 23, 29)
CASES = [
    Case(
        "h5-gzip",
        "a.h5",
        lambda p, a: write_h5(p, a, chunks=(8, 8, 8), compression="gzip"),
        ZYX,
        "u2",
        "zyx",
        SIZE,
    ),
    Case("h5-contiguous", "A.HDF5", write_h5, (19, 23, 29, 2), ">f4", "zyxc", SIZE, "raw/data"),
    Case("h5-lzf", "a.hdf", lambda p, a: write_h5(p, a, compression="lzf"), (9, 4, 13, 15, 2), "i1", "tzyxc", SIZE),
    Case("ilp", "a.ilp", lambda p, a: write_h5(p, a), ZYX, ">u2", "zyx", SIZE, "raw/data"),
    Case("ome-zarr-0.5", "a.ome.zarr", lambda p, a: write_ome_zarr(p, a, "0.5"), (2, *ZYX), "u2", "czyx", SIZE),
    Case("ome-zarr-0.4", "a.zarr", lambda p, a: write_ome_zarr(p, a, "0.4"), (2, *ZYX), ">i2", "czyx", SIZE),
    Case("ome-zarr-level", "a.zarr", lambda p, a: write_ome_zarr(p, a, "0.5"), (2, *ZYX), "f4", "czyx", SIZE, "s0"),
    Case("zarr", "a.Zarr", write_zarr, ZYX, "i1", "zyx"),
    Case("zarr-inner", "a.zarr", write_zarr, ZYX, "f4", "zyx", None, "raw"),
    Case("npy", "a.npy", write_npy, (19, 23, 3), "u1", "yxc"),
    Case("npy-fortran", "a.npy", lambda p, a: write_npy(p, np.asfortranarray(a)), ZYX, ">i4", "zyx"),
    Case("npz", "a.npz", lambda p, a: np.savez(p, p=a, n=3), ZYX, "f4", "zyx"),
    Case("npz-key", "a.npz", lambda p, a: np.savez_compressed(p, p=a, q=a[1:]), ZYX, ">u2", "zyx", None, "p"),
    Case("tiff-ome", "a.ome.tif", write_ome_tiff, (19, 2, 23, 29), "u2", "zcyx", SIZE),
    # the resolution is a fraction of 32-bit integers in the file
    Case("tiff-imagej", "a.tif", write_imagej, ZYX, "f4", "zyx", SIZE),
    Case("tiff-flat", "a.TIF", lambda p, a: tifffile.imwrite(p, a, byteorder=">"), (43, 29), "u2", "yx"),
    Case("tiff-rgb", "a.tiff", lambda p, a: tifffile.imwrite(p, a, photometric="rgb"), (43, 29, 3), "u1", "yxc"),
    Case(
        "tiff-tiled",
        "a.tif",
        lambda p, a: tifffile.imwrite(p, a, tile=(16, 16), compression="zlib", predictor=True),
        (7, 43, 50),
        "i2",
        "zyx",
    ),
    Case(
        "tiff-strips",
        "a.tif",
        lambda p, a: tifffile.imwrite(p, a, byteorder=">", compression="zlib", rowsperstrip=5, metadata=None),
        (7, 43, 50),
        "u2",
        "zyx",
    ),
    Case("png", "a.PNG", lambda p, a: p.write_bytes(imagecodecs.png_encode(a)), (43, 29, 3), "u2", "yxc"),
    Case(
        "png-grey",
        "a.png",
        lambda p, a: p.write_bytes(imagecodecs.png_encode(a)),
        (43, 29),
        "u1",
        "yxc",
        array=lambda a: a[..., None],
    ),
    Case(
        "jpeg",
        "a.jpg",
        lambda p, a: p.write_bytes(imagecodecs.jpeg_encode(flat_squares(a), level=100)),
        (48, 32),
        "u1",
        "yxc",
        array=lambda a: flat_squares(a)[..., None],
    ),
    Case("bmp", "a.bmp", lambda p, a: p.write_bytes(imagecodecs.bmp_encode(a)), (43, 29, 3), "u1", "yxc"),
    Case("planes", "planes", write_planes, ZYX, "u2", "zyx"),
    Case("planes-packed", "planes", lambda p, a: write_planes(p, a, compression="zlib"), ZYX, ">u2", "zyx"),
    Case(
        "planes-strips",
        "planes",
        lambda p, a: write_planes(p, a, compression="zlib", rowsperstrip=3, predictor=True),
        (5, 143, 29),
        "i2",
        "zyx",
    ),
    Case(
        "planes-tiles",
        "planes",
        lambda p, a: write_planes(p, a, tile=(16, 32), photometric="rgb", compression="zlib"),
        (5, 143, 70, 3),
        "u1",
        "zyxc",
    ),
    Case("n5", "a.n5", lambda p, a: write_n5(p / "s" / "t", a, (8, 9, 10), **N5), ZYX, "u2", "zyx", SIZE),
    Case("n5-inner", "a.n5", lambda p, a: write_n5(p / "t", a, (8, 9, 10), "zstd"), ZYX, "f4", "zyx", None, "t"),
    Case("n5-root", "A.N5", lambda p, a: write_n5(p, a, (4, 3, 6, 9), "blosc", whole=True), (3, *ZYX), "i1", "zyxc"),
    Case("n5-axes", "a.n5", lambda p, a: write_n5(p, a, (40,) * 4, axes=["x", "y", "z", "c"]), (2, *ZYX), "i8", "czyx"),
    Case("nifti", "a.nii", write_nifti, ZYX, "u2", "zyx", SIZE),
    Case("nifti-big", "a.nii", write_nifti, (3, *ZYX), ">f4", "tzyx", SIZE),
    Case("nifti-gz", "a.nii.gz", write_nifti, ZYX, "u1", "zyx", SIZE),
    Case(
        "nifti-scaled",
        "a.nii",
        write_scaled_nifti,
        ZYX,
        "i2",
        "zyx",
        SIZE,
        array=lambda a: a.astype("f8") * 0.5 + 3,
    ),
]


@dataclass(frozen=True)
class Sample:
    case: Case
    file: Path
    path: str
    array: Array


@pytest.fixture(params=CASES, ids=lambda case: case.id)
def sample(request: pytest.FixtureRequest, tmp_path: Path) -> Sample:
    case: Case = request.param
    written = random_array(case.shape, case.dtype)
    file = tmp_path / case.file
    case.write(file, written)
    array = case.array(written)
    return Sample(case, file, f"{file}/{case.inner}".rstrip("/"), array.astype(array.dtype.newbyteorder("=")))


def random_slices(shape: tuple[int, ...], rng: np.random.Generator) -> tuple[slice, ...]:
    ends = [sorted(rng.integers(0, extent, 2, endpoint=True).tolist()) for extent in shape]
    return tuple(slice(start, stop) for start, stop in ends)


def same(read: Array, expected: Array) -> bool:
    np.testing.assert_array_equal(read, expected, strict=True)
    return type(read) is np.ndarray and read.flags.c_contiguous and read.dtype.isnative


def test_describes_itself(sample: Sample) -> None:
    with open_volume(sample.path) as volume:
        assert volume.shape == sample.array.shape
        assert volume.dtype == sample.array.dtype
        assert volume.dtype.isnative
        assert volume.axes == sample.case.axes
        assert volume.drange is None
        assert volume.name.startswith(sample.path)
        if sample.case.voxel_size is None:
            assert volume.voxel_size is None
        else:
            # NIfTI keeps sizes in float32, ImageJ the inverse of a fraction
            assert volume.voxel_size == pytest.approx(sample.case.voxel_size, rel=1e-6)
        if volume.chunks is not None:
            assert len(volume.chunks) == len(volume.shape)
            assert all(0 < chunk <= extent for chunk, extent in zip(volume.chunks, volume.shape))


def test_reads_what_was_written(sample: Sample) -> None:
    with open_volume(Path(sample.path)) as volume:
        assert same(volume.read(), sample.array)


def test_slices_as_numpy_does(sample: Sample) -> None:
    rng = np.random.default_rng(0)
    with open_volume(sample.path) as volume:
        for _ in range(12):
            index = random_slices(volume.shape, rng)
            assert same(volume[index], sample.array[index])
        assert same(volume[2:5], sample.array[2:5])
        assert same(volume[-3:, :-2], sample.array[-3:, :-2])
        assert same(volume[:, 3:1000], sample.array[:, 3:1000])
        assert same(volume[5:2], sample.array[5:2])
        assert same(volume[()], sample.array)


@pytest.mark.parametrize("index", [0, (slice(None), 1), (slice(0, 4, 2),), (Ellipsis,), [0, 1]])
def test_refuses_other_indices(sample: Sample, index: Any) -> None:
    with open_volume(sample.path) as volume, pytest.raises(TypeError, match="slices of step 1"):
        volume[index]


def test_refuses_too_many_slices(sample: Sample) -> None:
    with open_volume(sample.path) as volume, pytest.raises(IndexError):
        volume[(slice(None),) * (len(volume.shape) + 1)]


def test_what_was_read_is_the_reader_s_own(sample: Sample) -> None:
    with open_volume(sample.path) as volume:
        volume.read()[...] = 0
        assert same(volume.read(), sample.array)


def test_threads_may_share_it(sample: Sample) -> None:
    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(6):
            index = random_slices(volume.shape, rng)
            assert same(volume[index], sample.array[index])

    with open_volume(sample.path) as volume, ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(8)))


def test_is_closed_after_its_block(sample: Sample) -> None:
    with open_volume(sample.path) as volume:
        pass
    volume.close()  # twice does no harm
    with pytest.raises(ValueError, match="is closed"):
        volume.read()


def test_an_exception_passes_through(sample: Sample) -> None:
    with pytest.raises(KeyboardInterrupt), open_volume(sample.path):
        raise KeyboardInterrupt
    assert sample.file.exists()


def test_the_caller_knows_better(sample: Sample) -> None:
    ndim = sample.array.ndim
    axes = {2: "xy", 3: "xcy", 4: "yxzc", 5: "xyztc"}[ndim]
    with open_volume(sample.path, axes=axes, voxel_size=[3, 2, 1]) as volume:
        assert (volume.axes, volume.voxel_size) == (axes, (3.0, 2.0, 1.0))
        assert same(volume.read(), sample.array)
    for wrong in ("", axes[:-1], axes + "q", axes.replace("y", "q"), axes.replace("y", "x"), axes.upper()):
        with pytest.raises(AxesError):
            open_volume(sample.path, axes=wrong)
    with pytest.raises(SettingError, match="three positive numbers"):
        open_volume(sample.path, voxel_size=(1, 0, 1))


def test_in_the_canonical_order(sample: Sample) -> None:
    expected = transpose_to(sample.array, sample.case.axes, "tzyxc")
    rng = np.random.default_rng(0)
    with AxisView(open_volume(sample.path)) as view:
        assert (view.axes, view.shape) == ("tzyxc", expected.shape)
        assert same(view.read(), np.ascontiguousarray(expected))
        for _ in range(6):
            index = random_slices(view.shape, rng)
            assert same(view[index], np.ascontiguousarray(expected[index]))


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def test_missing(sample: Sample) -> None:
    remove(sample.file)
    with pytest.raises(MissingFileError, match="no such file"):
        open_volume(sample.path)


def test_wrong_extension(sample: Sample) -> None:
    if sample.case.file == "planes":
        pytest.skip("a folder of planes may have any name")
    other = sample.file.with_name("a.czi")
    sample.file.rename(other)
    with pytest.raises(FormatError, match=r"OME-Zarr \(\.zarr\)"):
        open_volume(other)


@pytest.mark.parametrize("part", [0.0, 0.02, 0.5, 0.95])
def test_truncated(sample: Sample, part: float) -> None:
    files = [sample.file] if sample.file.is_file() else [file for file in sample.file.rglob("*") if file.is_file()]
    for file in files:
        stored = file.read_bytes()
        file.write_bytes(stored[: int(len(stored) * part)])
    with pytest.raises(FormatError), open_volume(sample.path) as volume:
        volume.read()


def test_something_else_inside(sample: Sample) -> None:
    files = [sample.file] if sample.file.is_file() else [file for file in sample.file.rglob("*") if file.is_file()]
    for file in files:
        file.write_bytes(b"This is no image." * 200)
    with pytest.raises(FormatError), open_volume(sample.path) as volume:
        volume.read()


def test_file_and_folder_mixed_up(sample: Sample) -> None:
    was_file = sample.file.is_file()
    remove(sample.file)
    if was_file:
        sample.file.mkdir()
    else:
        sample.file.write_bytes(b"zarr")
    with pytest.raises((FormatError, MissingFileError)), open_volume(sample.path) as volume:
        volume.read()
