"""An ilastik Pixel Classification project, read.

A project's file is open only while something is read from it, and never written to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py

from ecc_rf.errors import NoForestError, NoLaneError, ProjectError, SettingError, WorkflowError
from ecc_rf.features.selection import FeatureSelection
from ecc_rf.forest.model import RandomForest
from ecc_rf.ilp.classifier_type import ClassifierType, parse_factory
from ecc_rf.ilp.colors import label_colors
from ecc_rf.ilp.describe import describe, stale_reasons
from ecc_rf.ilp.encoding import dataset_in, group_in, names_in, open_project_file, read_array, read_text, read_texts
from ecc_rf.ilp.labels import LaneLabels, largest_label, read_labels
from ecc_rf.ilp.lanes import Lane, read_lanes
from ecc_rf.ilp.limits import MOST_LABELS
from ecc_rf.ilp.links import LinkKind
from ecc_rf.ilp.normalization_note import NormalizationNote, read_note
from ecc_rf.ilp.selection import read_selection
from ecc_rf.ilp.versions import is_before, version_key
from ecc_rf.ilp.vigra_forest import ForestSummary, read_forests, summarize_forests
from ecc_rf.near import advice
from ecc_rf.notebook import Shown
from ecc_rf.volumes.base import VoxelSize, damage_reported
from ecc_rf.volumes.user_paths import expanded

WORKFLOW = "Pixel Classification"

TRAINING = "ecc_rf/training"  # of ours, beside what ilastik knows; it leaves it alone

_NEWEST_KNOWN = "1.6.dev0"  # the layout is known up to here
_SAVE_AS_PIXEL_CLASSIFICATION = (
    "in ilastik, make a Pixel Classification project of the same images, features and labels, and save it"
)


@dataclass(frozen=True, eq=False, repr=False)
class IlastikProject(Shown):
    """A project of ilastik 1.1 to 1.4; see `open`.

    Attributes
    ----------
    path : Path
        The file.
    ilastik_version : str
        Of the ilastik that saved it last.
    workflow : str
        "Pixel Classification".
    lanes : list of Lane
        Its images; may be empty.
    label_names : list of str
        Label v has the name `label_names[v - 1]`.
    label_colors : list of (red, green, blue)
        0 to 255, one for each label.
    classifier : ClassifierType
        What is to be trained.
    notes : list of str
        What was odd about the file; nothing of it keeps the project from being used.
    """

    path: Path
    ilastik_version: str
    workflow: str
    lanes: list[Lane]
    label_names: list[str]
    label_colors: list[tuple[int, int, int]]
    classifier: ClassifierType
    notes: list[str] = field(default_factory=list)

    @classmethod
    def open(
        cls,
        path: str | Path,
        images: Mapping[int | str, str | Path] | None = None,
        search: Sequence[str | Path] = (),
    ) -> IlastikProject:
        """Open a project. The images are not looked for before one is needed.

        Parameters
        ----------
        path : str or Path
            The .ilp file.
        images : mapping, optional
            Places of images that are no longer where the project says; keys are lane numbers from 0, nicknames or
            stored paths. These images are opened, to find a mistake now.
        search : sequence of str or Path
            Folders to look for images in.

        Raises
        ------
        MissingFileError
            If there is no such file, or no image at one of the given places.
        FormatError
            If it is no HDF5 file, or damaged.
        WorkflowError
            If it is a project of another workflow, or of ilastik 0.5.
        ProjectError
            If it is no ilastik project.
        SettingError
            If `images` names a lane that the project does not have, or one twice.
        """
        file_path = expanded(path)
        folders = [expanded(folder) for folder in search]
        notes: list[str] = []
        with open_project_file(file_path) as file, damage_reported(str(path)):
            version = _checked_version(file, notes)
            workflow = _checked_workflow(file, notes)
            data = applet_group(file, "Input Data", notes)
            lanes = read_lanes(data, file_path.absolute(), folders)
            applet = applet_group(file, "PixelClassification", notes)
            label_sets = None if applet is None else group_in(applet, "LabelSets")
            if len(names_in(label_sets)) > len(lanes):
                notes.append(f"labels of {len(names_in(label_sets))} lanes are stored, there are {len(lanes)} lanes")
            names = None if applet is None else read_texts(applet, "LabelNames", MOST_LABELS)
            if names is None:
                names = _default_names(applet, label_sets)
            colors = None if applet is None else read_array(applet, "LabelColors", max_ndim=2)
            factory = None if applet is None else read_text(applet, "ClassifierFactory")
        return cls(
            path=file_path,
            ilastik_version=version,
            workflow=workflow,
            lanes=_with_overrides(lanes, images or {}, str(path)),
            label_names=names,
            label_colors=label_colors(colors, len(names)),
            classifier=parse_factory(factory or ""),
            notes=notes,
        )

    @classmethod
    def create(
        cls,
        path: str | Path,
        images: Sequence[str | Path],
        features: FeatureSelection | None = None,
        label_names: Sequence[str] | None = None,
        *,
        link: LinkKind = "relative",
        axes: str | None = None,
        voxel_size: VoxelSize | None = None,
        overwrite: bool = False,
    ) -> IlastikProject:
        """Write a project of some images, without labels, that ilastik opens.

        Parameters
        ----------
        path : str or Path
            The .ilp file.
        images : sequence of str or Path
            As `open_volume` takes them.
        features : FeatureSelection, optional
            Default the recommended ones.
        label_names : sequence of str, optional
            Default object, false signal, background.
        link : "relative", "absolute" or "copy"
            How the images are named; see `NewLink`.
        axes, voxel_size : optional
            Of the images, where their files do not say.
        overwrite : bool
            Replace a file of this name.

        Raises
        ------
        ImageTooSmallError
            If a filter does not fit an image.
        EccError
            If an image cannot be opened, or the file cannot be written.
        """
        from ecc_rf.ilp.creation import LABEL_NAMES, create_project

        names = LABEL_NAMES if label_names is None else label_names
        create_project(path, images, features, names, link=link, axes=axes, voxel_size=voxel_size, overwrite=overwrite)
        return cls.open(path)

    @cached_property
    def features(self) -> FeatureSelection:
        """The selected features.

        Raises
        ------
        ProjectError
            If none were selected, or ones that cannot be computed.
        """
        with open_project_file(self.path) as file:
            return read_selection(applet_group(file, "FeatureSelections", []), str(self.path))

    @cached_property
    def normalization(self) -> NormalizationNote | None:
        """How the project notes that its images are normalised; None if it does not.

        Raises
        ------
        FormatError
            If the note is not understood.
        """
        with open_project_file(self.path) as file:
            return read_note(file)

    def lane(self, key: int | str) -> Lane:
        """A lane by its number from 0, its nickname or its stored path.

        Raises
        ------
        NoLaneError
            If there is none, or a nickname is that of several.
        """
        try:
            return self.lanes[_lane_index(self.lanes, key, str(self.path))]
        except SettingError as error:
            raise NoLaneError(error.what, error.where, error.do) from None

    def labels(self, lane: int | str) -> LaneLabels:
        """The labelled voxels of a lane, in its internal axis order.

        Raises
        ------
        NoLaneError
            If there is no such lane.
        FormatError
            If the labels are damaged.
        ProjectError
            If there are labels, but neither the project nor the image says what the axes are.
        """
        found = self.lane(lane)
        with open_project_file(self.path) as file:
            group = label_group(file, found.index)
            if not names_in(group) and not found.stored_axes:
                return LaneLabels.empty("")
            return read_labels(group, found.axes, found.shape, found.internal_axes, self.ilastik_version)

    def forest(self) -> RandomForest:
        """The stored forest.

        Raises
        ------
        NoForestError
            If there is none that can be used.
        FormatError
            If it is damaged.
        """
        with open_project_file(self.path) as file:
            return read_forests(_forests_group(file), len(self.label_names))

    def forest_summary(self) -> ForestSummary:
        """Numbers of the stored forest, without reading its trees; raises as `forest`."""
        with open_project_file(self.path) as file:
            return summarize_forests(_forests_group(file), len(self.label_names))

    def training_text(self) -> str | None:
        """What was noted when the forest was trained here; None if it was trained in ilastik.

        Raises
        ------
        FormatError
            If it is no text.
        """
        path, _, name = TRAINING.rpartition("/")
        with open_project_file(self.path) as file:
            group = group_in(file, path)
            return None if group is None else read_text(group, name)

    def stale(self) -> list[str]:
        """Why the stored forest is not that of the project's labels and features; empty if it is, or there is none."""
        return stale_reasons(self)

    def describe(self) -> dict[str, Any]:
        """All there is to know, in types of JSON; looks for the images and counts the labels."""
        return describe(self)


