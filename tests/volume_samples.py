"""One image in every format and kind of file, written by the formats' own libraries, not by ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import imagecodecs
import nibabel
import numpy as np
import tifffile
import zarr

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
