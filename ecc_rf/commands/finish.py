"""``ecc-rf finish``: the last steps of an output whose parts are done."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ecc_rf.arguments import add_command, machine_options

if TYPE_CHECKING:
    from ecc_rf.arguments import Commands


def add(commands: Commands) -> None:
    finish = add_command(
        commands,
        "finish",
        "check that all parts of an output are done, do what is left, and give it its name",
        "ecc-rf finish probability.ome.zarr",
        _finish,
    )
    finish.add_argument(
        "output",
        metavar="OUT",
        help="volume of `classify`, table of `cells`, or folder of `run`; tells which parts are missing, if any are",
    )
    machine_options(finish)


def _finish(a: argparse.Namespace) -> None:
    from ecc_rf import console
    from ecc_rf.finishing import finish

    done = finish(a.output, workers=a.workers, memory=a.memory, overwrite=a.overwrite, progress=console.progress(a))
    console.print_finished(done)
