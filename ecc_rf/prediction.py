"""The block engine's work on one block: voxels in, whatever is exported out.

Inside, everything has the axes ``t c z y x``. A block is cut once more into tiles, so that the features of a tile,
which are many times larger than the image, never exist for a whole block::

    block (core + halo), raw          tile of the core          stored
    +---------------------+
    |  +---+---+---+---+  |           features (F, z, y, x)     (z, y, x, channel)
    |  |   |   | T |   |  |   --->    float32              ---> in the block's place
    |  +---+---+---+---+  |           forest
    |  |   |   |   |   |  |
    +---------------------+
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from ecc_rf.blocks import (
    Block,
    BlockCost,
    Grid,
    Progress,
    SilentProgress,
    choose_block,
    resolve_workers,
    show_memory,
)
from ecc_rf.blocks.runner import READERS, read_compute_write
from ecc_rf.errors import SettingError, ShapeError
from ecc_rf.export import Export, quantise
from ecc_rf.features import FeaturePlan
from ecc_rf.features.backends import features_function
from ecc_rf.features.fastfilters import BYTES_PER_VOXEL
from ecc_rf.forest import RandomForest
from ecc_rf.voxel_values import is_constant, usable_voxels

CANONICAL = "tczyx"
TILE_BYTES = 16 * 2**20  # features of one tile. Measured: half of it loses to its halo, more gains nothing


class Readable(Protocol):
    """A five-dimensional volume ``tczyx``, or an array."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, index: Any, /) -> np.ndarray: ...


class Writable(Protocol):
    """What takes five-dimensional pieces ``tczyx``, or an array."""

    def __setitem__(self, index: Any, value: np.ndarray, /) -> None: ...


class BlockInput(NamedTuple):
    """What is read for a block.

    Attributes
    ----------
    raw : (c, z, y, x), optional
        Core and halo; None where the mask leaves nothing to predict.
    inside : (z, y, x) bool, optional
        Where the mask lets the core be predicted; None without a mask.
    """

    raw: np.ndarray | None
    inside: np.ndarray | None


