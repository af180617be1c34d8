"""The options of the command line: what may be asked for. What is done with it is in `cli`."""

from __future__ import annotations

import argparse
import re

from ecc_rf._version import __version__


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands; `command` names the one that was asked for."""
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
        "the main job: classify images, find their cells, report",
        "ecc-rf run PV.ilp brain.h5/data -o results --voxel-size 6,1.62,1.62",
    )
    run.add_argument("project", metavar="PROJECT", help="ilastik project (.ilp) with a trained classifier")
    run.add_argument("images", metavar="IMAGE", nargs="+", help="image; several images get one folder each")
    run.add_argument("-o", "--output", metavar="DIR", required=True, help="folder of the results")
    run.add_argument("--format", default="ome.zarr", help="of the probability volume: ome.zarr (default) or h5")
    run.add_argument("--objects", action="store_true", help="write objects.ome.zarr: voxels bear their cell's label")
    run.add_argument("--no-report", action="store_true", help="do not write report.html")
    _cell_options(run)
    _volume_options(run)

    info = _command(
        commands,
        "info",
        "what a project holds: lanes, features, labels, classifier",
        "ecc-rf info PV.ilp",
    )
    info.add_argument("project", metavar="PROJECT", help="ilastik project (.ilp)")
    info.add_argument("--search", metavar="DIR", action="append", default=[], help="look here for lost images too")
    info.add_argument("--json", action="store_true", help="print JSON")

    classify = _command(
        commands,
        "classify",
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
    classify.add_argument("--mask", metavar="MASK", help="predict only where this is not 0, as in ilastik")
    _volume_options(classify)

    cells = _command(
        commands,
        "cells",
        "cells of a probability volume",
        "ecc-rf cells probability.ome.zarr --raw brain.h5/data -o cells.csv --voxel-size 6,1.62,1.62",
    )
    cells.add_argument("probability", metavar="PROB", help="probability volume; label 1 is the first channel")
    cells.add_argument("-o", "--output", metavar="CSV", required=True, help="table of cells")
    cells.add_argument("--raw", metavar="IMAGE", help="raw image, for intensities")
    cells.add_argument("--objects", metavar="OUT", help="volume in which each voxel bears its cell's label, .ome.zarr")
    _cell_options(cells)
    _volume_options(cells, block=False)

    filtering = _command(
        commands,
        "filter",
        "the cells of a table that reach given limits",
        "ecc-rf filter cells.csv -o bright.csv --min-sbr 1.5 --min-diameter-um 5",
    )
    filtering.add_argument("table", metavar="CELLS", help="table of cells, .csv or .parquet")
    filtering.add_argument("-o", "--output", metavar="OUT", required=True, help="table of the cells that stay")
    _filter_options(filtering)
    filtering.add_argument("--overwrite", action="store_true", help="replace a table that is there already")
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    summary: str,
    example: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=summary, description=summary[0].upper() + summary[1:] + ".", epilog=f"Example: {example}"
    )
    parser.set_defaults(command=name)
    return parser


def _cell_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("cells")
    group.add_argument(
        "--threshold", type=float, default=0.7, help="voxels of a cell have a probability above this; default 0.7"
    )
    group.add_argument(
        "--min-volume", type=int, default=2, metavar="N", help="drop objects of at most N voxels; default 2"
    )
    group.add_argument("--max-volume", type=int, metavar="N", help="split objects of more than N voxels")
    group.add_argument("--split", default="watershed", help="how: watershed (default), maxima or none")
    group.add_argument(
        "--cell-diameter-um",
        type=float,
        metavar="D",
        help="expected diameter, the scale of splitting; default from --max-volume",
    )
    group.add_argument("--connectivity", type=int, default=6, help="of voxels of a cell: 6 (default), 18 or 26")
    group.add_argument("--mask", metavar="MASK", help="find no cells where this volume is not 0")
    group.add_argument("--intensity", default="mean", help="signal of a cell: mean (default), max or local")
    group.add_argument("--signal-radius", type=int, default=1, metavar="R", help="cube of max and local; default 1")
    group.add_argument("--background-radius", type=int, default=4, metavar="R", help="of the cube; default 4")
    group.add_argument("--background-percentile", type=float, default=5.0, metavar="P", help="in it; default 5")
    _filter_options(parser)


def _filter_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("which cells stay in the table")
    group.add_argument("--min-sbr", type=float, metavar="R", help="least signal-to-background ratio")
    group.add_argument("--min-intensity", type=float, metavar="I", help="least intensity above background (deltaI)")
    group.add_argument("--min-diameter-um", type=float, metavar="D", help="least diameter of the equal sphere")


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
