"""NIfTI: x, y, z, t and channel in the file are handed out as ctzyx.

Blocks of a compressed file are found by decompressing all that is before them: read such a file from its start to its
end, then it is decompressed once. Threads may share a volume; nibabel locks the file.

Written are NIfTI-1, or NIfTI-2 where an axis is longer than 32,767 voxels; the axes in the order x, y, z, t, channel,
with the voxel size in mm and as the module `nifti_geometry` says. A compressed file is written uncompressed first, and
compressed when all its blocks are there. The data range and attributes are not kept.
"""

from __future__ import annotations

import gzip
import io
import itertools
import math
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import nibabel
import numpy as np
from numpy.typing import NDArray

from ecc_rf.errors import FormatError
from ecc_rf.volumes.array import ArrayVolume, reserve_space
from ecc_rf.volumes.axes import AxisView, check_axes
from ecc_rf.volumes.base import BaseVolume, Slices, Source, Target, VoxelSize, check_voxels, damage_reported
from ecc_rf.volumes.limits import LARGEST_COMPRESSION, check_claim, check_extents
from ecc_rf.volumes.nifti_geometry import header_bytes, plain_affine
from ecc_rf.volumes.nifti_header import check_header
from ecc_rf.volumes.unfinished import sync_path
from ecc_rf.volumes.units import voxel_size_from

# the fifth dimension of NIfTI holds several values per voxel
_AXES = {2: "yx", 3: "zyx", 4: "tzyx", 5: "ctzyx"}
_COMPRESSION = 1  # noise does not become much smaller, only slower, with more
_PIECE = 2**24
_EXTENSIONS = (".nii", ".nii.gz")


class NiftiVolume(BaseVolume):
    """The data of an image; scaled by the header's slope and intercept only if these do something."""

    def __init__(self, source: Source, image: nibabel.Nifti1Image, file: BinaryIO | None) -> None:
        data: Any = image.dataobj
        shape = data.shape[::-1]
        check_voxels(source.name, shape, data.dtype)
        axes = check_axes(source.axes or _AXES[len(shape)], len(shape), source.name)
        scaled = (data.slope, data.inter) != (1, 0)
        super().__init__(
            source.name,
            shape,
            np.float64 if scaled else data.dtype,
            axes,
            voxel_size=source.voxel_size or _voxel_size(image.header, axes),
        )
        self._data = data
        self._file = file

    def _read(self, slices: Slices) -> NDArray[Any]:
        return np.asarray(self._data[slices[::-1]]).T

    def _release(self) -> None:
        self._data = None  # lets go of the file
        if self._file is not None:
            self._file.close()


class CompressedTarget(ArrayVolume):
    """A map of the uncompressed file, which is compressed when all its blocks are there."""

    assembled = True

    def _complete(self) -> Path:
        self._sync(())
        try:
            with (
                self._plain.open("rb") as source,
                self._smaller.open("wb") as file,
                _compressing(file) as compressed,
            ):
                shutil.copyfileobj(source, compressed, _PIECE)
            sync_path(self._smaller)
        except BaseException:
            self._smaller.unlink(missing_ok=True)
            raise
        return self._smaller

    def _release(self) -> None:
        try:
            super()._release()
        except BaseException:
            self._smaller.unlink(missing_ok=True)
            raise

    @property
    def _plain(self) -> Path:
        assert self._output is not None
        return self._output.path

    @property
    def _smaller(self) -> Path:
        return self._plain.with_name(self._plain.name + "-gz")


def open_source(source: Source) -> NiftiVolume:
    with damage_reported(source.name):
        compressed = check_header(source.path, source.name)
        image, file = _load(source.path)
        if not isinstance(image, nibabel.Nifti1Image):
            raise FormatError(f"the file is {type(image).__name__}, not NIfTI", source.name)
        data: Any = image.dataobj
        needed = data.offset + data.dtype.itemsize * math.prod(data.shape)
        size = source.path.stat().st_size
        check_extents(source.name, data.shape)
        if compressed:
            check_claim(source.name, data.shape, data.dtype.itemsize, size, LARGEST_COMPRESSION)
        elif size < needed:
            raise FormatError(f"the file is truncated: {size} bytes of {needed}", source.name, "copy it anew")
        return NiftiVolume(source, image, file)


