"""Runs of all kinds for the report, without running them: records, tables of cells, images."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from ecc_rf.cells import CellFinder
from ecc_rf.cells.table import COLUMNS
from ecc_rf.pipeline import RunSettings
from ecc_rf.record import versions
from ecc_rf.volumes.array import ArrayVolume


def make_record(shape: tuple[int, ...], axes: str = "zyx", *, known: bool = True, **changes: Any) -> dict[str, Any]:
    """What run.json would hold."""
    size = (5.0, 2.0, 2.0) if known else (1.0, 1.0, 1.0)
    image = {
        "path": "/data/mouse <1>/brain.h5/data",
        "shape": list(shape),
        "axes": axes,
        "dtype": "uint16",
        "voxel_size_um_zyx": list(size) if known else None,
    }
    record = {
        "started": "2025-01-02T03:04:05+00:00",
        "project": {
            "path": "/data/PV & more.ilp",
            "sha256": "0" * 64,
            "ilastik": "1.4.2",
            "label_names": ["cell", "false signal", "<b>background</b>"],
            "trees": 100,
        },
        "image": image,
        "voxel_size_um_zyx": list(size),
        "settings": {"cells": asdict(CellFinder()), "limits": {}, "run": asdict(RunSettings())},
        "normalization": None,
        "objects_model": None,
        "prediction": {"blocks": 4, "block_shape": [64] * 3, "halo": [14] * 3, "workers": 2, "unreadable": []},
        "training": {
            "images": 2,
            "labels": {"cell": 260, "false signal": 260, "<b>background</b>": 520},
            "voxels": 1040,
            "classes": [1, 2, 3],
            "features": [["GaussianSmoothing", 0.3], ["HessianOfGaussianEigenvalues", 1.6]],
            "marker": "cFos",
            "out_of_bag_error": 0.034,
        },
        "marker": "cFos",
        "masked_share": None,
        "cells": 0,
        "seconds": {"classify": 12.0, "cells": 3.0, "total": 16.0},
        "notes": [],
        "versions": versions(),
    }
    return record | changes


def make_cells(
    n: int, shape: tuple[int, int, int], record: dict[str, Any], *, probability: bool = True
) -> pd.DataFrame:
    """Cells at random places, the same at every call."""
    rng = np.random.default_rng(n)
    centre = rng.uniform(0, 1, (n, 3)) ** (1.0, 1.0, 1.6) * (np.array(shape) - 1)
    size = np.array(record["voxel_size_um_zyx"])
    voxels = np.maximum(3, rng.lognormal(3.5, 0.7, n)).astype(int)
    values: dict[str, Any] = dict(zip("zyx", centre.T))
    values |= dict(zip("ZYX", (centre * size).T))
    values |= {
        "voxels": voxels,
        "vol": voxels * float(size.prod()),
        "diameter_um": np.cbrt(6 / np.pi * voxels * float(size.prod())),
        "deltaI": rng.lognormal(5, 0.5, n),
        "BG": rng.normal(200, 5, n),
        "sbr": rng.lognormal(0.5, 0.2, n),
        "label": np.arange(1, n + 1),
        "peak_probability": rng.uniform(0.71, 1, n) if probability else np.full(n, np.nan),
        "mean_probability": rng.uniform(0.71, 0.9, n) if probability else np.full(n, np.nan),
        "pieces": np.ones(n, int),
        "touches_border": np.zeros(n, bool),
    }
    values["deltaI_total"] = values["deltaI"] * voxels
    for axis, extent in zip("zyx", shape):
        values[f"{axis}0"] = np.clip(np.rint(values[axis]) - 2, 0, extent - 1).astype(int)
        values[f"{axis}1"] = np.clip(np.rint(values[axis]) + 3, 1, extent).astype(int)
    return pd.DataFrame(values, columns=list(COLUMNS))


def make_image(cells: pd.DataFrame, shape: tuple[int, int, int], axes: str = "zyx") -> tuple[ArrayVolume, ArrayVolume]:
    """An image with a bright spot at each cell, and its probability in uint8."""
    raw = np.random.default_rng(0).normal(200, 20, shape)
    probability = np.zeros(shape, np.uint8)
    for row in cells.head(20_000).itertuples():
        box = (slice(row.z0, row.z1), slice(row.y0, row.y1), slice(row.x0, row.x1))
        raw[box] += row.deltaI
        probability[box] = 255
    flat = (shape[1], shape[2]) if axes == "yx" else shape
    voxels = raw.clip(0, 65535).astype(np.uint16).reshape(flat)
    return ArrayVolume("image", voxels, axes), ArrayVolume("probability", probability.reshape(flat), axes)
