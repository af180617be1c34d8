"""N5 (https://github.com/saalfeldlab/n5), read only; zarr 3 reads it no more.

A dataset is a folder with an ``attributes.json``. Its dimensions, block sizes and block paths have x first; they are
handed out the other way round. A block that is not there is 0. Axes are `axes` as ilastik writes them (x first as
well), voxel sizes `pixelResolution` or `resolution` with `units`, as Fiji does.
"""

from __future__ import annotations

import bz2
import json
import lzma
import math
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.errors import AxesError, FormatError
from ecc_rf.volumes.axes import check_axes, default_axes
from ecc_rf.volumes.base import BaseVolume, Slices, Source, VoxelSize, check_voxels, damage_reported
from ecc_rf.volumes.chunk_cache import assemble
from ecc_rf.volumes.datasets import missing_dataset, only_dataset
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
        self._blocks = blocks
        self._stored = dtype
        self._decode = _decoder(attributes.get("compression", attributes.get("compressionType")), name)

    def _read(self, slices: Slices) -> NDArray[Any]:
        return assemble(slices, self.shape, self.chunks or (), self.dtype, self._block)

    def _block(self, at: tuple[int, ...], region: Slices) -> NDArray[Any]:
        shape = tuple(part.stop - part.start for part in region)
        try:
            content = self._file(at).read_bytes()
        except FileNotFoundError:
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

    def _file(self, at: tuple[int, ...]) -> Path:
        return self._folder.joinpath(*map(str, at[::-1]))

    def _chunk_file(self, slices: Slices) -> str:
        return str(self._file(tuple(part.start // edge for part, edge in zip(slices, self.chunks or ()))))


def open_source(source: Source) -> N5Volume:
    with damage_reported(source.name):
        inner, name = source.inner, source.name
        if not source.path.is_dir():
            raise FormatError("an N5 hierarchy is a folder", name)
        if not inner and "dimensions" not in _attributes(source.path):
            inner = only_dataset(list(_datasets(source.path)), name)
            name = f"{name}/{inner}"
        attributes = _attributes(source.path / inner)
        if "dimensions" not in attributes:
            below = [f"{inner}/{path}" for path in _datasets(source.path / inner)] if inner else []
            raise missing_dataset(inner, below or list(_datasets(source.path)), name)
        return N5Volume(source, source.path / inner, name, attributes)


def _attributes(folder: Path) -> dict[str, Any]:
    file = folder / _ATTRIBUTES
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return found


def _datasets(folder: Path) -> Iterator[str]:
    """Paths of the datasets of 2 to 5 dimensions; their blocks are not looked at."""
    attributes = _attributes(folder)
    if "dimensions" in attributes:
        if 2 <= len(attributes["dimensions"]) <= 5:
            yield "."
        return
    for inner in sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else ():
        yield from ((Path(inner.name) / path).as_posix() for path in _datasets(inner))


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
    if kind == "gzip":  # 47: with the header of gzip or zlib, as `useZlib` says
        return lambda stored, size: zlib.decompressobj(47).decompress(stored, size + 1)
    if kind == "bzip2":
        return lambda stored, size: bz2.BZ2Decompressor().decompress(stored, size + 1)
    if kind == "xz":
        return lambda stored, size: lzma.LZMADecompressor().decompress(stored, size + 1)
    if kind in ("zstd", "blosc"):
        import numcodecs

        codec = numcodecs.Zstd() if kind == "zstd" else numcodecs.Blosc()
        return lambda stored, size: bytes(codec.decode(stored))
    raise FormatError(
        f"the image is compressed with {kind!r}, which is not read",
        name,
        "compress it anew with gzip, zstd, blosc, bzip2, xz or not at all",
    )
