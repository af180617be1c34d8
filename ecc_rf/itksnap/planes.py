"""Planes of an image and of labels, one after the other, for a part of a lane; and as coarser copies."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.itksnap.fitting import Part
from ecc_rf.itksnap.frame import Zyx
from ecc_rf.volumes import Volume

_SLAB_BYTES = 128 * 2**20


def label_planes(voxels: NDArray[np.int64], values: NDArray[np.uint8], shape: Zyx) -> Iterator[NDArray[np.uint8]]:
    """Planes of labels, from voxels z, y, x sorted by z."""
    bounds = np.searchsorted(voxels[:, 0], np.arange(shape[0] + 1))
    for begin, end in itertools.pairwise(bounds.tolist()):
        plane = np.zeros((1, *shape[1:]), np.uint8)
        plane[0, voxels[begin:end, 1], voxels[begin:end, 2]] = values[begin:end]
        yield plane


def coarser_labels(
    voxels: NDArray[np.int64], values: NDArray[np.uint8], part: Part
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Labelled voxels of a part in its own coordinates, sorted; of several that become one the most frequent counts.

    Voxels without label do not count, so that no stroke is lost; of equally frequent labels the smallest counts.

    >>> part = Part((slice(0, 1), slice(0, 4), slice(0, 4)), (1, 2, 2), "")
    >>> table = coarser_labels(np.array([[0, 0, 1], [0, 1, 0], [0, 1, 1], [0, 3, 0]]), np.uint8([2, 3, 3, 1]), part)
    >>> [column.tolist() for column in table]
    [[[0, 0, 0], [0, 1, 0]], [3, 1]]
    """
    starts = [s.start for s in part.region]
    places = (voxels - starts) // np.array(part.factors)
    pairs, counts = np.unique(np.column_stack([places, values]), axis=0, return_counts=True)
    order = np.lexsort((pairs[:, 3], -counts, pairs[:, 2], pairs[:, 1], pairs[:, 0]))
    pairs = pairs[order]
    first = np.ones(len(pairs), bool)
    first[1:] = (pairs[1:, :3] != pairs[:-1, :3]).any(axis=1)
    return pairs[first, :3], pairs[first, 3].astype(np.uint8)


def image_planes(image: Volume, time: int, channel: int, part: Part) -> Iterator[NDArray[Any]]:
    """Planes of a part of an image ``tczyx``, some at a time; coarser ones are means."""
    z, y, x = part.region
    step = part.factors[0]
    plane_bytes = (y.stop - y.start) * (x.stop - x.start) * image.dtype.itemsize
    chunk = image.chunks[2] if image.chunks is not None else 1
    depth = max(1, min(max(chunk, 8), _SLAB_BYTES // plane_bytes)) // step * step or step
    for start in range(z.start, z.stop, depth):
        stop = min(start + depth, z.stop)
        slab = image[time : time + 1, channel : channel + 1, start:stop, y, x][0, 0]
        yield slab if part.factors == (1, 1, 1) else means(slab, part.factors)


def means(slab: NDArray[Any], factors: Zyx) -> NDArray[Any]:
    """Means of so many voxels each, of what there is at the far ends; integers are rounded.

    >>> means(np.arange(6, dtype=np.uint16).reshape(1, 2, 3), (1, 2, 2))
    array([[[2, 4]]], dtype=uint16)
    """
    total = slab.astype(np.float64)
    for axis, factor in enumerate(factors):
        edges = np.arange(0, slab.shape[axis], factor)
        total = np.add.reduceat(total, edges, axis=axis)
        counts = np.diff([*edges, slab.shape[axis]])
        total /= np.expand_dims(counts, [other for other in range(3) if other != axis])
    return np.rint(total).astype(slab.dtype) if slab.dtype.kind in "iu" else total.astype(slab.dtype)
