"""N5 (https://github.com/saalfeldlab/n5), read only; zarr 3 reads it no more.

A dataset is a folder with an ``attributes.json``. Its dimensions, block sizes and block paths have x first; they are
handed out the other way round. A block that is not there is 0. Axes are `axes` as ilastik writes them (x first as
well), voxel sizes `pixelResolution` or `resolution` with `units`, as Fiji does.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.errors import AxesError, FormatError
from ecc_rf.volumes.axes import check_axes, default_axes
from ecc_rf.volumes.base import BaseVolume, Slices, Source, VoxelSize, check_voxels, damage_reported
from ecc_rf.volumes.checked_folder import CheckedFolder, stored_bytes
from ecc_rf.volumes.chunk_cache import assemble
from ecc_rf.volumes.datasets import missing_dataset, only_dataset
from ecc_rf.volumes.decoding import decompressed
from ecc_rf.volumes.limits import (
    MOST_MEMBERS,
    check_claim,
    check_extents,
    check_metadata,
    check_number_of_chunks,
    check_piece,
)
from ecc_rf.volumes.metadata import drange_from, numbers
from ecc_rf.volumes.units import voxel_size_from

_ATTRIBUTES = "attributes.json"
_STRUCTURE = ("dimensions", "blockSize", "dataType", "compression", "axes", "axistags", "drange", "n5", "units")
_TYPES = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64")


class N5Volume(BaseVolume):
    """A dataset."""

    def __init__(self, source: Source, folder: Path, name: str, attributes: dict[str, Any]) -> None:
        shape = tuple(int(extent) for extent in attributes["dimensions"][::-1])
        blocks = tuple(int(extent) for extent in attributes["blockSize"][::-1])
        kind = str(attributes["dataType"])
        if kind not in _TYPES or len(blocks) != len(shape) or min(blocks, default=0) < 1:
            raise FormatError(f"the N5 attributes are damaged: {kind}, blocks of {blocks}", name)
        dtype = np.dtype(kind).newbyteorder(">")
        check_voxels(name, shape, dtype)
        check_piece(name, blocks, dtype.itemsize)
        check_number_of_chunks(name, shape, blocks, dtype.itemsize)
        check_claim(name, shape, dtype.itemsize, stored_bytes(folder, math.prod(shape) * dtype.itemsize))
        axes = check_axes(source.axes or _axes(attributes, shape), len(shape), name)
        super().__init__(
            name,
            shape,
            dtype,
            axes,
            voxel_size=source.voxel_size or _voxel_size(attributes, axes),
            drange=drange_from(attributes.get("drange")),
            chunks=[min(block, extent) for block, extent in zip(blocks, shape)],
            attributes={key: value for key, value in attributes.items() if key not in _STRUCTURE},
        )
        self._folder = folder
        self._files = CheckedFolder(source.path)
        self._blocks = blocks
        self._stored = dtype
        self._decode = _decoder(attributes.get("compression", attributes.get("compressionType")), name)

    def _read(self, slices: Slices) -> NDArray[Any]:
        return assemble(slices, self.shape, self.chunks or (), self.dtype, self._block)

    def _block(self, at: tuple[int, ...], region: Slices) -> NDArray[Any]:
        shape = tuple(part.stop - part.start for part in region)
        content = self._content(at)
        if content is None:
            return np.zeros(shape, self.dtype)
        mode, ndim = struct.unpack_from(">HH", content)
        extents = struct.unpack_from(f">{ndim}I", content, 4)[::-1]
        # a block at the end may be stored whole
        fits = ndim == len(shape) and all(n <= m <= edge for n, m, edge in zip(shape, extents, self._blocks))
        if mode != 0 or not fits:
            raise FormatError(f"the block is of shape {extents}, mode {mode}, not {shape}", self.name)
        size = math.prod(extents) * self._stored.itemsize
        voxels = self._decode(content[4 + 4 * ndim :], size)
        if len(voxels) != size:
            raise FormatError(f"the block holds {len(voxels)} bytes of {size}", self.name)
        whole = np.frombuffer(voxels, self._stored).reshape(extents)
        return whole[tuple(slice(0, extent) for extent in shape)]

    def _content(self, at: tuple[int, ...]) -> bytes | None:
        file = self._file(at)
        if (size := self._files.size(file)) is None:
            return None
        whole = math.prod(self._blocks) * self._stored.itemsize
        if size > 2 * whole + (1 << 20):  # what does not become smaller grows a little
            raise FormatError(f"the block is stored in {size:,} bytes; it holds {whole:,}", self.name)
        return file.read_bytes()

    def _file(self, at: tuple[int, ...]) -> Path:
        return self._folder.joinpath(*map(str, at[::-1]))

    def _chunk_file(self, slices: Slices) -> str:
        return str(self._file(tuple(part.start // edge for part, edge in zip(slices, self.chunks or ()))))


def open_source(source: Source) -> N5Volume:
    with damage_reported(source.name):
        inner, name = source.inner, source.name
        if not source.path.is_dir():
            raise FormatError("an N5 hierarchy is a folder", name)
        files = CheckedFolder(source.path)
        if not inner and "dimensions" not in _attributes(source.path, files):
            inner = only_dataset(list(_datasets(source.path, files)), name)
            name = f"{name}/{inner}"
        attributes = _attributes(source.path / inner, files)
        if "dimensions" not in attributes:
            below = [f"{inner}/{path}" for path in _datasets(source.path / inner, files)] if inner else []
            raise missing_dataset(inner, below or list(_datasets(source.path, files)), name)
        return N5Volume(source, source.path / inner, name, attributes)


def _attributes(folder: Path, files: CheckedFolder) -> dict[str, Any]:
    file = folder / _ATTRIBUTES
    if (size := files.size(file)) is None:
        return {}
    check_metadata(str(file), size)
    found = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise FormatError("the N5 attributes are damaged: they are no object", str(file))
    extents = [
        extent for key in ("dimensions", "blockSize") if isinstance(found.get(key), list) for extent in found[key]
    ]
    check_extents(str(file), [extent if isinstance(extent, int) else -1 for extent in extents])
    return found


def _datasets(folder: Path, files: CheckedFolder, seen: list[int] | None = None) -> Iterator[str]:
    """Paths of the datasets of 2 to 5 dimensions; their blocks are not looked at."""
    seen = [0] if seen is None else seen
    seen[0] += 1
    if seen[0] > MOST_MEMBERS:
        raise FormatError(f"there are more than {MOST_MEMBERS:,} folders", str(files.root), "name the image")
    attributes = _attributes(folder, files)
    if "dimensions" in attributes:
        if 2 <= len(attributes["dimensions"]) <= 5:
            yield "."
        return
    for inner in sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else ():
        yield from ((Path(inner.name) / path).as_posix() for path in _datasets(inner, files, seen))


def _axes(attributes: dict[str, Any], shape: tuple[int, ...]) -> str:
    try:
        return check_axes("".join(map(str, attributes.get("axes") or ()))[::-1].lower(), len(shape))
    except AxesError:
        return default_axes(shape)


def _voxel_size(attributes: dict[str, Any], axes: str) -> VoxelSize | None:
    resolution = attributes.get("pixelResolution", attributes.get("resolution"))
    units: Any = attributes.get("units")
    if isinstance(resolution, dict):
        units, resolution = resolution.get("unit"), resolution.get("dimensions")
    if isinstance(units, str):
        units = [units] * len(axes)
    sizes = numbers(resolution, len(axes)) or numbers(resolution, sum(axis in "zyx" for axis in axes))
    letters = axes[::-1] if len(sizes) == len(axes) else "".join(axis for axis in axes[::-1] if axis in "zyx")
    if not sizes or not isinstance(units, list) or len(units) < len(sizes):
        return None
    return voxel_size_from(axes, axes, dict(zip(letters, sizes)), dict(zip(letters, map(str, units))))


def _decoder(compression: Any, name: str) -> Callable[[bytes, int], bytes]:
    """What makes of a block's bytes those of its voxels, given how many these are."""
    kind = compression.get("type") if isinstance(compression, dict) else compression
    if kind == "raw":
        return lambda stored, size: stored
    ours = {"gzip": "gzip", "bzip2": "bzip2", "xz": "lzma", "zstd": "zstd", "blosc": "blosc"}.get(str(kind))
    if ours is not None:  # gzip may have the header of zlib, as `useZlib` says
        return lambda stored, size: decompressed(ours, stored, size)
    raise FormatError(
        f"the image is compressed with {kind!r}, which is not read",
        name,
        "compress it anew with gzip, zstd, blosc, bzip2, xz or not at all",
    )
