"""A preview from a project and an image: which strokes, which classifier, which file."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ecc_rf.classifier import PixelClassifier
from ecc_rf.errors import NoForestError, ShapeError
from ecc_rf.ilp import IlastikProject, Lane, LaneLabels
from ecc_rf.image_normalization import ImageReader
from ecc_rf.itksnap.frame import Frame, image_frame
from ecc_rf.itksnap.importing import read_labels
from ecc_rf.lane_normalization import LaneChoice
from ecc_rf.normalization import NormalizedVolume
from ecc_rf.notes import noted
from ecc_rf.preview import PreviewSettings, check_output, save_figure
from ecc_rf.preview.drawing import draw_preview, open_image
from ecc_rf.volumes import Volume, open_volume
from ecc_rf.volumes.paths import split_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def preview(
    project: IlastikProject | str | Path, image: str | Path, settings: PreviewSettings | None = None
) -> tuple[Figure, list[str]]:
    """Sections through a point of an image, with probabilities, outlines and strokes.

    Parameters
    ----------
    project : IlastikProject or path
    image : path
        What `open_volume` reads; it need not be one of the project.
    settings : PreviewSettings, optional

    Returns
    -------
    Figure
        Of matplotlib: a notebook shows it, `save_figure` writes it.
    list of str
        What the user should know.

    Raises
    ------
    LabelError
        If the project has neither a forest nor strokes to train one from.
    EccError
        If project, image or labels cannot be read or do not fit each other.
    """
    settings = settings or PreviewSettings()
    if not isinstance(project, IlastikProject):
        project = IlastikProject.open(project)
    with open_image(image, settings) as volume:
        notes: list[str] = []
        frame = image_frame(volume, image)
        lane = _lane(project, volume, frame, settings, notes)
        strokes = _strokes(project, lane, frame, settings, notes)
        classifier = _classifier(project, lane, strokes, settings, notes)
        reader = ImageReader(
            project,
            [image],
            settings.normalization,
            trained=classifier.normalization if classifier.training else "as stored",
            voxel_size=settings.voxel_size,
        )
        how = reader.normalization(volume, image)
        figure = draw_preview(
            volume if how is None else NormalizedVolume.of(volume, how),
            frame,
            classifier,
            settings,
            strokes,
            project.label_colors,
            title=f"{volume.name}, {project.path.name}",
        )
    return figure, notes


@dataclass(frozen=True)
class PreviewRecord:
    """What was drawn: the file, how long that took, and what the user should know."""

    output: str
    seconds: float
    notes: tuple[str, ...]


def write_preview(
    project: str | Path,
    image: str | Path,
    output: str | Path,
    settings: PreviewSettings | None = None,
    *,
    overwrite: bool = False,
) -> PreviewRecord:
    """Draw a preview into a file; raises as `preview` and `save_figure`."""
    started = time.perf_counter()
    check_output(output, overwrite)
    warned: list[str] = []
    with noted(warned):
        figure, notes = preview(project, image, settings)
    notes += warned
    save_figure(figure, output, overwrite=overwrite)
    return PreviewRecord(str(output), time.perf_counter() - started, tuple(notes))


def _lane(
    project: IlastikProject, volume: Volume, frame: Frame, settings: PreviewSettings, notes: list[str]
) -> Lane | None:
    """The lane that the image is of: the one that is named, or whose image it is."""
    if settings.lane is not None:
        lane = project.lane(settings.lane)
        extents = dict(zip(lane.axes, lane.shape or ()))
        if extents and tuple(extents.get(axis, 1) for axis in "tzyx") != (frame.times, *frame.shape):
            raise ShapeError(
                f"{lane} has extents {lane.shape} ({lane.axes}), the image {volume.shape} ({volume.axes})",
                volume.name,
                "choose the lane of this image",
            )
        return lane
    here = _place(volume.name)
    for lane in project.lanes:
        path = lane.location.path
        if path is not None:
            with open_volume(path) as other:  # its name has the dataset too
                if _place(other.name) == here:
                    return lane
    notes.append("the image is none of the project's: no strokes of it are shown (--lane chooses a lane)")
    return None


def _place(name: str) -> tuple[str, str]:
    parts = split_path(name)
    return os.path.realpath(parts.file), parts.inner


def _strokes(
    project: IlastikProject, lane: Lane | None, frame: Frame, settings: PreviewSettings, notes: list[str]
) -> LaneLabels | None:
    old = None if lane is None else project.labels(lane.index)
    if settings.label_file is None:
        return old
    read = read_labels(settings.label_file, frame, project.label_names, settings.label_settings, old)
    notes += read.notes
    return read.labels


def _classifier(
    project: IlastikProject,
    lane: Lane | None,
    strokes: LaneLabels | None,
    settings: PreviewSettings,
    notes: list[str],
) -> PixelClassifier:
    """The stored one; without one, or if it is asked for, one that is trained now."""
    if not settings.train:
        try:
            classifier = PixelClassifier.from_project(project)
        except NoForestError:
            notes.append("the project has no forest: one is trained from its labels")
        else:
            notes += [f"the stored forest is stale: {reason}" for reason in project.stale()]
            return classifier
    given = {lane.index: strokes} if lane is not None and strokes is not None else None
    if given is None and settings.label_file is not None:
        notes.append(
            f"the strokes of {settings.label_file} are shown, but not trained on: the image is none of the project's"
            " (--lane chooses the lane that they belong to)"
        )
    how = LaneChoice(normalize=settings.normalization.normalize or None, voxel_size=settings.voxel_size)
    return PixelClassifier.train(project, labels=given, normalization=how, workers=settings.workers)
