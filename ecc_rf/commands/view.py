"""``ecc-rf view``: results in napari."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ecc_rf.arguments import add_command, parse_voxel_size, reads

if TYPE_CHECKING:
    from ecc_rf.arguments import Commands


def add(commands: Commands) -> None:
    view = add_command(
        commands,
        "view",
        "results in napari: image, probability, objects and cells on each other",
        "ecc-rf view results",
        _run,
    )
    view.add_argument(
        "paths", metavar="PATH", nargs="*", help="result folder of ecc-rf run, or volumes and a table of cells"
    )
    view.add_argument("--raw", metavar="IMAGE", help="the image, if it is not where it was")
    view.add_argument("--probability", metavar="PROB", help="probability volume")
    view.add_argument("--objects", metavar="VOLUME", help="volume in which each voxel bears its cell's label")
    view.add_argument("--cells", metavar="CELLS", help="table of cells, .csv or .parquet")
    view.add_argument("--voxel-size", type=parse_voxel_size, metavar="Z,Y,X", help="in µm, if the files do not say")
    view.add_argument("--axes", metavar="AXES", help="letters of tzyxc in the order of the image, if the file is wrong")
    view.add_argument("--screenshot", metavar="PNG", help="save what is seen, and do not wait")
    view.add_argument("--overwrite", action="store_true", help="replace a screenshot that is there already")
    reads(view, "paths", "raw", "probability", "objects", "cells")


def _run(a: argparse.Namespace) -> None:
    from dataclasses import replace

    from ecc_rf import console
    from ecc_rf.viewing.results import shown_of
    from ecc_rf.viewing.viewer import check_napari, view

    check_napari()
    shown = shown_of(a.paths)
    given = {name: getattr(a, name) for name in ("raw", "probability", "objects", "cells", "voxel_size", "axes")}
    said = {name: value for name, value in given.items() if value is not None}
    console.print_notes(note for note in shown.notes if "raw" not in said)
    view(replace(shown, **said), screenshot=a.screenshot, overwrite=a.overwrite)
