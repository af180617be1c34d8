"""The command line: parses, calls one function per command, prints.

Everything heavy is imported inside the commands, so that ``ecc-rf --help`` answers at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ecc_rf.arguments import make_parser
from ecc_rf.errors import EccError

if TYPE_CHECKING:
    from ecc_rf.cells import CellFinder

EXIT_ERROR = 2
EXIT_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, 2 on a user's error, 130 after Ctrl-C."""
    arguments = make_parser().parse_args(argv)
    try:
        _COMMANDS[arguments.command](arguments)
    except EccError as error:
        print(f"ecc-rf: error: {error}", file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt:
        return _interrupted()
    except (
        RuntimeError
    ) as error:  # what Ctrl-C becomes in the middle of a class's definition, while something is imported
        if not isinstance(error.__cause__, KeyboardInterrupt):
            raise
        return _interrupted()
    except BrokenPipeError:  # the reader of our output has gone, as in `ecc-rf info … | head`
        sys.stderr.close()
    return 0


def _interrupted() -> int:
    print("ecc-rf: interrupted; nothing unfinished was left behind.", file=sys.stderr)
    return EXIT_INTERRUPTED


def _run(a: argparse.Namespace) -> None:
    from ecc_rf import console
    from ecc_rf.pipeline import RunSettings, run

    settings = RunSettings(
        axes=a.axes,
        voxel_size=a.voxel_size,
        format=a.format,
        workers=a.workers,
        memory=a.memory,
        block_shape=a.block,
        mask=a.mask,
        objects=a.objects,
        report=not a.no_report,
        overwrite=a.overwrite,
    )
    results = run(
        a.project,
        a.images,
        a.output,
        finder=_finder(a),
        limits=_limits(a),
        settings=settings,
        progress=console.progress(a),
    )
    for result in results:
        console.print_run(result)


def _info(a: argparse.Namespace) -> None:
    from ecc_rf import console
    from ecc_rf.ilp import IlastikProject

    description = IlastikProject.open(a.project, search=a.search).describe()
    if a.json:
        console.print_json(description)
    else:
        console.print_info(description)


def _classify(a: argparse.Namespace) -> None:
    from ecc_rf import console
    from ecc_rf.classifier import PixelClassifier
    from ecc_rf.ilp import IlastikProject

    project = IlastikProject.open(a.project)
    record = PixelClassifier.from_project(project).predict_volume(
        a.image,
        a.output,
        labels=a.labels,
        export=a.export,
        dtype=a.dtype,
        rounding=a.rounding,
        roi=a.roi,
        mask=a.mask,
        axes=a.axes,
        voxel_size=a.voxel_size,
        workers=a.workers,
        memory=a.memory,
        block_shape=a.block,
        overwrite=a.overwrite,
        progress=console.progress(a),
    )
    console.print_notes(project.notes)
    console.print_prediction(record)


def _cells(a: argparse.Namespace) -> None:
    from ecc_rf import console
    from ecc_rf.pipeline import find_cells

    cells, notes = find_cells(
        a.probability,
        a.output,
        raw=a.raw,
        mask=a.mask,
        objects=a.objects,
        finder=_finder(a),
        limits=_limits(a),
        axes=a.axes,
        voxel_size=a.voxel_size,
        workers=a.workers,
        memory=a.memory,
        overwrite=a.overwrite,
        progress=console.progress(a),
    )
    console.print_notes(notes)
    console.print_cells(cells, a.output)


def _filter(a: argparse.Namespace) -> None:
    from ecc_rf import console
    from ecc_rf.pipeline import filter_table

    before, kept = filter_table(a.table, a.output, _limits(a), overwrite=a.overwrite)
    console.print_filter(a.output, before, kept)


def _finder(a: argparse.Namespace) -> CellFinder:
    from ecc_rf.cells import CellFinder

    return CellFinder(
        threshold=a.threshold,
        min_volume=a.min_volume,
        max_volume=a.max_volume,
        split=a.split,
        cell_diameter_um=a.cell_diameter_um,
        connectivity=a.connectivity,
        intensity=a.intensity,
        signal_radius=a.signal_radius,
        background_radius=a.background_radius,
        background_percentile=a.background_percentile,
    )


def _limits(a: argparse.Namespace) -> dict[str, float | None]:
    return {"min_sbr": a.min_sbr, "min_intensity": a.min_intensity, "min_diameter_um": a.min_diameter_um}


_COMMANDS = {"run": _run, "info": _info, "classify": _classify, "cells": _cells, "filter": _filter}


if __name__ == "__main__":
    sys.exit(main())
