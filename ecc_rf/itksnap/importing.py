"""Annotations in: the labels of a file become labels of a lane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ecc_rf.errors import AxesError, LabelError, SettingError
from ecc_rf.ilp import IlastikProject, LaneLabels, ProjectChanges, edit_project
from ecc_rf.ilp.colors import label_colors
from ecc_rf.itksnap.description import Color, read_description
from ecc_rf.itksnap.frame import Frame, Zyx, lane_frame
from ecc_rf.itksnap.mapping import MOST_LABELS, LabelMapping, resolve_mapping
from ecc_rf.itksnap.placement import Placement, place_as_stored, place_by_transforms
from ecc_rf.itksnap.reading import labelled_voxels
from ecc_rf.volumes import open_volume
from ecc_rf.volumes.nifti_geometry import read_geometry
from ecc_rf.volumes.paths import split_path
from ecc_rf.volumes.unfinished import UnfinishedOutput

Merge = Literal["replace", "keep", "overwrite"]


@dataclass(frozen=True)
class ImportSettings:
    """How the labels of a file are to be understood.

    Attributes
    ----------
    mapping : mapping of int to int or str, optional
        Value in the file to label, by number or name; 0 leaves it out.
    names : path, optional
        ITK-SNAP's label description: values become the labels of the same name.
    new_labels : sequence of str
        Labels to be added to the project.
    create_labels : bool
        Add the labels that the description or the mapping names and the project does not have.
    offset : (z, y, x), optional
        The voxel of the image where the labels begin; an affine is then not looked at.
    axes : str, optional
        The file's axes in order, if the file or the rule for its shape is wrong; an affine is then not looked at.
    ignore_affine : bool
        Take the voxels in the order in which they are stored.
    time : int, optional
        The time step of the image that a file of one time step annotates.
    merge : "replace", "keep" or "overwrite"
        Within the part of the image that the file covers, the file's labels take the place of the old ones, or fill
        the voxels without label, or win over old ones where they meet. Labels outside of that part stay.

    Raises
    ------
    SettingError
        If `merge` is none of these.
    """

    mapping: Mapping[int, int | str] | None = None
    names: str | Path | None = None
    new_labels: Sequence[str] = ()
    create_labels: bool = False
    offset: Zyx | None = None
    axes: str | None = None
    ignore_affine: bool = False
    time: int | None = None
    merge: Merge = "replace"

    def __post_init__(self) -> None:
        if self.merge not in ("replace", "keep", "overwrite"):
            raise SettingError(f"merge {self.merge!r}", "merge", "choose replace, keep or overwrite")


@dataclass(frozen=True, eq=False)
class ImportedLabels:
    """Labels of a lane with those of a file.

    Attributes
    ----------
    lane : int
        Index of the lane.
    labels : LaneLabels
        All labels of the lane as they now are.
    label_names, label_colors : list
        Of all labels of the project, the new ones last.
    counts : dict of int to int
        Voxels of each label that the file gives.
    notes : tuple of str
        What was chosen, and what the user should know.
    table : dict of int to int
        Label of each value of the file; 0 leaves it out.
    """

    lane: int
    labels: LaneLabels
    label_names: list[str]
    label_colors: list[Color]
    counts: dict[int, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    table: dict[int, int] = field(default_factory=dict)


def import_labels(
    project: IlastikProject | str | Path,
    lane: int | str,
    path: str | Path,
    settings: ImportSettings | None = None,
    *,
    after: ImportedLabels | None = None,
) -> ImportedLabels:
    """Read a label file for a lane; nothing is written.

    Parameters
    ----------
    project : IlastikProject or path
    lane : int or str
        Number from 0, or nickname.
    path : path
        NIfTI, HDF5, OME-Zarr, TIFF, NPY …: what `open_volume` reads.
    settings : ImportSettings, optional
    after : ImportedLabels, optional
        An earlier import of the same project, for several files one after the other: the labels that it added are
        there, and if it was for this lane, its labels are the old ones.

    Raises
    ------
    ShapeError
        If the labels do not fit the image; the message has both shapes and the axes that would fit.
    LabelError
        If a value cannot be mapped, or no voxel is labelled.
    FormatError
        If a value is no whole number, or the file is damaged.
    EccError
        If project or lane cannot be read.
    """
    settings = settings or ImportSettings()
    if not isinstance(project, IlastikProject):
        project = IlastikProject.open(project)
    names = list(project.label_names if after is None else after.label_names)
    colors = list(project.label_colors if after is None else after.label_colors)
    found = project.lane(lane)
    old = after.labels if after is not None and after.lane == found.index else project.labels(found.index)
    read = read_labels(path, lane_frame(found), names, settings, old)
    usual = label_colors(None, len(read.mapping.names))[len(names) :]
    return ImportedLabels(
        lane=found.index,
        labels=read.labels,
        label_names=read.mapping.names,
        label_colors=colors + [color or default for color, default in zip(read.mapping.new_colors, usual)],
        counts=read.counts,
        notes=read.notes,
        table=read.mapping.table,
    )


@dataclass(frozen=True, eq=False)
class ReadLabels:
    """The labels of a file together with old ones, and what the values mean."""

    labels: LaneLabels
    mapping: LabelMapping
    counts: dict[int, int]
    notes: tuple[str, ...]


def read_labels(
    path: str | Path, frame: Frame, names: Sequence[str], settings: ImportSettings, old: LaneLabels | None = None
) -> ReadLabels:
    """Read a label file for an image, whether or not it is one of a project; raises as `import_labels`.

    Parameters
    ----------
    path : path
    frame : Frame
        Of the image.
    names : sequence of str
        Of the labels.
    settings : ImportSettings
    old : LaneLabels, optional
        The image's labels until now.
    """
    descriptions = None if settings.names is None else read_description(settings.names)
    with open_volume(path, axes=settings.axes) as volume:
        voxels, values, (times, *zyx) = labelled_voxels(volume)
        name, axes = volume.name, volume.axes
    shape: Zyx = (zyx[0], zyx[1], zyx[2])
    place = _place(path, shape, axes, frame, settings, name)
    mapping = resolve_mapping(
        np.unique(values).tolist(),
        names,
        mapping=settings.mapping,
        descriptions=descriptions,
        new_labels=settings.new_labels,
        create=settings.create_labels,
        where=name,
    )
    steps = _time_steps(times, frame, settings.time, name)
    kept = np.isin(values, [value for value, label in mapping.table.items() if label]) & (steps[voxels[:, 0]] >= 0)
    if not kept.any():
        raise LabelError("the mapping leaves out every labelled voxel", name, "map at least one value to a label")
    given, rows = place.apply(voxels[kept][:, 1:], shape, frame.shape)
    labels = _mapped(values[kept], mapping.table)[rows]
    coords = np.column_stack([steps[voxels[kept][:, 0]][rows], given])
    fresh = LaneLabels.from_voxels(frame.internal, frame.to_internal(coords), labels)
    merged, remark = fresh, list[str]()
    if old is not None and len(old.values):
        box = (np.unique(steps[steps >= 0]), *place.covered(shape, frame.shape))
        merged, remark = _merged(old, fresh, frame, box, settings.merge)
    return ReadLabels(merged, mapping, fresh.counts, (*place.notes, *mapping.notes, *remark))


def import_into_project(
    source: str | Path,
    lane: int | str,
    path: str | Path,
    output: str | Path,
    settings: ImportSettings | None = None,
    *,
    search: Sequence[str | Path] = (),
    overwrite: bool = False,
) -> ImportedLabels:
    """Write a project with the labels of a file in one of its lanes; raises as `import_labels` and `edit_project`.

    A stored forest is not kept if the labels differ: it was trained from others.
    """
    project = IlastikProject.open(source, search=search)
    UnfinishedOutput(Path(output).expanduser(), str(output), overwrite)  # refuses now rather than after a long reading
    imported = import_labels(project, lane, path, settings)
    new_names = imported.label_names != project.label_names
    changes = ProjectChanges(
        labels={imported.lane: imported.labels},
        label_names=imported.label_names if new_names else None,
        label_colors=imported.label_colors if new_names else None,
    )
    edit_project(source, output, changes=changes, overwrite=overwrite)
    return imported


def _place(path: str | Path, shape: Zyx, axes: str, frame: Frame, settings: ImportSettings, name: str) -> Placement:
    parts = split_path(path)
    by_hand = settings.offset is not None or settings.axes is not None or settings.ignore_affine
    if parts.format.module == "nifti" and not by_hand:
        transforms = read_geometry(parts.file).transforms
        if transforms:
            return place_by_transforms(transforms, shape, axes, frame, name)
    return place_as_stored(shape, axes, frame, name, settings.offset)


def _time_steps(times: int, frame: Frame, time: int | None, name: str) -> NDArray[np.int64]:
    """The image's time step for each of the file's, -1 for those that are not wanted."""
    if time is not None and not 0 <= time < frame.times:
        raise SettingError(f"time step {time}: the image has {frame.times}", "--time", f"0 to {frame.times - 1}")
    if times == frame.times:
        steps = np.arange(times)
        return steps if time is None else np.where(steps == time, steps, -1)
    if times == 1 and time is not None:
        return np.array([time])
    if times == 1:
        raise AxesError(
            f"the labels have one time step, the image has {frame.times}", f"{name}, {frame.name}", "give it: --time T"
        )
    raise AxesError(
        f"the labels have {times} time steps, the image has {frame.times}",
        f"{name}, {frame.name}",
        "give labels of one time step with --time T, or check --axes",
    )


def _mapped(values: NDArray[np.int64], table: Mapping[int, int]) -> NDArray[np.int64]:
    keys = np.array(sorted(table), np.int64)
    labels = np.array([table[key] for key in keys.tolist()], np.int64)
    assert labels.max() <= MOST_LABELS
    return labels[np.searchsorted(keys, values)]


def _merged(
    old: LaneLabels,
    fresh: LaneLabels,
    frame: Frame,
    box: tuple[NDArray[np.int64], slice, slice, slice],
    merge: Merge,
) -> tuple[LaneLabels, list[str]]:
    """Old and new labels together, and what became of the old ones."""
    at = frame.from_internal(old.coords, old.axes)
    coords, values = frame.to_internal(at), old.values
    inside = np.isin(at[:, 0], box[0])
    for axis, part in enumerate(box[1:], start=1):
        inside &= (at[:, axis] >= part.start) & (at[:, axis] < part.stop)
    if merge == "replace":
        coords, values = coords[~inside], values[~inside]
    first, last = ((coords, values), (fresh.coords, fresh.values))
    if merge == "keep":
        first, last = last, first
    both = LaneLabels.from_voxels(
        frame.internal, np.concatenate([first[0], last[0]]), np.concatenate([first[1], last[1]])
    )
    outside = int((~inside).sum())
    both = replace(both, notes=old.notes)  # that old and new differ is not the user's mistake
    notes = []
    if merge == "replace":
        notes.append(f"{int(inside.sum()):,} old labelled voxels are replaced")
        if outside:
            notes.append(f"{outside:,} old labelled voxels outside of the file's part of the image stay")
    else:
        met = len(old.values) + len(fresh.values) - len(both.values)
        kind = "keep their old label" if merge == "keep" else "get the new label"
        notes.append(f"{len(old.values):,} old labelled voxels stay; {met:,} that are labelled in both {kind}")
    return both, notes
