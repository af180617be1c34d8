"""The images of a project, and where each of them is now.

Nothing is looked for before it is asked for: predicting other images needs none of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import h5py

from ecc_rf.errors import AxesError, FormatError, MissingFileError, ProjectError, ShapeError
from ecc_rf.ilp.encoding import group_in, names_in, place, read_array, read_text, read_texts
from ecc_rf.ilp.limits import LARGEST_EXTENT, MOST_AXES, MOST_LANES, MOST_ROLES
from ecc_rf.ilp.locate import Location, fitting_axes, locate
from ecc_rf.ilp.stored_paths import is_absolute, is_url, normalized
from ecc_rf.volumes import Volume, axes_from_axistags, default_axes, internal_axes, open_volume
from ecc_rf.volumes.axes import check_axes

Kind = Literal["relative", "absolute", "embedded", "url", "array", "none"]
"""How a lane names its image: by a path, as a copy inside the project, by an address in the net, as an array of a
script that was never stored, or not at all."""

_GIVE_IMAGE = (
    "mend the link, ecc-rf relink PROJECT {index}=PATH -o NEW.ilp; train and features also take --image {index}=PATH,"
    " functions images={{{index}: PATH}}"
)


@dataclass(frozen=True)
class Lane:
    """One image of a project.

    Attributes
    ----------
    index : int
        From 0.
    nickname : str
    kind : str
        See `Kind`.
    stored_path : str
        As the project has it; of an embedded image, where it once came from or its place inside the project.
    stored_axes : str
        Axes by which the project reads the image; empty if it does not say.
    stored_shape : tuple of int
        In the order of `stored_axes`; empty if it does not say (before ilastik 1.3.2).
    project : Path
        The project file.
    inner_path : str
        Of an embedded image, its dataset in the project.
    override : str or None
        The image's place as the user gave it.
    search : tuple of Path
        Folders to look for the image in, after everything else.
    cropped : bool
        Whether the project only uses a part of the image.
    notes : tuple of str
        What was odd about the lane's members.
    """

    index: int
    nickname: str
    kind: Kind
    stored_path: str
    stored_axes: str
    stored_shape: tuple[int, ...]
    project: Path
    inner_path: str = ""
    override: str | None = None
    search: tuple[Path, ...] = ()
    cropped: bool = False
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"lane {self.index} ({self.nickname})"

    @property
    def axes(self) -> str:
        """Axes of the image as the project reads it, otherwise as the file has them.

        Raises
        ------
        ProjectError
            If neither says.
        """
        if self.stored_axes:
            return self.stored_axes
        if self.location.axes:
            return self.location.axes
        if 2 <= len(self.stored_shape) <= 5:
            return default_axes(self.stored_shape)
        raise ProjectError(
            "the project does not say the axes of this image, and the image is not there",
            str(self),
            _GIVE_IMAGE.format(index=self.index),
        )

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Extents in the order of `axes`, as the project has them, otherwise as the file has; None when unknown."""
        if self.stored_shape:
            return self.stored_shape
        found = self.location
        if not found.path:
            return None
        fitting = fitting_axes(self.axes, (), found.shape)
        if fitting is None:
            return None
        extents = dict(zip(fitting, found.shape))
        return tuple(extents.get(axis, 1) for axis in self.axes)

    @property
    def internal_axes(self) -> str:
        """The order in which ilastik keeps the image and its labels, c last.

        When the shape is unknown, no axis is taken to have extent 1.
        """
        axes = self.axes
        return internal_axes(axes, self.shape or (2,) * len(axes))

    @cached_property
    def location(self) -> Location:
        """Where the image is: looked for once, when first asked."""
        return locate(self)

    def open(self) -> Volume:
        """Open the image, with the axes that the project reads it by.

        Axes of extent 1 may be missing from the volume or its axes.

        Raises
        ------
        MissingFileError
            If it is not found; the message says where it was looked for.
        ShapeError
            If the image that is found has another shape than that of the lane.
        ProjectError
            If the project only uses a part of the image.
        """
        found = self.location
        where = f"{self.project}, {self}"
        if found.path is None:
            places = "".join(f"\n    {line}" for line in found.tried)
            raise MissingFileError(
                f"the image of {self} is not there: {self.stored_path or 'no path is stored'}"
                + (f" ({found.note})" if found.note else "")
                + (f"\n  looked for at:{places}" if places else ""),
                where,
                _GIVE_IMAGE.format(index=self.index),
            )
        if self.cropped:
            raise ProjectError(
                "the project uses only a part of this image (a subvolume)",
                where,
                "save that part as an image of its own and give its place",
            )
        axes = fitting_axes(self.stored_axes or found.axes, self.stored_shape, found.shape)
        if axes is None:
            raise ShapeError(
                f"the image has shape {found.shape}, the project expects {self.stored_shape or self.stored_axes}",
                f"{found.path}, {self}",
                _GIVE_IMAGE.format(index=self.index),
            )
        return open_volume(found.path, axes=axes)


