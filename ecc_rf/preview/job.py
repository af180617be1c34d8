"""A preview from a project and an image: which strokes, which classifier, which figure, which file."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.classifier import PixelClassifier
from ecc_rf.errors import FormatError, NoForestError, SettingError, ShapeError
from ecc_rf.export import resolve_labels
from ecc_rf.ilp import IlastikProject, Lane, LaneLabels
from ecc_rf.image_normalization import ImageReader, NormalizationChoice, normalization_of
from ecc_rf.itksnap import ImportSettings
from ecc_rf.itksnap.frame import Frame, image_frame
from ecc_rf.itksnap.importing import read_labels
from ecc_rf.lane_normalization import LaneChoice
from ecc_rf.normalization import NormalizedVolume
from ecc_rf.prediction import CANONICAL
from ecc_rf.preview.figure import SAFE, Legend, draw
from ecc_rf.preview.sections import View, compute_sections
from ecc_rf.volumes import AxisView, Volume, open_volume
from ecc_rf.volumes.base import VoxelSize, write_errors
from ecc_rf.volumes.paths import split_path
from ecc_rf.volumes.unfinished import UnfinishedOutput

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FORMATS = {".png": {"Software": None}, ".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
"""Extensions, and what matplotlib would write that is not the same the next time."""


@dataclass(frozen=True)
class PreviewSettings:
    """What a preview shows.

    Attributes
    ----------
    at : (z, y, x), optional
        The point; default the middle of the image.
    size, planes, time, channel
        As in `View`.
    threshold : float
        Of the outline.
    outline : int or str
        The label that is outlined, by number or name.
    palette : "project" or "safe"
        Colours of the labels: the project's, or some that colour-blind readers can tell apart.
    lane : int or str, optional
        The lane whose strokes are shown; default the one whose image this is.
    label_file : path, optional
        Strokes from a label file that is not imported yet, in place of the lane's where it lies.
    label_settings : ImportSettings
        How that file is to be understood.
    train : bool
        Train on the strokes, even if the project has a forest.
    axes, voxel_size
        Of the image, if the file is wrong.
    level : int or (z, y, x) in µm, optional
        Of a multi-resolution image, as in `open_volume`; the point is then a voxel of this level.
    workers : int, optional
        Threads; default one per core.
    normalization : NormalizationChoice
        Whether the image is normalised; if a forest is trained, so are the project's images.

    Raises
    ------
    SettingError
        If threshold or palette are none.
    """

    at: tuple[int, int, int] | None = None
    size: int = 512
    planes: Sequence[str] = ("xy", "xz", "yz")
    time: int = 0
    channel: int = 0
    threshold: float = 0.7
    outline: int | str = 1
    palette: str = "project"
    lane: int | str | None = None
    label_file: str | Path | None = None
    label_settings: ImportSettings = field(default_factory=ImportSettings)
    train: bool = False
    axes: str | None = None
    voxel_size: VoxelSize | None = None
    level: int | VoxelSize | None = None
    workers: int | None = None
    normalization: NormalizationChoice = NormalizationChoice()  # noqa: RUF009 (frozen)

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise SettingError(f"threshold {self.threshold}", "--threshold", "give a probability from 0 to 1")
        if self.palette not in ("project", "safe"):
            raise SettingError(f"palette {self.palette!r}", "--palette", "choose project or safe")


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
    with _opened(image, settings) as volume:
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
        figure = _figure(
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
    figure, notes = preview(project, image, settings)
    save_figure(figure, output, overwrite=overwrite)
    return PreviewRecord(str(output), time.perf_counter() - started, tuple(notes))


def preview_classifier(
    classifier: PixelClassifier,
    image: str | Path | Volume,
    settings: PreviewSettings | None = None,
    *,
    labels: LaneLabels | None = None,
    colors: Sequence[tuple[int, int, int]] | None = None,
) -> Figure:
    """As `preview`, for a classifier at hand and strokes at hand."""
    from ecc_rf.ilp.colors import label_colors

    settings = settings or PreviewSettings()
    with ExitStack() as stack:
        volume = stack.enter_context(_opened(image, settings)) if isinstance(image, str | Path) else image
        frame = image_frame(volume, volume.name)
        how = normalization_of(
            settings.normalization.wanted, volume, classifier.normalization, settings.axes, settings.voxel_size, "it"
        )
        volume = volume if how is None else NormalizedVolume.of(volume, how)
        known = list(colors or label_colors(None, len(classifier.label_names)))
        return _figure(volume, frame, classifier, settings, labels, known, title=volume.name)


def save_figure(figure: Figure, path: str | Path, *, overwrite: bool = False) -> None:
    """Write a figure as .png, .pdf or .svg; it gets its name when it is complete.

    Raises
    ------
    FormatError
        If the extension is another one.
    OutputExistsError, OutputError
        If there is such a file, or it cannot be written.
    """
    suffix = checked_suffix(path)
    output = UnfinishedOutput(Path(path).expanduser(), str(path), overwrite)
    options: dict[str, Any] = {"metadata": _FORMATS[suffix]}
    if suffix == ".png":
        options["pil_kwargs"] = {"compress_level": 1}  # half the time, for a file a tenth larger
    try:
        with write_errors(str(path)):
            figure.savefig(output.path, format=suffix[1:], **options)
    except BaseException:
        output.discard()
        raise
    output.commit()


def check_output(path: str | Path, overwrite: bool) -> None:
    """Refuse what `save_figure` would refuse, before anything is computed."""
    checked_suffix(path)
    UnfinishedOutput(Path(path).expanduser(), str(path), overwrite)


def checked_suffix(path: str | Path) -> str:
    """The extension of a figure's file.

    Raises
    ------
    FormatError
        If it is none that is written.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _FORMATS:
        raise FormatError(f"{suffix or 'no extension'} is no format of a figure", str(path), "call it NAME.png")
    return suffix


def _opened(image: str | Path, settings: PreviewSettings) -> Volume:
    return open_volume(image, axes=settings.axes, voxel_size=settings.voxel_size, level=settings.level)


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


def _figure(
    volume: Volume,
    frame: Frame,
    classifier: PixelClassifier,
    settings: PreviewSettings,
    strokes: LaneLabels | None,
    colors: Sequence[tuple[int, int, int]],
    *,
    title: str,
) -> Figure:
    depth, height, width = frame.shape
    at = settings.at or (depth // 2, height // 2, width // 2)
    view = View(at, settings.size, settings.planes, settings.time, settings.channel)
    (outlined,) = resolve_labels([settings.outline], classifier.label_names)
    sections = compute_sections(
        AxisView(volume, CANONICAL),
        view,
        classifier,
        _voxels(strokes, frame),
        voxel_size=volume.voxel_size,
        workers=settings.workers,
        name=volume.name,
    )
    names = classifier.label_names
    if settings.palette == "safe":
        colors = [SAFE[index % len(SAFE)] for index in range(len(names))]
    point = f"z, y, x = {', '.join(map(str, at))}"
    return draw(sections, Legend(f"{title}; {point}", names, colors, settings.threshold, outlined), volume.voxel_size)


def _voxels(strokes: LaneLabels | None, frame: Frame) -> tuple[NDArray[np.int64], NDArray[np.uint8]] | None:
    if strokes is None:
        return None
    return frame.from_internal(strokes.coords, strokes.axes), strokes.values
