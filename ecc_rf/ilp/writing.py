"""Writing a project that ilastik opens.

What is written is the layout of ilastik 1.4.1, with what ilastik needs and no more: no times, no random identifiers,
so that the same project gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py

from ecc_rf.errors import LabelError, SettingError, ShapeError
from ecc_rf.features.selection import FeatureSelection
from ecc_rf.forest.model import RandomForest
from ecc_rf.ilp.classifier_type import factory_text
from ecc_rf.ilp.encoding import write_text, write_texts
from ecc_rf.ilp.label_writing import (
    Color,
    check_labels,
    write_label_blocks,
    write_label_colors,
    write_label_names,
)
from ecc_rf.ilp.labels import LaneLabels
from ecc_rf.ilp.links import LinkKind, NewLink, check_kind, nickname, write_copy, write_layout, write_link
from ecc_rf.ilp.selection import settled_in_2d, write_selection
from ecc_rf.ilp.versions import WRITTEN_VERSION
from ecc_rf.ilp.vigra_forest import write_forests
from ecc_rf.volumes import internal_axes, open_volume
from ecc_rf.volumes.axes import check_axes
from ecc_rf.volumes.base import VoxelSize, write_errors
from ecc_rf.volumes.unfinished import UnfinishedOutput
from ecc_rf.volumes.user_paths import expanded

ROLES = ("Raw Data", "Prediction Mask")
"""What a lane may have an image for."""


@dataclass(frozen=True)
class NewLane:
    """An image of a project to be written.

    Parameters
    ----------
    path : str or Path
        As `open_volume` takes it.
    axes : str
        One letter of ``tzyxc`` per axis of the image.
    shape : tuple of int
        Its extents, in that order.
    labels : LaneLabels, optional
        In the lane's internal axis order.
    link : "relative", "absolute" or "copy"
        See `NewLink`.
    nickname : str
        By default made from the file's name.
    voxel_size : (z, y, x), optional
        In µm.

    Raises
    ------
    AxesError, ShapeError
        If axes, shape and labels do not fit together.
    SettingError
        If the link is of another kind.
    """

    path: str | Path
    axes: str
    shape: tuple[int, ...]
    labels: LaneLabels | None = None
    link: LinkKind = "relative"
    nickname: str = ""
    voxel_size: VoxelSize | None = None

    def __post_init__(self) -> None:
        check_axes(self.axes, len(self.shape), str(self.path))
        if min(self.shape) < 1:
            raise ShapeError(f"an image of shape {self.shape} has no voxels", str(self.path))
        check_kind(self.link, str(self.path))
        if self.labels is None:
            return
        check_labels(self.labels, self.axes, self.shape, self.internal_axes, str(self.path))

    @property
    def internal_axes(self) -> str:
        return internal_axes(self.axes, self.shape)


def write_project(
    path: str | Path,
    lanes: Sequence[NewLane],
    features: FeatureSelection,
    label_names: Sequence[str],
    *,
    colors: Sequence[Color] | None = None,
    forest: RandomForest | None = None,
    feature_names: Sequence[str] = (),
    n_rows: int | None = None,
    n_trees: int = 100,
    overwrite: bool = False,
) -> None:
    """Write a Pixel Classification project. It gets its name when it is complete.

    Parameters
    ----------
    path : str or Path
        The .ilp file.
    lanes : sequence of NewLane
        Its images, which must be there already if ilastik is to open it. Only those to be copied are read.
    features : FeatureSelection
        If it leaves it to the image what is computed in 2D, the first image decides.
    label_names : sequence of str
        At least one; label v has the name ``label_names[v - 1]``.
    colors : sequence of (red, green, blue), optional
        One per label.
    forest : RandomForest, optional
    feature_names : sequence of str, optional
        Names of the forest's columns, `FeaturePlan.names`.
    n_rows : int, optional
        Labelled voxels that the forest was trained on, by default those of all lanes.
    n_trees : int
        How many trees ilastik is to train.
    overwrite : bool
        Replace a file of this name.

    Raises
    ------
    LabelError
        If there are labels without a name.
    SettingError
        If there is no label name.
    ShapeError
        If there are not as many feature names as the forest has columns.
    OutputExistsError
        If there is such a file and `overwrite` is False.
    OutputError
        If the file cannot be written.
    """
    final = expanded(path)
    _check_labels(lanes, label_names, forest, str(path))
    if lanes:
        features = settled_in_2d(features, lanes[0].axes, lanes[0].shape)
    if n_rows is None and any(lane.labels is not None for lane in lanes):
        n_rows = sum(len(lane.labels.values) for lane in lanes if lane.labels is not None)
    output = UnfinishedOutput(final, str(path), overwrite)
    try:
        with write_errors(str(path)), h5py.File(output.path, "w") as file:
            write_text(file, "ilastikVersion", WRITTEN_VERSION)
            write_text(file, "workflowName", "Pixel Classification")
            _write_lanes(file.create_group("Input Data"), lanes, final)
            write_selection(file.create_group("FeatureSelections"), features)
            applet = file.create_group("PixelClassification")
            write_text(applet, "StorageVersion", "0.1")
            write_label_names(applet, label_names)
            for name in ("LabelColors", "PmapColors"):
                write_label_colors(applet, name, colors, len(label_names))
            _write_label_sets(applet.create_group("LabelSets"), lanes)
            n_forests = 8 if forest is None else len(forest.trees_per_forest)
            write_text(applet, "ClassifierFactory", factory_text(n_trees, n_forests))
            if forest is not None:
                write_forests(applet.create_group("ClassifierForests"), forest, feature_names, n_rows=n_rows)
    except BaseException:
        output.discard()
        raise
    output.commit()


def _check_labels(
    lanes: Sequence[NewLane], label_names: Sequence[str], forest: RandomForest | None, where: str
) -> None:
    if not label_names:
        raise SettingError("a project needs at least one label name", where)
    used = [int(lane.labels.values.max()) for lane in lanes if lane.labels is not None and len(lane.labels.values)]
    used += [forest.classes[-1]] if forest is not None else []
    if max(used, default=0) > len(label_names):
        raise LabelError(
            f"label {max(used)} is used, there are {len(label_names)} label names", where, "name all labels"
        )


def _write_lanes(group: h5py.Group, lanes: Sequence[NewLane], project: Path) -> None:
    write_text(group, "StorageVersion", "0.2")
    write_texts(group, "Role Names", ROLES)
    data = group.create_group("local_data")
    infos = group.create_group("infos")
    for index, lane in enumerate(lanes):
        roles = infos.create_group(f"lane{index:04d}")
        roles.create_group("Prediction Mask")
        info = roles.create_group("Raw Data")
        link = NewLink(lane.path, lane.link)
        if lane.link == "copy":
            with open_volume(lane.path, axes=lane.axes, voxel_size=lane.voxel_size) as volume:
                if volume.shape != lane.shape:
                    raise ShapeError(f"the image has shape {volume.shape}, not {lane.shape}", str(lane.path))
                write_copy(info, data, volume)
            path = Path(lane.path).as_posix()
        else:
            path = write_link(info, link, project)
        write_layout(info, lane.axes, lane.shape, lane.voxel_size)
        write_text(info, "nickname", lane.nickname or nickname(path))
        info.create_dataset("allowLabels", data=True)


def _write_label_sets(group: h5py.Group, lanes: Sequence[NewLane]) -> None:
    """One group per lane, without gaps: ilastik goes by their order, not by their numbers."""
    for index, lane in enumerate(lanes):
        member = group.create_group(f"labels{index:03d}")
        if lane.labels is not None:
            write_label_blocks(member, lane.labels)
