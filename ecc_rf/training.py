"""Training a classifier: annotations in, forest and report out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecc_rf.blocks import Progress, parse_memory
from ecc_rf.errors import LabelError, SettingError
from ecc_rf.features import FeatureSelection
from ecc_rf.forest import RandomForest
from ecc_rf.forest.training import GrownForest, grow_forest
from ecc_rf.gathering import LabelledImage, TrainingRows, gather
from ecc_rf.ilp import IlastikProject, LaneLabels
from ecc_rf.ilp.normalization_note import NormalizationNote
from ecc_rf.image_statistics import ImageStatistics, image_statistics
from ecc_rf.label_volumes import sparse_labels
from ecc_rf.lane_normalization import LaneChoice, LaneNormalizer
from ecc_rf.normalization.volume import NormalizedVolume
from ecc_rf.training_advice import advice
from ecc_rf.training_report import TrainedImage, TrainingReport, make_report
from ecc_rf.volumes import Volume, default_axes, open_volume
from ecc_rf.volumes.array import ArrayVolume

Image = str | Path | Volume | np.ndarray

MOST_IMAGES = 64  # that are described for those who come later: enough to know their range


@dataclass(frozen=True)
class TrainingSettings:
    """How a forest is trained.

    Attributes
    ----------
    trees : int
        ilastik grows 100.
    seed : int
        The same seed gives the same forest.
    workers : int, optional
        Threads; default one per core.
    memory : str or int, optional
        Budget, such as ``"8GB"``; default 2 GiB.
    """

    trees: int = 100
    seed: int = 0
    workers: int | None = None
    memory: str | int | None = None


@dataclass(frozen=True, eq=False)
class Training:
    """What was trained.

    Attributes
    ----------
    forest : RandomForest
    selection : FeatureSelection
    feature_names, label_names : tuple of str
    report : TrainingReport
    grown : GrownForest
        The forest with what it was grown on.
    rows : TrainingRows
        The features of the annotated voxels.
    normalization : NormalizationNote, optional
        How the images of the project were normalised.
    images : tuple of ImageStatistics
        What the images with annotations are like.
    """

    forest: RandomForest
    selection: FeatureSelection
    feature_names: tuple[str, ...]
    label_names: tuple[str, ...]
    report: TrainingReport
    grown: GrownForest
    rows: TrainingRows
    normalization: NormalizationNote | None = None
    images: tuple[ImageStatistics, ...] = ()


def train_project(
    project: IlastikProject,
    settings: TrainingSettings | None = None,
    *,
    labels: Mapping[int, LaneLabels] | None = None,
    label_names: Sequence[str] | None = None,
    remarks: Sequence[str] = (),
    normalization: LaneChoice | None = None,
    progress: Progress | None = None,
) -> Training:
    """Train on the labels of all lanes of a project.

    Parameters
    ----------
    project : IlastikProject
        Images that have no labels need not be there.
    settings : TrainingSettings, optional
    labels : mapping of int to LaneLabels, optional
        Labels of lanes, by lane index, instead of those in the project.
    label_names : sequence of str, optional
        Instead of the project's.
    remarks : sequence of str
        What else the report's warnings should say, such as how the labels were understood.
    normalization : LaneChoice, optional
        Whether and how the images are normalised; default as the project notes.
    progress : Progress, optional

    Raises
    ------
    MissingFileError
        If the image of a lane with labels is not there.
    EccError
        As `gather` and `grow_forest`; if a label has no name.
    """
    names = tuple(project.label_names if label_names is None else label_names)
    with labelled_lanes(project, labels, normalization) as labelled:
        _check_names([image.labels for image in labelled.images], names, str(project.path))
        said = [*remarks, *labelled.notes, *_project_remarks(project)]
        return _train(labelled, project.features, names, settings, str(project.path), said, progress)


def _project_remarks(project: IlastikProject) -> list[str]:
    remarks = [f"the stored forest is not that of the labels: {reason}" for reason in project.stale()]
    if project.classifier.label_proportion is not None:
        remarks.append(
            f"in ilastik the project trains on a share of {project.classifier.label_proportion:g} of the annotated "
            "voxels; here all are used"
        )
    return remarks


@dataclass(frozen=True, eq=False)
class Labelled:
    """Images with labels, which are open.

    Attributes
    ----------
    images : list of LabelledImage
    described : list of TrainedImage
        The same, as the report names them.
    notes : list of str
        What was odd about the labels.
    normalization : NormalizationNote, optional
        How the images are normalised.
    """

    images: list[LabelledImage]
    described: list[TrainedImage]
    notes: list[str]
    normalization: NormalizationNote | None = None

    @property
    def first(self) -> LabelledImage:
        """The first image that has labels."""
        return next(image for image in self.images if len(image.labels.values))


@contextmanager
def labelled_lanes(
    project: IlastikProject,
    labels: Mapping[int, LaneLabels] | None = None,
    normalization: LaneChoice | None = None,
) -> Iterator[Labelled]:
    """The lanes of a project that have labels, opened, with these labels instead of the project's for some.

    Raises
    ------
    MissingFileError
        If the image of a lane with labels is not there.
    EccError
        As `LaneNormalizer`.
    """
    given = labels or {}
    with ExitStack() as stack:
        known = [given[lane.index] if lane.index in given else project.labels(lane.index) for lane in project.lanes]
        used = [lane for lane, found in zip(project.lanes, known) if len(found.values)]
        normalizer = LaneNormalizer(project, used, normalization)
        labelled = Labelled([], [], [], normalizer.note)
        for lane, found in zip(project.lanes, known):
            labelled.notes.extend(f"{lane}: {note}" for note in found.notes)
            if len(found.values):
                volume = stack.enter_context(normalizer.open(lane))
                labelled.images.append(LabelledImage(volume, found, f"{project.path}, {lane}"))
                labelled.described.append(TrainedImage(lane.index, lane.nickname, volume.name))
        yield labelled


def train_images(
    images: Sequence[Image],
    labels: Sequence[Image | LaneLabels],
    selection: FeatureSelection,
    label_names: Sequence[str],
    settings: TrainingSettings | None = None,
    *,
    axes: str | None = None,
    progress: Progress | None = None,
) -> Training:
    """Train on images and label volumes, without a project.

    Parameters
    ----------
    images : sequence of path, Volume or ndarray
    labels : sequence of path, Volume, ndarray or LaneLabels
        One for each image, of its extents; 0 is not labelled.
    selection : FeatureSelection
    label_names : sequence of str
        Label v has the name ``label_names[v - 1]``.
    settings : TrainingSettings, optional
    axes : str, optional
        Of the arrays among images and labels, one letter of ``tzyxc`` each; default as ilastik does.
    progress : Progress, optional

    Raises
    ------
    ShapeError
        If a label volume is not of its image's extents.
    EccError
        As `gather` and `grow_forest`; if a label has no name.
    """
    if len(images) != len(labels):
        raise SettingError(f"{len(images)} images and {len(labels)} label volumes", do="give one for each image")
    with ExitStack() as stack:
        gathered = Labelled([], [], [])
        for number, (image, label) in enumerate(zip(images, labels)):
            volume = _opened(image, axes, f"image {number}", stack)
            if not isinstance(label, LaneLabels):
                label = sparse_labels(_opened(label, axes, f"labels of image {number}", stack), volume)
            gathered.images.append(LabelledImage(volume, label, volume.name))
            gathered.described.append(TrainedImage(number, Path(volume.name).name, volume.name))
        names = tuple(label_names)
        _check_names([image.labels for image in gathered.images], names, "labels")
        return _train(gathered, selection, names, settings, "images", [], progress)


def _train(
    labelled: Labelled,
    selection: FeatureSelection,
    label_names: tuple[str, ...],
    settings: TrainingSettings | None,
    source: str,
    remarks: Sequence[str],
    progress: Progress | None,
) -> Training:
    settings = settings or TrainingSettings()
    memory = parse_memory(settings.memory)
    started = time.perf_counter()
    try:
        rows = gather(labelled.images, selection, workers=settings.workers, memory=memory, progress=progress)
        gathered = time.perf_counter()
        grown = grow_forest(
            rows.features,
            rows.labels,
            n_labels=len(label_names),
            trees=settings.trees,
            seed=settings.seed,
            workers=settings.workers,
            progress=progress,
        )
    except LabelError as error:  # rows do not know where they come from
        raise LabelError(error.what, error.where or source, error.do) from None
    seconds = {"features": gathered - started, "trees": time.perf_counter() - gathered}
    report = make_report(
        source,
        grown,
        rows,
        selection,
        labelled.first.plan(selection),
        label_names,
        labelled.described,
        seed=settings.seed,
        warnings=[*remarks, *advice(rows, label_names)],
        seconds=seconds,
        workers=settings.workers,
    )
    seconds["judging"] = time.perf_counter() - started - sum(seconds.values())
    volumes = [image.volume for image in labelled.images[:MOST_IMAGES]]
    # those that are brought to one scale have no range to be compared
    images = tuple(image_statistics(volume, values=not isinstance(volume, NormalizedVolume)) for volume in volumes)
    return Training(
        *(grown.forest, selection, rows.names, label_names, report, grown, rows, labelled.normalization, images)
    )


def _check_names(labels: Sequence[LaneLabels], names: Sequence[str], where: str) -> None:
    largest = max((max(found.counts, default=0) for found in labels), default=0)
    if largest > len(names):
        raise LabelError(
            f"label {largest} is annotated, there are {len(names)} label names", where, "give every label a name"
        )


def _opened(image: Image, axes: str | None, name: str, stack: ExitStack) -> Volume:
    """A volume; closed with the stack if it was opened here."""
    if isinstance(image, str | Path):
        return stack.enter_context(open_volume(image))
    if isinstance(image, np.ndarray):
        return ArrayVolume(name, image, axes or default_axes(image.shape))
    return image