def _load(path: Path) -> tuple[Any, BinaryIO | None]:
    """The image, and the file if it is ours to close.

    nibabel goes by the extension, which an unfinished output that is read back has not got yet.
    """
    if path.name.lower().endswith(_EXTENSIONS):
        # the file stays open, so that what is read from start to end is decompressed only once
        return nibabel.load(path, keep_file_open=True), None
    with path.open("rb") as plain:
        compressed = plain.read(2) == b"\x1f\x8b"
    file: Any = gzip.open(path) if compressed else path.open("rb")  # noqa: SIM115 (closed with the volume)
    try:
        kind = _kind(file.read(4))
        file.seek(0)
        return kind.from_file_map({"image": nibabel.FileHolder(fileobj=file)}), file
    except BaseException:
        file.close()
        raise


def _kind(start: bytes) -> Any:
    """NIfTI-1 or 2, by the first bytes of a header of ours."""
    return nibabel.Nifti1Image if start == (348).to_bytes(4, "little") else nibabel.Nifti2Image


def create_target(target: Target) -> ArrayVolume | AxisView:
    ndim = next(n for n, axes in _AXES.items() if set(target.axes) <= set(axes))
    stored, extents = _AXES[ndim], dict(zip(target.axes, target.shape))
    shape = tuple(extents.get(axis, 1) for axis in stored)
    header = header_bytes(
        shape[::-1],
        target.dtype,
        plain_affine(target.voxel_size),
        sized=target.voxel_size is not None,
        name=target.output.name,
    )
    path, dtype = target.output.path, target.dtype.newbyteorder("<")

    def write(new: Path) -> None:
        new.write_bytes(header)
        with new.open("r+b") as file:
            file.truncate(len(header) + dtype.itemsize * math.prod(shape))

    target.output.begin(write, _describe)
    reserve_space(path)
    kind = CompressedTarget if target.output.final.name.lower().endswith(".gz") else ArrayVolume
    volume = kind(
        target.output.name,
        np.memmap(path, dtype, "r+", offset=len(header), shape=shape),
        stored,
        voxel_size=target.voxel_size,
        drange=target.drange,
        output=target.output,
    )
    return volume if stored == target.axes else AxisView(volume, target.axes)


def _describe(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        block = file.read(nibabel.Nifti2Header.single_vox_offset)
    header = _kind(block[:4]).header_class.from_fileobj(io.BytesIO(block))
    return {
        "shape": header.get_data_shape(),
        "dtype": str(header.get_data_dtype()),
        "voxel size": header.get_zooms(),
        "unit": header.get_xyzt_units()[0],
        "bytes": path.stat().st_size,
    }


def write_planes(
    path: Path,
    shape: Sequence[int],
    dtype: np.dtype[Any],
    affine: NDArray[np.float64],
    planes: Iterable[NDArray[Any]],
    *,
    sized: bool,
    compressed: bool,
    name: str,
) -> None:
    """Write a file from its start to its end, without anything beside it.

    Parameters
    ----------
    path : Path
        Where it is written, whatever its extension.
    shape : (z, y, x)
    dtype : dtype
    affine : (4, 4) ndarray
        From voxel x, y, z to the world in mm.
    planes : iterable of (z, y, x) ndarray
        One or some planes at a time, in order.
    sized, name
        As for `header_bytes`.
    compressed : bool
        Whether to compress it with gzip.

    Raises
    ------
    FormatError
        If NIfTI has no such type of voxels.
    """
    header = header_bytes(shape[::-1], dtype, affine, sized=sized, name=name)
    stored = dtype.newbyteorder("<")
    pieces: Iterable[Any] = itertools.chain([header], (np.ascontiguousarray(some, stored).data for some in planes))
    with path.open("wb") as file:
        if compressed:
            with _compressing(file) as smaller:
                smaller.writelines(pieces)
        else:
            file.writelines(pieces)


def _compressing(file: Any) -> gzip.GzipFile:
    """Without name and time, so that the same image gives the same bytes."""
    return gzip.GzipFile(filename="", mode="wb", compresslevel=_COMPRESSION, fileobj=file, mtime=0)


def _voxel_size(header: Any, axes: str) -> VoxelSize | None:
    unit = header.get_xyzt_units()[0]
    # what was put in, not the neighbour of it that float32 holds
    sizes = dict(zip("xyz", (float(f"{zoom:.7g}") for zoom in header.get_zooms())))
    size = voxel_size_from(axes, _AXES[len(axes)], sizes, dict.fromkeys("zyx", unit))
    if size is None:
        return None
    z, y, x = (float(f"{extent:.7g}") for extent in size)
    return z, y, x