def read_lanes(data: h5py.Group | None, project: Path, search: Sequence[Path] = ()) -> list[Lane]:
    """The lanes of a project, in its order.

    Parameters
    ----------
    data : h5py.Group or None
        `Input Data`.
    project : Path
        The project file, absolute.
    search : sequence of Path
        Folders to look for images in.

    Raises
    ------
    FormatError
        If the group of the images cannot be read.
    """
    infos = group_in(data, "infos") if data is not None else None
    if data is None or infos is None:
        return []
    roles = read_texts(data, "Role Names", MOST_ROLES) or ["Raw Data"]
    lanes = []
    names = names_in(infos)
    if len(names) > MOST_LANES:
        raise FormatError(
            f"{len(names):,} images; expected at most {MOST_LANES:,}", place(infos), "copy the project anew"
        )
    for index, name in enumerate(names):
        info = group_in(infos, name)
        if info is not None and not is_image_info(info):
            info = group_in(info, roles[0])
        lanes.append(_read_lane(index, info, data, project, tuple(search)))
    return lanes


def is_image_info(group: h5py.Group) -> bool:
    """Whether a group names an image itself; projects with one role have no groups for roles."""
    return bool({"filePath", "location"} & set(names_in(group)))


def _read_lane(index: int, info: h5py.Group | None, data: h5py.Group, project: Path, search: tuple[Path, ...]) -> Lane:
    if info is None or not names_in(info):
        return Lane(index, f"lane {index}", "none", "", "", (), project, notes=("the lane has no image",))
    notes: list[str] = []
    axes = _stored_axes(info, notes)
    shape = _stored_shape(info, axes, notes)
    stored = read_text(info, "filePath") or read_text(info, "url") or ""
    kind = _kind(info, stored)
    scale = read_text(info, "working_scale") if kind != "embedded" and "working_scale" in info else ""
    if scale and stored.lower().startswith("file:"):
        stored = f"{stored.rstrip('/')}/{scale}"
    crop = read_array(info, "subvolume_roi", max_ndim=2, most=2 * MOST_AXES)
    return Lane(
        index=index,
        nickname=read_text(info, "nickname") or f"lane {index}",
        kind=kind,
        stored_path=stored,
        stored_axes=axes,
        stored_shape=shape,
        project=project,
        inner_path=_inner_path(info, data, stored) if kind == "embedded" else "",
        search=search,
        cropped=crop is not None and crop.size > 0,
        notes=tuple(notes),
    )


def _kind(info: h5py.Group, stored: str) -> Kind:
    """By the class if there is one, as ilastik decides otherwise."""
    path = normalized(stored)
    name = read_text(info, "__class__") or ""
    location = read_text(info, "location") or ("FileSystem" if path else "")
    if name == "ProjectInternalDatasetInfo" or (not name and location == "ProjectInternal"):
        return "embedded"
    if name == "PreloadedArrayDatasetInfo" or (not name and location != "FileSystem"):
        return "array"
    if is_url(path):
        return "url"
    return "absolute" if is_absolute(path) else "relative"


def _inner_path(info: h5py.Group, data: h5py.Group, stored: str) -> str:
    """The dataset of an embedded image, empty if it is gone. Older projects know it only by its id."""
    names = names_in(group_in(data, "local_data"))
    identity = read_text(info, "datasetId") or ""
    for known in (read_text(info, "inner_path") or "", stored, identity):
        leaf = known.rstrip("/").rpartition("/")[2]
        matching = [name for name in names if leaf and name.endswith(leaf)]
        if matching:
            return f"Input Data/local_data/{leaf if leaf in matching else matching[0]}"
    return ""


def _stored_axes(info: h5py.Group, notes: list[str]) -> str:
    """What the project says first and in order; damaged axes are as good as none."""
    tags, order = read_text(info, "axistags"), read_text(info, "axisorder")
    try:
        axes = axes_from_axistags(tags) if tags else order or ""
        return check_axes(axes, len(axes)) if axes else ""
    except (FormatError, AxesError) as error:
        notes.append(error.what)
        return ""


def _stored_shape(info: h5py.Group, axes: str, notes: list[str]) -> tuple[int, ...]:
    stored = read_array(info, "shape", kinds="iu", max_ndim=1, most=MOST_AXES)
    if stored is None:
        return ()
    shape = tuple(int(extent) for extent in stored.ravel())
    if min(shape, default=0) < 1 or max(shape) > LARGEST_EXTENT or (axes and len(shape) != len(axes)):
        notes.append(f"the stored shape {shape} does not fit the axes {axes!r} and is not used")
        return ()
    return shape
