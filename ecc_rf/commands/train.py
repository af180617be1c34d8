"""``ecc-rf train``: a new forest from a project's labels."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ecc_rf.arguments import (
    add_command,
    json_option,
    lane_normalization_options,
    machine_options,
    parse_pairs,
    parse_voxel_size,
    reads,
)
from ecc_rf.commands.labels import import_settings, label_file_options

if TYPE_CHECKING:
    from ecc_rf.arguments import Commands
    from ecc_rf.lane_normalization import LaneChoice


def add(commands: Commands) -> None:
    train = add_command(
        commands,
        "train",
        "a new forest from a project's labels, written as a new project",
        "ecc-rf train PV.ilp -o PV_new.ilp",
        _run,
    )
    train.add_argument("project", metavar="PROJECT", help="ilastik project (.ilp) with labels; it is not changed")
    train.add_argument("-o", "--output", metavar="NEW.ilp", required=True, help="the project with the new forest")
    train.add_argument("--trees", type=int, default=100, metavar="N", help="default 100, as in ilastik")
    train.add_argument(
        "--seed", type=int, default=0, metavar="N", help="the same seed gives the same forest; default 0"
    )
    train.add_argument("--marker", default="", metavar="NAME", help="what is stained, such as cFos; noted in NEW.ilp")
    lane_options(train)
    train.add_argument(
        "--labels",
        metavar="LANE=FILE",
        action="append",
        default=[],
        help="labels of a lane from a file, such as ITK-SNAP's, as labels import reads them; may be repeated",
    )
    train.add_argument("--report", metavar="JSON", help="training report; default NEW.training.json")
    json_option(train)
    reads(train, "project")
    label_file_options(train)
    lane_normalization_options(train)
    train.add_argument("--voxel-size", type=parse_voxel_size, metavar="Z,Y,X", help="in µm, if the files do not say")
    machine_options(train)


def lane_options(parser: argparse.ArgumentParser) -> None:
    """Where the images of a project are, if not where it says."""
    parser.add_argument(
        "--image",
        metavar="LANE=PATH",
        action="append",
        default=[],
        help="where the image of a lane is; may be repeated",
    )
    parser.add_argument("--search", metavar="DIR", action="append", default=[], help="look here for lost images too")


def _run(a: argparse.Namespace) -> None:
    from ecc_rf import console, console_training
    from ecc_rf.retraining import retrain
    from ecc_rf.training import TrainingSettings

    training = retrain(
        a.project,
        a.output,
        TrainingSettings(a.trees, a.seed, a.workers, a.memory),
        images=parse_pairs(a.image, "--image"),
        search=a.search,
        label_files=parse_pairs(a.labels, "--labels"),
        label_settings=import_settings(a),
        normalization=lane_choice(a),
        report=a.report,
        marker=a.marker,
        overwrite=a.overwrite,
        progress=console.progress(a),
    )
    if a.json:
        console.print_json(training.report.as_dict())
    else:
        console_training.print_training(training.report, a.output)
        if training.normalization is not None:
            console.print_normalization(training.normalization.as_dict())


def lane_choice(a: argparse.Namespace) -> LaneChoice:
    """What `arguments.lane_normalization_options` asks for."""
    from ecc_rf.arguments import parse_lane_scales
    from ecc_rf.lane_normalization import LaneChoice

    scales = parse_lane_scales(a.scale)
    return LaneChoice(a.normalize, a.window_um, a.together, dict(a.group), scales, a.voxel_size)
