"""Objects too large for one cell: their voxels are gathered from all blocks, and they are divided as a whole.

An object within one block is divided there and then, in the worker. The voxels of one that runs through several
blocks wait until its last part has come; it is then divided as if it had been read in one piece.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from ecc_rf.blocks import Block
from ecc_rf.cells.components import Foreground, Objects, Voxels
from ecc_rf.cells.parts import Parts, summarise
from ecc_rf.cells.passes import Arrays, Form, Resources
from ecc_rf.cells.splitting import Splitter

_Divided = tuple[Parts, Voxels] | None


def _arrays(divided: _Divided) -> Arrays:
    if divided is None:
        return ()
    parts, voxels = divided
    raw = () if voxels.raw is None else (voxels.raw,)
    return *parts.columns(), voxels.index, voxels.labels, voxels.probability, *raw


def _back(arrays: Arrays) -> _Divided:
    if not arrays:
        return None
    n = len(fields(Parts))
    index, labels, probability, *raw = arrays[n:]
    return Parts(*arrays[:n]), Voxels(index, labels, probability, raw[0] if raw else None)


_FORM: Form[_Divided] = Form(_arrays, _back)


@dataclass(frozen=True)
class Pieces:
    """Objects that were divided.

    Attributes
    ----------
    parts : Parts
        One row for each piece.
    index : ndarray of int64, shape (n,)
        Raster indices of the voxels, ascending within each object.
    owner : ndarray of int64, shape (n,)
        Raster index of the first voxel of the piece that each voxel belongs to.
    """

    parts: Parts
    index: NDArray[np.int64]
    owner: NDArray[np.int64]


class Division:
    """Divides the objects of more than `max_volume` voxels.

    Parameters
    ----------
    foreground : Foreground
        With the raw volume, if there is one.
    objects : Objects
    splitter : Splitter
    max_volume : int
    sum_raw : bool
        Whether sums of raw values are wanted.
    """

    def __init__(
        self, foreground: Foreground, objects: Objects, splitter: Splitter, max_volume: int, *, sum_raw: bool
    ) -> None:
        self._foreground = foreground
        self._objects = objects
        self._splitter = splitter
        self._sum_raw = sum_raw
        self.large = objects.parts.voxels > max_volume
        self._blocks_to_come = objects.blocks_of_each()
        self._in_one_block = self._blocks_to_come == 1
        self._waiting: dict[int, list[Voxels]] = {}

    def run(self, use: Resources, *, keep: bool = False) -> tuple[Parts, list[Pieces]]:
        """Divide all large objects.

        Parameters
        ----------
        use : Resources
        keep : bool
            Whether the voxels of objects that run through several blocks are wanted.

        Returns
        -------
        parts : Parts
            All pieces, in no order.
        across : list of Pieces
            Those of objects that run through several blocks; empty unless `keep`.
        """

        def work(block: Block) -> _Divided:
            if not self.has_large(block.index):
                return None
            voxels = self.select_large(block.index, self._foreground.objects(block, use.cache.read).voxels)
            inside = self._in_one_block[voxels.labels]
            return self.divide(voxels[inside]).parts, voxels[~inside]

        found = [self._objects.parts[:0]]
        across: list[Pieces] = []
        for _, result in use.run(work, "splitting", _FORM):
            if result is None:
                continue
            within, parts_of_others = result
            found.append(within)
            complete = self._gather(parts_of_others)
            if complete is not None:
                pieces = self.divide(complete)
                found.append(pieces.parts)
                if keep:
                    across.append(pieces)
        return Parts.concatenate(found), across

    def has_large(self, block_index: int) -> bool:
        """Whether a large object lies in a block, as a whole or in part."""
        return bool(self.large[self._objects.of_block(block_index)].any())

    def select_large(self, block_index: int, voxels: Voxels) -> Voxels:
        """Of a block's voxels those of large objects; their labels become the numbers of the objects."""
        object_of = self._objects.of_voxels(block_index, voxels)
        chosen = (object_of >= 0) & self.large[object_of]
        return replace(voxels, labels=object_of.astype(np.int32))[chosen]

    def within(self, voxels: Voxels) -> Pieces:
        """The pieces of those of a block's large objects that lie in no other block."""
        return self.divide(voxels[self._in_one_block[voxels.labels]])

    def divide(self, voxels: Voxels) -> Pieces:
        """Divide whole objects.

        Parameters
        ----------
        voxels : Voxels
            All voxels of some objects, labels are numbers of objects; in any order.
        """
        voxels, bounds = _by_object(voxels)
        scale = self._foreground.scale
        probability = scale.to_probability(voxels.probability.astype(np.float64))
        raw = np.ones(len(probability)) if voxels.raw is None else voxels.raw.astype(np.float64)
        labels, counts = self._splitter.split(voxels.index, bounds, probability, raw)
        before = np.cumsum(counts) - counts
        piece = (labels + np.repeat(before, np.diff(bounds))).astype(np.int32)
        parts = summarise(
            voxels.index,
            piece,
            int(counts.sum()),
            self._splitter.shape,
            voxels.probability,
            scale.factor,
            voxels.raw if self._sum_raw else None,
            np.repeat(counts, counts),
            self._foreground.contrasts(voxels.index, voxels.raw),
        )
        return Pieces(parts, voxels.index, parts.first[piece])

    def _gather(self, voxels: Voxels) -> Voxels | None:
        """Keep a block's parts of objects until all have come; the voxels of the objects that now are complete."""
        complete = []
        voxels, bounds = _by_object(voxels)
        for a, b in itertools.pairwise(bounds.tolist()):
            number = int(voxels.labels[a])
            waiting = self._waiting.setdefault(number, [])
            waiting.append(voxels[slice(a, b)])
            self._blocks_to_come[number] -= 1
            if not self._blocks_to_come[number]:
                complete += self._waiting.pop(number)
        return Voxels.concatenate(complete) if complete else None


def _by_object(voxels: Voxels) -> tuple[Voxels, NDArray[np.int64]]:
    """Voxels sorted by object, then by raster index, and the bounds of the objects."""
    voxels = voxels[np.lexsort((voxels.index, voxels.labels))]
    starts = np.flatnonzero(np.diff(voxels.labels, prepend=-1))
    return voxels, np.append(starts, voxels.labels.size)
