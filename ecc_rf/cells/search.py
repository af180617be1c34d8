"""The passes over the volumes that find, divide, measure, tabulate and draw cells."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ecc_rf.blocks import Block, Grid, Progress, run_blocks
from ecc_rf.cells.cache import BrickCache
from ecc_rf.cells.components import Foreground, Objects, find_objects
from ecc_rf.cells.division import Division, Pieces
from ecc_rf.cells.inputs import Channel, ProbabilityScale
from ecc_rf.cells.measure import centre_voxels, measure_cubes, object_means
from ecc_rf.cells.parts import Parts
from ecc_rf.cells.splitting import Splitter, diameter_of
from ecc_rf.cells.table import VoxelSize, make_table

if TYPE_CHECKING:
    import pandas as pd

    from ecc_rf.cells.finder import CellFinder
    from ecc_rf.volumes import WritableVolume

# Chunks of the volume of objects: fixed, so that the file does not depend on the blocks.
OBJECT_CHUNK = 64


@dataclass(frozen=True)
class Inputs:
    """Opened and checked volumes; `raw` and `mask` may be missing."""

    probability: Channel
    raw: Channel | None
    mask: Channel | None
    scale: ProbabilityScale
    voxel_size: VoxelSize


@dataclass(frozen=True)
class Resources:
    """What a search may use."""

    grid: Grid
    cache: BrickCache
    workers: int
    progress: Progress | None


@dataclass(frozen=True)
class Found:
    """Cells, and what it takes to find their voxels again."""

    cells: Parts
    foreground: Foreground
    objects: Objects
    division: Division | None
    across: list[Pieces]


def find_cells(settings: CellFinder, inputs: Inputs, use: Resources, *, keep: bool) -> Found:
    """All cells in the order of their first voxels: objects, and pieces of objects that are too large.

    They can be drawn afterwards if `keep` is True.
    """
    sum_raw = settings.intensity == "mean"  # the other modes need no sums over objects
    foreground = Foreground(
        probability=inputs.probability,
        raw=inputs.raw if sum_raw else None,
        mask=inputs.mask,
        scale=inputs.scale,
        threshold=settings.threshold,
        connectivity=settings.connectivity,
        min_volume=settings.min_volume,
    )
    objects = find_objects(foreground, use.grid, use.cache, use.workers, use.progress)
    cells = objects.parts
    division: Division | None = None
    across: list[Pieces] = []
    limit = settings.max_volume
    if settings.split != "none" and limit is not None and bool((cells.voxels > limit).any()):
        foreground = replace(foreground, raw=inputs.raw)
        splitter = Splitter(
            settings.split,
            settings.cell_diameter_um or diameter_of(limit, inputs.voxel_size, use.grid.shape),
            inputs.voxel_size,
            settings.min_volume,
            use.grid.shape,
        )
        division = Division(foreground, objects, splitter, limit, sum_raw=sum_raw)
        pieces, across = division.run(use.grid, use.cache, use.workers, use.progress, keep=keep)
        cells = Parts.concatenate([cells[~division.large], pieces])
    cells = cells[cells.voxels > settings.min_volume]
    return Found(cells[np.argsort(cells.first)], foreground, objects, division, across)


def tabulate(settings: CellFinder, inputs: Inputs, use: Resources, cells: Parts) -> pd.DataFrame:
    """Measure the cells and make their table."""
    signal = background = np.full(len(cells), np.nan)
    if inputs.raw is not None:
        background, mean, maximum = measure_cubes(
            inputs.raw,
            centre_voxels(cells),
            use.grid,
            use.cache,
            background_radius=settings.background_radius,
            percentile=settings.background_percentile,
            signal_radius=settings.signal_radius,
            workers=use.workers,
            progress=use.progress,
        )
        signal = {"mean": object_means(cells), "local": mean, "max": maximum}[settings.intensity]
    return make_table(
        cells,
        signal,
        background,
        shape=use.grid.shape,
        voxel_size=inputs.voxel_size,
        scale=None if inputs.probability.mask_threshold is not None else inputs.scale,
    )


def create_objects(
    path: str | Path, shape: tuple[int, ...], voxel_size: VoxelSize, *, overwrite: bool
) -> WritableVolume:
    """The volume that `draw_cells` fills, uint32, zyx."""
    from ecc_rf.volumes import create_volume

    chunks = tuple(min(OBJECT_CHUNK, n) for n in shape)
    return create_volume(path, shape, np.uint32, "zyx", chunks=chunks, voxel_size=voxel_size, overwrite=overwrite)


def draw_cells(found: Found, use: Resources, volume: WritableVolume) -> None:
    """Give each voxel the number of its cell in the table, 0 for none.

    The grid's blocks must be whole chunks of `OBJECT_CHUNK` voxels, or end with the volume.
    """
    first = found.cells.first
    plain = found.objects.parts.first.copy()
    if found.division is not None:
        plain[found.division.large] = -1  # their voxels bear the numbers of pieces
    number_of_object = np.append(_numbers(plain, first), 0).astype(np.uint32)
    index = np.concatenate([np.empty(0, np.int64), *(pieces.index for pieces in found.across)])
    owner = np.concatenate([np.empty(0, np.int64), *(pieces.owner for pieces in found.across)])
    order = np.argsort(index)
    index, number_across = index[order], _numbers(owner[order], first)

    def work(block: Block) -> NDArray[np.uint32]:
        drawn = np.zeros(block.shape, np.uint32)
        if not found.objects.of_block(block.index).size:
            return drawn
        voxels = found.foreground.objects(block, use.cache.read).voxels
        numbers = number_of_object[found.objects.of_voxels(block.index, voxels)]
        if found.division is not None and found.division.has_large(block.index):
            within = found.division.within(found.division.select_large(block.index, voxels))
            numbers[np.searchsorted(voxels.index, within.index)] = _numbers(within.owner, first)
            at = np.searchsorted(index, voxels.index)
            known = at < index.size
            known[known] = index[at[known]] == voxels.index[known]
            numbers[known] = number_across[at[known]]
        start = tuple(s.start for s in block.core)
        place = np.unravel_index(voxels.index, use.grid.shape)
        drawn[tuple(p - s for p, s in zip(place, start))] = numbers
        return drawn

    for block, drawn in run_blocks(work, use.grid, workers=use.workers, progress=use.progress, stage="drawing"):
        volume[block.core] = drawn


def _numbers(first: NDArray[np.int64], cells: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Number from 1 of the cell with a first voxel; 0 if there is none.

    >>> _numbers(np.array([7, 3, 5]), np.array([3, 7]))
    array([2, 1, 0], dtype=uint32)
    """
    at = np.searchsorted(cells, first)
    known = at < cells.size
    known[known] = cells[at[known]] == first[known]
    return np.where(known, at + 1, 0).astype(np.uint32)
