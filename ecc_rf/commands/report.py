"""``ecc-rf report``: the report of a run, drawn again."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ecc_rf.arguments import add_command

if TYPE_CHECKING:
    from ecc_rf.arguments import Commands


def add(commands: Commands) -> None:
    report = add_command(
        commands,
        "report",
        "draw the report of a run again",
        "ecc-rf report results --image /new/place/brain.h5/data",
        _run,
    )
    report.add_argument("folder", metavar="DIR", help="folder that `ecc-rf run` wrote; its report.html is replaced")
    report.add_argument("--image", metavar="IMAGE", help="where the image is, if not where it was")
    report.add_argument("--workers", type=int, metavar="N", help="threads; default one per core")


def _run(a: argparse.Namespace) -> None:
    from ecc_rf import console
    from ecc_rf.reporting.redraw import redraw

    path, notes = redraw(a.folder, image=a.image, workers=a.workers)
    console.print_notes(notes)
    print(path)
