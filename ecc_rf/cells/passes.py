"""Passes over the blocks of a volume: what a block gave is kept on disk, if there is a ledger, and not computed again.

A pass is told what a block gives and how that becomes arrays and comes back. Whoever takes the results cannot tell
those that were kept from those that were computed::

    kept      0 1 2 . . . . . .  ─┐
                                  ├─►  (block, result), in any order
    computed  . . . 3 4 5 6 7 8  ─┘
                                  └─►  noted in the ledger, stored about once a second
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from ecc_rf.blocks import Block, Grid, Progress, run_blocks
from ecc_rf.blocks.checkpoint import Checkpoint
from ecc_rf.blocks.owner import Part
from ecc_rf.blocks.payload import pack, unpack
from ecc_rf.cells.cache import BrickCache

T = TypeVar("T")

Arrays = Sequence[NDArray[Any]]


@dataclass(frozen=True)
class Form(Generic[T]):
    """How what a block gave is stored.

    Attributes
    ----------
    arrays : callable
        A result as arrays.
    back : callable
        Arrays as the result.
    """

    arrays: Callable[[T], Arrays]
    back: Callable[[Arrays], T]


@dataclass(frozen=True)
class Resources:
    """What a search may use.

    Attributes
    ----------
    grid : Grid
        Blocks without halo over the whole volume.
    cache : BrickCache
    workers : int
        Number of threads.
    progress : Progress, optional
    point : Checkpoint, optional
        Where what blocks gave is kept; without it nothing is.
    mine : range, optional
        Blocks of this part; default all.
    """

    grid: Grid
    cache: BrickCache
    workers: int = 1
    progress: Progress | None = None
    point: Checkpoint | None = None
    mine: range | None = None

    def run(self, work: Callable[[Block], T], stage: str, form: Form[T]) -> Iterator[tuple[Block, T]]:
        """Yield ``(block, work(block))`` for all blocks of this part, those that were kept first."""
        mine = self.mine if self.mine is not None else range(len(self.grid))
        if self.point is None:
            yield from run_blocks(work, self.grid, workers=self.workers, progress=self.progress, stage=stage)
            return
        journal = self.point.journal(stage)
        kept = [index for index in mine if index in journal.done]
        for index in kept:
            yield self.grid[index], form.back(unpack(journal.payload(index)))
        left = sorted(set(mine) - set(kept))

        def noting(block: Block) -> tuple[T, bytes]:
            result = work(block)
            return result, pack(form.arrays(result))

        blocks = [self.grid[index] for index in left]
        passing = run_blocks(
            noting, self.grid, workers=self.workers, progress=self.progress, stage=stage, blocks=blocks
        )
        for block, (result, payload) in passing:
            self.point.note(journal, block.index, payload)
            yield block, result
        self.point.commit(journal)

    def measure(
        self,
        measure: Callable[[NDArray[np.int64]], NDArray[np.float64]],
        rows: int,
        keys: NDArray[np.int64],
        voxels: NDArray[np.int64],
        stage: str,
    ) -> NDArray[np.float64]:
        """Measure cells, each with the block that holds its centre voxel.

        A cell that parts have measured already, in the pass ``inner_STAGE`` (see `ecc_rf.cells.sharing`), is taken
        over.

        Parameters
        ----------
        measure : callable
            Rows of values of some of the cells, whose numbers are given: all in one block.
        rows : int
        keys : ndarray of int64, shape (n,), ascending
            What is known of a cell wherever it is found: its first voxel.
        voxels : ndarray of int64, shape (n, 3)
            Centre voxels.
        stage : str

        Returns
        -------
        ndarray of float64, shape (rows, n)
            NaN for cells in blocks of other parts.
        """
        results = np.full((rows, keys.size), np.nan)
        known = np.zeros(keys.size, bool)

        def take(firsts: NDArray[np.int64], values: NDArray[np.float64]) -> None:
            at = np.searchsorted(keys, firsts)
            ours = at < keys.size
            ours[ours] = keys[at[ours]] == firsts[ours]
            results[:, at[ours]] = values[:, ours]
            known[at[ours]] = True

        if self.point is not None and not stage.startswith(INNER):
            inner = self.point.journal(INNER + stage)
            for index in sorted(inner.done):
                if payload := inner.payload(index):
                    take(*_MEASURED.back(unpack(payload)))
        left = np.flatnonzero(~known)
        owner = np.ravel_multi_index(tuple((voxels[left] // np.array(self.grid.block_shape)).T), self.grid.counts)
        order = np.argsort(owner, kind="stable")
        bounds = np.searchsorted(owner[order], np.arange(len(self.grid) + 1))

        def work(block: Block) -> Measured:
            members = left[order[bounds[block.index] : bounds[block.index + 1]]]
            values = measure(members) if members.size else np.empty((rows, 0))
            return keys[members], values

        for _, measured in self.run(work, stage, _MEASURED):
            take(*measured)
        return results


def blocks_of_part(part: Part, blocks: int) -> range:
    """Which blocks are a part's: in a row, for they share chunks and seams.

    >>> blocks_of_part((2, 3), 10)
    range(3, 6)
    """
    number, count = part
    return range(blocks * (number - 1) // count, blocks * number // count)


INNER = "inner_"
"""Passes over the cells that lie within one block, which parts do on their own."""

Measured = tuple[NDArray[np.int64], NDArray[np.float64]]
_MEASURED: Form[Measured] = Form(
    lambda measured: measured if measured[0].size else (),
    lambda arrays: (arrays[0], arrays[1]) if arrays else (np.empty(0, np.int64), np.empty((0, 0))),
)
