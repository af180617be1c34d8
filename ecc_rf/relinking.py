"""Mending a project's links to its images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ecc_rf.errors import MissingFileError
from ecc_rf.ilp import IlastikProject, NewLink, ProjectChanges, edit_project
from ecc_rf.ilp.links import LinkKind


def relink(
    project: str | Path,
    output: str | Path,
    *,
    images: Mapping[int | str, str | Path] | None = None,
    link: LinkKind = "relative",
    search: Sequence[str | Path] = (),
    overwrite: bool = False,
) -> None:
    """Write a project whose links lead to its images; labels and classifier stay with their lanes.

    Parameters
    ----------
    project, output : str or Path
        The .ilp file, which is not changed, and the new one.
    images : mapping, optional
        Places of images by lane number, nickname or stored path. Without any, every image that is found is linked
        anew, and those that are not stay as they are.
    link : "relative", "absolute" or "copy"
        See `NewLink`.
    search : sequence of str or Path
        Folders to look for images in.
    overwrite : bool
        Replace a file of the output's name, once the new one is complete.

    Raises
    ------
    MissingFileError
        If no image is given, and none is found.
    ShapeError
        If an image has not the shape of its lane.
    EccError
        As `IlastikProject.open` and `edit_project`.
    """
    opened = IlastikProject.open(project, images=images, search=search)
    if images:
        places = {lane.index: lane.override for lane in opened.lanes}
    else:
        # a copy inside the project is no file that could be linked; copied again it stays one
        places = {lane.index: lane.location.path for lane in opened.lanes if link == "copy" or lane.kind != "embedded"}
    links = {index: NewLink(place, link) for index, place in places.items() if place is not None}
    if not links and opened.lanes:
        raise MissingFileError(
            "none of the images is found",
            str(project),
            "say where they are: LANE=PATH for each, or --search DIR for a folder that holds them",
        )
    edit_project(project, output, changes=ProjectChanges(links=links), overwrite=overwrite)
