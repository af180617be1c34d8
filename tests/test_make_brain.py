"""scripts/make_brain.py: the same bytes whatever the workers, as much tissue as is asked for, and cells in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ecc_rf import CellFinder, PixelClassifier, open_volume
from tests.killing import ROOT, tree


def make(output: Path, *options: str) -> None:
    argv = [sys.executable, str(ROOT / "scripts" / "make_brain.py"), str(output), *options]
    subprocess.run(argv, check=True, capture_output=True, cwd=ROOT)


@pytest.fixture(scope="module")
def brain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("brain") / "b.ome.zarr"
    make(path, "--shape", "80,150,160", "--sample", "0.3", "--workers", "1")
    return path


def test_the_same_bytes(brain: Path, tmp_path: Path) -> None:
    make(tmp_path / "b.ome.zarr", "--shape", "80,150,160", "--sample", "0.3", "--workers", "3")
    assert tree(tmp_path / "b.ome.zarr") == tree(brain)


def test_tissue_and_cells(brain: Path, fixtures: Path) -> None:
    with open_volume(brain) as volume:
        image, size = volume.read(), volume.voxel_size
    assert size == (5.0, 2.0, 2.0)
    tissue = image != 100
    assert tissue.mean() == pytest.approx(0.3, abs=0.01)
    assert not tissue[0].any() and not tissue[:, 0].any() and not tissue[..., -1].any()
    probability = PixelClassifier.from_project(fixtures / "cells.ilp").predict(image, "zyx")[..., 0]
    cells = CellFinder().find(probability, image, voxel_size=size)
    # 70 cells are in the 368,640 voxels of the small brain, most of them bright enough
    assert 0.5 < len(cells) / (70 * tissue.sum() / 368_640) < 1.5
    inside = tissue[
        tuple(np.rint(cells[axis]).astype(int).to_numpy() // s for axis, s in (("Z", 5), ("Y", 2), ("X", 2)))
    ]
    assert inside.mean() > 0.9
