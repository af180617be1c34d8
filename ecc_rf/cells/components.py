"""Connected components of a whole volume, block by block.

Each block is thresholded and labelled alone; its objects become parts. Parts that touch across a seam are
one object. Parts that touch no seam and are too small are dropped at once, so that the memory grows with a
block, the seams and the number of objects, not with the volume.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.blocks import Block
from ecc_rf.cells.inputs import Box, Channel, ProbabilityScale
from ecc_rf.cells.labelling import label_block
from ecc_rf.cells.parts import CONTRAST, Parts, summarise
from ecc_rf.cells.passes import Form, Resources
from ecc_rf.cells.seams import Layers, Seams, join_pairs, outer_layers
from ecc_rf.errors import ImageValueError
from ecc_rf.normalization.background import LocalBackground, spread_floor

Read = Callable[[Channel, Box], NDArray[Any]]


@dataclass(frozen=True)
class Voxels:
    """Foreground voxels with what is needed of them.

    Attributes
    ----------
    index : ndarray of int64, shape (n,), ascending
        Raster index in the whole volume.
    labels : ndarray of int32, shape (n,)
        Part of each voxel; -1: of none that matters.
    probability : ndarray, shape (n,)
        As stored.
    raw : ndarray, shape (n,), or None
        Integers or float32.
    """

    index: NDArray[np.int64]
    labels: NDArray[np.int32]
    probability: NDArray[Any]
    raw: NDArray[Any] | None

    def __getitem__(self, chosen: NDArray[Any] | slice) -> Voxels:
        raw = None if self.raw is None else self.raw[chosen]
        return Voxels(self.index[chosen], self.labels[chosen], self.probability[chosen], raw)

    @staticmethod
    def concatenate(several: Sequence[Voxels]) -> Voxels:
        """All of them, one after the other; at least one is needed."""
        raw = [one.raw for one in several if one.raw is not None]
        return Voxels(
            np.concatenate([one.index for one in several]),
            np.concatenate([one.labels for one in several]),
            np.concatenate([one.probability for one in several]),
            np.concatenate(raw) if raw else None,
        )


@dataclass(frozen=True)
class BlockObjects:
    """Objects of one block, each perhaps a part of a larger one."""

    voxels: Voxels
    parts: Parts
    on_seam: NDArray[np.bool_]
    layers: Layers


@dataclass(frozen=True)
class Foreground:
    """How a block's objects are found: the volumes and what counts as foreground.

    Attributes
    ----------
    probability : Channel
    raw, mask : Channel or None
        Of the same extents. Voxels where the mask is not zero are ignored.
    scale : ProbabilityScale
    threshold : float
        Probability that a voxel must exceed.
    connectivity : {6, 18, 26}
    min_volume : int
        Objects of at most as many voxels are dropped.
    background : LocalBackground, optional
        Median and spread around each raw voxel; without it no contrasts are summed.
    """

    probability: Channel
    raw: Channel | None
    mask: Channel | None
    scale: ProbabilityScale
    threshold: float
    connectivity: int
    min_volume: int
    background: LocalBackground | None = None

    def objects(self, block: Block, read: Read) -> BlockObjects:
        """The objects of a block; the same whenever it is asked.

        Raises
        ------
        ImageValueError
            If float probabilities leave their range, or raw values within an object are not finite.
        """
        stored = read(self.probability, block.core)
        above = stored > self.scale.limit(self.threshold)
        if self.mask is not None:
            ignored = read(self.mask, block.core) != 0
            above &= ~ignored
            if stored.dtype.kind == "f":
                stored = np.where(ignored, stored.dtype.type(self.scale.low), stored)
        self.scale.check(stored, self.probability.name)
        positions, labels, count = label_block(above, self.connectivity)
        raw = None
        if self.raw is not None and count:
            raw = as_measured(read(self.raw, block.core).ravel()[positions], self.raw.name)
        elif self.raw is not None:
            raw = as_measured(np.empty(0, self.raw.dtype), self.raw.name)
        index = _raster_index(positions, block, self.probability.shape)
        values = as_compiled(stored.ravel()[positions])
        layers = outer_layers(positions, labels, block, self.probability.shape)
        on_seam = np.zeros(count, bool)
        on_seam[layers.labels] = True
        kept = on_seam | (np.bincount(labels, minlength=count) > self.min_volume)
        parts = summarise(
            index,
            labels,
            count,
            self.probability.shape,
            values,
            self.scale.factor,
            raw,
            contrast=self._contrasts_of(kept[labels], index, raw),
        )
        number = np.full(count, -1, np.int32)
        number[kept] = np.arange(np.count_nonzero(kept))
        return BlockObjects(
            Voxels(index, number[labels], values, raw),
            parts[kept],
            on_seam[kept],
            Layers(layers.keys, number[layers.labels]),
        )

    def above(self, box: Box, read: Read) -> NDArray[np.bool_]:
        """Where in a box there are objects, also those that are too small."""
        found = np.asarray(read(self.probability, box) > self.scale.limit(self.threshold))
        if self.mask is not None:
            found &= read(self.mask, box) == 0
        return found

    def _contrasts_of(
        self, kept: NDArray[np.bool_], index: NDArray[np.int64], raw: NDArray[Any] | None
    ) -> NDArray[np.int64] | None:
        """Contrasts of the voxels that are kept; those of others are not measured but 0."""
        if self.background is None or raw is None:
            return None
        contrasts = np.zeros(index.size, np.int64)
        measured = self.contrasts(index[kept], raw[kept])
        assert measured is not None
        contrasts[kept] = measured
        return contrasts

    def contrasts(self, index: NDArray[np.int64], raw: NDArray[Any] | None) -> NDArray[np.int64] | None:
        """How far voxels stand out from their surroundings, in units of ``1 / CONTRAST``; None if it is not wanted.

        ``(raw - median) / spread``, both in the window around the voxel, the spread at least 1 % of the median
        and 10 counts.

        Parameters
        ----------
        index : ndarray of int64, shape (n,)
            Raster index in the volume.
        raw : ndarray, shape (n,)
        """
        if self.background is None or raw is None:
            return None
        at = np.stack(np.unravel_index(index, self.probability.shape), axis=1).astype(np.int64)
        median, spread = self.background.at_voxels(at).astype(np.float64)
        contrast = (raw.astype(np.float64) - median) / np.maximum(spread, spread_floor(median))
        # within 2**20 even millions of voxels add up in 64 bits
        return np.asarray(np.rint(np.clip(contrast, -(2.0**20), 2.0**20) * CONTRAST), np.int64)


def as_compiled(values: NDArray[Any]) -> NDArray[Any]:
    """The same values in a type that the kernels know."""
    wider = {np.dtype(np.bool_): np.uint8, np.dtype(np.float16): np.float32}
    return values.astype(wider.get(values.dtype, values.dtype), copy=False)


def as_measured(values: NDArray[Any], name: str) -> NDArray[Any]:
    """Raw values as they are summed: integers as they are, floats as float32.

    Raises
    ------
    ImageValueError
        If a value is NaN or infinite.
    """
    if values.dtype.kind != "f":
        return as_compiled(values)
    with np.errstate(over="ignore"):
        values = values.astype(np.float32)
    if not np.isfinite(values).all():
        raise ImageValueError(
            "The raw volume has NaN or infinite voxels at a cell.", where=name, do="Replace them, or mask them out."
        )
    return values


def _raster_index(positions: NDArray[np.int64], block: Block, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Raster index in the volume of raster positions in a block."""
    z, y, x = np.unravel_index(positions, block.shape)
    start = [s.start for s in block.core]
    index = ((z + start[0]) * shape[1] + (y + start[1])) * shape[2] + (x + start[2])
    return np.asarray(index, np.int64)


