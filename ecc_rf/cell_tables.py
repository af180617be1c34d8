"""Tables of cells from a stored probability volume, and from other tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ecc_rf.blocks import Progress
from ecc_rf.blocks.owner import WHOLE, Part
from ecc_rf.cell_finding import CellOrder, CellTable, make_cell_table
from ecc_rf.cells import CellFinder, filter_cells, write_cells
from ecc_rf.cells.writing import read_cells
from ecc_rf.machine import Machine

if TYPE_CHECKING:
    from ecc_rf.objects import ObjectModel


def find_cells(
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
    block_shape: tuple[int, int, int] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    restart: bool = False,
    part: Part = WHOLE,
) -> CellTable:
    """Find the cells of a stored probability volume and write their table.

    Cut off, it goes on where it was when it is called again; see `ecc_rf.cell_finding`.

    Parameters
    ----------
    probability, raw : path
        What `open_volume` reads. Without `raw` the intensities are empty. The first may be a mask, exported at the
        finder's threshold; see `CellFinder.find`.
    mask : path, optional
        Where it is not 0 no cell is looked for.
    objects : path, optional
        Volume to write, in which each voxel bears its cell's label.
    output : path
        ``.csv`` or ``.parquet``; see `write_cells`.
    finder, model, limits, voxel_size, workers, memory, block_shape, overwrite, progress
        As in `run`. `axes` are those of the probability volume.
    restart : bool
        Begin anew; default: go on with an unfinished table of the same settings.
    part : (int, int)
        Find and measure only what lies in part I of N of the blocks, for job arrays. The last one puts the parts
        together, divides what is too large, draws the objects and writes the table.

    Returns
    -------
    CellTable

    Raises
    ------
    EccError
    Interrupted
        After Ctrl-C, if anything is kept; the same call goes on with it.
    """
    order = CellOrder(
        probability=probability,
        output=output,
        raw=raw,
        mask=mask,
        objects=objects,
        finder=finder or CellFinder(),
        model=model,
        limits=limits or {},
        axes=axes,
        voxel_size=voxel_size,
        block_shape=block_shape,
        overwrite=overwrite,
    )
    return make_cell_table(order, Machine(workers, memory, part=part, restart=restart), progress)


def filter_table(
    table: str | Path, output: str | Path, limits: Mapping[str, float | None], *, overwrite: bool = False
) -> tuple[int, int]:
    """Write the cells of a table that reach the limits of `filter_cells`; returns their number before and after."""
    cells = read_cells(table)
    kept = filter_cells(cells, **limits)
    write_cells(kept, output, overwrite=overwrite)
    return len(cells), len(kept)
