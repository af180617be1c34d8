"""Whether `--memory` is kept: the peak of commands over formats, features and budgets.

    python benchmarks/memory.py [--only classify,cells,convert] [--quick] [--no-write]

It takes about ten minutes on two cores, and writes docs/memory.md. Every run is a process of its own; its peak is the
largest resident set that the system saw, pages of mapped files included. The least budget of a run is asked for by
giving one that is too small, and is then given: it must do.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from ecc_rf.blocks import parse_memory  # noqa: E402
from ecc_rf.features.grammar import parse_selection  # noqa: E402
from ecc_rf.ilp import ProjectChanges, edit_project  # noqa: E402
from ecc_rf.volumes import create_volume, open_volume  # noqa: E402
from tests.n5_writing import write_n5  # noqa: E402

SHAPE, TISSUE = (160, 768, 768), 128
SIZE = (5.0, 2.0, 2.0)
BUDGETS = ("least", "512MB", "2GiB")
FIXTURES = ROOT / "data" / "fixtures"
ALL = "all filters and scales"
RECOMMENDED = "recommended"
MOST_OF_THEM = ("image.h5/data", "64.ome.zarr", "compressed_planes")

MEASURED = """
import sys
from pathlib import Path
from ecc_rf.cli import main
status = main(sys.argv[1:])
peak = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
print(f"PEAK {1024 * int(peak[0].split()[1])}")
sys.exit(status)
"""

PAGE = """# How much memory

`--memory` (default 2 GiB) is a budget of the whole process: blocks, those read ahead and those waiting to be written,
decoded pieces of the image that are kept for the next blocks, and 256 MiB for Python, its libraries and compiled code.
The plan is made before the start, printed by `-v` and by `--dry-run`, and a budget that cannot be kept is refused with
the least that can.

Printed by `python benchmarks/memory.py` in {minutes:.0f} minutes: an image of {shape} voxels in uint16, 2 workers.
*Planned* is what `-v` says, *measured* the largest resident set of the process, in MB. *least* is the budget that the
command asks for when it is given too little. **{over} of {runs} runs went over their budget.**
`cells` takes what it is given: it prints no plan.

