"""The passes over the volumes that find, divide, measure, tabulate and draw cells."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ecc_rf.blocks import Block
from ecc_rf.cells.components import Foreground, Objects, find_objects
from ecc_rf.cells.division import Division, Pieces
from ecc_rf.cells.inputs import Channel, ProbabilityScale
from ecc_rf.cells.measure import STAGE, centre_voxels, measure_cubes, object_means
from ecc_rf.cells.neighbourhood import Neighbourhood
from ecc_rf.cells.parts import Parts
from ecc_rf.cells.passes import Form, Resources
from ecc_rf.cells.settings import SearchSettings
from ecc_rf.cells.smoothing import SmoothedChannel
from ecc_rf.cells.splitting import Splitter, diameter_of
from ecc_rf.cells.surroundings import contrast_columns, mean_contrast
from ecc_rf.cells.table import VoxelSize, make_table
from ecc_rf.errors import SettingError
from ecc_rf.normalization.background import LocalBackground, Window

if TYPE_CHECKING:
    import pandas as pd

    from ecc_rf.objects import ObjectModel
    from ecc_rf.volumes import WritableVolume


@dataclass(frozen=True)
class Inputs:
    """Opened and checked volumes.

    `raw` and `mask` may be missing, `background` and `neighbourhood` if no contrast is wanted, the latter also if the
    probability is a mask.
    """

    probability: Channel
    raw: Channel | None
    mask: Channel | None
    scale: ProbabilityScale
    voxel_size: VoxelSize
    background: LocalBackground | None = None
    neighbourhood: Neighbourhood | None = None


@dataclass(frozen=True)
class Found:
    """Cells, and what it takes to find their voxels again."""

    cells: Parts
    foreground: Foreground
    objects: Objects
    division: Division | None
    across: list[Pieces]


def prepare(settings: SearchSettings, inputs: Inputs, use: Resources, *, contrast: bool) -> Inputs:
    """Smooth the probability and look for the background of the raw volume, as far as the settings want it.

    Raises
    ------
    SettingError
        If contrasts are wanted without a raw volume.
    """
    stored = inputs
    if settings.smoothing_um > 0:
        smoothed = SmoothedChannel(
            inputs.probability, inputs.scale, inputs.mask, settings.smoothing_um, inputs.voxel_size, use.cache
        )
        inputs = replace(inputs, probability=smoothed, scale=ProbabilityScale.of(smoothed))
    if not (contrast or settings.contrasts):
        return inputs
    raw = inputs.raw
    if raw is None:
        raise SettingError("Contrasts are measured in the raw volume, and there is none.", do="Give the raw volume.")
    window = Window.of(settings.background_window_um, inputs.voxel_size)
    background = LocalBackground(lambda box: use.cache.read(raw, box), raw.shape, window, spread=True)
    neighbourhood = None
    if stored.probability.mask_threshold is None:
        neighbourhood = Neighbourhood(stored.probability, stored.scale, stored.mask, stored.voxel_size, use)
    return replace(inputs, background=background, neighbourhood=neighbourhood)


def foreground_of(settings: SearchSettings, inputs: Inputs) -> Foreground:
    """What counts as foreground, and what is summed over objects."""
    return Foreground(
        probability=inputs.probability,
        raw=inputs.raw if _sums_raw(settings, inputs) else None,
        mask=inputs.mask,
        scale=inputs.scale,
        threshold=settings.threshold if settings.low_threshold is None else settings.low_threshold,
        connectivity=settings.connectivity,
        min_volume=settings.min_volume,
        background=inputs.background,
    )


def _sums_raw(settings: SearchSettings, inputs: Inputs) -> bool:
    return settings.intensity == "mean" or inputs.background is not None  # the other modes need no sums over objects


def find_cells(settings: SearchSettings, inputs: Inputs, use: Resources, *, keep: bool) -> Found:
    """All cells in the order of their first voxels: objects, and pieces of objects that are too large.

    They can be drawn afterwards if `keep` is True.
    """
    foreground = foreground_of(settings, inputs)
    objects = find_objects(foreground, use)
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
        division = Division(foreground, objects, splitter, limit, sum_raw=_sums_raw(settings, inputs))
        pieces, across = division.run(use, keep=keep)
        cells = Parts.concatenate([cells[~division.large], pieces])
    return Found(in_order(settings, inputs, cells), foreground, objects, division, across)


def in_order(settings: SearchSettings, inputs: Inputs, cells: Parts) -> Parts:
    """Those that are large and probable enough and stand out, in the order of their first voxels."""
    cells = cells[cells.voxels > settings.min_volume]
    if settings.low_threshold is not None:
        cells = cells[cells.peak > float(inputs.scale.limit(settings.threshold))]
    if settings.min_contrast is not None:  # before anything else of them is measured
        cells = cells[mean_contrast(cells) >= settings.min_contrast]
    return cells[np.argsort(cells.first)]


def choose_cells(
    settings: SearchSettings, model: ObjectModel | None, table: pd.DataFrame, found: Found
) -> tuple[pd.DataFrame, Found]:
    """The cells that the model takes for cells; their probability becomes a column."""
    kept = np.ones(len(table), bool)
    if model is not None:
        table = table.assign(cell_probability=model.probabilities(table))
        kept &= table["cell_probability"].to_numpy() >= (
            model.cut if settings.object_cut is None else settings.object_cut
        )
    if kept.all():
        return table, found
    chosen = table[kept].reset_index(drop=True)
    return chosen.assign(label=np.arange(1, len(chosen) + 1)), replace(found, cells=found.cells[kept])


def tabulate(settings: SearchSettings, inputs: Inputs, use: Resources, found: Found) -> pd.DataFrame:
    """Measure the cells and make their table."""
    cells = found.cells
    signal = background = np.full(len(cells), np.nan)
    if inputs.raw is not None:
        background, mean, maximum = cubes(settings, inputs.raw, cells, use)
        signal = {"mean": object_means(cells), "local": mean, "max": maximum}[settings.intensity]
    table = make_table(
        cells,
        signal,
        background,
        shape=use.grid.shape,
        voxel_size=inputs.voxel_size,
        scale=None if inputs.probability.mask_threshold is not None else inputs.scale,
    )
    if inputs.background is None:
        return table
    foreground = replace(found.foreground, raw=inputs.raw)
    return table.assign(**contrast_columns(foreground, cells, inputs.voxel_size, use, inputs.neighbourhood))


def cubes(
    settings: SearchSettings, raw: Channel, cells: Parts, use: Resources, stage: str = STAGE
) -> NDArray[np.float64]:
    """Background, mean and maximum of the raw volume around cells; see `measure_cubes`."""
    return measure_cubes(
        raw,
        cells.first,
        centre_voxels(cells),
        use,
        background_radius=settings.background_radius,
        percentile=settings.background_percentile,
        signal_radius=settings.signal_radius,
        stage=stage,
    )


def draw_cells(found: Found, use: Resources, volume: WritableVolume) -> None:
    """Give each voxel the number of its cell in the table, 0 for none.

    The grid's blocks must be whole chunks of the volume, or end with it.
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

    def draw(block: Block) -> NDArray[np.uint32]:
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

    def work(block: Block) -> None:
        volume[block.core] = draw(block)
        if use.point is not None:
            volume.sync(block.core)

    for _ in use.run(work, "drawing", _NOTHING):
        pass


_NOTHING: Form[None] = Form(lambda nothing: (), lambda arrays: None)


def _numbers(first: NDArray[np.int64], cells: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Number from 1 of the cell with a first voxel; 0 if there is none.

    >>> _numbers(np.array([7, 3, 5]), np.array([3, 7]))
    array([2, 1, 0], dtype=uint32)
    """
    at = np.searchsorted(cells, first)
    known = at < cells.size
    known[known] = cells[at[known]] == first[known]
    return np.where(known, at + 1, 0).astype(np.uint32)
