"""Start-up: what a user waits for before anything is computed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measuring import Measurement, take_turns
from workload import FIXTURES, Workload

PART = "start"
PROJECT, IMAGE = str(FIXTURES / "cells.ilp"), str(FIXTURES / "brain.h5")


def measure(workload: Workload, rounds: int) -> list[Measurement]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fresh = {**os.environ, "NUMBA_CACHE_DIR": str(folder / "cache")}
        first = _seconds("run", PROJECT, IMAGE, "-o", str(folder / "first"), "--no-report", environment=fresh)
        classify = ["classify", PROJECT, IMAGE, "-o", str(folder / "out.npy"), "--overwrite", "--labels", "1"]
        run = ["run", PROJECT, IMAGE, "-o", str(folder / "run"), "--no-report", "--overwrite"]
        found = take_turns(
            {
                "help": lambda: _seconds("--help"),
                "classify": lambda: _seconds(*classify),
                "run": lambda: _seconds(*run, environment=fresh),
            },
            max(3, rounds),
        )
    small = "whole command on 40×96×96 voxels"
    return [
        Measurement(PART, "ecc-rf --help", tuple(found["help"]), "s", 0.5, 0.5, at_most=True),
        Measurement(PART, "run, first use, kernels are compiled", (first,), "s", 20, 20, at_most=True, remark=small),
        Measurement(PART, "classify, later", tuple(found["classify"]), "s", remark=small),
        Measurement(PART, "run, later", tuple(found["run"]), "s", remark=small),
    ]


def _seconds(*arguments: str, environment: dict[str, str] | None = None) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "ecc_rf", *arguments], check=True, capture_output=True, env=environment)
    return time.perf_counter() - start
