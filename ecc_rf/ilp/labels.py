"""Annotations: the labelled voxels of a lane.

A project stores them in blocks, each the bounding box of some labelled voxels. In memory they are kept sparse, in the
lane's internal axis order, and every voxel has at most one label.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ecc_rf.errors import LabelError, ShapeError
from ecc_rf.ilp.block_axes import StoredBlock, Voxels, arranged, stored_blocks

ERASER = 100
"""The value that takes labels away instead of giving one."""

_TILE = 40  # ilastik's own blocks are about this long


@dataclass(frozen=True, eq=False)
class LabelBlock:
    """Labels in a box.

    Attributes
    ----------
    start : tuple of int
        The box's first voxel in the lane, in the order of the lane's internal axes.
    array : ndarray of uint8
        1 and up are labels, 0 is not labelled.
    """

    start: tuple[int, ...]
    array: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class LaneLabels:
    """The labelled voxels of one lane.

    Attributes
    ----------
    axes : str
        The lane's internal axes, c last with extent 1.
    coords : (n, len(axes)) int64
        Labelled voxels, sorted, each once.
    values : (n,) uint8
        Their labels, 1 and up.
    notes : tuple of str
        What was odd about the way they are stored.
    """

    axes: str
    coords: NDArray[np.int64]
    values: NDArray[np.uint8]
    notes: tuple[str, ...] = ()

    @classmethod
    def from_blocks(cls, axes: str, blocks: Sequence[LabelBlock], notes: Sequence[str] = ()) -> LaneLabels:
        """Gather blocks: later ones win where they overlap, zeros leave what is there, `ERASER` takes it away.

        Raises
        ------
        ShapeError
            If a block does not have the dimensions of `axes`.
        """
        if any(block.array.ndim != len(axes) or len(block.start) != len(axes) for block in blocks):
            raise ShapeError(f"label blocks with other than the {len(axes)} dimensions of axes {axes!r}")
        hits = [np.argwhere(block.array) for block in blocks]
        coords = np.concatenate(
            [np.empty((0, len(axes)), np.int64), *(hit + block.start for hit, block in zip(hits, blocks))]
        )
        values = np.concatenate(
            [np.empty(0, np.uint8), *(block.array[tuple(hit.T)] for hit, block in zip(hits, blocks))]
        )
        return cls.from_voxels(axes, coords, values, notes)

    @classmethod
    def from_voxels(
        cls, axes: str, coords: NDArray[np.int64], values: NDArray[Any], notes: Sequence[str] = ()
    ) -> LaneLabels:
        """Labelled voxels in any order; of those named twice the last one counts.

        Parameters
        ----------
        axes : str
            The lane's internal axes.
        coords : (n, len(axes)) array of int
        values : (n,) array of int
            1 to 255; `ERASER` and 0 take a label away.

        Raises
        ------
        ShapeError
            If the coordinates are not those of these axes, or not as many as the values.
        LabelError
            If a value is no label.
        """
        if coords.shape != (len(values), len(axes)):
            raise ShapeError(f"coordinates of shape {coords.shape} for {len(values)} voxels with axes {axes!r}")
        if len(values) and not 0 <= values.min() <= values.max() <= 255:
            raise LabelError(f"labels {values.min()} to {values.max()}; a project can hold 1 to 255")
        order = np.lexsort(coords.T[::-1])  # stable: of equal voxels the last one given stays last
        coords, values = coords[order], values[order]
        twice = _labelled_twice(coords, values)
        remark = [f"{twice} voxels are labelled twice, each time otherwise; the later label counts"] if twice else []
        last = np.ones(len(coords), bool)
        last[:-1] = (coords[1:] != coords[:-1]).any(axis=1)
        keep = last & (values != 0) & (values != ERASER)
        return cls(axes, coords[keep].astype(np.int64), values[keep].astype(np.uint8), (*notes, *remark))

    @classmethod
    def empty(cls, axes: str) -> LaneLabels:
        """No labels."""
        return cls(axes, np.empty((0, len(axes)), np.int64), np.empty(0, np.uint8))

    @cached_property
    def counts(self) -> dict[int, int]:
        """Voxels of each label that has any, by ascending label."""
        found, number = np.unique(self.values, return_counts=True)
        return dict(zip(found.tolist(), number.tolist()))

    def coordinates(self) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Voxels (n, len(axes)) and their labels (n,), sorted by voxel."""
        return self.coords, self.values

    @property
    def blocks(self) -> list[LabelBlock]:
        """The labels as non-overlapping boxes no longer than 40 voxels, each the bounding box of its labels."""
        if not len(self.coords):
            return []
        tiles = self.coords // _TILE
        order = np.lexsort(tiles.T[::-1])
        tiles = tiles[order]
        starts = np.flatnonzero(np.r_[True, (tiles[1:] != tiles[:-1]).any(axis=1)])
        blocks = []
        for begin, end in itertools.pairwise([*starts.tolist(), len(order)]):
            voxels = self.coords[order[begin:end]]
            low = voxels.min(axis=0)
            array = np.zeros(voxels.max(axis=0) - low + 1, np.uint8)
            array[tuple((voxels - low).T)] = self.values[order[begin:end]]
            blocks.append(LabelBlock(tuple(low.tolist()), array))
        return blocks


