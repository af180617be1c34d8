"""OME-Zarr 0.5 (https://ngff.openmicroscopy.org/0.5/), written.

An image is a group with one multiscale image: the array "0" and, for a pyramid, coarser ones "1", "2" …, with voxel
sizes in micrometre. OME-Zarr demands the axis order t, c, z, y, x; an image of other axes is stored in that order and
handed out in its own, which the group attribute ``ecc_rf: {"axes": ...}`` remembers. The group also has the attribute
`drange` and the caller's own.

Chunks are compressed with Zstandard and a checksum, so that damage is found. Every chunk is a file, unless there are
shards, of many chunks in a file.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec, GzipCodec, ZstdCodec

from ecc_rf.errors import FormatError
from ecc_rf.volumes.axes import AxisView
from ecc_rf.volumes.base import BaseVolume, Slices, Target, chunks_of
from ecc_rf.volumes.chunk_files import remove_partial, stored_chunks, sync_chunks
from ecc_rf.volumes.metadata import default_chunks
from ecc_rf.volumes.pyramid import Level, level_bytes, pyramid_steps, reduce_region

_ORDER = "tczyx"
_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}

_CHUNK_VOXELS = 128**3


_COMPRESSORS: dict[str, Any] = {
    "zstd": ZstdCodec(level=3, checksum=True),
    "gzip": GzipCodec(level=1),  # has a checksum of its own
    "none": Crc32cCodec(),
}


class ZarrTarget(BaseVolume):
    """The full resolution of an image that is being written; the coarser levels are made from it at the end."""

    shareable = True  # a chunk or shard is a file, which replaces the one before it in one step

    def __init__(self, target: Target, axes: str, levels: list[zarr.Array[Any]]) -> None:
        super().__init__(
            target.output.name,
            levels[0].shape,
            target.dtype,
            axes,
            voxel_size=target.voxel_size,
            drange=target.drange,
            chunks=[min(n, extent) for n, extent in zip(stored_chunks(levels[0]), levels[0].shape)],
            output=target.output,
        )
        self._target = target
        self._array, *self._coarser = levels

    def _read(self, slices: Slices) -> NDArray[Any]:
        return np.asarray(self._array[slices])

    def _write(self, slices: Slices, array: NDArray[Any]) -> None:
        self._array[slices] = array

    def _sync(self, slices: Slices) -> None:
        sync_chunks(self._array, slices)

    def _complete(self) -> None:
        levels = self._levels()
        if self._target.build is not None:
            self._target.build(levels)
        else:
            for level in levels:
                for region in chunks_of(tuple(slice(0, n) for n in level.shape), level.shape, level.pieces):
                    level.build(region)
        if self.resumed:
            remove_partial(self._target.output.path)

    def _levels(self) -> list[Level]:
        arrays = (self._array, *self._coarser)
        steps = _steps(self._target, self.axes, self.shape)
        method = self._target.pyramid or ""
        levels = []
        for number, (finer, coarser, step) in enumerate(zip(arrays, self._coarser, steps), 1):
            pieces = tuple(min(edge, n) for edge, n in zip(stored_chunks(coarser), coarser.shape))
            build = partial(_build, finer, coarser, step, method)
            levels.append(Level(number, coarser.shape, pieces, level_bytes(pieces, self.dtype), build))
        return levels


def _build(finer: zarr.Array[Any], coarser: zarr.Array[Any], step: Sequence[int], method: str, region: Slices) -> None:
    """Make a region of a level of the one before it; it is on the disk when this returns."""

    def read(source: Slices) -> NDArray[Any]:
        return np.asarray(finer[source])

    coarser[region] = reduce_region(read, region, step, method, coarser.dtype)
    sync_chunks(coarser, region)


def create_target(target: Target) -> ZarrTarget | AxisView:
    if target.inner:
        raise FormatError(
            "an OME-Zarr output is an image itself, it holds no named datasets",
            target.output.name,
            f"write to {target.output.final}",
        )
    stored = "".join(axis for axis in _ORDER if axis in target.axes)
    order = [target.axes.index(axis) for axis in stored]
    shape = tuple(target.shape[axis] for axis in order)
    usual = target.chunks or default_chunks(target.axes, target.shape, _CHUNK_VOXELS)
    chunks = tuple(usual[axis] for axis in order)
    shards = target.shards and tuple(target.shards[axis] for axis in order)
    shapes = [shape]
    for step in _steps(target, stored, shape):
        shapes.append(tuple(-(-extent // by) for extent, by in zip(shapes[-1], step)))
    ours = target.attributes.get("ecc_rf")
    attributes = {
        **target.attributes,
        "ecc_rf": {**(ours if isinstance(ours, dict) else {}), "axes": target.axes},
        "ome": _metadata(target, stored, shape),
    }
    if target.drange is not None:
        attributes["drange"] = list(target.drange)

    def write(path: Path) -> None:
        group = zarr.create_group(path, zarr_format=3, attributes=attributes)
        for number, extents in enumerate(shapes):
            inner = tuple(min(chunk, extent) for chunk, extent in zip(chunks, extents))
            group.create_array(
                str(number),
                shape=extents,
                dtype=target.dtype,
                chunks=inner,
                shards=shards and tuple(-(-min(n, m) // k) * k for n, m, k in zip(shards, extents, inner)),
                compressors=_COMPRESSORS[target.compression],
                dimension_names=list(stored),
            )

    target.output.begin(write, _describe)
    levels = [zarr.open_array(target.output.path / str(number), mode="r+") for number in range(len(shapes))]
    volume = ZarrTarget(target, stored, levels)
    return volume if stored == target.axes else AxisView(volume, target.axes)


def _steps(target: Target, axes: str, shape: Sequence[int]) -> list[tuple[int, ...]]:
    return pyramid_steps(axes, shape, target.voxel_size) if target.pyramid else []


def _describe(path: Path) -> dict[str, Any]:
    group, array = (json.loads((path / part / "zarr.json").read_text()) for part in ("", "0"))
    return {**array, **group["attributes"]}


def _metadata(target: Target, stored: str, shape: Sequence[int]) -> dict[str, Any]:
    size = dict(zip("zyx", target.voxel_size or ()))
    axes = [{"name": axis, "type": _TYPES[axis]} for axis in stored]
    for axis in axes:
        if axis["name"] in size:
            axis["unit"] = "micrometer"
    factors = np.ones(len(stored), int)
    levels = []
    for number, step in enumerate([(1,) * len(stored), *_steps(target, stored, shape)]):
        factors = factors * step
        lengths = [size.get(axis, 1.0) for axis in stored]
        scale = [float(length * by) for length, by in zip(lengths, factors)]
        transformations: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
        if number:  # the centre of a coarse voxel is the middle of the centres of the fine ones
            shift = [float(length * (by - 1) / 2) for length, by in zip(lengths, factors)]
            transformations.append({"type": "translation", "translation": shift})
        levels.append({"path": str(number), "coordinateTransformations": transformations})
    image: dict[str, Any] = {"name": target.output.final.name, "axes": axes, "datasets": levels}
    if target.pyramid:
        image["type"] = target.pyramid
    return {"version": "0.5", "multiscales": [image]}
