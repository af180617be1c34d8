"""``ecc-rf batch``: a study of markers x brains."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from ecc_rf.arguments import add_command

if TYPE_CHECKING:
    from ecc_rf.arguments import Commands

EXIT_FAILED = 1  # some runs failed, the others are done


def add(commands: Commands) -> None:
    batch = add_command(
        commands,
        "batch",
        "a study: every marker of every brain, as far as it is not done",
        "ecc-rf batch study.toml -o results",
        _run,
    )
    batch.add_argument("study", metavar="STUDY.toml", nargs="?", help="markers and brains; --example prints one")
    batch.add_argument("-o", "--output", metavar="DIR", help="folder of the results, one in it for each marker")
    batch.add_argument("--example", action="store_true", help="print a study file with comments, and end")
    batch.add_argument("--dry-run", action="store_true", help="check the study and list what would be run, and why")
    batch.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="MARKER/BRAIN",
        help="run these only; * stands for anything; may be repeated",
    )
    group = batch.add_argument_group("machine")
    group.add_argument("--workers", type=int, metavar="N", help="threads of a run; default one per core")
    group.add_argument("--memory", metavar="SIZE", help="budget of a run, for example 8GB; default 2GiB")
    group.add_argument("-q", "--quiet", action="store_true", help="no progress")
    group.add_argument("-v", "--verbose", action="store_true", help="say what is planned before it is done")
    batch.epilog = (
        f"{batch.epilog}. Exit status: 0 all results are there, {EXIT_FAILED} some runs failed (failures.txt says why),"
        " 2 the study cannot be run as it is."
    )


def _run(a: argparse.Namespace) -> int:
    from ecc_rf import console_studies
    from ecc_rf.blocks import parse_memory, resolve_workers
    from ecc_rf.errors import SettingError
    from ecc_rf.studies import Machine, plan_study, run_study

    if a.example:
        print(console_studies.example(), end="")
        return 0
    if a.study is None or a.output is None:
        raise SettingError(
            "A study file and a folder for its results are needed.",
            do="ecc-rf batch study.toml -o results; ecc-rf batch --example > study.toml to begin.",
        )
    parse_memory(a.memory)
    resolve_workers(a.workers)
    plan = plan_study(a.study, a.output, only=a.only)
    if a.dry_run:
        console_studies.print_plan(plan)
        return 0
    machine = Machine(a.workers, a.memory, a.quiet, a.verbose, isolated=True)
    say = None if a.quiet else lambda text: print(f"ecc-rf: {text}", file=sys.stderr, flush=True)
    outcomes = run_study(plan, machine, say)
    console_studies.print_study(plan, outcomes)
    return EXIT_FAILED if any(outcome.status == "failed" for outcome in outcomes) else 0
