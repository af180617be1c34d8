"""``ecc-rf classify`` of the fixture, to be cut off and gone on with."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from ecc_rf.blocks.checkpoint import ledger_folder
from ecc_rf.cli import main
from tests.jobs import BLOCK, start_slowly
from tests.killing import tree

Whole = Callable[[str], dict[str, bytes]]


class Job:
    """``ecc-rf classify`` of the fixture, into folders of their own."""

    def __init__(self, fixtures: Path, folder: Path) -> None:
        self.project, self.image, self.folder = str(fixtures / "cells.ilp"), str(fixtures / "brain.h5"), folder

    def output(self, folder: str, name: str) -> Path:
        return self.folder / folder / name

    def argv(self, output: Path, *more: str, image: str | None = None) -> list[str]:
        common = ["--labels", "1", "--dtype", "uint8", "--block", BLOCK, "-q"]
        return ["classify", self.project, image or self.image, "-o", str(output), *common, *more]

    def start(self, output: Path, *more: str, image: str | None = None) -> subprocess.Popen[str]:
        """In a process of its own; returns when it has finished a block."""
        return start_slowly(self.argv(output, *more, image=image), ledger_folder(output), "classify")


def written_at_once(job: Job) -> Whole:
    """What an output is that was written in one go."""
    trees: dict[str, dict[str, bytes]] = {}

    def of(name: str) -> dict[str, bytes]:
        if name not in trees:
            assert main(job.argv(job.output("whole", name))) == 0
            trees[name] = tree(job.output("whole", name))
        return trees[name]

    return of
