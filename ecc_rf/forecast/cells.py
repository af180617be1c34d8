"""What a search for cells would take."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ecc_rf.blocks import Block, Grid, parse_memory, resolve_workers
from ecc_rf.cell_finding import voxels_as_unit
from ecc_rf.cells import CellFinder
from ecc_rf.cells.inputs import Channel, check_same_shape, mask_threshold
from ecc_rf.errors import OutputExistsError
from ecc_rf.forecast.outputs import check_folder, check_output
from ecc_rf.forecast.probe import CONSTANT, MASKED, TISSUE, Done, Probe, is_one_value, middle_plane, probe
from ecc_rf.forecast.stage import Forecast, Storage, storage
from ecc_rf.volumes import open_volume
from ecc_rf.volumes.array import ArrayVolume
from ecc_rf.volumes.user_paths import is_there

if TYPE_CHECKING:
    from ecc_rf.objects import ObjectModel

STAGE = "cells"
_EDGE = 128
_OBJECT_CHUNK = 64


@dataclass
class CellProbe:
    """Finds the cells of single blocks, to see how long it takes.

    Attributes
    ----------
    voxels, seconds, cells
        Of all blocks so far.
    """

    finder: CellFinder
    model: ObjectModel | None
    voxel_size: tuple[float, float, float]
    drange: tuple[float, float] | None
    attributes: dict[str, Any]
    voxels: int = 0
    seconds: float = 0.0
    cells: int = 0
    _lock: Lock = field(default_factory=Lock)

    def find(self, probability: NDArray[Any], raw: NDArray[Any] | None) -> None:
        """Find the cells of a block, zyx."""
        volume = ArrayVolume("the probe", probability, "zyx", voxel_size=self.voxel_size, drange=self.drange)
        volume.attributes = self.attributes
        started = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # no cell in a block is no news
            cells = self.finder.find(volume, raw, model=self.model, voxel_size=self.voxel_size, workers=1)
        with self._lock:
            self.seconds += time.perf_counter() - started
            self.voxels += probability.size
            self.cells += len(cells)


def forecast_cells(
    probability: str | Path,
    output: str | Path,
    *,
    raw: str | Path | None = None,
    mask: str | Path | None = None,
    objects: str | Path | None = None,
    finder: CellFinder | None = None,
    model: ObjectModel | None = None,
    limits: Mapping[str, float | None] | None = None,
    axes: str | None = None,
    voxel_size: tuple[float, float, float] | None = None,
    workers: int | None = None,
    memory: str | int | None = None,
    overwrite: bool = False,
) -> tuple[Forecast, float | None]:
    """What finding the cells of a stored probability volume would take; nothing is written.

    Parameters are those of `find_cells`.

    Returns
    -------
    Forecast
    float or None
        About how many cells there are; None if nothing was probed.

    Raises
    ------
    EccError
        Whatever the search itself would raise before its first block, and what a few blocks raise.
    """
    finder = finder or CellFinder()
    number, budget = resolve_workers(workers), parse_memory(memory)
    table = Path(output)
    if is_there(table) and not overwrite:
        raise OutputExistsError(
            "The table is there already.", where=str(table), do="Give another name, or --overwrite to replace it."
        )
    check_folder(table.absolute().parent, str(table))
    with ExitStack() as stack:
        volume = stack.enter_context(open_volume(probability, axes=axes, voxel_size=voxel_size))
        image = stack.enter_context(open_volume(raw)) if raw is not None else None
        size = volume.voxel_size or (image.voxel_size if image else None)
        size = size or voxels_as_unit(finder, limits or {}, [])
        p = Channel(volume, "probability", finder.label - 1)
        r = (
            None
            if image is None
            else Channel(image, "raw", None if finder.raw_channel is None else finder.raw_channel - 1)
        )
        m = None
        if mask is not None:
            m = Channel(mask, "mask")
            stack.callback(m.close)
        for other in (r, m):
            if other is not None:
                check_same_shape(other, p)
        threshold = mask_threshold(volume)
        if threshold is not None:
            finder.check_mask(threshold, p.name)
        if objects is not None:
            check_output(objects, objects_volume(p.shape), overwrite=overwrite)
        trial = CellProbe(finder, model, size, p.drange, volume.attributes)
        grid = Grid(p.shape, tuple(min(_EDGE, n) for n in p.shape))

        def kind(block: Block) -> str:
            if m is not None and m[block.core].all():
                return MASKED
            return CONSTANT if is_one_value(p[middle_plane(block.core, "zyx")]) else TISSUE

        def work(block: Block) -> Done:
            trial.find(p[block.core], None if r is None else r[block.core])
            return Done(block.voxels, block.voxels, block.voxels)

        found = probe(grid, kind, work, number, warm=work)
        stored = None if objects is None else storage(objects, objects_volume(p.shape), found)
        count = found.tissue * grid.voxels * trial.cells / trial.voxels if trial.voxels else None
        return forecast_of(volume.name, grid, number, budget, found, stored), count


def forecast_of(source: str, grid: Grid, workers: int, budget: int, found: Probe, stored: Storage | None) -> Forecast:
    """A search over all blocks of a grid."""
    return Forecast(
        STAGE,
        source,
        grid.voxels,
        len(grid),
        0,
        grid.block_shape,
        None,
        workers,
        budget,
        None,
        found,
        stored,
        found.time(grid.voxels),
    )


def objects_volume(shape: tuple[int, ...]) -> dict[str, Any]:
    """The volume in which each voxel bears its cell's label, as `create_volume` is told."""
    return {"shape": shape, "dtype": "uint32", "axes": "zyx", "chunks": tuple(min(_OBJECT_CHUNK, n) for n in shape)}
