"""Labels that are stored as an image: every voxel's label, 0 where there is none."""

from __future__ import annotations

import numpy as np

from ecc_rf.errors import LabelError, ShapeError
from ecc_rf.ilp import LaneLabels
from ecc_rf.itksnap.reading import labelled_voxels
from ecc_rf.volumes import Volume, internal_axes


def sparse_labels(labels: Volume, image: Volume) -> LaneLabels:
    """The labelled voxels of a label volume, read in slabs.

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
    FormatError
        If a value is no whole number, or nearly every voxel is labelled.
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
    coords, values, _ = labelled_voxels(labels, may_be_empty=True)
    if len(values) and not 0 <= values.min() <= values.max() <= 255:
        wrong = values.max() if values.max() > 255 else values.min()
        raise LabelError(f"label {wrong}; expected 0 to 255", labels.name)
    columns = dict(zip("tzyx", coords.T))
    nothing = np.zeros(len(values), np.int64)
    return LaneLabels.from_voxels(axes, np.stack([columns.get(axis, nothing) for axis in axes], axis=1), values)
