"""Where the voxels of a lane's image lie, in the image and in the world of NIfTI."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecc_rf.errors import EccError
from ecc_rf.ilp import Lane
from ecc_rf.volumes import Volume, internal_axes
from ecc_rf.volumes.base import VoxelSize
from ecc_rf.volumes.nifti_geometry import plain_affine, read_geometry
from ecc_rf.volumes.paths import split_path

Zyx = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Frame:
    """The voxels of a lane's image.

    Attributes
    ----------
    name : str
        The lane, for messages.
    internal : str
        The lane's internal axes, in which its labels are.
    times : int
        Time steps.
    shape : (z, y, x)
    channels : int
    voxel_size : (z, y, x) in µm, or None
        None when unknown.
    affine : (4, 4) ndarray
        From voxel x, y, z to the world in mm.
    own : bool
        Whether the image itself says so, as NIfTI does; otherwise it is what `plain_affine` says.
    """

    name: str
    internal: str
    times: int
    shape: Zyx
    channels: int
    voxel_size: VoxelSize | None
    affine: NDArray[np.float64]
    own: bool

    def to_internal(self, tzyx: NDArray[np.int64]) -> NDArray[np.int64]:
        """Voxels (n, 4) in the lane's internal axes."""
        columns = {"t": tzyx[:, 0], "z": tzyx[:, 1], "y": tzyx[:, 2], "x": tzyx[:, 3]}
        zero = np.zeros(len(tzyx), np.int64)
        return np.stack([columns.get(axis, zero) for axis in self.internal], axis=1)

    def from_internal(self, coords: NDArray[np.int64], axes: str) -> NDArray[np.int64]:
        """Voxels in these axes as t, z, y, x."""
        zero = np.zeros(len(coords), np.int64)
        return np.stack([coords[:, axes.index(axis)] if axis in axes else zero for axis in "tzyx"], axis=1)


def lane_frame(lane: Lane) -> Frame:
    """The frame of a lane. Its image need not be there if the project knows its extents.

    Raises
    ------
    MissingFileError
        If neither the project nor the image tells the extents.
    """
    if lane.shape is None:
        lane.open().close()  # says what is missing
    axes = lane.axes
    shape = lane.shape or ()
    path = lane.location.path
    voxel_size = None
    if path is not None:
        try:
            with lane.open() as volume:
                voxel_size = volume.voxel_size
        except EccError:  # the labels can be used without it
            path = None
    return _frame(str(lane), axes, shape, lane.internal_axes, voxel_size, path)


def image_frame(volume: Volume, path: str | Path) -> Frame:
    """The frame of an image that need not be one of a project."""
    internal = internal_axes(volume.axes, volume.shape)
    return _frame(volume.name, volume.axes, volume.shape, internal, volume.voxel_size, str(path))


def _frame(
    name: str, axes: str, shape: Sequence[int], internal: str, voxel_size: VoxelSize | None, path: str | None
) -> Frame:
    extents = dict(zip(axes, shape))
    own = None if path is None else _own_affine(path, axes)
    return Frame(
        name=name,
        internal=internal,
        times=extents.get("t", 1),
        shape=(extents.get("z", 1), extents["y"], extents["x"]),
        channels=extents.get("c", 1),
        voxel_size=voxel_size,
        affine=plain_affine(voxel_size) if own is None else own,
        own=own is not None,
    )


def _own_affine(path: str, axes: str) -> NDArray[np.float64] | None:
    """What a NIfTI image says, if it is read in its own order."""
    in_order = "".join(axis for axis in axes if axis in "zyx") in ("zyx", "yx")
    parts = split_path(path)
    if parts.format.module != "nifti" or not in_order:
        return None
    transforms = read_geometry(parts.file).transforms
    return transforms.get("sform", transforms.get("qform"))
