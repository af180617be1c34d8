"""Real brains: the cells of the original ecc from ilastik's own probabilities, each once."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import h5py
import numpy as np
import pandas as pd
import pytest

from ecc_rf.cells import CellFinder, write_cells

NAMES = ["1008_4", "1147_3", "1147_6", "753_6"]
VOXEL = (6.0, 1.62, 1.62)


def votes(cfos: Path, name: str) -> np.ndarray:
    """ilastik's probability of label 1 as it exports it: float32, a hundredth for each of the 100 trees' votes."""
    return np.load(cfos / "golden" / f"{name}.npz")["votes"][..., 0].astype(np.float32) / np.float32(100)


def scorer(cfos: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("score", cfos / "score.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float32", "uint8", "uint16"])
def test_cells_are_the_originals_each_once(cfos: Path, tmp_path: Path, name: str, dtype: str) -> None:
    probability = votes(cfos, name)
    if dtype != "float32":
        probability = np.rint(probability * np.float32(np.iinfo(dtype).max)).astype(dtype)
    raw = cfos / "patches" / f"{name}.h5"
    cells = CellFinder(threshold=0.7, min_volume=2, intensity="mean").find(probability, raw, voxel_size=VOXEL)
    write_cells(cells, tmp_path / "cells.csv")
    ours = pd.read_csv(tmp_path / "cells.csv")
    original = pd.read_csv(cfos / "cells_ecc" / f"{name}_maxnone.csv").drop_duplicates()

    for table in (ours, original):
        for axis, size in zip("ZYX", VOXEL):
            table[f"voxel_{axis}"] = np.rint(table[axis] / size).astype(int)
    place = ["voxel_Z", "voxel_Y", "voxel_X"]
    both = ours.merge(original, on=place, how="outer", suffixes=("", "_original"), indicator=True, validate="1:1")
    assert (both["_merge"] == "both").all()
    for column in ("deltaI", "BG", "vol", "deltaI_total"):
        # the original writes two decimals
        np.testing.assert_allclose(both[column], both[f"{column}_original"], rtol=0, atol=0.0051, err_msg=column)


def test_score_is_no_worse_than_the_originals(cfos: Path) -> None:
    """The original reaches F1 0.454 at these settings on these patches."""
    score = scorer(cfos)
    scores = []
    for name in NAMES:
        cells = CellFinder(threshold=0.7, min_volume=2).find(votes(cfos, name), voxel_size=VOXEL)
        with h5py.File(cfos / "truth" / f"{name}.h5") as file:
            scores.append(score.score(cells[["z", "y", "x"]].to_numpy(), file["data"][()]))
    assert score.pool(scores)["f1"] >= 0.454


def test_blocks_and_workers_do_not_matter_on_a_real_brain(cfos: Path, tmp_path: Path) -> None:
    folder = cfos / "volume_256"
    tables = []
    for i, (block, workers) in enumerate([(None, 1), ((256, 256, 256), 1), ((40, 50, 60), 2)]):
        cells = CellFinder().find(
            folder / "label1_ilastik_u8.h5",
            folder / "image.h5",
            voxel_size=VOXEL,
            block_shape=block,
            workers=workers,
        )
        write_cells(cells, tmp_path / f"{i}.csv")
        tables.append((tmp_path / f"{i}.csv").read_bytes())
    assert tables[0] == tables[1] == tables[2]
    assert len(tables[0].splitlines()) > 8000