def _checked_version(file: h5py.File, notes: list[str]) -> str:
    stored = dataset_in(file, "ilastikVersion")
    if stored is None:
        if {"Project", "DataSets"} & set(names_in(file)):
            raise _version_error(file, "0.5")
        raise ProjectError(
            "this is not an ilastik project: no ilastikVersion is stored",
            str(file.filename),
            "give a project's .ilp file: the project first, and then the image",
        )
    if stored.dtype.kind == "f":  # only 0.5 wrote a number
        raise _version_error(file, "0.5")
    version = read_text(file, "ilastikVersion") or ""
    if version_key(version) is None:
        notes.append(f"version {version!r} of ilastik cannot be understood; the project is read as a new one")
    elif is_before(version, "0.6.dev0"):
        raise _version_error(file, version)
    elif not is_before(version, _NEWEST_KNOWN):
        notes.append(f"ilastik {version} is newer than the versions this was made for")
    return version


def _version_error(file: h5py.File, version: str) -> WorkflowError:
    return WorkflowError(
        f"a project of ilastik {version}; the layout of 0.5 and older is not read",
        str(file.filename),
        "make a new Pixel Classification project of the same images with a current ilastik",
    )


def _checked_workflow(file: h5py.File, notes: list[str]) -> str:
    workflow = read_text(file, "workflowName")
    if workflow is None:
        notes.append(f"the workflow is not stored, {WORKFLOW} is assumed")
        return WORKFLOW
    if workflow != WORKFLOW:
        raise WorkflowError(
            f"a project of the workflow {workflow!r}; only {WORKFLOW!r} can be used",
            str(file.filename),
            _SAVE_AS_PIXEL_CLASSIFICATION,
        )
    return workflow


