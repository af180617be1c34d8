#!/usr/bin/env python3
"""Hostile images through a command, each in a process with limits: see tests/fuzzing/hostile_images.py.

    python scripts/attack_images.py
    python scripts/attack_images.py --only zarr --command classify run preview cells raw

`cells` takes the image for a probability volume, `raw` measures the cells of a good one on it.
A line for each that ended otherwise than it must; the exit status is 1 if there is any.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import math
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from ecc_rf.cli import main  # noqa: E402
from tests.fuzzing.campaign import MEMORY, SECONDS, is_clear  # noqa: E402
from tests.fuzzing.hostile_images import ATTACKS, SHAPE, nifti  # noqa: E402
from tests.fuzzing.watch import Ending, watched  # noqa: E402
from tests.ilp_projects import RawProject, lane, write_vigra_forest  # noqa: E402

VOLUMES = str(ROOT / "data" / "fixtures" / "cells.ilp")
FLAT = (1, 64, 64)
QUIET = ["--workers", "1", "-q"]


def flat_project(path: Path) -> str:
    """A project for images of one plane and channel: what attacks in one is behind the check of the features."""
    RawProject(lanes=[lane(b"a.png", "yx", FLAT[1:])]).write(path)
    with h5py.File(path, "r+") as file:
        forest = file.create_group("PixelClassification/ClassifierForests/Forest0000")
        write_vigra_forest(forest, [(0, 5.0, (4, [1.0, 0.0]), (6, [0.0, 1.0]))], 3, [1, 2])
    return str(path)


def _write_cells(path: Path, shape: tuple[int, ...]) -> None:
    """A probability volume, all of it cell up to the border: every voxel of a raw image is looked at."""
    np.save(path, np.ones(shape, np.float32))


def _fit_cells(path: Path, printed: str) -> None:
    """A probability volume of the shape that the raw image has, if that can be."""
    said = re.search(r"The raw volume has the shape \(([\d, ]+)\)", printed)
    shape = tuple(int(extent) for extent in said[1].split(",") if extent.strip()) if said else ()
    if 0 < math.prod(shape) <= 1 << 24:
        _write_cells(path, shape)


def _raw(project: str, image: Path, out: Path) -> list[str]:
    probability = out.with_name("probability.npy")
    if project == VOLUMES:
        _write_cells(probability, SHAPE)
    return ["cells", str(probability), "--raw", str(image), "-o", str(out / "out.csv"), *QUIET]


COMMANDS: dict[str, Callable[[str, Path, Path], list[str]]] = {
    "convert": lambda project, image, out: ["convert", str(image), str(out / "out.h5"), "-q"],
    "classify": lambda project, image, out: ["classify", project, str(image), "-o", str(out / "out.npy"), *QUIET],
    "run": lambda project, image, out: ["run", project, str(image), "-o", str(out / "results"), "--no-report", *QUIET],
    "preview": lambda project, image, out: [
        "preview",
        project,
        str(image),
        "-o",
        str(out / "out.png"),
        "--workers",
        "1",
    ],
    "cells": lambda project, image, out: ["cells", str(image), "-o", str(out / "out.csv"), *QUIET],
    "raw": _raw,
}
"""Command lines that read an image and write into a folder."""


def problem_with(command: str, ending: Ending, printed: str, wanted: str, left: list[str]) -> str:
    """What is wrong with the ending of an attack; nothing if it is as it must be."""
    if wanted == "reads" and command != "convert":  # it may be too small, or of another shape than a mask or project
        wanted = "reads|where:"
    # libpng says so itself
    printed = "\n".join(line for line in printed.splitlines() if not line.startswith("PNG warning: "))
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
    said = wanted == "reads|where:" or re.search(wanted, printed, re.DOTALL | re.IGNORECASE)
    return "" if said else f"does not say {wanted!r}"


def attacked(command: str, names: list[str], verbose: bool) -> int:
    """All through one command; how many ended otherwise than they must."""
    bad, slowest, largest = 0, 0.0, 0
    with tempfile.TemporaryDirectory() as place, contextlib.redirect_stdout(io.StringIO()):
        work = Path(place)
        (work / "good").mkdir()
        good = nifti(work / "good" / "a.nii", {})
        main(COMMANDS[command](VOLUMES, good, work / "good"))  # what is imported and compiled is there in every child
    gc.collect()
    gc.freeze()
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        flat = flat_project(work / "flat.ilp")
        for name in names:
            folder, out, text = work / name, work / f"{name}-out", work / "printed.txt"
            folder.mkdir()
            out.mkdir()
            image = ATTACKS[name](folder)
            for project in (VOLUMES, flat):
                arguments = COMMANDS[command](project, image, out)
                ending = watched(lambda: main(arguments), text, SECONDS)  # noqa: B023 (it runs before the next round)
                printed = text.read_text(errors="replace")
                if "the forest expects" not in printed and "The raw volume has the shape" not in printed:
                    break
                _fit_cells(work / "probability.npy", printed)
            left = [path.name for path in out.iterdir()] if ending.status else []
            problem = problem_with(command, ending, printed, ATTACKS[name].__doc__ or "", left)
            slowest, largest = max(slowest, ending.seconds), max(largest, ending.peak)
            if problem or verbose:
                seen = printed.strip().replace("\n", " / ")[:400]
                print(
                    f"{problem or 'good'}: {name}: {ending.seconds:.1f} s, {ending.peak >> 20} MiB: {seen}", flush=True
                )
            bad += bool(problem)
    print(
        f"{command}: {len(names)} attacks, {bad} bad; slowest {slowest:.1f} s, largest {largest >> 20} MiB", flush=True
    )
    return bad


def run() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--command", nargs="+", choices=[*COMMANDS, "all"], default=["convert"])
    parser.add_argument("--only", default="", metavar="BEGINNING", help="of the names of attacks")
    parser.add_argument("-v", "--verbose", action="store_true", help="a line for every attack")
    a = parser.parse_args()
    names = [name for name in ATTACKS if name.startswith(a.only)]
    commands = list(COMMANDS) if "all" in a.command else a.command
    return 1 if sum(attacked(command, names, a.verbose) for command in commands) else 0


if __name__ == "__main__":
    sys.exit(run())
