"""How fast ecc_rf is, beside its peers: one command, one run, the same data.

    python benchmarks/performance.py [--rounds 3] [--only features,forest,classify,start] [--no-write]

It takes about six minutes on two cores, and writes docs/performance.md and docs/performance.svg (unless only some
parts are measured). The data are the cFos project and volume beside the repository (``../shared/data/cfos``), or
without them the small fixture, mirrored to any size. vigra is measured where the system's Python has it (Debian:
python3-vigra).
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import features  # noqa: E402
import forest  # noqa: E402
import report  # noqa: E402
import startup  # noqa: E402
import whole  # noqa: E402
from measuring import Measurement  # noqa: E402
from workload import Workload  # noqa: E402

PARTS = {module.PART: module.measure for module in (features, forest, whole, startup)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="rounds in which all take turns (default 3)")
    parser.add_argument("--only", default=",".join(PARTS), help="parts to measure")
    parser.add_argument("--no-write", action="store_true", help="print only")
    parser.add_argument("--project", help="ilastik project (.ilp); default see above")
    parser.add_argument("--image", help="image for the project, zyx")
    options = parser.parse_args()
    if bool(options.project) != bool(options.image):
        parser.error("give --project and --image together")
    workload = Workload(options.project, options.image) if options.project else Workload.default()
    chosen = options.only.split(",")
    if unknown := set(chosen) - set(PARTS):
        parser.error(f"unknown part {', '.join(unknown)}; there are {', '.join(PARTS)}")

    started = time.perf_counter()
    found: list[Measurement] = []
    for part in chosen:
        print(f"{part} …", file=sys.stderr, flush=True)
        found += PARTS[part](workload, options.rounds)
        for line in found:
            if line.part == part:
                print(report.plain(line), flush=True)
    seconds = time.perf_counter() - started
    print(f"{seconds / 60:.1f} minutes", file=sys.stderr)
    if set(chosen) == set(PARTS) and not options.no_write:
        report.write(ROOT / "docs", found, workload, options.rounds, seconds)


if __name__ == "__main__":
    main()