def _labelled_twice(coords: NDArray[np.int64], values: NDArray[Any]) -> int:
    """Voxels that have two labels, erasing aside; equal voxels stand one behind the other.

    >>> _labelled_twice(np.array([[0, 1], [0, 1], [0, 1], [0, 2], [0, 2]]), np.array([1, 2, 1, 1, 1]))
    1
    """
    given = (values != 0) & (values != ERASER)
    coords, values = coords[given], values[given]
    same = (coords[1:] == coords[:-1]).all(axis=1)
    voxel = np.cumsum(~same)
    return len(np.unique(voxel[same & (values[1:] != values[:-1])]))


def read_labels(
    group: h5py.Group | None, raw_axes: str, shape: Sequence[int] | None, internal: str, version: str
) -> LaneLabels:
    """The labels of a lane from its group of blocks.

    Parameters
    ----------
    group : h5py.Group or None
        `labelsNNN`, None if the lane has none.
    raw_axes : str
        Axes of the lane's image as the project reads it.
    shape : sequence of int or None
        The image's extents in that order; None when they are not known, then no block is outside.
    internal : str
        The lane's internal axes.
    version : str
        Of the ilastik that wrote the file: it decides on the axis order of blocks that do not say theirs.

    Raises
    ------
    FormatError
        If a block cannot be read in any axis order.
    """
    if group is None:
        return LaneLabels.empty(internal)
    # the groups may have been written by different programs: each way of saying the axes is settled on its own
    found = stored_blocks(group)
    stored: dict[str | None, list[StoredBlock]] = {}
    for block in found:
        stored.setdefault(block.axes, []).append(block)
    extents = None if shape is None else dict(zip(raw_axes, shape))
    notes: list[str] = []
    voxels: dict[str, Voxels] = {}
    for said, members in stored.items():
        parts, remarks = arranged(members, said, raw_axes, extents, internal, version)
        notes += remarks
        voxels |= {block.name: part for block, part in zip(members, parts)}
    ordered = [voxels[block.name] for block in found]  # later ones win
    coords = np.concatenate([np.empty((0, len(internal)), np.int64), *(part[0] for part in ordered)])
    values = np.concatenate([np.empty(0, np.uint8), *(part[1] for part in ordered)])
    return LaneLabels.from_voxels(internal, coords, values, notes)


def largest_label(group: h5py.Group | None) -> int:
    """The largest label in a lane's group of blocks, 0 if there is none."""
    blocks = [] if group is None else stored_blocks(group)
    return max((int(b.voxels[1].max(where=b.voxels[1] != ERASER, initial=0)) for b in blocks), default=0)