{tables}
What is not in the budget: the table of cells (about 0.5 kB each), and what the operating system keeps of files in its
cache, which it gives up when others need it. A compressed NIfTI image is one stream: its blocks are found by
decompressing all that is before them, in little memory but again and again; convert it first.
"""


@dataclass(frozen=True)
class Row:
    """One run."""

    command: str
    source: str
    what: str
    asked: str
    budget: int
    planned: int | None
    measured: int
    seconds: float

    @property
    def text(self) -> str:
        planned = "" if self.planned is None else f"{self.planned / 1e6:.0f}"
        over = " **over**" if self.measured > self.budget else ""
        asked = f"{self.asked}: {self.budget / 1e6:.0f}" if self.asked == "least" else f"{self.budget / 1e6:.0f}"
        return f"| {self.source} | {self.what} | {asked} | {planned} | {self.measured / 1e6:.0f}{over} |"


def make_images(folder: Path) -> dict[str, str]:
    """The same image in all formats: tissue in a corner, one value elsewhere; name and path."""
    with open_volume(FIXTURES / "brain.h5") as brain:
        tile = brain.read()
    image = np.full(SHAPE, tile.min(), tile.dtype)
    repeats = [-(-n // m) for n, m in zip((SHAPE[0], TISSUE, TISSUE), tile.shape)]
    image[:, :TISSUE, :TISSUE] = np.tile(tile, repeats)[: SHAPE[0], :TISSUE, :TISSUE]
    chunked = {
        "image.h5/data": {"chunks": (64, 64, 64)},
        "64.ome.zarr": {"chunks": (64, 64, 64)},
        "256.ome.zarr": {"chunks": (160, 256, 256)},
        "sharded.ome.zarr": {"chunks": (32, 64, 64), "shards": (160, 256, 256)},
        "image.tif": {},
        "image.nii": {},
        "image.nii.gz": {},
    }
    for name, options in chunked.items():
        with create_volume(folder / name, SHAPE, image.dtype, "zyx", voxel_size=SIZE, **options) as volume:
            for z in range(0, SHAPE[0], 160):
                volume[z : z + 160] = image[z : z + 160]
    tifffile.imwrite(folder / "compressed.tif", image, compression="zlib", rowsperstrip=64, metadata={"axes": "ZYX"})
    write_n5(folder / "image.n5" / "s0", image, (64, 64, 64), "gzip")
    for name, options in {"planes": {}, "compressed_planes": {"compression": "zlib", "rowsperstrip": 32}}.items():
        (folder / name).mkdir()
        for number, plane in enumerate(image):
            tifffile.imwrite(folder / name / f"z{number:04}.tif", plane, **options)
    names = [*chunked, "compressed.tif", "image.n5/s0", "planes", "compressed_planes"]
    return {name: str(folder / name) for name in names}


def projects(folder: Path) -> dict[str, str]:
    """A project of the recommended features, and one of all filters at all scales."""
    changed, every = folder / "changed.ilp", folder / "all.ilp"
    edit_project(FIXTURES / "cells.ilp", changed, changes=ProjectChanges(features=parse_selection("all")))
    done = run_command(["train", str(changed), "-o", str(every), "--trees", "20", "-q"])
    assert done.returncode == 0, done.stderr
    return {RECOMMENDED: str(FIXTURES / "cells.ilp"), ALL: str(every)}


def run_command(argv: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", MEASURED, *argv], capture_output=True, text=True, cwd=ROOT)


def run(command: str, argv: list[str], output: Path, source: str, what: str, asked: str) -> Row:
    """Run once and measure."""
    given = asked
    if asked == "least":
        done = run_command([*argv, "--memory", "1MB"])
        found = re.search(r"Give --memory (\S+) or more", done.stderr)
        given = found[1] if found else "2GiB"
    started = time.monotonic()
    done = run_command([*argv, "--memory", given, "-v"])
    seconds = time.monotonic() - started
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)} --memory {given}\n{done.stdout}{done.stderr}")
    planned = re.search(r"workers, ([\d.]+) (\wB) of", done.stderr)
    measured = re.search(r"^PEAK (\d+)", done.stdout, re.MULTILINE)
    assert measured is not None
    shutil.rmtree(output) if output.is_dir() else output.unlink()
    return Row(
        command,
        source,
        what,
        asked,
        parse_memory(given),
        parse_memory(f"{planned[1]}{planned[2]}") if planned else None,
        int(measured[1]),
        seconds,
    )


def classify(images: dict[str, str], folder: Path, budgets: tuple[str, ...]) -> Iterator[Row]:
    for what, project in projects(folder).items():
        for name in images if what == RECOMMENDED else MOST_OF_THEM:
            if name == "image.nii.gz":
                continue  # see the page
            for asked in budgets:
                output = folder / "p.ome.zarr"
                argv = ["classify", project, images[name], "-o", str(output), "--labels", "1", "--dtype", "uint8"]
                # the least budget leaves blocks of 16³, of which the halo is all but everything: few are enough
                region = (48, 64, 64) if asked == "least" else (SHAPE[0], 2 * TISSUE, 2 * TISSUE)
                roi = ",".join(f"{axis}=0:{n}" for axis, n in zip("zyx", region))
                argv += ["--roi", roi, "--workers", "2"]
                yield run("classify", argv, output, name, what, asked)


def cells(images: dict[str, str], folder: Path, budgets: tuple[str, ...]) -> Iterator[Row]:
    probability = folder / "probability.ome.zarr"
    project = str(FIXTURES / "cells.ilp")
    run_command(
        [
            *("classify", project, images["64.ome.zarr"], "-o", str(probability), "-q"),
            *("--labels", "1", "--dtype", "uint8"),
        ]
    )
    for name in MOST_OF_THEM:
        for what, more in {"plain": [], "split and contrast": ["--max-volume", "40", "--contrast"]}.items():
            for asked in budgets:
                output = folder / "cells.csv"
                argv = ["cells", str(probability), "--raw", images[name], "-o", str(output), "--workers", "2"]
                argv += ["--voxel-size", ",".join(map(str, SIZE)), *more]
                yield run("cells", argv, output, name, what, asked)


def convert(images: dict[str, str], folder: Path, budgets: tuple[str, ...]) -> Iterator[Row]:
    pairs = [(name, "to .ome.zarr with a pyramid") for name in images if name != "image.nii.gz"]
    pairs += [("64.ome.zarr", f"to {suffix}") for suffix in (".h5", ".tif", ".nii.gz", ".npy")]
    for name, what in pairs:
        suffix = what.split()[1]
        for asked in budgets:
            output = folder / f"converted{suffix}"
            argv = ["convert", images[name], str(output), "--workers", "2"]
            argv += ["--pyramid"] if "pyramid" in what else []
            yield run("convert", argv, output, name, what, asked)


COMMANDS = {"classify": classify, "cells": cells, "convert": convert}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(COMMANDS), help="commands to measure")
    parser.add_argument("--quick", action="store_true", help="the least budget only")
    parser.add_argument("--no-write", action="store_true", help="print only")
    options = parser.parse_args()
    chosen = options.only.split(",")
    started = time.monotonic()
    tables, rows = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = make_images(folder)
        for command in chosen:
            tables += [f"## {command}", "", "| image | | budget | planned | measured |", "|---|---|---|---|---|"]
            for row in COMMANDS[command](images, folder, BUDGETS[:1] if options.quick else BUDGETS):
                print(f"{row.command} {row.text} {row.seconds:.0f} s", flush=True)
                rows.append(row)
                tables.append(row.text)
            tables.append("")
    over = sum(row.measured > row.budget for row in rows)
    if chosen == list(COMMANDS) and not options.no_write:
        page = PAGE.format(
            minutes=(time.monotonic() - started) / 60,
            shape="×".join(map(str, SHAPE)),
            over=over,
            runs=len(rows),
            tables="\n".join(tables),
        )
        (ROOT / "docs" / "memory.md").write_text(page, encoding="utf-8")
    sys.exit(1 if over else 0)


if __name__ == "__main__":
    main()
