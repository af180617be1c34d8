#!/usr/bin/env python3
"""Kill running commands again and again, go on with them, and compare what comes out with a run that was never killed.

    python scripts/kill_test.py [--kills 100] [--seed 0] [CASE …]

SIGKILL comes at random moments, and at the calls after which a cut hurts most: in the middle of a chunk's bytes, before
something is synced, renamed or removed. An output is killed up to five times before it is complete. Exit 1 if one
differs or leaves something beside it. Ctrl-C ends a command's turn, and tells what was done.
`tests/test_kills.py` does the same a few times.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.kill_cases import CASES, Session, kill, make_inputs  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; default all")
    parser.add_argument("--kills", type=int, default=100, metavar="N", help="of each case; default 100")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if unknown := set(options.cases) - set(CASES):
        parser.error(f"there is no case {', '.join(sorted(unknown))}")
    failed = 0
    print("| command | kills | where | outputs | same bytes | left beside | seconds |")
    print("|---|---|---|---|---|---|---|")
    for name in options.cases or CASES:
        started = time.monotonic()
        done: list[Session] = []
        with tempfile.TemporaryDirectory() as folder, suppress(KeyboardInterrupt):  # what was done so far is told
            inputs = make_inputs(Path(folder) / "inputs")
            for session in kill(CASES[name], inputs, Path(folder), f"{options.seed} {name}", options.kills):
                done.append(session)
        places = Counter(place for session in done for place in session.places)
        same = sum(session.same for session in done)
        left = Counter(path for session in done for path in session.left)
        failed += len(done) - same + left.total()
        where = ", ".join(f"{place} {n}" for place, n in places.most_common())
        beside = ", ".join(f"{path} {n}" for path, n in left.items()) or "nothing"
        seconds = time.monotonic() - started
        print(
            f"| {name} | {places.total()} | {where} | {len(done)} | {same} of {len(done)} | {beside} | {seconds:.0f} |",
            flush=True,
        )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
