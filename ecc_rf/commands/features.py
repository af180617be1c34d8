"""``ecc-rf features``: what a project's features are, and which of them pay."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ecc_rf.arguments import add_command, json_option, machine_options, parse_pairs, reads
from ecc_rf.commands.train import lane_options

if TYPE_CHECKING:
    from ecc_rf.arguments import Commands


def add(commands: Commands) -> None:
    features = add_command(
        commands,
        "features",
        "the features of a project, and with --suggest which of them pay",
        "ecc-rf features PV.ilp --suggest -o PV_fast.ilp",
        _run,
    )
    features.add_argument("project", metavar="PROJECT", help="ilastik project (.ilp); it is not changed")
    features.add_argument(
        "--suggest",
        action="store_true",
        help="leave out one filter and scale after the other: out-of-bag error against time",
    )
    features.add_argument("--features", metavar="WORDS", help="start from these features; see ecc-rf new --help")
    features.add_argument("-o", "--output", metavar="NEW.ilp", help="write the project with the suggested features")
    features.add_argument("--cells", type=int, metavar="N", help="write the selection of N filters and scales instead")
    features.add_argument("--trees", type=int, default=100, metavar="N", help="default 100, as in ilastik")
    features.add_argument("--seed", type=int, default=0, metavar="N", help="the same seed gives the same; default 0")
    lane_options(features)
    json_option(features)
    reads(features, "project")
    machine_options(features)


def _run(a: argparse.Namespace) -> None:
    from ecc_rf import console, console_training
    from ecc_rf.errors import SettingError
    from ecc_rf.feature_choice import suggest_for_project
    from ecc_rf.features.grammar import parse_selection, selection_text
    from ecc_rf.ilp import IlastikProject
    from ecc_rf.training import TrainingSettings

    if not a.suggest:
        if a.output or a.cells or a.features:
            raise SettingError("-o, --cells and --features need --suggest")
        words = selection_text(IlastikProject.open(a.project).features)
        if a.json:
            console.print_json({"words": words})
        else:
            print(words)
        return
    found = suggest_for_project(
        a.project,
        a.output,
        TrainingSettings(a.trees, a.seed, a.workers, a.memory),
        features=parse_selection(a.features) if a.features else None,
        cells=a.cells,
        images=parse_pairs(a.image, "--image"),
        search=a.search,
        overwrite=a.overwrite,
        progress=console.progress(a),
    )
    if a.json:
        console.print_json(found.as_dict())
    else:
        console_training.print_suggestion(found, a.output, a.cells)
