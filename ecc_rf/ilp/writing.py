"""Writing a project that ilastik opens.

What is written is the layout of ilastik 1.4.1, with what ilastik needs and no more: no times, no random identifiers,
so that the same project gives the same bytes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import h5py
import numpy as np

from ecc_rf.errors import AxesError, LabelError, SettingError, ShapeError
from ecc_rf.features.selection import FeatureSelection
from ecc_rf.forest.model import RandomForest
from ecc_rf.ilp.classifier_type import factory_text
from ecc_rf.ilp.colors import label_colors
from ecc_rf.ilp.encoding import write_text, write_texts
from ecc_rf.ilp.labels import LaneLabels
from ecc_rf.ilp.selection import write_selection
from ecc_rf.ilp.stored_paths import outer_and_inner
from ecc_rf.ilp.vigra_forest import write_forests
from ecc_rf.volumes import axistags_json, internal_axes
from ecc_rf.volumes.axes import check_axes
from ecc_rf.volumes.base import write_errors
from ecc_rf.volumes.unfinished import UnfinishedOutput

_VERSION = "1.4.1"  # since 1.4.0b8 label blocks are in the internal axis order and say so


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
    link : "relative" or "absolute"
        How the image is found again. A relative link holds when project and image move together; ilastik knows it
        only for images in the project's folder or below, others get an absolute one.
    nickname : str
        By default made from the file's name.

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
    link: Literal["relative", "absolute"] = "relative"
    nickname: str = ""

    def __post_init__(self) -> None:
        check_axes(self.axes, len(self.shape), str(self.path))
        if min(self.shape) < 1:
            raise ShapeError(f"an image of shape {self.shape} has no voxels", str(self.path))
        if self.link not in ("relative", "absolute"):
            raise SettingError(f"link {self.link!r}; expected 'relative' or 'absolute'", str(self.path))
        if self.labels is None:
            return
        if self.labels.axes != self.internal_axes:
            raise AxesError(
                f"labels with axes {self.labels.axes!r}; those of this image have {self.internal_axes!r}",
                str(self.path),
            )
        extents = {**dict(zip(self.axes, self.shape)), "c": 1}
        limit = [extents[axis] for axis in self.internal_axes]
        if ((self.labels.coords < 0) | (self.labels.coords >= limit)).any():
            raise ShapeError(f"labels outside of the image of shape {self.shape}", str(self.path))

    @property
    def internal_axes(self) -> str:
        return internal_axes(self.axes, self.shape)


def write_project(
    path: str | Path,
    lanes: Sequence[NewLane],
    features: FeatureSelection,
    label_names: Sequence[str],
    *,
    colors: Sequence[tuple[int, int, int]] | None = None,
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
        Its images, which must be there already if ilastik is to open it; they are not read.
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
    final = Path(path).expanduser()
    _check_labels(lanes, label_names, forest, str(path))
    if features.compute_in_2d is None and lanes:
        flat = dict(zip(lanes[0].axes, lanes[0].shape)).get("z", 1) == 1
        features = replace(features, compute_in_2d=(flat,) * len(features.scales))
    if n_rows is None and any(lane.labels is not None for lane in lanes):
        n_rows = sum(len(lane.labels.values) for lane in lanes if lane.labels is not None)
    output = UnfinishedOutput(final, str(path), overwrite)
    try:
        with write_errors(str(path)), h5py.File(output.path, "w") as file:
            write_text(file, "ilastikVersion", _VERSION)
            write_text(file, "workflowName", "Pixel Classification")
            _write_lanes(file.create_group("Input Data"), lanes, final)
            write_selection(file.create_group("FeatureSelections"), features)
            applet = file.create_group("PixelClassification")
            write_text(applet, "StorageVersion", "0.1")
            _write_label_names(applet, label_names, colors)
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
    write_texts(group, "Role Names", ["Raw Data", "Prediction Mask"])
    group.create_group("local_data")
    infos = group.create_group("infos")
    for index, lane in enumerate(lanes):
        roles = infos.create_group(f"lane{index:04d}")
        roles.create_group("Prediction Mask")
        info = roles.create_group("Raw Data")
        link, relative = _link(lane, project)
        write_text(info, "__class__", "RelativeFilesystemDatasetInfo" if relative else "FilesystemDatasetInfo")
        write_text(info, "location", "FileSystem")
        write_text(info, "filePath", link)
        write_text(info, "nickname", lane.nickname or _nickname(link))
        write_text(info, "axistags", axistags_json(lane.axes))
        info.create_dataset("shape", data=np.array(lane.shape, np.int64))
        info.create_dataset("allowLabels", data=True)


def _link(lane: NewLane, project: Path) -> tuple[str, bool]:
    """The path to be stored, and whether it is relative to the project's folder."""
    image = Path(os.path.normpath(Path(lane.path).expanduser().absolute()))
    folder = Path(os.path.normpath(project.absolute().parent))
    if lane.link == "relative" and image.is_relative_to(folder):
        return image.relative_to(folder).as_posix(), True
    return image.as_posix(), False


def _nickname(link: str) -> str:
    """As ilastik makes it.

    >>> _nickname("images/brain.h5/raw/data"), _nickname("a.tif")
    ('brain-raw-data', 'a')
    """
    outer, inner = outer_and_inner(link)
    return "-".join([Path(outer).stem, *(part for part in inner.split("/") if part)])


def _write_label_names(group: h5py.Group, names: Sequence[str], colors: Sequence[tuple[int, int, int]] | None) -> None:
    write_texts(group, "LabelNames", names).attrs["isEmpty"] = False
    table = np.array(label_colors(None if colors is None else np.array(colors, np.int64), len(names)), np.int64)
    for name in ("LabelColors", "PmapColors"):
        group.create_dataset(name, data=table).attrs["isEmpty"] = False


def _write_label_sets(group: h5py.Group, lanes: Sequence[NewLane]) -> None:
    """One group per lane, without gaps: ilastik goes by their order, not by their numbers."""
    for index, lane in enumerate(lanes):
        member = group.create_group(f"labels{index:03d}")
        for number, block in enumerate(lane.labels.blocks if lane.labels is not None else ()):
            dataset = member.create_dataset(f"block{number:04d}", data=block.array)
            ends = np.add(block.start, block.array.shape)
            text = ",".join(f"{start}:{stop}" for start, stop in zip(block.start, ends))
            dataset.attrs.create("blockSlice", f"[{text}]", dtype=h5py.string_dtype("ascii"))
            dataset.attrs["axistags"] = axistags_json(lane.internal_axes)
