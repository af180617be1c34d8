"""``ecc-rf evaluate``: tables of cells against what a person marked."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ecc_rf.arguments import (
    add_command,
    json_option,
    parse_group,
    parse_voxel_size,
    reads,
)

if TYPE_CHECKING:
    from ecc_rf.arguments import Commands


def add(commands: Commands) -> None:
    evaluate = add_command(
        commands,
        "evaluate",
        "precision, recall and F1 of tables of cells against marked cells",
        "ecc-rf evaluate cells.csv --truth marked.nii.gz --voxel-size 6,1.62,1.62 --pictures errors",
        _run,
    )
    evaluate.add_argument("cells", metavar="CELLS", nargs="+", help="tables of cells, .csv or .parquet")
    evaluate.add_argument(
        "--truth",
        metavar="TRUTH",
        nargs="+",
        required=True,
        help="one for each table, in the same order: a volume that is not 0 in cells, or a list of points (.csv, .xml)",
    )
    evaluate.add_argument("--voxel-size", type=parse_voxel_size, metavar="Z,Y,X", help="in µm, if the truth is silent")
    group_option(evaluate)
    rule_options(evaluate)
    evaluate.add_argument("--pictures", metavar="DIR", help="write a picture of each volume there, NAME.png")
    evaluate.add_argument("--raw", metavar="IMAGE", nargs="+", help="images for the pictures, one for each table")
    json_option(evaluate)
    reads(evaluate, "cells", "truth", "raw")
    evaluate.add_argument("--overwrite", action="store_true", help="replace pictures that are there already")


def group_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--group",
        type=parse_group,
        metavar="NAME=PATTERN",
        action="append",
        default=[],
        help="volumes that belong together, such as one brain's: a pattern of their names, 'brain1=1008_*'",
    )


def rule_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("when a detection is a true cell")
    group.add_argument("--radius-um", type=float, default=6.48, metavar="R", help="in the plane; default 6.48")
    group.add_argument("--depth-um", type=float, default=12.0, metavar="D", help="across planes; default 12")


def _run(a: argparse.Namespace) -> None:
    from ecc_rf import console, console_accuracy
    from ecc_rf.evaluation import MatchingRule, cases_of, evaluate
    from ecc_rf.evaluation.picture import draw_all

    rule = MatchingRule(a.radius_um, a.depth_um)
    evaluation = evaluate(cases_of(a.cells, a.truth, groups=dict(a.group), voxel_size=a.voxel_size), rule)
    if a.pictures:
        draw_all(evaluation, a.pictures, a.raw, overwrite=a.overwrite)
    if a.json:
        console.print_json(evaluation.as_dict())
    else:
        console_accuracy.print_evaluation(evaluation)