def applet_group(file: h5py.File, name: str, notes: list[str]) -> h5py.Group | None:
    """The group of one of ilastik's applets. ilastik takes one without a version for absent, and so do we."""
    group = group_in(file, name)
    if group is None or read_text(group, "StorageVersion") is not None:
        return group
    if names_in(group):
        notes.append(f"{name} has no StorageVersion: ilastik takes it for absent, and so it is here")
    return None


def label_group(file: h5py.File, index: int) -> h5py.Group | None:
    """The labels of a lane: by rank, whatever the numbers in the groups' names."""
    applet = applet_group(file, "PixelClassification", [])
    sets = None if applet is None else group_in(applet, "LabelSets")
    names = names_in(sets)
    return None if sets is None or index >= len(names) else group_in(sets, names[index])


def _forests_group(file: h5py.File) -> h5py.Group:
    applet = applet_group(file, "PixelClassification", [])
    group = None if applet is None else group_in(applet, "ClassifierForests")
    if group is None:
        raise NoForestError(
            "the project holds no trained forest",
            str(file.filename),
            "train one from the project's labels; or, in ilastik, switch on Live Update once and save",
        )
    return group


def _default_names(applet: h5py.Group | None, label_sets: h5py.Group | None) -> list[str]:
    """ilastik's names for the labels that occur, in the annotations or in the forest."""
    largest = max((largest_label(group_in(label_sets, name)) for name in names_in(label_sets)), default=0)
    known = None
    forests = None if applet is None else group_in(applet, "ClassifierForests")
    if forests is not None:
        known = read_array(forests, "known_labels", kinds="ui", max_ndim=1)
    if known is not None and known.size:
        largest = max(largest, min(int(known.max()), 255))
    return [f"Label {value}" for value in range(1, largest + 1)]


def _lane_index(lanes: Sequence[Lane], key: int | str, where: str) -> int:
    matching = [lane.index for lane in lanes if key in (lane.index, lane.nickname)]
    matching = matching or [lane.index for lane in lanes if key == lane.stored_path]
    if not matching and isinstance(key, str) and key.strip().isdecimal() and int(key) < len(lanes):
        matching = [int(key)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise SettingError(f"several lanes are called {key!r}", where, f"give a number: {_listed(matching)}")
    if not lanes:
        raise SettingError(f"there is no lane {key!r}: the project has no images", where, "add an image in ilastik")
    known = _listed(f"{lane.index} ({lane.nickname})" for lane in lanes)
    names = [lane.nickname for lane in lanes]
    raise SettingError(f"there is no lane {key!r}", where, advice(str(key), names, f"There are {known}."))


def _listed(items: Any) -> str:
    texts = [str(item) for item in items]
    return ", ".join(texts[:20]) + (f" and {len(texts) - 20} more" if len(texts) > 20 else "")


def _with_overrides(lanes: list[Lane], images: Mapping[int | str, str | Path], where: str) -> list[Lane]:
    given: dict[int, str] = {}
    for key, path in images.items():
        index = _lane_index(lanes, key, where)
        if index in given:
            raise SettingError(f"two images are given for lane {index}: {given[index]} and {path}", where, "give one")
        given[index] = str(path)
    lanes = [replace(lane, override=given.get(lane.index)) for lane in lanes]
    for index in given:
        _ = lanes[index].location  # opens the image
    return lanes
