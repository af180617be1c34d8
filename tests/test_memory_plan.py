"""--memory: what is planned fits, a budget that is asked for does, and what is measured stays within it.

`benchmarks/memory.py` measures many more.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from ecc_rf import PixelClassifier, open_volume
from ecc_rf.blocks import parse_memory
from ecc_rf.cli import main
from ecc_rf.forecast import probe as probing
from ecc_rf.order import OpenOrder, Order
from ecc_rf.ordering import make_order
from tests.killing import ROOT

SHAPE = (48, 300, 400)


@pytest.fixture(scope="module")
def image(fixtures: Path) -> np.ndarray:
    with open_volume(fixtures / "brain.h5") as volume:
        brain = volume.read()
    found = np.full(SHAPE, 100, np.uint16)
    found[:40, :96, :192] = np.tile(brain, (1, 1, 2))
    return found


@pytest.fixture(scope="module")
def planes(image: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compressed planes, whose decoded strips are kept."""
    folder = tmp_path_factory.mktemp("planes")
    for number, plane in enumerate(image):
        tifffile.imwrite(folder / f"z{number:03}.tif", plane, compression="zlib", rowsperstrip=10)
    return folder


@pytest.mark.parametrize("command", ["classify", "convert"])
@pytest.mark.parametrize("more", [[], ["--roi", "z=4:30,y=40:100,x=40:100"], ["--workers", "7"]], ids=str)
def test_what_is_asked_for_does(
    command: str,
    more: list[str],
    fixtures: Path,
    planes: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(probing, "SECONDS", 0.0)
    monkeypatch.setattr(probing, "_LOOKING", 0.0)
    if command == "classify":
        argv = ["classify", str(fixtures / "cells.ilp"), str(planes), "-o", f"{tmp_path}/p.ome.zarr", "--labels", "1"]
    else:
        argv = ["convert", str(planes), f"{tmp_path}/c.ome.zarr", "--pyramid"]
    workers = more[1] if "--workers" in more else "2"
    argv += ["--workers", workers, *more, "--dry-run"]
    assert main([*argv, "--memory", "1MB"]) == 2
    asked = re.search(r"Give --memory (\d+)MB", capsys.readouterr().err)
    assert asked is not None
    assert main([*argv, "--memory", f"{asked[1]}MB"]) == 0
    told = re.search(r"(\d+) workers\n  memory: ([\d.]+ MB) of", capsys.readouterr().out)
    assert told is not None and told[1] == workers
    assert parse_memory(told[2]) <= int(asked[1]) * 1e6
    assert main([*argv, "--memory", f"{int(asked[1]) - 2}MB"]) == 2


def order(fixtures: Path, planes: Path, output: Path) -> Order:
    classifier = PixelClassifier.from_project(fixtures / "cells.ilp")
    return make_order(classifier, planes, output, labels=[1], dtype="uint8")


def test_strips_are_kept_as_the_budget_allows(fixtures: Path, planes: Path, tmp_path: Path) -> None:
    """All that a row of blocks reads twice if there is room, and never more than is left."""
    kept = []
    for budget in (2**31, 400 * 10**6, 370 * 10**6):
        with OpenOrder(order(fixtures, planes, tmp_path / "p.ome.zarr")) as opened:
            layout = opened.layout(budget, 2)
            opened.settle(layout["block_shape"], layout["volume"])
            fit = opened.fit(budget, 2)
            assert opened.image.cache is not None
            assert fit.workers == 2 and fit.need <= budget
            assert opened.order.cache == opened.image.cache.limit
            kept.append(opened.order.cache)
    assert kept[0] >= kept[1] >= kept[2]
    # a block of 128 rows with 14 around it and strips of 70: three bands of all 48 planes, and one more
    assert kept[0] == 48 * min(300, 3 * 70 + 70) * 400 * 2


def test_processes_count_with_their_own_share(fixtures: Path, planes: Path, tmp_path: Path) -> None:
    with OpenOrder(order(fixtures, planes, tmp_path / "p.ome.zarr")) as opened:
        layout = opened.layout(2**31, 4)
        opened.settle(layout["block_shape"], layout["volume"])
        threads, processes = opened.fit(2**31, 4), opened.fit(2**31, 4, processes=True)
        assert processes.need > threads.need + 3 * 256 * 2**20
        assert opened.fit(900 * 10**6, 4, processes=True).workers < 4


MEASURED = """
import sys
from pathlib import Path
from ecc_rf.cli import main
status = main(sys.argv[1:])
print([line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")][0])
sys.exit(status)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from /proc")
def test_the_peak_stays_within(fixtures: Path, planes: Path, tmp_path: Path) -> None:
    argv = ["classify", str(fixtures / "cells.ilp"), str(planes), "-o", f"{tmp_path}/p.ome.zarr", "--labels", "1"]
    argv += ["--workers", "2", "--memory", "380MB", "-q"]
    done = subprocess.run([sys.executable, "-c", MEASURED, *argv], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    peak = re.search(r"VmHWM:\s*(\d+) kB", done.stdout)
    assert peak is not None and 1024 * int(peak[1]) <= 380e6
