#!/usr/bin/env python3
"""Hostile images through `convert` or `classify`, each in a process with limits: see tests/fuzzing/hostile_images.py.

    python scripts/attack_images.py
    python scripts/attack_images.py --only zarr --command classify

A line for each that ended otherwise than it must; the exit status is 1 if there is any.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from ecc_rf.cli import main  # noqa: E402
from tests.fuzzing.campaign import MEMORY, SECONDS, is_clear  # noqa: E402
from tests.fuzzing.hostile_images import ATTACKS, nifti  # noqa: E402
from tests.fuzzing.watch import Ending, watched  # noqa: E402


def arguments_of(command: str, image: Path, out: Path) -> list[str]:
    """The command line that reads the image."""
    if command == "convert":
        return ["convert", str(image), str(out / "out.h5"), "-q"]
    project = ROOT / "data" / "fixtures" / "cells.ilp"
    return ["classify", str(project), str(image), "-o", str(out / "out.npy"), "--workers", "1", "-q"]


def problem_with(ending: Ending, printed: str, wanted: str, left: list[str]) -> str:
    """What is wrong with the ending of an attack; nothing if it is as it must be."""
    if ending.status is None:
        return "hang"
    if ending.peak > MEMORY:
        return f"{ending.peak >> 20} MiB"
    if ending.status == 0:
        return "" if wanted.startswith("reads") else "was read"
    if ending.status != 2 or not is_clear(printed):
        return f"status {ending.status}, no clear error"
    if left:
        return f"left behind: {left}"
    return "" if wanted == "reads|where:" or re.search(wanted, printed, re.DOTALL) else f"does not say {wanted!r}"


def run() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--command", choices=("convert", "classify"), default="convert")
    parser.add_argument("--only", default="", metavar="BEGINNING", help="of the names of attacks")
    parser.add_argument("-v", "--verbose", action="store_true", help="a line for every attack")
    a = parser.parse_args()
    bad, slowest, largest = 0, 0.0, 0
    names = [name for name in ATTACKS if name.startswith(a.only)]
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        (work / "good").mkdir()
        good = nifti(work / "good" / "a.nii", {})
        main(arguments_of(a.command, good, work / "good"))  # what is imported and compiled is there in every child
        for name in names:
            folder, out, text = work / name, work / f"{name}-out", work / "printed.txt"
            folder.mkdir()
            out.mkdir()
            image = ATTACKS[name](folder)
            arguments = arguments_of(a.command, image, out)
            ending = watched(lambda: main(arguments), text, SECONDS)  # noqa: B023 (it runs before the next round)
            printed = text.read_text(errors="replace")
            left = [path.name for path in out.iterdir()] if ending.status else []
            problem = problem_with(ending, printed, ATTACKS[name].__doc__ or "", left)
            slowest, largest = max(slowest, ending.seconds), max(largest, ending.peak)
            if problem or a.verbose:
                seen = printed.strip().replace("\n", " / ")[:400]
                print(
                    f"{problem or 'good'}: {name}: {ending.seconds:.1f} s, {ending.peak >> 20} MiB: {seen}", flush=True
                )
            bad += bool(problem)
    print(f"{len(names)} attacks, {bad} bad; slowest {slowest:.1f} s, largest {largest >> 20} MiB")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(run())
