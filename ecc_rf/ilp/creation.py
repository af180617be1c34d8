"""New projects, from images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ecc_rf.errors import ImageTooSmallError, SettingError
from ecc_rf.features.selection import FeatureSelection
from ecc_rf.ilp.label_writing import Color
from ecc_rf.ilp.links import LinkKind, explicit_path
from ecc_rf.ilp.writing import NewLane, write_project
from ecc_rf.volumes import open_volume
from ecc_rf.volumes.base import VoxelSize

LABEL_NAMES = ("object", "false signal", "background")
"""Of a new project. What looks like an object but is none has a label of its own: it is what a forest has to learn."""


def create_project(
    path: str | Path,
    images: Sequence[str | Path],
    features: FeatureSelection | None = None,
    label_names: Sequence[str] = LABEL_NAMES,
    *,
    link: LinkKind = "relative",
    axes: str | None = None,
    voxel_size: VoxelSize | None = None,
    colors: Sequence[Color] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a project of some images, without labels; see `IlastikProject.create`."""
    if not images:
        raise SettingError("a project needs at least one image", str(path))
    lanes = []
    for image in images:
        with open_volume(image, axes=axes, voxel_size=voxel_size) as volume:
            place = explicit_path(image, volume)
            lanes.append(NewLane(place, volume.axes, volume.shape, link=link, voxel_size=volume.voxel_size))
    features = features or FeatureSelection.recommended()
    for lane in lanes:
        extents = dict(zip(lane.axes, lane.shape))
        try:
            features.plan((extents.get("z", 1), extents["y"], extents["x"]), extents.get("c", 1))  # whether filters fit
        except ImageTooSmallError as error:  # does not know the image
            raise ImageTooSmallError(error.what, str(lane.path), error.do) from None
    write_project(path, lanes, features, label_names, colors=colors, overwrite=overwrite)
