"""Make data/fixtures: a small brain-like volume and a trained ilastik project for it, from a seed.

    python scripts/make_fixtures.py [FOLDER]

The volume has bright round cells of varying brightness, an uneven background, and bright streaks (vessels, fibres)
that are no cells. Strokes for the three labels lie in its left half only, so that the right half is new to the forest.

brain.h5    dataset `data`, uint16, zyx, voxels of 5 x 2 x 2 µm
cells.ilp   labels cell, false signal, background; the recommended features; a forest of 100 trees
truth.csv   centres of the true cells, z, y, x in voxels
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from scipy import ndimage
from sklearn.ensemble import RandomForestClassifier

from ecc_rf.features import FeatureSelection, compute_features
from ecc_rf.forest import RandomForest
from ecc_rf.ilp.labels import LabelBlock, LaneLabels
from ecc_rf.ilp.writing import NewLane, write_project
from ecc_rf.volumes import create_volume

SEED = 20
SHAPE = (40, 96, 96)
VOXEL_SIZE = (5.0, 2.0, 2.0)
N_CELLS = 70
N_STREAKS = 7
TREES = 100
STROKE_VOXELS = 260  # of each label


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(SEED)
    centres = scatter_cells(rng)
    cells = draw_cells(rng, centres)
    streaks = draw_streaks(rng)
    background = 180 + 60 * ndimage.gaussian_filter(rng.standard_normal(SHAPE), (6, 15, 15)) * 40
    background += np.linspace(0, 120, SHAPE[2])
    light = background + cells + streaks
    image = np.clip(light + rng.standard_normal(SHAPE) * 6, 0, 65535).astype(np.uint16)
    labels = draw_strokes(rng, cells, streaks)

    with create_volume(
        folder / "brain.h5/data", SHAPE, np.uint16, "zyx", chunks=(20, 48, 48), voxel_size=VOXEL_SIZE, overwrite=True
    ) as volume:
        volume[:, :, :] = image
    lines = ["z,y,x", *(f"{z:.2f},{y:.2f},{x:.2f}" for z, y, x in centres)]
    (folder / "truth.csv").write_text("\n".join(lines) + "\n")

    selection = FeatureSelection.recommended()
    forest, names = train(selection, image, labels)
    strokes = LaneLabels.from_blocks("zyxc", [LabelBlock((0, 0, 0, 0), labels[..., np.newaxis])])
    write_project(
        folder / "cells.ilp",
        [NewLane(folder / "brain.h5/data", "zyx", SHAPE, strokes)],
        selection,
        ["cell", "false signal", "background"],
        forest=forest,
        feature_names=names,
        overwrite=True,
    )


def scatter_cells(rng: np.random.Generator) -> np.ndarray:
    """Centres at least 22 µm apart and 2 voxels inside the volume."""
    size = np.array(VOXEL_SIZE)
    centres: list[np.ndarray] = []
    while len(centres) < N_CELLS:
        point = rng.uniform(2, np.array(SHAPE) - 3)
        if all(np.linalg.norm((point - other) * size) > 22 for other in centres):
            centres.append(point)
    return np.array(sorted(centres, key=tuple))


def draw_cells(rng: np.random.Generator, centres: np.ndarray) -> np.ndarray:
    """Gaussian blobs of about 9 µm width."""
    grid = np.indices(SHAPE).transpose(1, 2, 3, 0) * np.array(VOXEL_SIZE)
    cells = np.zeros(SHAPE)
    for centre in centres:
        distance = ((grid - centre * np.array(VOXEL_SIZE)) ** 2).sum(axis=-1)
        cells += rng.uniform(250, 700) * np.exp(-distance / (2 * rng.uniform(3.4, 4.4) ** 2))
    return cells


def draw_streaks(rng: np.random.Generator) -> np.ndarray:
    """Bright thin lines, about as bright as cells."""
    streaks = np.zeros(SHAPE)
    for _ in range(N_STREAKS):
        start, direction = rng.uniform(0, 1, 3) * SHAPE, rng.standard_normal(3) * (0.3, 1, 1)
        direction /= np.linalg.norm(direction)
        for step in np.arange(-140, 140, 0.25):
            at = np.rint(start + step * direction).astype(int)
            if ((at >= 0) & (at < SHAPE)).all():
                streaks[tuple(at)] = 1
    soft = ndimage.gaussian_filter(streaks, (0.5, 0.9, 0.9))
    return 420 * soft / soft.max()


def draw_strokes(rng: np.random.Generator, cells: np.ndarray, streaks: np.ndarray) -> np.ndarray:
    """Annotated voxels, 0 where there are none; the left half of x only."""
    labels = np.zeros(SHAPE, np.uint8)
    left = np.zeros(SHAPE, bool)
    left[:, :, : SHAPE[2] // 2] = True
    dark = ndimage.gaussian_filter(cells + streaks, 2) < 25
    for value, where in ((1, (cells > 120) & (streaks < 40)), (2, (streaks > 120) & (cells < 30)), (3, dark)):
        voxels = np.flatnonzero(where & left)
        labels.ravel()[rng.choice(voxels, min(STROKE_VOXELS, voxels.size), replace=False)] = value
    return labels


def train(selection: FeatureSelection, image: np.ndarray, labels: np.ndarray) -> tuple[RandomForest, tuple[str, ...]]:
    """A forest as ilastik grows one, from the annotated voxels."""
    plan = selection.plan(SHAPE, 1)
    features = compute_features(image[np.newaxis], plan)
    at = labels > 0
    rows, values = features[:, at].T, labels[at]
    classifier = RandomForestClassifier(TREES, max_features=int(np.sqrt(plan.n_features) + 0.5), random_state=SEED)
    classifier.fit(rows, values)
    return RandomForest.from_sklearn(classifier, plan.n_features, n_forests=8), plan.names


if __name__ == "__main__":
    default = Path(__file__).resolve().parents[1] / "data" / "fixtures"
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else default)
