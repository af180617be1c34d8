"""A project with changes, written as a new file.

The old file is only read. Everything that is not changed is copied, known or not, without being looked into; pickles
among it (bookmarks) are never opened. What is replaced is left out of the copy, so that no dead space remains.

ilastik judges the axis order of labels by the version that the file bears. A project of an older one therefore gets a
new version together with all its labels in the order of that version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import h5py
import numpy as np

from ecc_rf.errors import EccError, LabelError, NoLaneError, ProjectError, SettingError
from ecc_rf.features.selection import FeatureSelection
from ecc_rf.forest.model import RandomForest
from ecc_rf.ilp.classifier_type import factory_text
from ecc_rf.ilp.colors import label_colors
from ecc_rf.ilp.copying import copy_members
from ecc_rf.ilp.encoding import group_in, open_project_file, read_array, read_text, write_text
from ecc_rf.ilp.label_writing import Color, check_labels, write_label_blocks, write_label_colors, write_label_names
from ecc_rf.ilp.labels import LaneLabels
from ecc_rf.ilp.lanes import Lane
from ecc_rf.ilp.link_editing import LinkEdits
from ecc_rf.ilp.links import NewLink
from ecc_rf.ilp.normalization_note import GROUP as NOTE
from ecc_rf.ilp.normalization_note import NormalizationNote, forest_digest, write_note
from ecc_rf.ilp.project import TRAINING, IlastikProject, label_group
from ecc_rf.ilp.selection import SELECTION_MEMBERS, settled_in_2d, write_selection
from ecc_rf.ilp.versions import INTERNAL_ORDER, WRITTEN_VERSION, is_before, version_key
from ecc_rf.ilp.vigra_forest import read_forests, write_forests
from ecc_rf.volumes.base import damage_reported, write_errors
from ecc_rf.volumes.unfinished import UnfinishedOutput
from ecc_rf.volumes.user_paths import expanded


@dataclass(frozen=True)
class ProjectChanges:
    """What becomes different; by default everything stays as it is.

    Parameters
    ----------
    labels : mapping of int to LaneLabels
        New labels of lanes, by lane index, in the lane's internal axis order. They replace all labels of that lane.
    label_names : sequence of str, optional
        Names of all labels.
    label_colors : sequence of (red, green, blue), optional
        0 to 255; labels beyond these get distinct ones.
    forest : RandomForest, optional
        The trained forest. A stored one is dropped when labels or features change and none is given.
    feature_names : sequence of str
        Names of the forest's columns, `FeaturePlan.names`.
    n_rows : int, optional
        Labelled voxels that the forest was trained on, by default those of all lanes.
    drop_forest : bool
        Leave the stored forest out.
    features : FeatureSelection, optional
        If it leaves it to the image what is computed in 2D, the first lane decides.
    normalization : NormalizationNote, optional
        How the images are normalised; the forest that is given was trained on such voxels. A forest that is given
        without was trained on the voxels as they are.
    links : mapping of int to NewLink
        New places of images, by lane index. The labels stay with their lane.
    training : str, optional
        What is to be known of the forest's training later; see `IlastikProject.training_text`.
    """

    labels: Mapping[int, LaneLabels] = field(default_factory=dict)
    label_names: Sequence[str] | None = None
    label_colors: Sequence[Color] | None = None
    forest: RandomForest | None = None
    feature_names: Sequence[str] = ()
    n_rows: int | None = None
    drop_forest: bool = False
    features: FeatureSelection | None = None
    normalization: NormalizationNote | None = None
    links: Mapping[int, NewLink] = field(default_factory=dict)
    training: str | None = None


def edit_project(source: str | Path, output: str | Path, *, changes: ProjectChanges, overwrite: bool = False) -> None:
    """Write a project with changes. It gets its name when it is complete.

    Relative links are written anew where the new project lies in another folder than the old one.

    Parameters
    ----------
    source : str or Path
        The project. It is not changed, unless it is the output too.
    output : str or Path
        The new .ilp file.
    changes : ProjectChanges
    overwrite : bool
        Replace a file of this name, once the new one is complete.

    Raises
    ------
    EccError
        If the project cannot be read, as `IlastikProject.open` says.
    NoLaneError
        If a change is for a lane that there is not.
    AxesError, ShapeError
        If labels or images do not fit their lane, or feature names the forest.
    LabelError
        If a label has no name.
    ProjectError
        If an older project's labels cannot be brought into the new axis order.
    OutputExistsError
        If there is such a file and `overwrite` is False.
    OutputError
        If the file cannot be written.
    """
    project = IlastikProject.open(source, images={index: link.path for index, link in _checked_links(changes).items()})
    edit = _Edit(project, changes)
    links = LinkEdits(project.lanes, changes.links, expanded(output).absolute())
    target = UnfinishedOutput(expanded(output), str(output), overwrite)
    try:
        # Of what is copied only the places are looked at that are known: h5py finds damage elsewhere in its own words.
        with (
            damage_reported(str(project.path)),
            open_project_file(project.path) as old,
            write_errors(str(output)),
            h5py.File(target.path, "w") as new,
        ):
            copy_members(old, new, edit.left_out(old) | links.left_out(old))
            edit.write(old, new)
            links.write(new)
    except BaseException:
        target.discard()
        raise
    target.commit()


def _checked_links(changes: ProjectChanges) -> Mapping[int, NewLink]:
    """Keys must be numbers: a number in a text could be meant as a nickname."""
    if not all(isinstance(index, int) for index in (*changes.links, *changes.labels)):
        raise SettingError("changes are given by lane index", do="use Lane.index of IlastikProject.lane(name)")
    return changes.links


class _Edit:
    """Changes of labels, names, features and forest, checked against the project."""

    def __init__(self, project: IlastikProject, changes: ProjectChanges) -> None:
        self.project = project
        self.changes = changes
        self.where = str(project.path)
        for index in (*changes.labels, *changes.links):
            if not 0 <= index < len(project.lanes):
                raise NoLaneError(f"there is no lane {index}: the project has {len(project.lanes)}", self.where)
        self.labels = [self._labels(lane) for lane in project.lanes]
        self.names = list(project.label_names if changes.label_names is None else changes.label_names)
        self._check_names()
        self.drops_forest = changes.forest is not None or self._drops_forest()

    def _labels(self, lane: Lane) -> LaneLabels | None:
        """What is to be written for a lane; None if its stored labels can be copied as they are."""
        given = self.changes.labels.get(lane.index)
        if given is not None:
            check_labels(given, lane.axes, lane.shape, lane.internal_axes, f"{self.where}, {lane}")
            return given
        if not is_before(self.project.ilastik_version, INTERNAL_ORDER):
            return None
        stored = self.project.labels(lane.index)
        if len(stored.values) and lane.shape is None and _may_be_flat(stored):
            raise ProjectError(
                f"the labels of {lane} are in the axis order of ilastik {self.project.ilastik_version};"
                " to write them in that of today, the extents of the image must be known, and it is not there",
                self.where,
                f"give the image's place: --image {lane.index}=PATH",
            )
        return stored

    def _check_names(self) -> None:
        if not self.names and self.changes.label_names is not None:
            raise SettingError("a project needs at least one label name", self.where)
        largest = max((max(labels.counts, default=0) for labels in self._all_labels() or ()), default=0)
        if self.changes.forest is not None:
            largest = max(largest, *self.changes.forest.classes)
        if largest > len(self.names) and (self.changes.label_names is not None or self.changes.labels):
            raise LabelError(
                f"label {largest} is used, there are {len(self.names)} label names", self.where, "name all labels"
            )

    def _all_labels(self) -> list[LaneLabels] | None:
        """Of all lanes as they will be; None if those of one cannot be read, which only its copying does not need."""
        try:
            return [
                self.project.labels(lane.index) if labels is None else labels
                for lane, labels in zip(self.project.lanes, self.labels)
            ]
        except EccError:
            return None

    def _drops_forest(self) -> bool:
        """Whether the stored forest is not that of the changed project."""
        changes = self.changes
        if changes.drop_forest or (changes.features is not None and self._features() != self._stored_features()):
            return True
        if any(not _same(self.project.labels(index), labels) for index, labels in changes.labels.items()):
            return True
        try:
            return self.project.forest_summary().classes[-1] > len(self.names)
        except EccError:  # none, or none that can be used: that is not for us to mend
            return False

    def _features(self) -> FeatureSelection:
        assert self.changes.features is not None
        shapes = [(lane.axes, lane.shape) for lane in self.project.lanes[:1] if lane.shape is not None]
        return settled_in_2d(self.changes.features, *shapes[0]) if shapes else self.changes.features

    def _stored_features(self) -> FeatureSelection | None:
        try:
            return self.project.features
        except EccError:
            return None

    def left_out(self, old: h5py.File) -> set[str]:
        """Members that are written anew, or not at all."""
        changes = self.changes
        paths = {"ilastikVersion"}
        for name in ("FeatureSelections", "PixelClassification"):
            # a group without a version counts as absent; with one, what it holds would come to life
            group = group_in(old, name)
            if group is not None and read_text(group, "StorageVersion") is None:
                paths.add(name)
        paths.add("PixelClassification/LabelSets")
        if changes.normalization is not None or changes.forest is not None:
            paths.add(NOTE)
        if changes.features is not None:
            paths |= {f"FeatureSelections/{name}" for name in SELECTION_MEMBERS}
        if self.drops_forest:
            paths |= {"PixelClassification/ClassifierForests", TRAINING}
        if changes.forest is not None:
            paths.add("PixelClassification/ClassifierFactory")
        if changes.label_names is not None:
            paths.add("PixelClassification/LabelNames")
        if changes.label_names is not None or changes.label_colors is not None:
            paths |= {f"PixelClassification/{name}" for name in ("LabelColors", "PmapColors")}
        return paths

    def write(self, old: h5py.File, new: h5py.File) -> None:
        changes = self.changes
        version = self.project.ilastik_version
        keep = version_key(version) is not None and not is_before(version, INTERNAL_ORDER)
        write_text(new, "ilastikVersion", version if keep else WRITTEN_VERSION)
        applet = _versioned(new, "PixelClassification")
        self._write_labels(old, applet.create_group("LabelSets"))
        if changes.label_names is not None:
            write_label_names(applet, self.names)
        if changes.label_names is not None or changes.label_colors is not None:
            self._write_colors(old, applet)
        if changes.forest is not None:
            self._write_forest(applet, changes.forest)
        if changes.features is not None:
            write_selection(_versioned(new, "FeatureSelections"), self._features())
        if changes.normalization is not None:
            write_note(new, replace(changes.normalization, forest=self._digest(new)))
        if changes.training is not None:
            path, _, name = TRAINING.rpartition("/")
            write_text(new.require_group(path), name, changes.training)

    def _write_labels(self, old: h5py.File, sets: h5py.Group) -> None:
        """One group per lane, without gaps: ilastik goes by their order, not by their numbers."""
        for index, labels in enumerate(self.labels):
            stored = label_group(old, index) if labels is None else None
            if stored is not None:
                old.copy(stored, sets, f"labels{index:03d}")
            else:
                write_label_blocks(sets.create_group(f"labels{index:03d}"), labels or LaneLabels.empty("yxc"))

    def _write_colors(self, old: h5py.File, applet: h5py.Group) -> None:
        before = group_in(old, "PixelClassification")
        for name in ("LabelColors", "PmapColors"):
            colors = self.changes.label_colors
            if colors is None:
                stored = None if before is None else read_array(before, name, max_ndim=2)
                colors = label_colors(stored, len(self.names))
            write_label_colors(applet, name, colors, len(self.names))

    def _write_forest(self, applet: h5py.Group, forest: RandomForest) -> None:
        rows = self.changes.n_rows
        if rows is None and (labels := self._all_labels()):
            rows = sum(len(lane.values) for lane in labels)
        write_text(applet, "ClassifierFactory", factory_text(forest.n_trees, len(forest.trees_per_forest)))
        group = applet.create_group("ClassifierForests")
        write_forests(group, forest, self.changes.feature_names, n_rows=rows or None)

    def _digest(self, new: h5py.File) -> str:
        """Of the forest that was given, as it will be read."""
        if self.changes.forest is None:
            return ""
        return forest_digest(read_forests(new["PixelClassification/ClassifierForests"], len(self.names)))


def _versioned(file: h5py.File, name: str) -> h5py.Group:
    """An applet's group; without a version ilastik would take it for absent."""
    group = file.require_group(name)
    if "StorageVersion" not in group:
        write_text(group, "StorageVersion", "0.1")
    return group


def _may_be_flat(labels: LaneLabels) -> bool:
    """Whether an image of unknown extents may have extent 1 along t or z, an axis that its labels then lack."""
    return any(axis in "tz" and not labels.coords[:, k].any() for k, axis in enumerate(labels.axes))


def _same(one: LaneLabels, other: LaneLabels) -> bool:
    return np.array_equal(one.coords, other.coords) and np.array_equal(one.values, other.values)
