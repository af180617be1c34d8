"""The command line: parses, calls one function per command, prints.

Everything heavy is imported inside the commands, so that ``ecc-rf --help`` answers at once.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ecc_rf._version import __version__
from ecc_rf.errors import EccError

if TYPE_CHECKING:
    from ecc_rf.cells import CellFinder

EXIT_ERROR = 2
EXIT_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, 2 on a user's error, 130 after Ctrl-C."""
    arguments = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], None] = arguments.command
    try:
        command(arguments)
    except EccError as error:
        print(f"ecc-rf: error: {error}", file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt:
        print("ecc-rf: interrupted; nothing unfinished was left behind.", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone, as in `ecc-rf info … | head`
        sys.stderr.close()
    return 0


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
        report=not a.no_report,
        overwrite=a.overwrite,
    )
    results = run(a.project, a.images, a.output, finder=_finder(a), settings=settings, progress=console.progress(a))
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
        finder=_finder(a),
        axes=a.axes,
        voxel_size=a.voxel_size,
        workers=a.workers,
        memory=a.memory,
        overwrite=a.overwrite,
        progress=console.progress(a),
    )
    console.print_notes(notes)
    console.print_cells(cells, a.output)


def _finder(a: argparse.Namespace) -> CellFinder:
    from ecc_rf.cells import CellFinder

    return CellFinder(threshold=a.threshold, min_volume=a.min_volume, max_volume=a.max_volume, intensity=a.intensity)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ecc-rf",
        description="Count cells in whole brains with ilastik pixel-classification projects, without ilastik.",
        epilog="Example: ecc-rf run PV.ilp brain.h5/data -o results --voxel-size 6,1.62,1.62",
    )
    parser.add_argument("--version", action="version", version=f"ecc-rf {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    run = _command(
        commands,
        "run",
        _run,
        "the main job: classify images, find their cells, report",
        "ecc-rf run PV.ilp brain.h5/data -o results --voxel-size 6,1.62,1.62",
    )
    run.add_argument("project", metavar="PROJECT", help="ilastik project (.ilp) with a trained classifier")
    run.add_argument("images", metavar="IMAGE", nargs="+", help="image; several images get one folder each")
    run.add_argument("-o", "--output", metavar="DIR", required=True, help="folder of the results")
    run.add_argument("--format", default="ome.zarr", help="of the probability volume: ome.zarr (default) or h5")
    run.add_argument("--no-report", action="store_true", help="do not write report.html")
    _cell_options(run)
    _volume_options(run)

    info = _command(
        commands,
        "info",
        _info,
        "what a project holds: lanes, features, labels, classifier",
        "ecc-rf info PV.ilp",
    )
    info.add_argument("project", metavar="PROJECT", help="ilastik project (.ilp)")
    info.add_argument("--search", metavar="DIR", action="append", default=[], help="look here for lost images too")
    info.add_argument("--json", action="store_true", help="print JSON")

    classify = _command(
        commands,
        "classify",
        _classify,
        "probabilities of an image",
        "ecc-rf classify PV.ilp brain.h5/data -o probability.ome.zarr --labels 1 --dtype uint8",
    )
    classify.add_argument("project", metavar="PROJECT", help="ilastik project (.ilp) with a trained classifier")
    classify.add_argument("image", metavar="IMAGE", help="image: HDF5, OME-Zarr, NPY, TIFF, PNG, JPG or NIfTI")
    classify.add_argument("-o", "--output", metavar="OUT", required=True, help=".ome.zarr, .h5, .npy or .tif")
    classify.add_argument(
        "--labels",
        type=_names,
        default="all",
        metavar="LABELS",
        help="labels to store, numbers from 1 or names, with commas; default all",
    )
    classify.add_argument(
        "--export", default="probabilities", help="probabilities (default), segmentation, uncertainty or features"
    )
    classify.add_argument("--dtype", default="float32", help="of probabilities: float32 (default), uint16 or uint8")
    classify.add_argument(
        "--rounding", default="nearest", help="to integers: nearest (default) or truncate, as ilastik before July 2025"
    )
    classify.add_argument("--roi", type=_roi, metavar="ROI", help="region, for example z=10:50,y=0:512,x=0:512")
    classify.add_argument("--mask", metavar="MASK", help="predict only where this volume is not 0")
    _volume_options(classify)

    cells = _command(
        commands,
        "cells",
        _cells,
        "cells of a probability volume",
        "ecc-rf cells probability.ome.zarr --raw brain.h5/data -o cells.csv --voxel-size 6,1.62,1.62",
    )
    cells.add_argument("probability", metavar="PROB", help="probability volume; label 1 is the first channel")
    cells.add_argument("-o", "--output", metavar="CSV", required=True, help="table of cells")
    cells.add_argument("--raw", metavar="IMAGE", help="raw image, for intensities")
    _cell_options(cells)
    _volume_options(cells, block=False)
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    function: Callable[[argparse.Namespace], None],
    summary: str,
    example: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=summary, description=summary[0].upper() + summary[1:] + ".", epilog=f"Example: {example}"
    )
    parser.set_defaults(command=function)
    return parser


