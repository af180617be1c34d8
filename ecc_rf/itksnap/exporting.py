"""Image and labels of a lane out, for ITK-SNAP: plane by plane, however large they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.blocks import parse_memory
from ecc_rf.errors import AxesError, FormatError, SettingError
from ecc_rf.ilp import IlastikProject
from ecc_rf.itksnap.description import description_text
from ecc_rf.itksnap.fitting import DEFAULT_LIMIT, Part, choose_part
from ecc_rf.itksnap.frame import Frame, Zyx, lane_frame
from ecc_rf.itksnap.planes import coarser_labels, image_planes, label_planes
from ecc_rf.prediction import parse_region
from ecc_rf.volumes import AxisView
from ecc_rf.volumes.base import VoxelSize, write_errors
from ecc_rf.volumes.nifti import write_planes
from ecc_rf.volumes.unfinished import UnfinishedOutput

# what NIfTI does not have, and what ITK-SNAP does not read, as the nearest that both do
_STORED = {"bool": "uint8", "float16": "float32", "int64": "float64", "uint64": "float64"}


@dataclass(frozen=True)
class ExportSettings:
    """What is exported.

    Attributes
    ----------
    roi : mapping, optional
        Half-open bounds per axis of ``zyx``; default: all of it, or a part that ITK-SNAP can load.
    downsample : (z, y, x)
        So many voxels become one: the mean of the image, the most frequent label.
    time, channel : int, optional
        Which time step and channel, needed if there are several.
    limit : str or int
        Memory that ITK-SNAP may take for image and segmentation, such as ``"4GB"``.
    """

    roi: Mapping[str, tuple[int | None, int | None]] | None = None
    downsample: Zyx = (1, 1, 1)
    time: int | None = None
    channel: int | None = None
    limit: str | int = DEFAULT_LIMIT


@dataclass(frozen=True)
class ExportRecord:
    """What was written.

    Attributes
    ----------
    shape : (z, y, x)
        Of the files.
    start : (z, y, x)
        First voxel of the image that they hold.
    factors : (z, y, x)
        Voxels of the image in one of theirs.
    voxel_size : (z, y, x) in µm, or None
        Of the files.
    counts : dict of int to int
        Voxels of each label in the file.
    files : tuple of str
    notes : tuple of str
        What was chosen and why.
    """

    shape: Zyx
    start: Zyx
    factors: Zyx
    voxel_size: VoxelSize | None
    counts: dict[int, int]
    files: tuple[str, ...]
    notes: tuple[str, ...]


def export_labels(
    project: IlastikProject | str | Path,
    lane: int | str,
    output: str | Path,
    *,
    image_output: str | Path | None = None,
    names_output: str | Path | None = None,
    settings: ExportSettings | None = None,
    overwrite: bool = False,
) -> ExportRecord:
    """Write the labels of a lane as NIfTI, and its image and the labels' names if they are asked for.

    All files lie on each other in ITK-SNAP. They bear the voxel size; of a part of the image they say which part, so
    that `import_labels` finds its place. An image that is NIfTI itself keeps its orientation.

    Parameters
    ----------
    project : IlastikProject or path
    lane : int or str
        Number from 0, or nickname.
    output : path
        ``.nii.gz`` or ``.nii``: uint8, 0 where there is no label.
    image_output : path, optional
        ``.nii.gz`` or ``.nii``, in the image's own type.
    names_output : path, optional
        ITK-SNAP's label description.
    settings : ExportSettings, optional
    overwrite : bool
        Replace files that are there.

    Raises
    ------
    FormatError
        If an output has another extension.
    MissingFileError
        If the image is wanted and not there.
    AxesError
        If the image has several time steps or channels and none is chosen.
    OutputExistsError, OutputError
        If a file is there already, or cannot be written. No file then gets its name.
    EccError
        If project or lane cannot be read.
    """
    settings = settings or ExportSettings()
    if not isinstance(project, IlastikProject):
        project = IlastikProject.open(project)
    found = project.lane(lane)
    frame = lane_frame(found)
    _check_outputs(output, image_output, names_output)
    time = _chosen(settings.time, frame.times, "time step", "--time", frame)
    labels = project.labels(found.index)
    at = frame.from_internal(labels.coords, labels.axes)
    now = at[:, 0] == time
    voxels, values = at[now][:, 1:], labels.values[now]
    notes = list(labels.notes)
    with ExitStack() as stack:
        image = None
        if image_output is not None:
            channel = _chosen(settings.channel, frame.channels, "channel", "--channel", frame)
            image = AxisView(stack.enter_context(found.open()), "tczyx")
        part = choose_part(
            frame,
            2 if image is None else image.dtype.itemsize,
            parse_memory(settings.limit),
            region=_region(settings.roi, frame),
            factors=settings.downsample,
            labelled=voxels,
        )
        notes.append(f"exported is {part.reason}")
        inside = np.all(
            [(voxels[:, k] >= s.start) & (voxels[:, k] < s.stop) for k, s in enumerate(part.region)], axis=0
        )
        if not inside.all():
            notes.append(f"{int((~inside).sum()):,} labelled voxels lie outside of it and stay in the project")
        table = coarser_labels(voxels[inside], values[inside], part)
        files = _Files(frame, part, (output, image_output, names_output), overwrite)
        try:
            files.nifti(output, np.dtype(np.uint8), label_planes(*table, part.shape))
            if image is not None and image_output is not None:
                dtype = stored_type(image.dtype, notes)
                files.nifti(image_output, dtype, image_planes(image, time, channel, part))
            if names_output is not None:
                files.text(names_output, description_text(project.label_names, project.label_colors))
            files.commit()
        except BaseException:
            files.discard()
            raise
    present, numbers = np.unique(table[1], return_counts=True)
    return ExportRecord(
        shape=part.shape,
        start=(part.region[0].start, part.region[1].start, part.region[2].start),
        factors=part.factors,
        voxel_size=files.voxel_size,
        counts=dict(zip(present.tolist(), numbers.tolist())),
        files=tuple(target.name for target in files.targets.values()),
        notes=tuple(notes),
    )


class _Files:
    """The files of an export: each is written beside its name, and all get their names together."""

    def __init__(self, frame: Frame, part: Part, paths: Iterable[str | Path | None], overwrite: bool) -> None:
        self.targets = {
            str(path): UnfinishedOutput(Path(path).expanduser(), str(path), overwrite)
            for path in paths
            if path is not None
        }
        self.part = part
        self.sized = frame.voxel_size is not None or frame.own
        factors = np.array(part.factors)
        # the middle of the first voxel of a coarser copy lies between those of the image
        first = np.array([s.start for s in part.region]) + (factors - 1) / 2
        self.affine = frame.affine.copy()
        self.affine[:3, :3] *= factors[::-1]
        self.affine[:3, 3] += frame.affine[:3, :3] @ first[::-1]
        z, y, x = (
            (None, None, None)
            if frame.voxel_size is None
            else (size * n for size, n in zip(frame.voxel_size, part.factors))
        )
        self.voxel_size = None if z is None or y is None or x is None else (z, y, x)

    def nifti(self, path: str | Path, dtype: np.dtype[Any], planes: Iterable[NDArray[Any]]) -> None:
        target = self.targets[str(path)]
        with write_errors(target.name):
            write_planes(
                target.path,
                self.part.shape,
                dtype,
                self.affine,
                (some.astype(dtype, copy=False) for some in planes),
                sized=self.sized,
                compressed=target.final.name.lower().endswith(".gz"),
                name=target.name,
            )

    def text(self, path: str | Path, text: str) -> None:
        target = self.targets[str(path)]
        with write_errors(target.name):
            target.path.write_text(text, "utf-8")

    def commit(self) -> None:
        for target in self.targets.values():
            target.commit()

    def discard(self) -> None:
        for target in self.targets.values():
            target.discard()


def _check_outputs(output: str | Path, image_output: str | Path | None, names_output: str | Path | None) -> None:
    """Before anything is read: names that are not right, or files that are there."""
    paths = [path for path in (output, image_output, names_output) if path is not None]
    if len({Path(path).expanduser().absolute() for path in paths}) < len(paths):
        raise SettingError("two outputs have the same name", str(output), "give each its own")
    for path in (output, image_output):
        if path is not None and not str(path).lower().endswith((".nii.gz", ".nii")):
            raise FormatError("this is no name of a NIfTI file", str(path), "call it NAME.nii.gz or NAME.nii")


def _chosen(given: int | None, count: int, what: str, option: str, frame: Frame) -> int:
    if given is None and count > 1:
        raise AxesError(
            f"the image has {count} {what}s, and ITK-SNAP is given one",
            frame.name,
            f"choose it: {option} 0 to {count - 1}",
        )
    if not 0 <= (given or 0) < count:
        raise SettingError(f"{what} {given}: the image has {count}", option, f"choose 0 to {count - 1}")
    return given or 0


def _region(roi: Mapping[str, tuple[int | None, int | None]] | None, frame: Frame) -> tuple[slice, slice, slice] | None:
    if roi is None:
        return None
    if "t" in roi:
        raise SettingError("a region along t", "--roi", "choose the time step with --time")
    _, z, y, x = parse_region(roi, (1, 1, *frame.shape), frame.name)
    return z, y, x


def stored_type(dtype: np.dtype[Any], notes: list[str]) -> np.dtype[Any]:
    stored = np.dtype(_STORED.get(dtype.name, dtype))
    if stored != dtype:
        notes.append(f"voxels of {dtype} are written as {stored}, since NIfTI or ITK-SNAP has no {dtype}")
    return stored
