"""Labels as ilastik 1.4 stores them: names, colours, and blocks in the internal axis order that say their axes."""

from __future__ import annotations

from collections.abc import Sequence

import h5py
import numpy as np

from ecc_rf.errors import AxesError, ShapeError
from ecc_rf.ilp.colors import label_colors
from ecc_rf.ilp.encoding import write_texts
from ecc_rf.ilp.labels import LaneLabels
from ecc_rf.volumes import axistags_json

Color = tuple[int, int, int]


def check_labels(labels: LaneLabels, axes: str, shape: Sequence[int] | None, internal: str, where: str) -> None:
    """Refuse labels that are not those of an image.

    Parameters
    ----------
    labels : LaneLabels
    axes, shape : str, sequence of int or None
        Of the image; where its shape is unknown, no label is outside.
    internal : str
        The image's internal axes.
    where : str
        The image, for messages.

    Raises
    ------
    AxesError
        If the labels have other axes.
    ShapeError
        If some lie outside.
    """
    if labels.axes != internal:
        raise AxesError(f"labels with axes {labels.axes!r}; those of this image have {internal!r}", where)
    if shape is None:
        return
    extents = {**dict(zip(axes, shape)), "c": 1}
    limit = [extents[axis] for axis in internal]
    if ((labels.coords < 0) | (labels.coords >= limit)).any():
        raise ShapeError(f"labels outside of the image of shape {tuple(shape)}", where)


def write_label_names(group: h5py.Group, names: Sequence[str]) -> None:
    """Write `LabelNames`."""
    write_texts(group, "LabelNames", names).attrs["isEmpty"] = False


def write_label_colors(group: h5py.Group, name: str, colors: Sequence[Color] | None, n_labels: int) -> None:
    """Write `LabelColors` or `PmapColors`; labels beyond the given colours get distinct ones."""
    table = label_colors(np.array(colors, np.int64) if colors else None, n_labels)
    group.create_dataset(name, data=np.array(table, np.int64)).attrs["isEmpty"] = False


def write_label_blocks(group: h5py.Group, labels: LaneLabels) -> None:
    """Write the blocks of a lane into its empty group."""
    for number, block in enumerate(labels.blocks):
        dataset = group.create_dataset(f"block{number:04d}", data=block.array)
        ends = np.add(block.start, block.array.shape)
        text = ",".join(f"{start}:{stop}" for start, stop in zip(block.start, ends))
        dataset.attrs.create("blockSlice", f"[{text}]", dtype=h5py.string_dtype("ascii"))
        dataset.attrs["axistags"] = axistags_json(labels.axes)
