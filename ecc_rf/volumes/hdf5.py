"""Images in HDF5, read as ilastik does; they are written by `hdf5_writing`.

Nothing is followed out of the file: external links, external storage, virtual datasets and filters that would need a
plug-in are refused. h5py holds a lock of its own in every call, so that threads may share a volume.
"""

from __future__ import annotations

import contextlib
from typing import Any

import h5py
from numpy.typing import NDArray

from ecc_rf.errors import FormatError
from ecc_rf.volumes.axes import (
    axes_from_axistags,
    check_axes,
    default_axes,
    voxel_size_from_axistags,
)
from ecc_rf.volumes.base import BaseVolume, Slices, Source, Target, VoxelSize, check_voxels, damage_reported
from ecc_rf.volumes.datasets import missing_dataset, only_dataset
from ecc_rf.volumes.hdf5_chunks import read_region
from ecc_rf.volumes.hdf5_heap import checked_attribute
from ecc_rf.volumes.hdf5_storage import refuse_false_claims, refuse_foreign_storage
from ecc_rf.volumes.limits import check_claim, check_number_of_chunks, check_piece
from ecc_rf.volumes.metadata import drange_from, numbers, plain_attributes
from ecc_rf.volumes.units import voxel_size_from


class Hdf5Volume(BaseVolume):
    """A dataset; owns its file."""

    def __init__(
        self,
        name: str,
        dataset: h5py.Dataset,
        axes: str,
        voxel_size: VoxelSize | None,
        drange: tuple[float, float] | None,
        attributes: dict[str, Any],
    ) -> None:
        super().__init__(
            name,
            dataset.shape,
            dataset.dtype,
            axes,
            voxel_size=voxel_size,
            drange=drange,
            chunks=dataset.chunks,
            attributes=attributes,
        )
        self._dataset = dataset
        self._file = dataset.file

    def _read(self, slices: Slices) -> NDArray[Any]:
        return read_region(self._dataset, slices)

    def _release(self) -> None:
        self._file.close()


def open_source(source: Source) -> Hdf5Volume:
    with damage_reported(source.name):
        file = h5py.File(source.path, "r")
        try:
            inner = source.inner or only_dataset(_images(file), source.name)
            name = source.name if source.inner else f"{source.name}/{inner}"
            dataset = find_dataset(file, inner, name)
            _check_storage(dataset, name)
            axes = _axes(dataset, source.axes, name)
            voxel_size = source.voxel_size or _voxel_size(dataset, axes)
            drange = drange_from(checked_attribute(dataset, "drange", name))
            return Hdf5Volume(name, dataset, axes, voxel_size, drange, plain_attributes(_readable(dataset, name)))
        except BaseException:
            file.close()
            raise


def _readable(dataset: h5py.Dataset, name: str) -> dict[str, Any]:
    """The attributes that can be read without harm; one that cannot is none of ours."""
    found = {}
    for key in dataset.attrs:
        with contextlib.suppress(FormatError):
            found[key] = checked_attribute(dataset, key, name)
    return found


def create_target(target: Target) -> BaseVolume:
    from ecc_rf.volumes.hdf5_writing import create_target  # late: a project that is only read needs no Zarr

    return create_target(target)


def find_dataset(file: h5py.File, inner: str, name: str) -> h5py.Dataset:
    """The dataset at a path inside the file, reached without leaving the file.

    Raises
    ------
    MissingFileError
        If there is none; the message names similar ones.
    FormatError
        If a link on the way leads out of the file, or in a circle.
    """
    parts = _split(inner)
    node: h5py.Group | h5py.Dataset = file
    links = 0
    while parts:
        part = parts.pop(0)
        link = node.get(part, getlink=True) if isinstance(node, h5py.Group) else None
        if link is None:
            raise missing_dataset(inner, _images(file), name)
        if isinstance(link, h5py.SoftLink):
            links += 1
            if links > 16:
                raise FormatError("the path goes over links that lead in a circle", name)
            parts = _split(link.path) + parts
            node = file if link.path.startswith("/") else node
        elif isinstance(link, h5py.HardLink):
            node = node[part]
        else:
            raise FormatError(
                f"{part!r} is a link to another file, which is not followed",
                name,
                "open the other file itself, or copy the image into this one",
            )
    if not isinstance(node, h5py.Dataset):
        raise missing_dataset(inner, _images(file), name)
    return node


def _split(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _images(file: h5py.File) -> list[str]:
    """Paths of the datasets of 2 to 5 dimensions; links are not followed."""
    found = []

    def visit(path: str, node: h5py.Group | h5py.Dataset) -> None:
        if isinstance(node, h5py.Dataset) and node.shape is not None and 2 <= len(node.shape) <= 5:
            found.append(path)

    file.visititems(visit)
    return found


def _check_storage(dataset: h5py.Dataset, name: str) -> None:
    check_voxels(name, dataset.shape or (), dataset.dtype)
    refuse_foreign_storage(dataset, name)
    # a stored size of 0 is also what a dataset has that was announced but never written
    stored = dataset.id.get_storage_size()
    if dataset.chunks is None and stored < dataset.nbytes:
        raise FormatError(
            f"the file holds {stored} bytes of the {dataset.nbytes} that the shape {dataset.shape} needs",
            name,
            "write the file anew",
        )
    refuse_false_claims(dataset, name)
    check_claim(name, dataset.shape, dataset.dtype.itemsize, stored)
    if dataset.chunks is not None:
        check_piece(name, dataset.chunks, dataset.dtype.itemsize)
        check_number_of_chunks(name, dataset.shape, dataset.chunks, dataset.dtype.itemsize)


def _axes(dataset: h5py.Dataset, axes: str | None, name: str) -> str:
    tags = None if axes is not None else checked_attribute(dataset, "axistags", name)
    if tags is not None:
        axes = axes_from_axistags(tags, name)
    return check_axes(axes or default_axes(dataset.shape), dataset.ndim, name)


def _voxel_size(dataset: h5py.Dataset, axes: str) -> VoxelSize | None:
    tags, units = (checked_attribute(dataset, key, dataset.name) for key in ("axistags", "axis_units"))
    if tags is not None and units is not None:
        size = voxel_size_from_axistags(axes, tags, units)
        if size is not None:
            return size
    stored = numbers(checked_attribute(dataset, "element_size_um", dataset.name), 3)
    return voxel_size_from("zyx", "zyx", dict(zip("zyx", stored)), dict.fromkeys("zyx", "um")) if stored else None