@dataclass(frozen=True)
class Prediction:
    """One prediction: everything that is needed to compute any block of it.

    Attributes
    ----------
    source : Readable
        The image.
    plan : FeaturePlan
        The features for the image's extents and channels.
    forest : RandomForest or None
        None where features are exported.
    export : Export
        What is stored.
    mask : Readable, optional
        Voxels to predict are those that are not 0 in any channel.
    name : str
        The image, as the user knows it.
    backend : str
        Who computes the features, one of `BACKENDS`.
    nan : {'refuse', 'zero'}
        What becomes of voxels that are not finite.
    reading : int
        Bytes that a thread needs while it reads, beside what it hands on.
    """

    source: Readable
    plan: FeaturePlan
    forest: RandomForest | None
    export: Export
    mask: Readable | None = None
    name: str = "the image"
    backend: str = "native"
    nan: str = "refuse"
    reading: int = 0

    def grid(self, block_shape: tuple[int, int, int], region: tuple[slice, ...] | None = None) -> Grid:
        """The blocks over ``t z y x``; each holds one time step."""
        t, _, *zyx = self.source.shape
        return Grid((t, *zyx), (1, *block_shape), (0, *self.plan.halo), region or ())

    def run(self, sink: Writable, grid: Grid, *, workers: int | None = None, progress: Progress | None = None) -> None:
        """Compute all blocks of a grid into a sink of the region's extents."""

        def write(block: Block, values: np.ndarray) -> None:
            sink[(block.target[0], slice(None), *block.target[1:])] = values

        progress = progress or SilentProgress()
        with progress.stage("classify", grid.voxels) as advance:
            steps = read_compute_write(grid, self.read, self.compute, write, workers=resolve_workers(workers))
            for block, _ in steps:
                advance(block.voxels)

    def read(self, block: Block) -> BlockInput:
        """What `compute` needs of the volumes: the only part of the work that waits for a disk."""
        inside = self._inside(block)
        if inside is not None and not inside.any():
            return BlockInput(None, inside)
        t, *zyx = block.read
        return BlockInput(self.source[(t, slice(None), *zyx)][0], inside)

    def compute(self, block: Block, given: BlockInput) -> np.ndarray:
        """What is stored for a block: ``t c z y x``, of the core's extents."""
        raw, inside = given.raw, given.inside
        shape = block.shape[1:]
        if raw is None:
            out = self._outside(shape)
        else:
            _, *zyx = block.read
            origin = (zyx[0].start, zyx[1].start, zyx[2].start)
            raw = usable_voxels(raw, self.nan, f"{self.name}, block {block.index}", origin)
            core = block.inner[1:]
            if self.backend == "native" and is_constant(raw):
                out = self._constant(raw, core, origin, inside)
            else:
                out = np.empty((*shape, self.channels), self.export.stored_dtype)
                for tile in self._tiles(shape):
                    z, y, x = (slice(i.start + s.start, i.start + s.stop) for i, s in zip(core, tile))
                    out[tile] = self._tile(raw, (z, y, x), origin, None if inside is None else inside[tile])
        return np.moveaxis(out, -1, 0)[np.newaxis]

    def _constant(
        self, raw: np.ndarray, core: tuple[slice, ...], origin: tuple[int, int, int], inside: np.ndarray | None
    ) -> np.ndarray:
        """What is stored for a block of one value, such as those outside of the sample: one row serves for all.

        Along z and y every voxel sees the same. Along x it does not: close to the left and right border of the image
        the filters round otherwise (see `passes.fused_range`), so that a row, and not a voxel, is computed.
        """
        z, y, x = core
        row = self._tile(raw, (slice(z.start, z.start + 1), slice(y.start, y.start + 1), x), origin, None)
        if inside is None or self.forest is None:
            shape = tuple(s.stop - s.start for s in core)
            return np.broadcast_to(row, (*shape, self.channels))
        return np.where(inside[..., np.newaxis], row, self._outside((1, 1, 1)))

    def _tile(
        self,
        raw: np.ndarray,
        core: tuple[slice, slice, slice],
        origin: tuple[int, int, int],
        inside: np.ndarray | None,
    ) -> np.ndarray:
        """What is stored for one tile, channel last; `origin` is the place of the raw block in the image."""
        features = features_function(self.backend)(raw, self.plan, core, origin=origin)
        if self.forest is None:
            return np.moveaxis(features, 0, -1)
        shape = features.shape[1:]
        rows = features.reshape(self.plan.n_features, -1)
        if self.export.kind == "mask":
            above = self.forest.decide_features(rows, self.export.labels[0], float(self.export.limit)).reshape(shape)
            return (above if inside is None else above & inside).astype(np.uint8)[..., np.newaxis]
        # Few labels cost less than all, and have the same values.
        labels = self.export.labels if self.export.kind == "probabilities" else ()
        probabilities = self.forest.predict_features(rows, labels=labels or None).reshape(*shape, -1)
        if inside is not None:
            probabilities *= inside[..., np.newaxis]
        if labels:
            return quantise(probabilities, self.export.stored_dtype, self.export.rounding)
        return self.export.convert(probabilities)

    @property
    def channels(self) -> int:
        """Number of channels that are stored."""
        n_labels = self.forest.n_labels if self.forest is not None else 0
        return self.export.channels(n_labels, self.plan.n_features)

    def _tiles(self, shape: tuple[int, ...]) -> list[tuple[slice, ...]]:
        """Tiles that run through the whole depth of a block, so that the filters can roll along z."""
        depth = shape[0]
        area = max(1024, TILE_BYTES // (4 * self.plan.n_features * depth))
        width = min(shape[2], 128)
        height = max(1, min(shape[1], area // width))
        return [block.core for block in Grid(shape, (depth, height, width))]

    def _inside(self, block: Block) -> np.ndarray | None:
        """Where the mask lets the core be predicted; None without a mask."""
        if self.mask is None:
            return None
        t, *zyx = block.core
        inside: np.ndarray = (self.mask[(t, slice(None), *zyx)][0] > 0).any(axis=0)
        return inside

    def _outside(self, shape: tuple[int, ...]) -> np.ndarray:
        """What is stored where the mask forbids prediction: probability 0 of every label."""
        n_labels = self.forest.n_labels if self.forest is not None else self.plan.n_features
        return self.export.convert(np.zeros((*shape, n_labels), np.float32))

    def choose_block(
        self, extents_zyx: tuple[int, ...], itemsize: int, memory: int, workers: int
    ) -> tuple[int, int, int]:
        """Extents of a block for a memory budget in bytes; `itemsize` is that of the stored image."""
        cost, whole = self.cost(itemsize), self.source.shape[2:]
        z, y, x = choose_block(extents_zyx, self.plan.halo, cost, memory=memory, workers=workers, volume=whole)
        return z, y, x

    def describe(self, grid: Grid, workers: int, memory: int, need: int) -> str:
        """The plan in a line: what is read and computed at once, and what that takes."""
        block, halo = ("×".join(map(str, extents[1:])) for extents in (grid.block_shape, grid.halo))
        return (
            f"plan: {self.name}, {self.plan.n_features} features, {len(grid)} blocks of {block} with halo {halo}"
            f" (z×y×x), {workers} workers, {show_memory(need)} of {show_memory(memory)}"
        )

    def cost(self, itemsize: int) -> BlockCost:
        """What a block needs; `itemsize` is that of the stored image."""
        _, channels, *_ = self.source.shape
        n_labels = self.forest.n_labels if self.forest is not None else 0
        per_core = 2 * self.channels * self.export.stored_dtype.itemsize + (1 if self.mask is not None else 0)
        # The filters hold a float32 copy of the block beside the raw one.
        tile = TILE_BYTES * 2 + TILE_BYTES * n_labels // self.plan.n_features
        theirs = BYTES_PER_VOXEL if self.backend == "fastfilters" else 0
        return BlockCost(
            channels * (itemsize + 4) + theirs,
            per_core,
            tile + self.plan.scratch_bytes,
            shared=READERS * self.reading,
            ahead=channels * itemsize,
            behind=self.channels * self.export.stored_dtype.itemsize,
        )


@dataclass(frozen=True)
class PredictionRecord:
    """What a blockwise prediction did; everything but the times is the same for the same input.

    Attributes
    ----------
    output : str
        The result.
    shape, axes, dtype : tuple of int, str, str
        Of the result.
    block_shape, halo : tuple of int
        ``z y x``, voxels.
    workers, blocks, voxels : int
        Threads, number of blocks, voxels computed.
    memory : int
        The budget in bytes.
    seconds : float
        Wall time.
    computed : int
        Voxels that were computed; fewer than `voxels` if a run was gone on with, or is a part of one.
    missing : int
        Blocks that other parts have still to compute; -1 if all are there and another process gives the output its
        name.
    unreadable : tuple of str
        Pieces of the image that could not be read and were taken for 0.
    """

    output: str
    shape: tuple[int, ...]
    axes: str
    dtype: str
    block_shape: tuple[int, ...]
    halo: tuple[int, ...]
    workers: int
    blocks: int
    voxels: int
    memory: int
    seconds: float
    computed: int = 0
    missing: int = 0
    unreadable: tuple[str, ...] = ()

    @property
    def voxels_per_second(self) -> float:
        """Mean rate."""
        return self.computed / max(self.seconds, 1e-9)


def checked_mask(mask: Readable, image: Readable, name: str) -> Readable:
    """A mask has the image's extents in every axis but the channel.

    Raises
    ------
    ShapeError
        If it has not.
    """
    extents, wanted = ((t, *zyx) for t, _, *zyx in (mask.shape, image.shape))
    if extents != wanted:
        raise ShapeError(
            f"The mask's extents t, z, y, x are {extents}, the image's are {wanted}.",
            where=name,
            do="Give a mask of the same image, of the same size.",
        )
    return mask


def chunk_shape(shape: tuple[int, ...], block_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Extents of the stored chunks, so that every block is whole chunks.

    They do not depend on the block as long as the planner chose it, so that a file is the same whatever the memory
    budget and the number of workers; only blocks of other extents bring chunks of their own.

    Parameters
    ----------
    shape, block_shape : tuple of int
        Extents ``z y x`` of the region and of a block.

    Examples
    --------
    >>> chunk_shape((500, 500, 40), (128, 128, 40)), chunk_shape((1, 5000, 300), (1, 512, 300))
    ((64, 64, 40), (1, 256, 256))
    >>> chunk_shape((500, 500, 500), (97, 70, 64))
    (97, 35, 64)
    """
    usual = 256 if sum(n > 1 for n in shape) <= 2 else 64

    def divide(n: int, block: int) -> int:
        if block >= n or block % usual == 0:
            return min(usual, n)
        parts = math.ceil(block / usual)
        while block % parts:
            parts += 1
        return block // parts if block // parts >= 16 else block

    return tuple(divide(n, block) for n, block in zip(shape, block_shape))


def reorder(extents: Sequence[int], axes: str) -> tuple[int, ...]:
    """Extents given as ``t c z y x`` in the order of `axes`.

    >>> reorder((5, 2, 30, 20, 10), "yxc")
    (20, 10, 2)
    """
    named = dict(zip(CANONICAL, extents))
    return tuple(named[a] for a in axes)


def parse_region(
    roi: Mapping[str, tuple[int | None, int | None]] | None, shape_tczyx: tuple[int, ...], name: str
) -> tuple[slice, ...]:
    """Slices over ``t z y x`` for bounds per axis.

    >>> parse_region({"z": (10, None)}, (1, 1, 50, 20, 20), "image")
    (slice(0, 1, None), slice(10, 50, None), slice(0, 20, None), slice(0, 20, None))

    Raises
    ------
    SettingError
        If an axis is none of these, or bounds are empty or beyond the image.
    """
    roi = dict(roi or {})
    region = []
    for axis, n in zip("tzyx", (shape_tczyx[0], *shape_tczyx[2:])):
        low, high = roi.pop(axis, (None, None))
        start, stop = 0 if low is None else low, n if high is None else high
        if not 0 <= start < stop <= n:
            raise SettingError(
                f"The region {axis}={start}:{stop} is empty or not inside 0:{n}.",
                where=f"roi, {name}",
                do="Give half-open bounds within the image.",
            )
        region.append(slice(start, stop))
    if roi:
        raise SettingError(
            f"A region cannot be given along {', '.join(roi)}.", where="roi", do="Use the axes t, z, y and x."
        )
    return tuple(region)
