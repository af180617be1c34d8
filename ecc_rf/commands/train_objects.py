"""``ecc-rf train-objects``: an object classifier from marked cells."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ecc_rf.arguments import add_command, cell_options, volume_options
from ecc_rf.commands.evaluate import rule_options

if TYPE_CHECKING:
    from ecc_rf.arguments import Commands


def add(commands: Commands) -> None:
    train = add_command(
        commands,
        "train-objects",
        "an object classifier from cells that a person marked",
        "ecc-rf train-objects prob.ome.zarr --raw brain.h5 --truth marked.nii.gz -o model.h5 --voxel-size 6,1.62,1.62",
        _run,
    )
    train.add_argument("probabilities", metavar="PROB", nargs="+", help="probability volumes, or crops of them")
    train.add_argument("--raw", metavar="IMAGE", nargs="+", required=True, help="raw images, in the same order")
    train.add_argument(
        "--truth",
        metavar="TRUTH",
        nargs="+",
        required=True,
        help="in the same order: a volume that is not 0 in cells, or a list of points; all cells must be marked",
    )
    train.add_argument("-o", "--output", metavar="MODEL", required=True, help="the model, .h5")
    train.add_argument("--seed", type=int, default=0, help="the same seed gives the same bytes; default 0")
    train.add_argument("--cut", type=float, default=0.25, metavar="P", help="least probability of a cell; default 0.25")
    rule_options(train)
    cell_options(train)
    volume_options(train, block=False)


def _run(a: argparse.Namespace) -> None:
    from dataclasses import fields

    from ecc_rf import console, console_accuracy
    from ecc_rf.cell_settings import resolve
    from ecc_rf.cells import CellFinder
    from ecc_rf.evaluation import MatchingRule
    from ecc_rf.object_training import CANDIDATES, train_from_volumes

    said = {field.name: getattr(a, field.name, None) for field in fields(CellFinder)}
    usual = {field.name: getattr(CANDIDATES, field.name) for field in fields(CellFinder)}
    if a.settings is None:
        said = {name: usual[name] if value is None else value for name, value in said.items()}
    finder, _ = resolve(said, a.settings)
    model = train_from_volumes(
        a.probabilities,
        a.raw,
        a.truth,
        a.output,
        finder=finder,
        rule=MatchingRule(a.radius_um, a.depth_um),
        seed=a.seed,
        cut=a.cut,
        voxel_size=a.voxel_size,
        workers=a.workers,
        memory=a.memory,
        overwrite=a.overwrite,
        progress=console.progress(a),
    )
    console_accuracy.print_object_model(a.output, model)
