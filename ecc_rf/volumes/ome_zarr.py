"""Zarr: OME-Zarr images (0.5 and older) at full resolution, and plain arrays.

What is written is OME-Zarr 0.5 (https://ngff.openmicroscopy.org/0.5/): a group with one multiscale image of one level,
the array "0", with voxel size in micrometre. OME-Zarr demands the axis order t, c, z, y, x; an image of other axes is
stored in that order and handed out in its own, which the group attribute ``ecc_rf: {"axes": ...}`` remembers.
The group also has the attribute `drange` and the caller's own.

Every chunk is a file: the default chunks are large for that reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec

from ecc_rf.errors import AxesError, EccError, FormatError
from ecc_rf.volumes.axes import AxisView, check_axes, default_axes
from ecc_rf.volumes.base import BaseVolume, Slices, Source, Target, VoxelSize, check_voxels, damage_reported
from ecc_rf.volumes.chunk_files import remove_partial, sync_chunks
from ecc_rf.volumes.datasets import missing_dataset, only_dataset
from ecc_rf.volumes.metadata import default_chunks, drange_from
from ecc_rf.volumes.unfinished import UnfinishedOutput
from ecc_rf.volumes.units import voxel_size_from

_ORDER = "tczyx"
_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
_LETTERS_OF_TYPES = {"time": "t", "channel": "c"}

# a damaged or hostile Zarr 2 array may name any codec that is installed, and some of those run code
_ZARR_2_CODECS = {
    *("adler32", "astype", "bitround", "blosc", "bz2", "crc32", "crc32c", "delta", "fixedscaleoffset", "fletcher32"),
    *("gzip", "lz4", "lzma", "packbits", "quantize", "shuffle", "zlib", "zstd"),
}

_CHUNK_VOXELS = 128**3


class ZarrVolume(BaseVolume):
    """An array, with the axes in which it is stored."""

    shareable = True  # a chunk is a file, which replaces the one before it in one step

    def __init__(
        self,
        name: str,
        array: zarr.Array[Any],
        axes: str,
        voxel_size: VoxelSize | None,
        drange: tuple[float, float] | None,
        output: UnfinishedOutput | None = None,
    ) -> None:
        super().__init__(
            name,
            array.shape,
            array.dtype,
            axes,
            voxel_size=voxel_size,
            drange=drange,
            chunks=array.chunks,
            output=output,
        )
        self._array = array

    def _read(self, slices: Slices) -> NDArray[Any]:
        return np.asarray(self._array[slices])

    def _write(self, slices: Slices, array: NDArray[Any]) -> None:
        self._array[slices] = array

    def _sync(self, slices: Slices) -> None:
        sync_chunks(self._array, slices)

    def _complete(self) -> None:
        if self.resumed and self._output is not None:
            remove_partial(self._output.path)


def open_source(source: Source) -> ZarrVolume | AxisView:
    with damage_reported(source.name):
        path, name = source.path / source.inner, source.name
        node = _node(path)
        if node is None:
            raise _missing(source)
        # an array may be named that is a level of an image
        group = _node(path.parent) if source.inner else None
        level = path.name
        if isinstance(node, zarr.Group) and not _multiscales(node):
            level = only_dataset(list(_images(node)), name)
            group, node, name = node, node[level], f"{name}/{level}"
        if isinstance(node, zarr.Group):
            level = str(_multiscales(node)[0]["datasets"][0]["path"])
            group, node = node, node[level]
        if not isinstance(node, zarr.Array):
            raise FormatError(f"the level {level!r} of the image is no array", name)
        return _volume(source, name, node, group if isinstance(group, zarr.Group) else None, level)


def create_target(target: Target) -> ZarrVolume | AxisView:
    if target.inner:
        raise FormatError(
            "an OME-Zarr output is an image itself, it holds no named datasets",
            target.output.name,
            f"write to {target.output.final}",
        )
    stored = "".join(axis for axis in _ORDER if axis in target.axes)
    order = [target.axes.index(axis) for axis in stored]
    chunks = target.chunks or default_chunks(target.axes, target.shape, _CHUNK_VOXELS)
    attributes = {**target.attributes, "ecc_rf": {"axes": target.axes}, "ome": _metadata(target, stored)}
    if target.drange is not None:
        attributes["drange"] = list(target.drange)

    def write(path: Path) -> None:
        zarr.create_group(path, zarr_format=3, attributes=attributes).create_array(
            "0",
            shape=[target.shape[axis] for axis in order],
            dtype=target.dtype,
            chunks=tuple(chunks[axis] for axis in order),
            compressors=ZstdCodec(level=3),
            dimension_names=list(stored),
        )

    target.output.begin(write, _describe)
    array = zarr.open_array(target.output.path / "0", mode="r+")
    volume = ZarrVolume(target.output.name, array, stored, target.voxel_size, target.drange, target.output)
    return volume if stored == target.axes else AxisView(volume, target.axes)


def _describe(path: Path) -> dict[str, Any]:
    group, array = (json.loads((path / part / "zarr.json").read_text()) for part in ("", "0"))
    return {**array, **group["attributes"]}


def _metadata(target: Target, stored: str) -> dict[str, Any]:
    size = dict(zip("zyx", target.voxel_size or ()))
    axes = [{"name": axis, "type": _TYPES[axis]} for axis in stored]
    for axis in axes:
        if axis["name"] in size:
            axis["unit"] = "micrometer"
    scale = {"type": "scale", "scale": [size.get(axis, 1.0) for axis in stored]}
    level = {"path": "0", "coordinateTransformations": [scale]}
    return {
        "version": "0.5",
        "multiscales": [{"name": target.output.final.name, "axes": axes, "datasets": [level]}],
    }


def _node(path: Path) -> zarr.Group | zarr.Array[Any] | None:
    try:
        return zarr.open(path, mode="r")
    except FileNotFoundError:  # zarr's own errors for what is not there derive from it
        return None


def _missing(source: Source) -> EccError:
    root = _node(source.path)
    if root is None:
        return FormatError("the folder is no Zarr hierarchy: it has no zarr.json, .zgroup or .zarray", source.name)
    images = list(_images(root)) if isinstance(root, zarr.Group) else []
    return missing_dataset(source.inner, images, source.name)


def _images(group: zarr.Group) -> Iterator[str]:
    """Paths of the OME images, and of arrays of 2 to 5 dimensions that belong to none."""
    for key, node in sorted(group.members(), key=lambda member: member[0]):
        if isinstance(node, zarr.Array):
            if 2 <= node.ndim <= 5:
                yield key
        elif _multiscales(node):
            yield key
        else:
            yield from (f"{key}/{inner}" for inner in _images(node))


def _attributes(node: zarr.Group | zarr.Array[Any]) -> dict[str, Any]:
    return dict(node.attrs.asdict())


def _multiscales(group: zarr.Group) -> list[dict[str, Any]]:
    attributes = _attributes(group)
    found: list[dict[str, Any]] = attributes.get("ome", attributes).get("multiscales", [])  # older than 0.5: no "ome"
    return found


def _volume(
    source: Source, name: str, array: zarr.Array[Any], group: zarr.Group | None, path: str
) -> ZarrVolume | AxisView:
    check_voxels(name, array.shape, array.dtype)
    _refuse_foreign_codecs(array, name)
    attributes = {**(_attributes(group) if group else {}), **_attributes(array)}
    level = _described(_multiscales(group), path, array.ndim) if group else None
    stored = level.axes if level else _plain_axes(array)
    shown = (attributes.get("ecc_rf") or {}).get("axes", stored)
    if shown == stored or sorted(shown) != sorted(stored):
        shown, order = stored, list(range(array.ndim))
    else:
        order = [shown.index(axis) for axis in stored]
    shown = check_axes(source.axes or shown, array.ndim, name)  # the caller's letters go by the shape that is shown
    stored = "".join(shown[i] for i in order)
    voxel_size = source.voxel_size
    if voxel_size is None and level:
        voxel_size = voxel_size_from(stored, stored, dict(zip(stored, level.scale)), dict(zip(stored, level.units)))
    volume = ZarrVolume(name, array, stored, voxel_size, drange_from(attributes.get("drange")))
    return volume if shown == stored else AxisView(volume, shown)


class _Level(NamedTuple):
    """What an image says of one of its levels: a letter, size and unit for each dimension."""

    axes: str
    scale: list[float]
    units: list[str]


def _described(images: list[dict[str, Any]], path: str, ndim: int) -> _Level | None:
    for image in images:
        for dataset in image["datasets"]:
            if dataset["path"] != path:
                continue
            scale = np.ones(ndim)
            for step in (*dataset.get("coordinateTransformations", ()), *image.get("coordinateTransformations", ())):
                scale = scale * step.get("scale", 1.0)
            axes = [axis if isinstance(axis, dict) else {"name": axis} for axis in image.get("axes", _ORDER)]
            return _Level("".join(map(_letter, axes)), scale.tolist(), [str(axis.get("unit")) for axis in axes])
    return None


def _letter(axis: dict[str, Any]) -> str:
    name = str(axis["name"]).lower()
    return name if name in _TYPES else _LETTERS_OF_TYPES.get(str(axis.get("type")), "?")


def _plain_axes(array: zarr.Array[Any]) -> str:
    """The names of the dimensions (of Zarr 3, or xarray's) if they are axis letters, else ilastik's rule."""
    names = getattr(array.metadata, "dimension_names", None) or _attributes(array).get("_ARRAY_DIMENSIONS") or ()
    try:
        return check_axes("".join(str(name).lower() for name in names), array.ndim)
    except AxesError:
        return default_axes(array.shape)


def _refuse_foreign_codecs(array: zarr.Array[Any], name: str) -> None:
    if array.metadata.zarr_format != 2:
        return
    for codec in (*(array.metadata.filters or ()), array.metadata.compressor):
        if codec is not None and codec.codec_id not in _ZARR_2_CODECS:
            raise FormatError(f"the image is compressed with the codec {codec.codec_id!r}, which is not read", name)
