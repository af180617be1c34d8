"""A probability volume of the fixtures' brain without a forest: what is brighter than its surroundings, cells and
streaks alike, and some noise. Quick to make, and with many false candidates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage

from ecc_rf import CellFinder, open_volume
from ecc_rf.evaluation import match
from ecc_rf.volumes import create_volume

VOXEL = (5.0, 2.0, 2.0)
FINDER = CellFinder(threshold=0.35, smoothing_um=1.62, contrast=True)


def write_probability(fixtures: Path, path: Path) -> Path:
    with open_volume(fixtures / "brain.h5") as volume:
        image = volume.read().astype(np.float32)
    light = ndimage.gaussian_filter(image, (0.4, 0.8, 0.8)) - ndimage.gaussian_filter(image, (3, 8, 8))
    noise = ndimage.gaussian_filter(np.random.default_rng(5).standard_normal(image.shape), (0.6, 1.4, 1.4))
    noise *= 0.13 / noise.std()  # some of it becomes candidates
    with create_volume(path, image.shape, np.uint8, "zyx", voxel_size=VOXEL, drange=(0, 255)) as volume:
        volume[()] = np.rint(255 * np.clip(light / 160 + noise, 0, 1)).astype(np.uint8)
    return path


def is_cell(table: pd.DataFrame, fixtures: Path) -> np.ndarray:
    """What a person would judge."""
    truth = pd.read_csv(fixtures / "truth.csv").to_numpy()
    return np.asarray(match(table[["z", "y", "x"]].to_numpy(float), truth, VOXEL) >= 0)
