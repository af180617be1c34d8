"""``ecc-rf new``: a project from scratch."""

from __future__ import annotations

import argparse
import shlex
from typing import TYPE_CHECKING

from ecc_rf.arguments import (
    add_command,
    json_option,
    lane_normalization_options,
    parse_voxel_size,
    reads,
)

if TYPE_CHECKING:
    from ecc_rf.arguments import Commands


def add(commands: Commands) -> None:
    new = add_command(
        commands,
        "new",
        "a project of images, without labels, to annotate in ilastik or ITK-SNAP",
        'ecc-rf new PV.ilp brain.h5/data --label "PV cell" --label "false signal" --label background',
        _run,
    )
    new.add_argument("project", metavar="NEW.ilp", help="the new project")
    new.add_argument("images", metavar="IMAGE", nargs="+", help="image; each becomes a lane")
    new.add_argument(
        "--label",
        metavar="NAME",
        action="append",
        help="name of a label, the cells first; may be repeated; default object, false signal, background",
    )
    feature_option(new)
    link_option(new)
    lane_normalization_options(new)
    new.add_argument(
        "--axes", metavar="AXES", help="letters of tzyxc in the order of the images, if the files are wrong"
    )
    new.add_argument("--voxel-size", type=parse_voxel_size, metavar="Z,Y,X", help="in µm, if the files do not say")
    new.add_argument("--overwrite", action="store_true", help="replace a project that is there already")
    json_option(new)
    reads(new, "images")


def feature_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--features",
        metavar="WORDS",
        default="recommended",
        help="recommended (default), all, or filters with their scales: 'gaussian:0.3,0.7 hessian:1.0', of gaussian,"
        " laplacian, gradient, difference, structure, hessian; 2d:SCALES computes these plane by plane",
    )


def link_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--link",
        choices=("relative", "absolute", "copy"),
        default="relative",
        help="how images are named: relative to the project (default), absolute, or copied into it",
    )


def _run(a: argparse.Namespace) -> None:
    from ecc_rf import console
    from ecc_rf.commands.train import lane_choice
    from ecc_rf.features.grammar import parse_selection
    from ecc_rf.project_creation import create

    project = create(
        a.project,
        a.images,
        parse_selection(a.features),
        a.label,
        link=a.link,
        axes=a.axes,
        voxel_size=a.voxel_size,
        normalization=lane_choice(a),
        overwrite=a.overwrite,
    )
    console.print_project(project.describe(), as_json=a.json)
    if not a.json:
        export = f"ecc-rf labels export {shlex.quote(a.project)} 0 -o strokes.nii.gz --image-out image.nii.gz"
        console.print_notes([f"Annotate it next, in ilastik or in ITK-SNAP; for the latter: {export}"])
