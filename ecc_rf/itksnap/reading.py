"""The labelled voxels of a label file of any format, read in slabs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.errors import AxesError, FormatError, LabelError
from ecc_rf.volumes import AxisView, Volume

MOST_VOXELS = 20_000_000  # labelled ones: 900 MB while they are sorted, and far more than a forest is trained on
_SLAB_BYTES = 64 * 2**20


def labelled_voxels(
    volume: Volume, *, may_be_empty: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.int64], tuple[int, ...]]:
    """Voxels that are not 0.

    Parameters
    ----------
    volume : Volume
        One channel of integers, or of floats that are whole numbers.
    may_be_empty : bool
        Whether a volume without labels is right.

    Returns
    -------
    (n, 4) ndarray, (n,) ndarray, tuple of int
        The voxels t, z, y, x in order, their values, and the volume's extents t, z, y, x.

    Raises
    ------
    AxesError
        If there are several channels.
    FormatError
        If a value is no whole number, or nearly every voxel is labelled.
    LabelError
        If no voxel is labelled, unless that is right.
    """
    view = AxisView(volume, "tczyx")
    times, channels, depth, height, width = view.shape
    if channels > 1:
        raise AxesError(
            f"labels have one channel, this has {channels} (axes {volume.axes!r}, shape {volume.shape})",
            volume.name,
            "give the file's own axes with --axes, or a file of one channel",
        )
    chunk = view.chunks[2] if view.chunks is not None else 1
    slab = max(1, min(max(chunk, 16), _SLAB_BYTES // (height * width * volume.dtype.itemsize)))
    coords, values, total = [np.empty((0, 4), np.int64)], [np.empty(0, np.int64)], 0
    for t in range(times):
        for z in range(0, depth, slab):
            block = view[t : t + 1, :, z : z + slab][0, 0]
            hits = np.nonzero(block)
            if not len(hits[0]):
                continue
            coords.append(np.stack([np.full(len(hits[0]), t), hits[0] + z, hits[1], hits[2]], axis=1))
            values.append(_whole(block[hits], coords[-1], volume.name))
            total += len(values[-1])
            if total > MOST_VOXELS:
                raise FormatError(
                    f"more than {MOST_VOXELS:,} voxels are labelled: this is a segmentation, not strokes",
                    volume.name,
                    "label some thousand voxels of each kind; a classifier learns no more from all of them",
                )
    if not total and not may_be_empty:
        raise LabelError("no voxel is labelled in this file", volume.name, "save the segmentation, not the image")
    return np.concatenate(coords), np.concatenate(values), (times, depth, height, width)


def _whole(values: NDArray[Any], voxels: NDArray[np.int64], name: str) -> NDArray[np.int64]:
    """Values as integers."""
    with np.errstate(invalid="ignore"):
        whole = values.astype(np.int64)
    wrong = whole != values
    if values.dtype.kind == "u":
        wrong |= whole < 0  # beyond int64
    if wrong.any():
        t, z, y, x = voxels[np.argmax(wrong)].tolist()
        at = f"z={z}, y={y}, x={x}" + (f", t={t}" if t else "")
        raise FormatError(
            f"value {values[np.argmax(wrong)]} at {at} is no label: labels are whole numbers",
            name,
            "give the labels, not an image or probabilities",
        )
    return whole
