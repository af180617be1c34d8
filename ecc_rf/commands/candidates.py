"""``ecc-rf candidates``: a sample of candidates, and a page to judge them on."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ecc_rf.arguments import add_command, bad_value, cell_options, volume_options
from ecc_rf.commands.evaluate import group_option
from ecc_rf.commands.train_objects import candidate_finder

if TYPE_CHECKING:
    from ecc_rf.arguments import Commands


def add(commands: Commands) -> None:
    candidates = add_command(
        commands,
        "candidates",
        "a random sample of candidates, and a page to judge them on: cell or not",
        "ecc-rf candidates prob.ome.zarr --raw brain.h5 -o judge --voxel-size 6,1.62,1.62",
        _run,
    )
    candidates.add_argument("probabilities", metavar="PROB", nargs="+", help="probability volumes, or crops of them")
    candidates.add_argument("--raw", metavar="IMAGE", nargs="+", required=True, help="raw images, in the same order")
    candidates.add_argument(
        "-o", "--output", metavar="DIR", required=True, help="folder for candidates.csv and sheet.html"
    )
    candidates.add_argument("--count", type=int, default=80, metavar="N", help="candidates to judge; default 80")
    candidates.add_argument("--seed", type=int, default=0, metavar="N", help="another seed draws others; default 0")
    candidates.add_argument(
        "--uncertain", action="store_true", help="prefer those of which the object model is least sure"
    )
    candidates.add_argument(
        "--field-um",
        type=parse_fields,
        default=(40.0, 160.0),
        metavar="NEAR,FAR",
        help="width of the sections in µm; default 40,160",
    )
    group_option(candidates)
    cell_options(candidates)
    volume_options(candidates, block=False)


def parse_fields(text: str) -> tuple[float, float]:
    """
    >>> parse_fields("40,160")
    (40.0, 160.0)
    """
    try:
        near, far = (float(part) for part in text.split(","))
    except ValueError:
        raise bad_value(text, "pair of widths", "Give NEAR,FAR in µm, such as 40,160.") from None
    return near, far


def _run(a: argparse.Namespace) -> None:
    from ecc_rf import console, console_accuracy
    from ecc_rf.judging import write_sheet

    finder, model = candidate_finder(a)
    sheet = write_sheet(
        a.probabilities,
        a.raw,
        a.output,
        finder,
        count=a.count,
        seed=a.seed,
        groups=dict(a.group),
        model=model,
        uncertain=a.uncertain,
        fields_um=a.field_um,
        voxel_size=a.voxel_size,
        workers=a.workers,
        memory=a.memory,
        overwrite=a.overwrite,
        progress=console.progress(a),
    )
    console_accuracy.print_sheet(sheet)
