"""The slow, obvious search for cells: the whole volume at once, scipy and numpy, one cell after the other."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import ndimage

from ecc_rf.cells import COLUMNS


def structure(connectivity: int) -> np.ndarray:
    return ndimage.generate_binary_structure(3, {6: 1, 18: 2, 26: 3}[connectivity])


def reference_cells(
    foreground: np.ndarray,
    probability: np.ndarray,
    raw: np.ndarray,
    *,
    voxel_size: tuple[float, float, float],
    mode: str = "max",
    connectivity: int = 6,
    min_volume: int = 2,
    labels: np.ndarray | None = None,
) -> pd.DataFrame:
    """Columns of the table that can be had simply; `probability` in 0..1; `labels` instead of components."""
    if labels is None:
        labels, count = ndimage.label(foreground, structure(connectivity))
    else:
        count = int(labels.max())
    rows = []
    for number, box in enumerate(ndimage.find_objects(labels, count), start=1):
        if box is None:
            continue
        where = np.argwhere(labels[box] == number) + [s.start for s in box]
        if len(where) <= min_volume:
            continue
        inside = tuple(where.T)
        centre = where.mean(axis=0)
        voxel = np.rint(where.sum(axis=0) / len(where)).astype(int)
        cubes = []
        for radius in (4, 1):
            start, stop = np.maximum(voxel - radius, 0), np.minimum(voxel + radius + 1, labels.shape)
            cubes.append(raw[tuple(map(slice, start, stop))].astype(float))
        background = np.percentile(cubes[0], 5)
        signal = {"mean": raw[inside].astype(float).mean(), "max": cubes[1].max(), "local": cubes[1].mean()}[mode]
        above = max(0.0, signal - background)
        volume = len(where) * np.prod(voxel_size)
        low, high = where.min(axis=0), where.max(axis=0) + 1
        rows.append(
            {
                **dict(zip("ZYX", centre * voxel_size)),
                "deltaI": above,
                "BG": background,
                "vol": volume,
                "deltaI_total": above * len(where),
                **dict(zip("zyx", centre)),
                "voxels": len(where),
                "peak_probability": probability[inside].max(),
                "mean_probability": probability[inside].mean(dtype=float),
                "diameter_um": 2 * (volume / (4 / 3 * np.pi)) ** (1 / 3),
                **{f"{a}0": v for a, v in zip("zyx", low)},
                **{f"{a}1": v for a, v in zip("zyx", high)},
                "sbr": signal / background if background else np.inf,
                "touches_border": bool((low == 0).any() or (high == labels.shape).any()),
                "first": np.ravel_multi_index(where[0], labels.shape),
            }
        )
    columns = [name for name in COLUMNS if name not in ("label", "pieces")]
    table = pd.DataFrame(rows, columns=[*columns, "first"]).sort_values("first", ignore_index=True)
    return table[columns]
