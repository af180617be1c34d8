"""How a lane names its image: written anew, for a new project or a mended one.

A link is a path relative to the project's folder, an absolute path, or a copy of the image inside the project.
"""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import h5py
import numpy as np

from ecc_rf.blocks.grid import Grid
from ecc_rf.errors import SettingError
from ecc_rf.ilp.encoding import names_in, write_text
from ecc_rf.ilp.stored_paths import outer_and_inner
from ecc_rf.volumes import Volume, axistags_json
from ecc_rf.volumes.axes import axis_units_json
from ecc_rf.volumes.base import VoxelSize
from ecc_rf.volumes.metadata import default_chunks
from ecc_rf.volumes.paths import split_path
from ecc_rf.volumes.user_paths import expanded

LinkKind = Literal["relative", "absolute", "copy"]
LINK_KINDS = ("relative", "absolute", "copy")

LINK_MEMBERS = (
    *("__class__", "location", "filePath", "url", "datasetId", "inner_path", "fromstack", "preloaded_array"),
    *("axistags", "axisorder", "axis_units", "shape", "working_scale", "scale_locked"),
)
"""Members of a lane's group that say where its image is and how it is read; all others are about its display."""

_CHUNK_VOXELS = 64**3
_COPIED_CHUNKS = 8  # along each axis at once: 134 million voxels of a volume at the most


@dataclass(frozen=True)
class NewLink:
    """Where the image of a lane is from now on.

    Parameters
    ----------
    path : str or Path
        The image, as `open_volume` takes it.
    kind : "relative", "absolute" or "copy"
        How the project names it. A relative link holds when project and image move together; ilastik knows it only
        for images in the project's folder or below, others get an absolute one. A copy lies inside the project.

    Raises
    ------
    SettingError
        If the link is of another kind.
    """

    path: str | Path
    kind: LinkKind = "relative"

    def __post_init__(self) -> None:
        check_kind(self.kind, str(self.path))


def check_kind(kind: str, where: str) -> None:
    """Refuse a kind of link that does not exist.

    Raises
    ------
    SettingError
    """
    if kind not in LINK_KINDS:
        raise SettingError(f"link {kind!r}; expected 'relative', 'absolute' or 'copy'", where)


def write_link(info: h5py.Group, link: NewLink, project: Path) -> str:
    """Write the path of an image into a lane's group; returns it as it is stored."""
    path, relative = stored_link(link.path, project.parent, link.kind == "relative")
    write_text(info, "__class__", "RelativeFilesystemDatasetInfo" if relative else "FilesystemDatasetInfo")
    write_text(info, "location", "FileSystem")
    write_text(info, "filePath", path)
    return path


def write_copy(info: h5py.Group, local_data: h5py.Group, volume: Volume) -> None:
    """Copy an image into a project, chunk by chunk, and name it in a lane's group."""
    identity = _new_identity(local_data, info.name or "")
    inner = f"/Input Data/local_data/{identity}"
    write_text(info, "__class__", "ProjectInternalDatasetInfo")
    write_text(info, "location", "ProjectInternal")
    write_text(info, "filePath", inner)
    write_text(info, "inner_path", inner)
    write_text(info, "datasetId", identity)
    info.create_dataset("fromstack", data=False)

    chunks = default_chunks(volume.axes, volume.shape, _CHUNK_VOXELS)
    dataset = local_data.create_dataset(
        identity, shape=volume.shape, dtype=volume.dtype, chunks=chunks, compression="gzip", compression_opts=1
    )
    dataset.attrs["axistags"] = axistags_json(volume.axes, volume.voxel_size)
    if volume.voxel_size is not None:
        dataset.attrs["axis_units"] = axis_units_json(volume.axes)
        dataset.attrs["element_size_um"] = volume.voxel_size
    if volume.drange is not None:
        dataset.attrs["drange"] = volume.drange
    for block in Grid(volume.shape, tuple(_COPIED_CHUNKS * extent for extent in chunks)):
        dataset[block.core] = volume[block.core]


def write_layout(info: h5py.Group, axes: str, shape: tuple[int, ...], voxel_size: VoxelSize | None = None) -> None:
    """Write axes, extents and voxel size (z, y, x in µm) of an image into a lane's group."""
    write_text(info, "axistags", axistags_json(axes, voxel_size))
    if voxel_size is not None:
        write_text(info, "axis_units", axis_units_json(axes))
    info.create_dataset("shape", data=np.array(shape, np.int64))


def stored_link(path: str | Path, folder: Path, relative: bool) -> tuple[str, bool]:
    """The path to be stored in a project of this folder, and whether it is relative to it.

    >>> stored_link("/data/images/a.h5/raw", Path("/data"), True), stored_link("/data/a.h5", Path("/data/p"), True)
    (('images/a.h5/raw', True), ('/data/a.h5', False))
    """
    image = Path(os.path.normpath(expanded(path).absolute()))
    folder = Path(os.path.normpath(folder.absolute()))
    if relative and image.is_relative_to(folder):
        return image.relative_to(folder).as_posix(), True
    return image.as_posix(), False


def explicit_path(path: str | Path, volume: Volume) -> str:
    """The path with the dataset that was opened, where the format has datasets and the path does not name one."""
    parts = split_path(path)
    return volume.name if parts.format.module in ("hdf5", "npz") and not parts.inner else str(path)


def nickname(link: str) -> str:
    """As ilastik makes it.

    >>> nickname("images/brain.h5/raw/data"), nickname("a.tif")
    ('brain-raw-data', 'a')
    """
    outer, inner = outer_and_inner(link)
    return "-".join([Path(outer).stem, *(part for part in inner.split("/") if part)])


def _new_identity(local_data: h5py.Group, lane: str) -> str:
    """A UUID, as ilastik names embedded images, but the same for the same project."""
    taken = set(names_in(local_data))
    number = 0
    while (identity := str(uuid.uuid5(uuid.NAMESPACE_URL, f"{lane}#{number}"))) in taken:
        number += 1
    return identity
