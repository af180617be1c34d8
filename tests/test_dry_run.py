"""--dry-run: everything is checked and told, nothing is written."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from ecc_rf.blocks import Block, Grid
from ecc_rf.cli import main
from ecc_rf.forecast import probe as probing
from ecc_rf.forecast.probe import Done, probe
from ecc_rf.volumes import create_volume, open_volume
from tests.killing import tree

SIZE = ["--voxel-size", "5,2,2"]


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "SECONDS", 0.3)
    monkeypatch.setattr(probing, "_LOOKING", 60.0)  # all blocks are looked at, however slow the machine


@pytest.fixture(scope="module")
def probability(fixtures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("p") / "probability.ome.zarr"
    argv = ["classify", str(fixtures / "cells.ilp"), str(fixtures / "brain.h5"), "-o", str(path), "-q"]
    assert main([*argv, "--labels", "1", "--dtype", "uint8", *SIZE]) == 0
    return path


def argv_of(command: str, fixtures: Path, probability: Path, folder: Path) -> list[str]:
    project, brain = str(fixtures / "cells.ilp"), str(fixtures / "brain.h5")
    return {
        "classify": ["classify", project, brain, "-o", f"{folder}/p.ome.zarr", "--labels", "1", "--dtype", "uint8"],
        "run": ["run", project, brain, "-o", f"{folder}/result", *SIZE],
        "cells": ["cells", str(probability), "--raw", brain, "-o", f"{folder}/cells.csv"],
        "convert": ["convert", brain, f"{folder}/c.ome.zarr", "--pyramid"],
    }[command]


@pytest.mark.parametrize("command", ["classify", "run", "cells", "convert"])
def test_told_and_nothing_left(
    command: str, fixtures: Path, probability: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(probability)
    assert main([*argv_of(command, fixtures, probability, tmp_path), "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "voxels in" in shown and "memory:" in shown and "dry run: nothing was written" in shown
    assert re.search(r"rate: [\d.]+ Mvoxel/s in tissue, 100 % of the blocks", shown)
    assert re.search(r"time: about 0:00:\d\d", shown)
    assert list(tmp_path.iterdir()) == []
    assert tree(probability) == before
    if command in ("run", "cells"):
        found = re.search(r"cells: about (\d+)", shown)
        assert found is not None and 20 <= int(found[1]) <= 200  # the fixture has some 60
    if command == "classify":
        assert "uint8, chunks of 40×64×64×1, 6 files" in shown and "at most 368.6 kB" in shown


def test_the_plan_is_the_runs(
    fixtures: Path,
    probability: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Files, sizes and memory that are told are those that the run then has."""
    monkeypatch.setattr(probing, "SECONDS", 60.0)  # all blocks are done
    for command, output in (("classify", "p.ome.zarr"), ("convert", "c.ome.zarr")):
        argv = argv_of(command, fixtures, probability, tmp_path)
        assert main([*argv, "--dry-run"]) == 0
        told = capsys.readouterr().out
        assert main([*argv, "-v"]) == 0
        plan = capsys.readouterr().err
        memory = re.search(r"memory: ([\d.]+ .B) of", told)
        assert memory is not None and f"{memory[1]} of" in plan
        files = re.search(r"([\d,]+) files", told)
        assert files is not None and int(files[1]) == len(tree(tmp_path / output))
        most, likely = re.search(r"at most ([\d.]+) kB", told), re.search(r"about ([\d.]+) kB", told)
        assert most is not None and likely is not None
        stored = sum(map(len, tree(tmp_path / output).values())) / 1e3
        # every block was probed: what differs are the metadata, and the coarser levels, which are taken for as smooth
        assert stored <= float(most[1])
        assert abs(stored - float(likely[1])) < 0.25 * stored


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (["--memory", "1MB"], "Give --memory"),
        (["--labels", "9"], "label"),
        (["--mask", "nowhere.h5"], "no such file"),
        (["--part", "1/99"], "at most"),
        (["--roi", "z=0:99"], "not inside"),
    ],
)
def test_what_is_wrong_is_found(
    fixtures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: list[str], reason: str
) -> None:
    argv = argv_of("classify", fixtures, tmp_path, tmp_path)
    assert main([*argv, *change, "--dry-run"]) == 2
    assert reason in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_is_there_is_refused(fixtures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command, name in (("classify", "p.ome.zarr"), ("convert", "c.ome.zarr"), ("cells", "cells.csv")):
        (tmp_path / name).mkdir()
        argv = argv_of(command, fixtures, fixtures / "brain.h5", tmp_path)
        assert main([*argv, "--dry-run"]) == 2
        assert "--overwrite" in capsys.readouterr().err
    (tmp_path / "result").mkdir()
    (tmp_path / "result" / "cells.csv").touch()
    assert main([*argv_of("run", fixtures, tmp_path, tmp_path), "--dry-run"]) == 2
    assert "holds results already" in capsys.readouterr().err


def test_an_unfinished_run_stays_and_is_told(
    fixtures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = [*argv_of("classify", fixtures, tmp_path, tmp_path), "--block", "16,32,32"]
    assert main([*argv, "--part", "1/3"]) == 0
    before = tree(tmp_path)
    capsys.readouterr()
    assert main([*argv, "--dry-run"]) == 0
    assert "an unfinished run of these settings lies there: 9 blocks are done" in capsys.readouterr().out
    assert main([*argv, "--dtype", "uint16", "--dry-run"]) == 2
    assert "export.dtype was" in capsys.readouterr().err
    assert tree(tmp_path) == before


def test_background_is_told_apart(fixtures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The rate is that of tissue, whatever share of the blocks is empty."""
    with open_volume(fixtures / "brain.h5") as volume:
        brain = volume.read()
    image = np.full((128, 384, 384), 100, brain.dtype)
    image[:40, :96, :96] = brain
    with create_volume(tmp_path / "in.ome.zarr", image.shape, image.dtype, "zyx", chunks=(64,) * 3) as volume:
        volume[()] = image
    argv = ["classify", str(fixtures / "cells.ilp"), str(tmp_path / "in.ome.zarr"), "-o", f"{tmp_path}/p.ome.zarr"]
    assert main([*argv, "--block", "64", "--labels", "1", "--dtype", "uint8", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    # 2 × 6 × 6 blocks; the brain and what sees it through the halo of 14 are 2 × 2 of the first layer
    found = re.search(r"probe: 72 blocks looked at, (\d+) of one value", shown)
    assert found is not None and int(found[1]) == 68
    assert "6 % of the blocks" in shown
    shutil.rmtree(tmp_path / "in.ome.zarr")
    assert list(tmp_path.iterdir()) == []


def test_time_is_that_of_tissue_and_of_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(probing.time, "perf_counter", lambda: clock[0])

    def work(block: Block) -> Done:
        clock[0] += 0.01 if block.index % 4 else 1.0
        return Done(block.voxels, 1000, 500 if block.index % 4 == 0 else 10)

    found = probe(Grid((400,), (1,)), lambda block: "constant" if block.index % 4 else "tissue", work, 1, seconds=20)
    assert (found.looked_at, found.constant, found.computed) == (400, 300, 20)
    assert found.rate == pytest.approx(1) and found.constant_rate == pytest.approx(100)
    assert found.time(400) == pytest.approx(100 * 1.0 + 300 * 0.01)
    assert found.stored == pytest.approx(0.25 * 0.5 + 0.75 * 0.01)
