"""The feature selection as a project stores it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import h5py
import numpy as np

from ecc_rf.errors import FormatError, ProjectError, SettingError
from ecc_rf.features.selection import FeatureSelection
from ecc_rf.ilp.encoding import place, read_array, read_texts, write_text, write_texts
from ecc_rf.ilp.limits import MOST_FILTERS, MOST_SCALES

_SELECT = "select features in ilastik and save the project"


SELECTION_MEMBERS = ("StorageVersion", "FeatureIds", "Scales", "SelectionMatrix", "ComputeIn2d", "FeatureListFilename")
"""What a selection consists of in a project's file."""


def read_selection(group: h5py.Group | None, where: str) -> FeatureSelection:
    """The selection.

    Parameters
    ----------
    group : h5py.Group or None
        `FeatureSelections`.
    where : str
        The project, for messages.

    Raises
    ------
    ProjectError
        If nothing is selected, or features that cannot be computed.
    FormatError
        If the tables do not fit together.
    """
    matrix = None if group is None else read_array(group, "SelectionMatrix", kinds="biu", max_ndim=2)
    if group is None or matrix is None or matrix.ndim != 2:
        if group is not None and "FeatureListFilename" in group:
            raise ProjectError("the project uses features computed beforehand by another program", where, _SELECT)
        raise ProjectError("no features are selected in the project", where, _SELECT)
    ids = read_texts(group, "FeatureIds", MOST_FILTERS)
    scales = read_array(group, "Scales", kinds="iuf", max_ndim=1, most=MOST_SCALES)
    in_2d = read_array(group, "ComputeIn2d", kinds="biu", max_ndim=1, most=MOST_SCALES)
    if ids is None or scales is None or matrix.shape != (len(ids), scales.size):
        raise FormatError(
            f"a selection matrix of shape {matrix.shape} for {len(ids or ())} filters and "
            f"{0 if scales is None else scales.size} scales",
            place(group),
            _SELECT,
        )
    try:
        selection = FeatureSelection(
            tuple(ids),
            tuple(scales.ravel().tolist()),
            tuple(tuple(bool(cell) for cell in row) for row in matrix),
            None if in_2d is None or not in_2d.size else tuple(bool(flag) for flag in in_2d.ravel()),
        )
    except SettingError as error:
        raise ProjectError(error.what, place(group), error.do or _SELECT) from error
    if not selection.cells:
        raise ProjectError("no features are selected in the project", where, _SELECT)
    return selection


def write_selection(group: h5py.Group, selection: FeatureSelection) -> None:
    """Write a selection into a group without one."""
    if "StorageVersion" not in group:
        write_text(group, "StorageVersion", "0.1")
    write_texts(group, "FeatureIds", selection.feature_ids)
    group.create_dataset("Scales", data=np.array(selection.scales, np.float64))
    group.create_dataset("SelectionMatrix", data=np.array(selection.matrix, bool))
    if selection.compute_in_2d is not None:
        group.create_dataset("ComputeIn2d", data=np.array(selection.compute_in_2d, bool))


def settled_in_2d(selection: FeatureSelection, axes: str, shape: Sequence[int]) -> FeatureSelection:
    """The selection with its decision what is computed in 2D; where it has none, an image of these extents decides."""
    if selection.compute_in_2d is not None:
        return selection
    flat = dict(zip(axes, shape)).get("z", 1) == 1
    return replace(selection, compute_in_2d=(flat,) * len(selection.scales))
