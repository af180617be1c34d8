"""Projects with one image and random labels, for what goes to ITK-SNAP and comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ecc_rf.features import FeatureSelection
from ecc_rf.ilp import IlastikProject, LaneLabels, NewLane, write_project
from ecc_rf.volumes import create_volume, internal_axes

EXTENTS = {"t": 1, "z": 9, "y": 11, "x": 13, "c": 1}
SIZE = (6.0, 1.62, 1.5)
NAMES = ["cell", "false signal", "background"]


def make_project(
    folder: Path,
    axes: str = "zyx",
    *,
    voxel_size: tuple[float, float, float] | None = SIZE,
    image: str = "image.h5/data",
    dtype: str = "u2",
    n_labels: int = 60,
    names: list[str] | None = None,
    **extents: int,
) -> IlastikProject:
    """A project of one lane; extents other than EXTENTS are given by axis letter."""
    rng = np.random.default_rng(3)
    sizes = {**EXTENTS, **extents}
    shape = tuple(sizes[axis] for axis in axes)
    voxels = rng.integers(0, 60000, shape).astype(dtype)
    with create_volume(folder / image, shape, dtype, axes, voxel_size=voxel_size) as volume:
        volume[()] = voxels
    internal = internal_axes(axes, shape)
    limits = [1 if axis == "c" else sizes[axis] for axis in internal]
    coords = np.stack([rng.integers(0, limit, n_labels) for limit in limits], axis=1)
    labels = LaneLabels.from_voxels(internal, coords, rng.integers(1, 4, n_labels))
    lane = NewLane(folder / image, axes, shape, labels)
    write_project(folder / "p.ilp", [lane], FeatureSelection.recommended(), names or NAMES)
    return IlastikProject.open(folder / "p.ilp")


def dense(labels: LaneLabels, shape_tzyx: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Labels as an array t, z, y, x: the slow and obvious way to compare them."""
    array = np.zeros(shape_tzyx, np.uint8)
    for voxel, value in zip(labels.coords.tolist(), labels.values.tolist()):
        at = dict(zip(labels.axes, voxel))
        array[tuple(at.get(axis, 0) for axis in "tzyx")] = value
    return array


def same(one: LaneLabels, other: LaneLabels) -> bool:
    return (
        one.axes == other.axes and np.array_equal(one.coords, other.coords) and np.array_equal(one.values, other.values)
    )