@dataclass(frozen=True)
class Objects:
    """All objects of a volume, in the order of their first voxels.

    Attributes
    ----------
    parts : Parts
        One row for each object, also those that are too small.
    number : ndarray of int64
        Object of every part of every block; the parts of block i are ``offsets[i]:offsets[i + 1]``.
    offsets : ndarray of int64
    """

    parts: Parts
    number: NDArray[np.int64]
    offsets: NDArray[np.int64]

    def of_block(self, index: int) -> NDArray[np.int64]:
        """Object of each part of a block."""
        return self.number[self.offsets[index] : self.offsets[index + 1]]

    def of_voxels(self, index: int, voxels: Voxels) -> NDArray[np.int64]:
        """Object of each voxel of a block; -1 where it is of none that matters."""
        return np.append(self.of_block(index), -1)[voxels.labels]

    def blocks_of_each(self) -> NDArray[np.int64]:
        """In how many blocks each object lies.

        >>> Objects(None, np.array([0, 1, 1, 1, 2]), np.array([0, 3, 5])).blocks_of_each()
        array([1, 2, 1])
        """
        n_blocks = self.offsets.size - 1
        block = np.repeat(np.arange(n_blocks), np.diff(self.offsets))
        return np.bincount(np.unique(self.number * n_blocks + block) // n_blocks)


STAGE = "objects"

_FOUND: Form[tuple[Parts, Layers]] = Form(
    lambda found: (*found[0].columns(), found[1].keys, found[1].labels),
    lambda arrays: (Parts(*arrays[:-2]), Layers(*arrays[-2:])),
)


def objects_of_blocks(foreground: Foreground, use: Resources) -> Iterator[tuple[Block, tuple[Parts, Layers]]]:
    """The objects of every block, each perhaps a part of a larger one, and which of them touch other blocks."""

    def work(block: Block) -> tuple[Parts, Layers]:
        objects = foreground.objects(block, use.cache.read)
        return objects.parts, objects.layers

    return use.run(work, STAGE, _FOUND)


def find_objects(foreground: Foreground, use: Resources) -> Objects:
    """Connected components of the foreground; the same for all grids and numbers of workers."""
    grid = use.grid
    seams = Seams(grid, foreground.connectivity)
    found: dict[int, Parts] = {}
    for block, (parts, layers) in objects_of_blocks(foreground, use):
        seams.add(block.index, layers)
        found[block.index] = parts
    counts = [len(found[i]) for i in range(len(grid))]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    parts = Parts.concatenate([found.pop(i) for i in range(len(grid))])
    a, i, b, j = seams.pairs().T
    group, _ = join_pairs(len(parts), offsets[a] + i, offsets[b] + j)
    whole = parts.merge(group.astype(np.int64))
    order = np.argsort(whole.first)
    rank = np.empty_like(order)
    rank[order] = np.arange(order.size)
    return Objects(whole[order], rank[group], offsets)
