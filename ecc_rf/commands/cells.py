"""``ecc-rf cells`` and ``ecc-rf filter``: the table of cells."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ecc_rf.arguments import (
    add_command,
    cell_options,
    dry_run_option,
    filter_options,
    json_option,
    part_option,
    reads,
    resume_options,
    volume_options,
)

if TYPE_CHECKING:
    from ecc_rf.arguments import Commands
    from ecc_rf.cells import CellFinder
    from ecc_rf.objects import ObjectModel


def add(commands: Commands) -> None:
    cells = add_command(
        commands,
        "cells",
        "cells of a probability volume",
        "ecc-rf cells probability.ome.zarr --raw brain.h5/data -o cells.csv --voxel-size 6,1.62,1.62",
        _cells,
    )
    cells.add_argument("probability", metavar="PROB", help="probability volume, label 1 the first channel, or mask")
    cells.add_argument("-o", "--output", metavar="CSV", required=True, help="table of cells")
    cells.add_argument("--raw", metavar="IMAGE", help="raw image, for intensities")
    cells.add_argument("--objects", metavar="OUT", help="volume in which each voxel bears its cell's label, .ome.zarr")
    json_option(cells)
    reads(cells, "probability", "raw")
    cell_options(cells)
    volume_options(cells, nan=False)
    dry_run_option(cells)
    resume_options(cells)
    part_option(
        cells.add_argument_group("many machines"),
        "find objects in part I of N of the volume, and measure the cells that lie within one block; the last part"
        " joins them across blocks, splits and measures the rest, draws --objects and writes the table",
    )

    filtering = add_command(
        commands,
        "filter",
        "the cells of a table that reach given limits",
        "ecc-rf filter cells.csv -o bright.csv --min-sbr 1.5 --min-diameter-um 5",
        _filter,
    )
    filtering.add_argument("table", metavar="CELLS", help="table of cells, .csv or .parquet")
    filtering.add_argument("-o", "--output", metavar="OUT", required=True, help="table of the cells that stay")
    filter_options(filtering)
    filtering.add_argument("--overwrite", action="store_true", help="replace a table that is there already")
    json_option(filtering)
    reads(filtering, "table")


def _cells(a: argparse.Namespace) -> None:
    from ecc_rf import console
    from ecc_rf.cell_tables import find_cells

    settings, model = finder(a)
    path = console.at_level(a.probability, a.level)
    options: dict[str, Any] = {
        "raw": a.raw,
        "mask": a.mask,
        "objects": a.objects,
        "finder": settings,
        "model": model,
        "limits": limits(a),
        "axes": a.axes,
        "voxel_size": a.voxel_size,
        "workers": a.workers,
        "memory": a.memory,
        "overwrite": a.overwrite,
    }
    if a.dry_run:
        from ecc_rf.console_forecast import print_forecasts
        from ecc_rf.forecast import forecast_cells

        told, count = forecast_cells(path, a.output, **options)
        print_forecasts([told], count)
        return
    table = find_cells(
        path,
        a.output,
        **options,
        block_shape=a.block,
        restart=a.restart,
        part=a.part,
        progress=console.progress(a),
    )
    console.print_notes(table.notes)
    if a.json:
        console.print_json(
            {
                "output": a.output,
                "cells": None if table.missing else len(table.cells),
                "missing": table.missing,
                "objects": a.objects,
                "notes": table.notes,
            }
        )
    else:
        console.print_cells(table, a.output)


def _filter(a: argparse.Namespace) -> None:
    from ecc_rf import console
    from ecc_rf.cell_tables import filter_table

    before, kept = filter_table(a.table, a.output, limits(a), overwrite=a.overwrite)
    if a.json:
        console.print_json({"output": a.output, "before": before, "cells": kept})
    else:
        console.print_filter(a.output, before, kept)


def finder(a: argparse.Namespace) -> tuple[CellFinder, ObjectModel | None]:
    """The settings that `arguments.cell_options` asks for, and the object model."""
    from ecc_rf.cell_settings import resolve

    return resolve(vars(a), a.settings, a.objects_model)


def limits(a: argparse.Namespace) -> dict[str, float | None]:
    """The limits that `arguments.filter_options` asks for."""
    return {"min_sbr": a.min_sbr, "min_intensity": a.min_intensity, "min_diameter_um": a.min_diameter_um}
