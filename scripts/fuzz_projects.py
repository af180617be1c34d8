#!/usr/bin/env python3
"""Thousands of damaged and hostile projects through the commands: the long form of tests/test_fuzzing.py.

    python scripts/fuzz_projects.py --count 1000 --keep offenders
    python scripts/fuzz_projects.py --base cells --commands info classify=100 --count 1000 --seed 7
    python scripts/fuzz_projects.py --small --count 140 --commands info classify=7 train=2

Made by a fixed seed from `data/fixtures/cells.ilp`, and from the real projects of ../shared where they are. Prints a
table for every base; the exit status is 1 if anything happened that must not (see tests/fuzzing/campaign.py).
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from ecc_rf import cli  # noqa: E402
from tests.fuzzing.bases import bases, warmed  # noqa: E402
from tests.fuzzing.campaign import COMMANDS, campaign  # noqa: E402


def run() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = {base.name: base for base in bases()}
    parser.add_argument("--count", type=int, default=1000, help="mutants of each project; default 1000")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--base", action="append", choices=sorted(known), help="default: all")
    parser.add_argument(
        "--commands", nargs="+", metavar="COMMAND[=N]", default=list(COMMANDS), help="N: fewer mutants; default: all"
    )
    parser.add_argument(
        "--small", action="store_true", help="of small copies, with few trees and label blocks: quicker"
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep mutants here that did what they must not")
    a = parser.parse_args()
    counts = {}
    for text in a.commands:
        command, _, number = text.partition("=")
        if command not in COMMANDS or not (number or "0").isdecimal():
            parser.error(f"{text}: expected one of {', '.join(COMMANDS)}, and perhaps =N")
        counts[command] = int(number) if number else a.count
    cli.make_parser = functools.cache(cli.make_parser)  # the same for every mutant: a tenth of the time of `info`
    bad = 0
    for name in a.base or known:
        started, used = time.monotonic(), _processor_seconds()
        warmed(known[name], list(counts))
        with tempfile.TemporaryDirectory() as work:
            table = campaign(known[name], counts, a.seed, Path(work), a.keep, small=a.small)
        spent = f"{_processor_seconds() - used:.0f} s of a processor, {time.monotonic() - started:.0f} s"
        print(f"\n{name}: {max(counts.values())} mutants, seed {a.seed}, {spent}")
        print("\n".join([*table.lines(), *table.offenders]), flush=True)
        bad += len(table.offenders)
    return 1 if bad else 0


def _processor_seconds() -> float:
    """Of this process and of the mutants that have ended."""
    return sum(os.times()[:4])


if __name__ == "__main__":
    sys.exit(run())
