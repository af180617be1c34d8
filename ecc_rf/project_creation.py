"""A project from scratch that notes how its images are normalised."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ecc_rf.errors import EccError, OutputExistsError
from ecc_rf.features.selection import FeatureSelection
from ecc_rf.ilp import IlastikProject, ProjectChanges, edit_project
from ecc_rf.ilp.links import LinkKind
from ecc_rf.lane_normalization import LaneChoice, LaneNormalizer
from ecc_rf.normalization.settings import read_from_volume
from ecc_rf.volumes.base import VoxelSize
from ecc_rf.volumes.user_paths import expanded, is_there


def create(
    path: str | Path,
    images: Sequence[str | Path],
    features: FeatureSelection | None = None,
    label_names: Sequence[str] | None = None,
    *,
    normalization: LaneChoice | None = None,
    link: LinkKind = "relative",
    axes: str | None = None,
    voxel_size: VoxelSize | None = None,
    overwrite: bool = False,
) -> IlastikProject:
    """As `IlastikProject.create`; the project notes the scales of its images, if they are normalised.

    Parameters
    ----------
    normalization : LaneChoice, optional
        By default images whose files are normalised are noted as that.

    Raises
    ------
    EccError
        As `IlastikProject.create` and `LaneNormalizer`; then no project is written.
    """
    choice = normalization or LaneChoice()
    if not choice.normalize and all(read_from_volume(image) is None for image in images):
        return IlastikProject.create(
            path, images, features, label_names, link=link, axes=axes, voxel_size=voxel_size, overwrite=overwrite
        )
    final = expanded(path)
    if is_there(final) and not overwrite:
        raise OutputExistsError(
            "There is a file of this name already.", str(path), "Give another name, or replace it with --overwrite."
        )
    # beside the project, so that links are the same
    plain = final.with_name(f".{final.name}.plain.ilp")
    try:
        project = IlastikProject.create(
            plain, images, features, label_names, link=link, axes=axes, voxel_size=voxel_size, overwrite=True
        )
        note = LaneNormalizer(project, project.lanes, choice, dict(enumerate(images))).note
        edit_project(plain, final, changes=ProjectChanges(normalization=note), overwrite=overwrite)
    except EccError as error:  # knows the project by the name it is made under
        raise type(error)(error.what, (error.where or "").replace(str(plain), str(path)), error.do) from None
    finally:
        plain.unlink(missing_ok=True)
    return IlastikProject.open(final)
