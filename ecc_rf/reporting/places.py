"""Which places of an image a report shows: by rule, so that a repeated run shows the same.

The image is divided into cubes of `CUBE_UM` and the cells in each are counted. The rules are told on the page, and in
docs/report.md. Ties go to the place that comes first (z, then y, then x).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.reporting.scene import Scene, show

if TYPE_CHECKING:
    import pandas as pd

CUBE_UM = 150.0  # some cells wide
CUBE_VOXELS = 64.0  # where the voxel size is not known


@dataclass(frozen=True)
class Place:
    """A place worth looking at: a title, the rule that chose it, a voxel ``z, y, x``."""

    title: str
    rule: str
    voxel: tuple[int, int, int]


def places(cells: pd.DataFrame, scene: Scene) -> list[Place]:
    """A dense, a typical and doubtful places; each voxel once."""
    if cells.empty:
        return []
    points = cells[["z", "y", "x"]].to_numpy(float)
    edge = CUBE_UM if scene.known else CUBE_VOXELS
    z, y, x = np.floor(points.T * np.array(scene.voxel_size)[:, np.newaxis] / edge).astype(np.int64)
    number = (z * (y.max() + 1) + y) * (x.max() + 1) + x  # of each cell's cube, in raster order
    _, membership, counts = np.unique(number, return_inverse=True, return_counts=True)
    size = f"{edge:g} {'µm' if scene.known else 'voxels'}"
    dense = int(np.argmax(counts))
    middle = int(np.sort(counts)[(len(counts) - 1) // 2])
    typical = int(np.flatnonzero(counts == middle)[0])
    chosen = [
        Place(
            "The densest place",
            f"of the cubes of {size}, the one with most cells: {counts[dense]}",
            _centre_of(points, membership == dense),
        ),
        Place(
            "A typical place",
            f"of the cubes of {size} in which there are cells, the first with the median number: {middle}",
            _centre_of(points, membership == typical),
        ),
    ]
    chosen += _doubtful(cells, points, membership, size)
    if cells["voxels"].nunique() > 1:
        largest = int(np.argmax(cells["voxels"].to_numpy()))
        chosen.append(
            Place(
                "The largest cell",
                f"that of most voxels, {cells['voxels'].iloc[largest]}: is it one cell?",
                _voxel(points[largest]),
            )
        )
    return list({place.voxel: place for place in reversed(chosen)}.values())[::-1]


def _doubtful(cells: pd.DataFrame, points: NDArray[Any], membership: NDArray[Any], size: str) -> list[Place]:
    """Where cells are nearest to the threshold; where no probability is known, the smallest."""
    peak = cells["peak_probability"].to_numpy(float)
    if np.isnan(peak).any():
        smallest = int(np.argmin(cells["voxels"].to_numpy()))
        return [
            Place(
                "The smallest cell",
                f"that of fewest voxels, {cells['voxels'].iloc[smallest]} (no probability is known)",
                _voxel(points[smallest]),
            )
        ]
    least = int(np.argmin(peak))
    found = [
        Place(
            "The least certain cell",
            f"that of the smallest largest probability, {show(float(peak[least]))}",
            _voxel(points[least]),
        )
    ]
    limit = float(np.percentile(peak, 10))
    number = np.bincount(membership, weights=peak <= limit, minlength=membership.max() + 1)
    worst = int(np.argmax(number))
    inside = (membership == worst) & (peak <= limit)
    if number[worst] > 1:
        found.append(
            Place(
                "A doubtful neighbourhood",
                f"of the cubes of {size}, the one with most cells of the least certain tenth: {int(number[worst])}"
                f" with a largest probability of at most {show(limit)}",
                _centre_of(points, inside),
            )
        )
    return found


def _centre_of(points: NDArray[Any], chosen: NDArray[Any]) -> tuple[int, int, int]:
    """The chosen cell that is nearest to the mean of all chosen ones."""
    own = points[chosen]
    return _voxel(own[np.argmin(((own - own.mean(axis=0)) ** 2).sum(axis=1))])


def _voxel(point: NDArray[Any]) -> tuple[int, int, int]:
    z, y, x = (int(v) for v in np.rint(point))
    return z, y, x
