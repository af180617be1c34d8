"""Blocks: how a volume is cut, and how much around each block has to be read.

A block owns its *core*; cores tile the region without overlap. To compute the core one reads the
core and a *halo* around it, clipped at the volume::

    volume    |----------------------------------|
    cores     |  0   |  1   |  2   |  3   |  4  |
    read of 1     |~~~~======~~~~|                  ~ halo   = core
    read of 0 |======~~~~|                          nothing exists left of the volume

The halo reaches beyond the region of interest (never beyond the volume), so that the result inside a
region is the same as if the whole volume had been computed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ecc_rf.errors import SettingError

Slices = tuple[slice, ...]


@dataclass(frozen=True)
class Block:
    """One block of a `Grid`; all slices have plain integer bounds and step 1.

    Attributes
    ----------
    index : int
        Position in raster order, from 0.
    core : tuple of slice
        What the block owns, in voxels of the volume.
    read : tuple of slice
        Core and halo, clipped at the volume.
    inner : tuple of slice
        Where the core lies within what is read.
    target : tuple of slice
        The core relative to the region's start: where its result belongs in an output of the region's shape.
    """

    index: int
    core: Slices
    read: Slices
    inner: Slices
    target: Slices

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents of the core."""
        return tuple(s.stop - s.start for s in self.core)

    @property
    def voxels(self) -> int:
        """Number of voxels of the core."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Grid:
    """A region of a volume cut into blocks, any number of axes.

    Parameters
    ----------
    shape : tuple of int
        Extents of the volume.
    block_shape : tuple of int
        Extents of a block's core; blocks at the far end may be smaller.
    halo : tuple of int, optional
        Voxels needed on both sides of a core, per axis; default none.
    region : tuple of slice, optional
        The part of the volume that is wanted; default all of it.

    Raises
    ------
    SettingError
        If the numbers of axes differ or an extent is not positive.

    Examples
    --------
    >>> grid = Grid((10, 8), (4, 8), (1, 0))
    >>> len(grid)
    3
    >>> [(b.core[0].start, b.core[0].stop) for b in grid]
    [(0, 4), (4, 8), (8, 10)]
    >>> grid[1].read[0], grid[1].inner[0]
    (slice(3, 9, None), slice(1, 5, None))
    """

    shape: tuple[int, ...]
    block_shape: tuple[int, ...]
    halo: tuple[int, ...] = ()
    region: Slices = ()

    def __post_init__(self) -> None:
        if not self.halo:
            object.__setattr__(self, "halo", (0,) * len(self.shape))
        if not self.region:
            object.__setattr__(self, "region", tuple(slice(0, n) for n in self.shape))
        if not len(self.shape) == len(self.block_shape) == len(self.halo) == len(self.region):
            raise SettingError(
                f"A block of {len(self.block_shape)} axes does not fit a volume of {len(self.shape)} axes.",
                do="Give one block extent per axis.",
            )
        if any(b < 1 for b in self.block_shape):
            raise SettingError(
                f"Block extents must be at least 1, not {self.block_shape}.", do="Give positive extents."
            )
        for n, part in zip(self.shape, self.region):
            if not 0 <= part.start < part.stop <= n:
                raise SettingError(
                    f"The region {part.start}:{part.stop} is not inside 0:{n}.",
                    do="Give half-open bounds within the volume.",
                )

    @property
    def region_shape(self) -> tuple[int, ...]:
        """Extents of the region."""
        return tuple(s.stop - s.start for s in self.region)

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of blocks along each axis."""
        return tuple(-(-n // b) for n, b in zip(self.region_shape, self.block_shape))

    @property
    def voxels(self) -> int:
        """Number of voxels of the region."""
        return math.prod(self.region_shape)

    def __len__(self) -> int:
        return math.prod(self.counts)

    def __iter__(self) -> Iterator[Block]:
        return (self._block(i, at) for i, at in enumerate(itertools.product(*map(range, self.counts))))

    def __getitem__(self, index: int) -> Block:
        if not 0 <= index < len(self):
            raise IndexError(index)
        at = []
        rest = index
        for count in reversed(self.counts):
            rest, position = divmod(rest, count)
            at.append(position)
        return self._block(index, tuple(reversed(at)))

    def _block(self, index: int, at: Sequence[int]) -> Block:
        core, read, inner, target = [], [], [], []
        for i, extent, part, halo, n in zip(at, self.block_shape, self.region, self.halo, self.shape):
            start = part.start + i * extent
            stop = min(start + extent, part.stop)
            first, last = max(0, start - halo), min(n, stop + halo)
            core.append(slice(start, stop))
            read.append(slice(first, last))
            inner.append(slice(start - first, stop - first))
            target.append(slice(start - part.start, stop - part.start))
        return Block(index, tuple(core), tuple(read), tuple(inner), tuple(target))
