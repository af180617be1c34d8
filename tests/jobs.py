"""Commands that are cut off and gone on with: what they work on, started so slowly that they can be caught at work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ecc_rf import create_volume
from ecc_rf.blocks.checkpoint import ledger_folder
from tests.killing import ROOT

BLOCK = "16,32,32"  # 27 blocks of the fixture

# A block takes a while, so that there is time to see what is under way.
SLOW = """
import sys, time
from ecc_rf.blocks import checkpoint
from ecc_rf.cells.components import Foreground
from ecc_rf.cells.passes import Resources
from ecc_rf.cli import main
from ecc_rf.prediction import Prediction
checkpoint.COMMIT_SECONDS = 0.0
def slowly(owner, name):
    method = getattr(owner, name)
    def slow(*arguments):
        time.sleep(0.2)
        return method(*arguments)
    setattr(owner, name, slow)
slowly(Prediction, "compute")
slowly(Foreground, "objects")
slowly(Resources, "measure")
sys.exit(main(sys.argv[1:]))
"""


@dataclass(frozen=True)
class Job:
    """A command whose output goes into a folder of its own.

    Attributes
    ----------
    command : list of str
        Without its output.
    folder : Path
    journal : str
        Of the pass that `start` waits for.
    """

    command: tuple[str, ...]
    folder: Path
    journal: str

    def into(self, folder: Path) -> Job:
        """The same, into another folder."""
        return replace(self, folder=folder)

    def output(self, folder: str, name: str) -> Path:
        return self.folder / folder / name

    def argv(self, output: Path, *more: str) -> list[str]:
        return [*self.command, "-o", str(output), "--block", BLOCK, "-q", *more]

    def start(self, output: Path, *more: str, ledger: Path | None = None) -> subprocess.Popen[str]:
        """In a process of its own; returns when it has finished a block."""
        return start_slowly(self.argv(output, *more), ledger or ledger_folder(output), self.journal)


def start_slowly(argv: Sequence[str], ledger: Path, journal: str) -> subprocess.Popen[str]:
    """Start a command in a process of its own; returns when a block is noted in a journal of the ledger."""
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, *argv],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    wait_for(lambda: any(file.stat().st_size for file in ledger.glob(f"{journal}-*.journal")), process)
    return process


def hold(process: subprocess.Popen[str]) -> subprocess.Popen[str]:
    """Stop a process where it is: it stays at work for as long as a test wants."""
    process.send_signal(signal.SIGSTOP)
    return process


def wait_for(happened: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Until something has happened; fails if the process ends before."""
    deadline = time.monotonic() + 120
    while not happened():
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def limited(argv: Sequence[str], size: int) -> subprocess.CompletedProcess[str]:
    """Run a command where no file can be larger: what is written beyond it fails, as on a disk without room."""
    script = (
        "import resource, signal, sys\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))\n"
        "from ecc_rf.cli import main\nsys.exit(main(sys.argv[1:]))"
    )
    return subprocess.run([sys.executable, "-c", script, *argv], capture_output=True, text=True, cwd=ROOT)


def blobs(folder: Path) -> tuple[Path, Path]:
    """A probability volume and its image: hundreds of objects, some of them large, many across blocks."""
    rng = np.random.default_rng(5)
    z, y, x = np.ogrid[:40, :96, :96]
    probability = np.zeros((40, 96, 96))
    for centre, radius in zip(rng.random((260, 3)) * (40, 96, 96), rng.uniform(1.2, 3.4, 260)):
        squared = (z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2
        probability = np.maximum(probability, 1.3 * np.exp(-squared / (2 * radius**2)))
    image = (200 + 900 * probability + 40 * rng.random(probability.shape)).astype(np.uint16)
    paths = folder / "probability.ome.zarr", folder / "image.h5"
    for path, voxels in zip(paths, ((np.clip(probability, 0, 1) * 255).astype(np.uint8), image)):
        size = (4.0, 2.0, 2.0)
        with create_volume(path, voxels.shape, voxels.dtype, "zyx", chunks=(16, 32, 32), voxel_size=size) as volume:
            volume[()] = voxels
    return paths
