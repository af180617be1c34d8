"""Labels that are stored as an image: every voxel's label, 0 where there is none."""

from __future__ import annotations

import numpy as np

from ecc_rf.blocks import Grid
from ecc_rf.errors import LabelError, ShapeError
from ecc_rf.ilp import LaneLabels
from ecc_rf.volumes import AxisView, Volume, internal_axes

_BLOCK = 256  # extent of what is read at once


def sparse_labels(labels: Volume, image: Volume) -> LaneLabels:
    """The labelled voxels of a label volume, read block by block.

    Parameters
    ----------
    labels : Volume
        Integers, or floats that are integers; its axes may be in another order than those of the image.
    image : Volume
        The image that was labelled.

    Raises
    ------
    ShapeError
        If the volume is not of the image's extents, channels aside.
    LabelError
        If there are values other than 0 to 255.
    """
    axes = internal_axes(image.axes, image.shape)
    extents = dict(zip(image.axes, image.shape))
    wanted = tuple(1 if axis == "c" else extents.get(axis, 1) for axis in axes)
    found = dict(zip(labels.axes, labels.shape))
    if any(found.get(axis, 1) != n for axis, n in zip(axes, wanted)) or any(
        n > 1 and axis not in axes for axis, n in found.items()
    ):
        raise ShapeError(
            f"the labels have the shape {labels.shape} ({labels.axes}), the image {image.shape} ({image.axes})",
            labels.name,
            "give labels of the same extents; check the order of the axes",
        )
    view = AxisView(labels, axes)
    coords, values = [np.empty((0, len(axes)), np.int64)], [np.empty(0, np.int64)]
    for block in Grid(wanted, tuple(min(n, _BLOCK) for n in wanted)):
        array = view[block.core]
        at = np.argwhere(array)
        hits = array[tuple(at.T)]
        if len(hits) and not (hits == np.floor(hits)).all():
            raise LabelError("labels must be whole numbers", labels.name, "give the labels, not probabilities")
        if len(hits) and not 0 <= hits.min() <= hits.max() <= 255:
            raise LabelError(f"label {hits.max():g}; expected 0 to 255", labels.name)
        coords.append(at + [part.start for part in block.core])
        values.append(hits.astype(np.int64))
    return LaneLabels.from_voxels(axes, np.concatenate(coords), np.concatenate(values))
