"""Commands that are killed and run again, and what they leave at the end: a table, to which a command is one entry."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecc_rf.volumes import create_volume, open_volume
from tests.jobs import BLOCK, blobs
from tests.killing import ROOT, Kill, run_killed, tree

FIXTURES = Path(__file__).resolve().parents[1] / "data" / "fixtures"
AT_ONCE = 5
"""Kills of one output, before it is looked at."""

Files = Mapping[str, bytes]


@dataclass(frozen=True)
class Case:
    """A command.

    Attributes
    ----------
    output : str
        Name of what it makes: a file or a folder; complete if it is there and has no ledger.
    argv : function
        Of the folder with the inputs and the path of the output.
    same : function
        Of the files of two outputs.
    proof : str
        In the output: what is there when it is complete; empty: the output itself.
    """

    output: str
    argv: Callable[[Path, Path], list[str]]
    same: Callable[[Files, Files], bool] = lambda a, b: a == b
    proof: str = ""


def _classify(inputs: Path, output: Path) -> list[str]:
    project, image = inputs / "cells.ilp", inputs / "brain.h5"
    return [
        *("classify", str(project), str(image), "-o", str(output), "-q"),
        *("--labels", "1", "--dtype", "uint8", "--block", BLOCK),
    ]


def _convert(inputs: Path, output: Path) -> list[str]:
    # many pieces
    return ["convert", str(inputs / "large.npy"), str(output), "-q", "--memory", "290MB", "--workers", "4"]


def _cells(inputs: Path, output: Path) -> list[str]:
    volumes = [str(inputs / "blobs/probability.ome.zarr"), "--raw", str(inputs / "blobs/image.h5")]
    return ["cells", *volumes, "-o", str(output), "-q", "--max-volume", "60", "--contrast", "--block", BLOCK]


def _run(inputs: Path, output: Path) -> list[str]:
    volumes = [str(inputs / "cells.ilp"), str(inputs / "brain.h5")]
    return ["run", *volumes, "-o", str(output), "-q", "--objects", "--no-report", "--block", BLOCK]


def _same_results(one: Files, other: Files) -> bool:
    """All but the record, which holds times."""
    found, expected = ({name: files[name] for name in files if name != "run.json"} for files in (one, other))
    return found == expected and "run.json" in one


CASES = {
    "classify": Case("p.ome.zarr", _classify),
    "classify to HDF5": Case("p.h5", _classify),
    "convert": Case("c.ome.zarr", lambda inputs, output: [*_convert(inputs, output), "--pyramid"]),
    "convert to HDF5": Case("c.h5", _convert),
    "convert to TIFF": Case("c.tif", _convert),
    "convert to NIfTI": Case("c.nii.gz", _convert),
    "cells": Case("cells.csv", _cells),
    "run": Case("results", _run, _same_results, "run.json"),
}


def make_inputs(folder: Path) -> Path:
    """What the commands read, beside the fixtures."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("cells.ilp", "brain.h5"):
        (folder / name).write_bytes((FIXTURES / name).read_bytes())
    with open_volume(FIXTURES / "brain.h5") as volume:
        brain = volume.read()
    (folder / "blobs").mkdir()
    blobs(folder / "blobs")
    large = np.tile(brain, (4, 2, 2))
    with create_volume(folder / "large.npy", large.shape, large.dtype, "zyx") as volume:
        volume[()] = large
    return folder


@dataclass(frozen=True)
class Session:
    """One output that was killed and gone on with until it was complete.

    Attributes
    ----------
    places : list of str
        Where it was killed.
    same : bool
        Whether it is the same as one that was never killed.
    left : list of str
        What lies beside it.
    """

    places: list[str]
    same: bool
    left: list[str]


def sessions(case: Case, inputs: Path, folder: Path, seed: str) -> Iterator[Session]:
    """Kill a command at random, as often as is asked for.

    Half of the kills fall at random moments, half at a call that makes something durable, gives a name, removes
    something, or writes a chunk, of which half is then written.
    """
    random_ = random.Random(seed)
    whole = folder / "whole" / case.output
    report = run_killed(case.argv(inputs, whole), whole / case.proof)
    expected, points, seconds = tree(whole), report["points"], report["seconds"]
    number = 0
    while True:
        output = folder / str(number) / case.output
        kills: list[Kill] = []
        for i in range(AT_ONCE):  # less and less is left to be done
            left = 1 - i / AT_ONCE
            by_point = random_.random() < 0.5
            kills.append(
                ("point", random_.randrange(1 + int(points * left)))
                if by_point
                else ("seconds", random_.uniform(0, seconds * left))
            )
        report = run_killed(case.argv(inputs, output), output / case.proof, kills)
        beside = besides(output)
        if beside:  # killed behind its last step; whoever comes next sweeps, here one that is told of the output
            subprocess.run([sys.executable, "-m", "ecc_rf", *case.argv(inputs, output)], cwd=ROOT, capture_output=True)
            beside = besides(output)
        yield Session([place for place in report["places"] if place], case.same(tree(output), expected), beside)
        for path in sorted(output.rglob("*"), reverse=True) if output.is_dir() else ():
            path.rmdir() if path.is_dir() else path.unlink()
        number += 1


def besides(output: Path) -> list[str]:
    """Names of what lies beside an output."""
    return sorted(path.name for path in output.parent.iterdir() if path != output)


def kill(case: Case, inputs: Path, folder: Path, seed: str, kills: int) -> Iterator[Session]:
    """Kill a command at least so often."""
    count = 0
    for session in sessions(case, inputs, folder, seed):
        yield session
        count += len(session.places)
        if count >= kills:
            return
