"""Zarr: OME-Zarr images (0.5 and older) at any of their resolutions, and plain arrays; written by `ome_zarr_writing`.

A path may name an image in a hierarchy (``brain.zarr/0`` of bioformats2raw, ``brain.zarr/labels/cells``) or a level of
an image (``brain.zarr/1``); an image without a level is meant at full resolution. A chunk that is not there has the
fill value everywhere, as Zarr has it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import zarr
from numpy.typing import NDArray

from ecc_rf.errors import AxesError, EccError, FormatError, SettingError
from ecc_rf.volumes.axes import AxisView, check_axes, default_axes
from ecc_rf.volumes.base import BaseVolume, Slices, Source, Target, VoxelSize, check_voxels, damage_reported
from ecc_rf.volumes.checked_folder import stored_bytes
from ecc_rf.volumes.chunk_files import chunk_files
from ecc_rf.volumes.datasets import missing_dataset, only_dataset
from ecc_rf.volumes.limits import (
    MOST_MEMBERS,
    check_claim,
    check_number_of_chunks,
    check_piece,
)
from ecc_rf.volumes.metadata import drange_from
from ecc_rf.volumes.units import voxel_size_from
from ecc_rf.volumes.zarr_store import bounded, open_node

_ORDER = "tczyx"  # of versions that name no axes

# of a group, or of xarray, that say what we say otherwise
_STRUCTURE = ("ome", "multiscales", "omero", "image-label", "labels", "drange", "_ARRAY_DIMENSIONS", "_FillValue")
_LETTERS_OF_TYPES = {"time": "t", "channel": "c"}


class ZarrVolume(BaseVolume):
    """An array, with the axes in which it is stored."""

    def __init__(
        self,
        name: str,
        array: zarr.Array[Any],
        axes: str,
        voxel_size: VoxelSize | None,
        drange: tuple[float, float] | None,
        attributes: dict[str, Any],
    ) -> None:
        super().__init__(
            name,
            array.shape,
            array.dtype,
            axes,
            voxel_size=voxel_size,
            drange=drange,
            chunks=[min(chunk, extent) for chunk, extent in zip(array.chunks, array.shape)],
            attributes=attributes,
        )
        self._array = array

    def _read(self, slices: Slices) -> NDArray[Any]:
        return np.asarray(self._array[slices])

    def _chunk_file(self, slices: Slices) -> str:
        return str(next(chunk_files(self._array, slices))[1])


def open_source(source: Source) -> ZarrVolume | AxisView:
    with damage_reported(source.name):
        path, name = source.path / source.inner, source.name
        node = open_node(source.path, source.inner)
        if node is None:
            raise _missing(source)
        # an array may be named that is a level of an image
        above = Path(source.inner).parent.as_posix()
        group = open_node(source.path, "" if above == "." else above) if source.inner else None
        level = path.name
        if isinstance(node, zarr.Group) and not _multiscales(node):
            level = only_dataset(list(_images(node)), name)
            group, node, name = node, node[level], f"{name}/{level}"
        if isinstance(node, zarr.Group):
            image = _image(node, name)
            level = image.names[0] if source.level is None else image.choose(source.level)
            group, node = node, node.get(level)
            name = name if source.level is None else f"{name}/{level}"
        elif source.level is not None:
            raise SettingError("the path names an array, which has no levels", name, "name the image, or no level")
        if not isinstance(node, zarr.Array):
            raise FormatError(f"the level {level!r} of the image, which its metadata name, is not there", name)
        return _volume(source, name, node, group if isinstance(group, zarr.Group) else None, level)


def create_target(target: Target) -> BaseVolume:
    from ecc_rf.volumes.ome_zarr_writing import create_target

    return create_target(target)


def _missing(source: Source) -> EccError:
    root = open_node(source.path)
    if root is None:
        return FormatError("the folder is no Zarr hierarchy: it has no zarr.json, .zgroup or .zarray", source.name)
    images = list(_images(root)) if isinstance(root, zarr.Group) else []
    return missing_dataset(source.inner, images, source.name)


def _images(group: zarr.Group, seen: list[int] | None = None) -> Iterator[str]:
    """Paths of the OME images, and of arrays of 2 to 5 dimensions that belong to none."""
    seen = [0] if seen is None else seen
    for key, node in sorted(group.members(), key=lambda member: member[0]):
        seen[0] += 1
        if seen[0] > MOST_MEMBERS:
            raise FormatError(
                f"the hierarchy has more than {MOST_MEMBERS:,} groups and arrays", str(group.store_path), "name one"
            )
        if isinstance(node, zarr.Array):
            if 2 <= node.ndim <= 5:
                yield key
        elif _multiscales(node):
            yield key
        else:
            yield from (f"{key}/{inner}" for inner in _images(node, seen))


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
    check_piece(name, array.chunks, array.dtype.itemsize)
    check_number_of_chunks(name, array.shape, array.chunks, array.dtype.itemsize)
    claimed = math.prod(array.shape) * array.dtype.itemsize
    check_claim(name, array.shape, array.dtype.itemsize, stored_bytes(source.path / array.path, claimed))
    array = bounded(array, name)
    attributes = {**(_attributes(group) if group else {}), **_attributes(array)}
    level = _image(group, name).levels.get(path) if group is not None and _multiscales(group) else None
    stored = level.axes if level else _plain_axes(array)
    ours = attributes.get("ecc_rf")
    shown = str(ours.get("axes", stored)) if isinstance(ours, dict) else stored
    if shown == stored or sorted(shown) != sorted(stored):
        shown, order = stored, list(range(array.ndim))
    else:
        order = [shown.index(axis) for axis in stored]
    shown = check_axes(source.axes or shown, array.ndim, name)  # the caller's letters go by the shape that is shown
    stored = "".join(shown[i] for i in order)
    voxel_size = source.voxel_size
    if voxel_size is None and level:
        voxel_size = level.voxel_size(stored)
    kept = {key: value for key, value in attributes.items() if key not in _STRUCTURE}
    volume = ZarrVolume(name, array, stored, voxel_size, drange_from(attributes.get("drange")), kept)
    return volume if shown == stored else AxisView(volume, shown)


class _Level(NamedTuple):
    """What an image says of one of its levels: a letter, size and unit for each dimension."""

    axes: str
    scale: list[float]
    units: list[str]

    def voxel_size(self, axes: str) -> VoxelSize | None:
        """(z, y, x) in µm, the dimensions called by these letters."""
        return voxel_size_from(axes, axes, dict(zip(axes, self.scale)), dict(zip(axes, self.units)))


class _Image(NamedTuple):
    """The levels of a multi-resolution image, by their paths, the finest first."""

    name: str
    levels: dict[str, _Level]

    @property
    def names(self) -> list[str]:
        return list(self.levels)

    def choose(self, level: int | VoxelSize) -> str:
        """The path of a level, by its number or as the one whose voxels are the nearest in size.

        Raises
        ------
        SettingError
            If there is no such level, or the sizes are not known.
        """
        sizes = [known.voxel_size(known.axes) for known in self.levels.values()]
        if isinstance(level, int):
            if 0 <= level < len(sizes):
                return self.names[level]
            raise SettingError(f"there is no level {level}", self.name, f"the levels are {self._listed(sizes)}")
        if None in sizes:
            raise SettingError(
                "the image does not say how large its voxels are", self.name, f"give a level from 0 to {len(sizes) - 1}"
            )
        distances = [sum(abs(math.log(a / b)) for a, b in zip(size or (), level)) for size in sizes]
        return self.names[distances.index(min(distances))]

    @staticmethod
    def _listed(sizes: list[VoxelSize | None]) -> str:
        return ", ".join(
            f"{number}" + (f" ({' × '.join(f'{length:g}' for length in size)} µm)" if size else "")
            for number, size in enumerate(sizes)
        )


def _image(group: zarr.Group, name: str) -> _Image:
    """The first multi-resolution image of a group.

    Raises
    ------
    FormatError
        If its metadata are not those of one.
    """
    image = _multiscales(group)[0]
    try:
        levels = {}
        for dataset in image["datasets"]:
            axes = [axis if isinstance(axis, dict) else {"name": axis} for axis in image.get("axes", _ORDER)]
            scale = np.ones(len(axes))
            for step in (*dataset.get("coordinateTransformations", ()), *image.get("coordinateTransformations", ())):
                scale = scale * step.get("scale", 1.0)
            letters, units = "".join(map(_letter, axes)), [str(axis.get("unit")) for axis in axes]
            levels[str(dataset["path"])] = _Level(letters, scale.tolist(), units)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(
            f"the OME-Zarr metadata are damaged: {type(error).__name__}: {error}",
            name,
            "name the array that is meant, such as " + f"{name}/0",
        ) from error
    if not levels:
        raise FormatError("the OME-Zarr metadata name no level", name, "name the array that is meant")
    return _Image(name, levels)


def _letter(axis: dict[str, Any]) -> str:
    name = str(axis["name"]).lower()
    return name if name in _ORDER else _LETTERS_OF_TYPES.get(str(axis.get("type")), "?")


def _plain_axes(array: zarr.Array[Any]) -> str:
    """The names of the dimensions (of Zarr 3, or xarray's) if they are axis letters, else ilastik's rule."""
    names = getattr(array.metadata, "dimension_names", None) or _attributes(array).get("_ARRAY_DIMENSIONS") or ()
    try:
        return check_axes("".join(str(name).lower() for name in names), array.ndim)
    except AxesError:
        return default_axes(array.shape)
