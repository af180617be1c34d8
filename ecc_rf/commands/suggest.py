"""``ecc-rf suggest``: where strokes would help most."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ecc_rf.arguments import add_command, cell_options, volume_options
from ecc_rf.commands.evaluate import rule_options

if TYPE_CHECKING:
    from ecc_rf.arguments import Commands


def add(commands: Commands) -> None:
    suggest = add_command(
        commands,
        "suggest",
        "places where strokes would help most, as crops for ITK-SNAP",
        "ecc-rf suggest prob.ome.zarr --raw brain.h5 --project PV.ilp -o places --voxel-size 6,1.62,1.62",
        _run,
    )
    suggest.add_argument("probabilities", metavar="PROB", nargs="+", help="probability volumes")
    suggest.add_argument("--raw", metavar="IMAGE", nargs="+", required=True, help="raw images, in the same order")
    suggest.add_argument("-o", "--output", metavar="DIR", required=True, help="folder for list, crops and picture")
    suggest.add_argument(
        "--truth",
        metavar="TRUTH",
        nargs="+",
        help="in the same order, marked cells as for evaluate: suggest where cells are missed or falsely found;"
        " default: where it is uncertain what is a cell",
    )
    suggest.add_argument(
        "--project", metavar="PROJECT", help="whose images these are: crops then hold the strokes that are there"
    )
    suggest.add_argument("--count", type=int, default=10, metavar="N", help="places; default 10")
    suggest.add_argument("--size-um", type=float, default=100.0, metavar="W", help="width of a place; default 100")
    rule_options(suggest)
    cell_options(suggest)
    volume_options(suggest, block=False)


def _run(a: argparse.Namespace) -> None:
    from ecc_rf import console, console_accuracy
    from ecc_rf.cell_settings import resolve
    from ecc_rf.commands.train_objects import refuse_filters
    from ecc_rf.evaluation import MatchingRule
    from ecc_rf.suggesting import suggest

    refuse_filters(a)
    finder, model = resolve(vars(a), a.settings, a.objects_model)
    suggestions = suggest(
        a.probabilities,
        a.raw,
        a.output,
        finder,
        truths=a.truth,
        model=model,
        rule=MatchingRule(a.radius_um, a.depth_um),
        project=a.project,
        count=a.count,
        size_um=a.size_um,
        voxel_size=a.voxel_size,
        workers=a.workers,
        memory=a.memory,
        overwrite=a.overwrite,
        progress=console.progress(a),
    )
    console.print_notes(suggestions.notes)
    console_accuracy.print_suggestions(suggestions)
