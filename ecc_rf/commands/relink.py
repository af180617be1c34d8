"""``ecc-rf relink``: mend the links of a project."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ecc_rf.arguments import add_command, json_option, parse_pairs, reads
from ecc_rf.commands.new import link_option

if TYPE_CHECKING:
    from ecc_rf.arguments import Commands


def add(commands: Commands) -> None:
    relink = add_command(
        commands,
        "relink",
        "mend a project's links to its images, or copy the images into it; labels and classifier stay",
        "ecc-rf relink PV.ilp 0=/data/brain1.h5/data -o PV_here.ilp",
        _run,
    )
    relink.add_argument("project", metavar="PROJECT", help="ilastik project (.ilp); it is not changed")
    relink.add_argument(
        "images", metavar="LANE=PATH", nargs="*", help="where the image of a lane is; default: all that are found"
    )
    relink.add_argument("-o", "--output", metavar="NEW.ilp", required=True, help="the new project")
    link_option(relink)
    relink.add_argument("--search", metavar="DIR", action="append", default=[], help="look here for lost images too")
    relink.add_argument("--overwrite", action="store_true", help="replace a project that is there already")
    json_option(relink)
    reads(relink, "project")


def _run(a: argparse.Namespace) -> None:
    from ecc_rf import console
    from ecc_rf.ilp import IlastikProject
    from ecc_rf.relinking import relink

    relink(
        a.project,
        a.output,
        images=parse_pairs(a.images, "LANE=PATH"),
        link=a.link,
        search=a.search,
        overwrite=a.overwrite,
    )
    console.print_project(IlastikProject.open(a.output).describe(), as_json=a.json)
