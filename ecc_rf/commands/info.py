"""``ecc-rf info``: what a project holds."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ecc_rf.arguments import add_command, json_option, reads

if TYPE_CHECKING:
    from ecc_rf.arguments import Commands


def add(commands: Commands) -> None:
    info = add_command(
        commands, "info", "what a project holds: lanes, features, labels, classifier", "ecc-rf info PV.ilp", _run
    )
    info.add_argument("project", metavar="PROJECT", help="ilastik project (.ilp)")
    info.add_argument("--search", metavar="DIR", action="append", default=[], help="look here for lost images too")
    json_option(info)
    reads(info, "project")


def _run(a: argparse.Namespace) -> None:
    from ecc_rf import console
    from ecc_rf.ilp import IlastikProject

    description = IlastikProject.open(a.project, search=a.search).describe()
    console.print_project(description, as_json=a.json)
