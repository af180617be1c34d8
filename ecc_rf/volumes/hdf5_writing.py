"""Images in HDF5, written as ilastik does.

Written are the attributes `axistags` and `axis_units` (axes and voxel size for ilastik), `element_size_um` (the same
for Fiji), `drange`, and the caller's own; chunks are compressed with gzip level 1.

An HDF5 file of which the writer is killed may be lost as a whole, has one writer only, and h5py compresses under a
lock. So the unfinished output is a folder with a file for each chunk, a Zarr 2 array that is compressed as HDF5 does it
(deflate). When it is closed, the files' bytes are put into the HDF5 file as they are, in raster order: a sequential
copy, and the same bytes whoever wrote the chunks when. Both are there at that time, so that the disk must have room
for twice the compressed volume.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import zarr
from numcodecs import Zlib
from numpy.typing import NDArray

from ecc_rf.volumes.axes import axis_units_json, axistags_json
from ecc_rf.volumes.base import BaseVolume, Slices, Target
from ecc_rf.volumes.chunk_files import chunk_files, sync_chunks
from ecc_rf.volumes.metadata import default_chunks
from ecc_rf.volumes.unfinished import sync_path

_CHUNK_VOXELS = 64**3
_LEVEL = 1


class Hdf5Target(BaseVolume):
    """A dataset that is being written."""

    assembled = True
    shareable = True  # see `ZarrVolume`

    def __init__(self, target: Target, array: zarr.Array[Any]) -> None:
        super().__init__(
            target.output.name,
            target.shape,
            target.dtype,
            target.axes,
            voxel_size=target.voxel_size,
            drange=target.drange,
            chunks=array.chunks,
            output=target.output,
        )
        self._target = target
        self._array = array

    def _read(self, slices: Slices) -> NDArray[Any]:
        return np.asarray(self._array[slices])

    def _write(self, slices: Slices, array: NDArray[Any]) -> None:
        self._array[slices] = array

    def _sync(self, slices: Slices) -> None:
        sync_chunks(self._array, slices)

    def _complete(self) -> Path:
        path = self._target.output.path / "assembled.h5"
        with h5py.File(path, "w") as file:
            dataset = file.create_dataset(
                self._target.inner,
                shape=self.shape,
                dtype=self.dtype,
                chunks=self.chunks,
                compression=None if self._target.compression == "none" else "gzip",
                compression_opts=None if self._target.compression == "none" else _LEVEL,
            )
            dataset.attrs.update(_attributes(self._target))
            for at, chunk in chunk_files(self._array, tuple(slice(0, extent) for extent in self.shape)):
                if chunk.exists():  # one of nothing but 0 has no file, and needs no place in HDF5 either
                    corner = tuple(i * edge for i, edge in zip(at, self.chunks or ()))
                    dataset.id.write_direct_chunk(corner, chunk.read_bytes())
        sync_path(path)
        return path


def create_target(target: Target) -> Hdf5Target:
    def write(path: Path) -> None:
        zarr.create_array(
            path,
            shape=target.shape,
            dtype=target.dtype,
            chunks=target.chunks or default_chunks(target.axes, target.shape, _CHUNK_VOXELS),
            compressors=None if target.compression == "none" else Zlib(_LEVEL),
            fill_value=0,
            zarr_format=2,
            chunk_key_encoding={"name": "v2", "separator": "/"},
            attributes={"dataset": target.inner, **_attributes(target)},
        )

    target.output.begin(write, _describe)
    return Hdf5Target(target, zarr.open_array(target.output.path, mode="r+", zarr_format=2))


def _describe(path: Path) -> dict[str, Any]:
    return {
        key: value for part in (".zarray", ".zattrs") for key, value in json.loads((path / part).read_text()).items()
    }


def _attributes(target: Target) -> dict[str, Any]:
    attributes = {key: _storable(value) for key, value in target.attributes.items()}
    attributes["axistags"] = axistags_json(target.axes, target.voxel_size)
    if target.voxel_size is not None:
        attributes |= {"axis_units": axis_units_json(target.axes), "element_size_um": target.voxel_size}
    if target.drange is not None:
        attributes["drange"] = target.drange
    return attributes


def _storable(value: Any) -> Any:
    """What HDF5 has no type for is stored as JSON."""
    return value if isinstance(value, str | int | float) else json.dumps(value)