def _cell_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("cells")
    group.add_argument(
        "--threshold", type=float, default=0.7, help="voxels of a cell have a probability above this; default 0.7"
    )
    group.add_argument(
        "--min-volume", type=int, default=2, metavar="N", help="drop objects of at most N voxels; default 2"
    )
    group.add_argument("--max-volume", type=int, metavar="N", help="objects above N voxels are split (when available)")
    group.add_argument("--intensity", default="max", help="signal of a cell: max (default), mean or local")


def _volume_options(parser: argparse.ArgumentParser, *, block: bool = True) -> None:
    group = parser.add_argument_group("volumes and machine")
    group.add_argument(
        "--axes", metavar="AXES", help="letters of tzyxc in the order of the image, if the file is wrong"
    )
    group.add_argument("--voxel-size", type=_voxel_size, metavar="Z,Y,X", help="in µm, if the file does not say")
    group.add_argument("--workers", type=int, metavar="N", help="threads; default one per core")
    group.add_argument("--memory", metavar="SIZE", help="budget, for example 8GB; default 2GiB")
    if block:
        group.add_argument("--block", type=_block, metavar="Z,Y,X", help="block in voxels; default from the budget")
    group.add_argument("--overwrite", action="store_true", help="replace results that are there already")
    group.add_argument("-q", "--quiet", action="store_true", help="no progress")
    group.add_argument("-v", "--verbose", action="store_true", help="say what is planned before it is done")


def _names(text: str) -> str | list[str]:
    return text if text == "all" else [name.strip() for name in text.split(",")]


def _voxel_size(text: str) -> tuple[float, float, float]:
    """
    >>> _voxel_size("6,1.62,1.62")
    (6.0, 1.62, 1.62)
    """
    try:
        z, y, x = (float(part) for part in text.split(","))
        if min(z, y, x) > 0:
            return z, y, x
    except ValueError:
        pass
    raise _bad(text, "voxel size", "Give three positive numbers of µm: Z,Y,X, such as 6,1.62,1.62.")


def _block(text: str) -> tuple[int, int, int]:
    """
    >>> _block("64,128,128"), _block("64")
    ((64, 128, 128), (64, 64, 64))
    """
    try:
        extents = [int(part) for part in text.split(",")]
        z, y, x = extents * 3 if len(extents) == 1 else extents
        if min(z, y, x) > 0:
            return z, y, x
    except ValueError:
        pass
    raise _bad(text, "block", "Give one or three positive numbers of voxels: Z,Y,X, such as 64,128,128.")


def _roi(text: str) -> dict[str, tuple[int | None, int | None]]:
    """
    >>> _roi("z=10:50,x=:100")
    {'z': (10, 50), 'x': (None, 100)}
    """
    roi: dict[str, tuple[int | None, int | None]] = {}
    for part in text.split(","):
        match = re.fullmatch(r"\s*([tzyx])\s*=\s*(\d*)\s*:\s*(\d*)\s*", part)
        if match is None or match[1] in roi:
            raise _bad(text, "region", "Give half-open bounds per axis, such as z=10:50,y=0:512.")
        roi[match[1]] = (int(match[2]) if match[2] else None, int(match[3]) if match[3] else None)
    return roi


def _bad(text: str, what: str, do: str) -> argparse.ArgumentTypeError:
    return argparse.ArgumentTypeError(f"{text!r} is no {what}. {do}")


if __name__ == "__main__":
    sys.exit(main())
