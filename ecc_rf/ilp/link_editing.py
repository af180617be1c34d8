"""New links in a project that is written anew: those asked for, and those that a new folder makes necessary."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import h5py

from ecc_rf.ilp.encoding import group_in, names_in, read_text, read_texts, write_text, write_texts
from ecc_rf.ilp.lanes import Lane, is_image_info
from ecc_rf.ilp.links import (
    LINK_MEMBERS,
    NewLink,
    explicit_path,
    nickname,
    stored_link,
    write_copy,
    write_layout,
    write_link,
)
from ecc_rf.ilp.stored_paths import is_absolute, is_url, normalized, outer_and_inner
from ecc_rf.ilp.writing import ROLES

_DATA = "Input Data"


class LinkEdits:
    """What changes about the lanes' images.

    Parameters
    ----------
    lanes : sequence of Lane
        Of the old project, opened with the new images: these are checked here.
    links : mapping of int to NewLink
        By lane index.
    project : Path
        The new project, absolute.

    Raises
    ------
    ShapeError
        If a new image has not the shape of its lane.
    """

    def __init__(self, lanes: Sequence[Lane], links: Mapping[int, NewLink], project: Path) -> None:
        self._lanes = lanes
        self._links = links
        self._project = project
        self._moved: dict[str, str] = {}
        for index in links:
            lanes[index].open().close()

    def left_out(self, old: h5py.File) -> set[str]:
        """Members that are written anew, or not at all."""
        data = group_in(old, _DATA)
        infos = group_in(data, "infos") if data is not None else None
        if data is None or infos is None:
            return set()
        paths = self._left_copies(data)
        for lane, name in zip(self._lanes, names_in(infos)):
            info_group = group_in(infos, name)
            if info_group is None:  # damaged: it has a name, and cannot be opened
                continue
            for path, info in _infos(info_group, f"{_DATA}/infos/{name}"):
                raw = path.rpartition("/")[2] not in ROLES[1:]
                if raw and lane.index in self._links:
                    paths |= {f"{path}/{member}" for member in LINK_MEMBERS}
                elif (moved := self._moved_link(info, lane if raw else None)) is not None:
                    self._moved[_with_role(path)] = moved
                    paths |= {f"{path}/{member}" for member in ("__class__", "filePath")}
        return paths

    def _left_copies(self, data: h5py.Group) -> set[str]:
        """Embedded images that no lane needs any more."""
        inner = {lane.inner_path for lane in self._lanes if lane.index in self._links}
        return inner - {lane.inner_path for lane in self._lanes if lane.index not in self._links}

    def _moved_link(self, info: h5py.Group, lane: Lane | None) -> str | None:
        """Where an image with a relative link is, if the project leaves its folder; None if the link can stay."""
        folder = self._lanes[0].project.parent
        path = normalized(read_text(info, "filePath") or "")
        embedded = "ProjectInternal" in (read_text(info, "location") or "")
        if embedded or not path or is_absolute(path) or is_url(path):
            return None
        if os.path.realpath(folder) == os.path.realpath(self._project.parent):
            return None
        if lane is not None and lane.location.path is not None:
            return lane.location.path
        return str(folder / path) if Path(outer_and_inner(str(folder / path))[0]).exists() else None

    def write(self, new: h5py.File) -> None:
        """Write the links into the copied project."""
        data = group_in(new, _DATA)
        infos = group_in(data, "infos") if data is not None else None
        if data is None or infos is None:
            return
        if not read_texts(data, "Role Names"):
            _introduce_roles(data, infos)
        for path, place in self._moved.items():
            link, relative = stored_link(place, self._project.parent, True)
            write_text(new[path], "__class__", "RelativeFilesystemDatasetInfo" if relative else "FilesystemDatasetInfo")
            write_text(new[path], "filePath", link)
        for lane, name in zip(self._lanes, names_in(infos)):
            if lane.index in self._links:
                self._write_link(lane, _group(_group(infos, name), ROLES[0]), _group(data, "local_data"))

    def _write_link(self, lane: Lane, info: h5py.Group, local_data: h5py.Group) -> None:
        link = self._links[lane.index]
        with lane.open() as volume:
            if link.kind == "copy":
                write_copy(info, local_data, volume)
            else:
                write_link(info, replace(link, path=explicit_path(link.path, volume)), self._project)
            write_layout(info, volume.axes, volume.shape, volume.voxel_size)
        if "nickname" not in info:
            write_text(info, "nickname", nickname(Path(link.path).as_posix()))
        if "allowLabels" not in info:
            info.create_dataset("allowLabels", data=True)


def _group(parent: h5py.Group, name: str) -> h5py.Group:
    """A group, made if there is nothing of that name.

    Raises
    ------
    FormatError
        If there is something else.
    """
    found = group_in(parent, name)
    return parent.create_group(name) if found is None else found


def _infos(lane: h5py.Group, path: str) -> list[tuple[str, h5py.Group]]:
    """The groups of a lane that name an image, with their paths."""
    if is_image_info(lane):
        return [(path, lane)]
    roles = [(f"{path}/{name}", group_in(lane, name)) for name in names_in(lane)]
    return [(place, info) for place, info in roles if info is not None and is_image_info(info)]


def _with_role(path: str) -> str:
    """Where the info of a lane will be: lanes without roles get them."""
    return path if path.count("/") == 3 else f"{path}/{ROLES[0]}"


def _introduce_roles(data: h5py.Group, infos: h5py.Group) -> None:
    """Old projects have one image per lane, without a role; today's ilastik needs one."""
    if "Role Names" in data:
        del data["Role Names"]
    write_texts(data, "Role Names", ROLES)
    for name in names_in(infos):
        lane = group_in(infos, name)
        if lane is None:
            continue
        members = names_in(lane)
        if is_image_info(lane):
            lane.create_group("new")  # a member may have the name of the role
            for member in members:
                lane.move(member, f"new/{member}")
            lane.move("new", ROLES[0])
        for role in ROLES:  # the lane may have them, and only their names be gone
            lane.require_group(role)
