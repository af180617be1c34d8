"""Small sections through a candidate: three planes at two zooms, and its outline.

A section is stored as an 8-bit PNG whose codes are the square root of the value's place between the smallest and the
largest value of the candidate's sections: the page can then show it with any contrast, and dim voxels keep their grades
though a bright one lies beside them.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.cells.inputs import Channel
from ecc_rf.preview.figure import edges
from ecc_rf.volumes.base import VoxelSize

PLANES = ("xy", "xz", "yz")
MOST_PIXELS = (64, 96)  # along an edge, near and far: 200 candidates then stay below 10 MB, whatever the voxels
_AXES = {"xy": (1, 2), "xz": (0, 2), "yz": (0, 1)}  # of zyx: down, across
_PERCENTILES = (1.0, 99.8)

Mask = tuple[NDArray[np.bool_], tuple[int, int, int]]
"""The voxels of a candidate in its bounding box, and where the box begins."""


@dataclass(frozen=True)
class Section:
    """One section.

    Attributes
    ----------
    values : ndarray of float32, shape (rows, columns)
        Raw values; means of several voxels where these are small.
    place : (left, top, width, height) in µm
        Of the section; the candidate's centre is 0, 0.
    lines : tuple of (left, top, right, bottom) in µm
        The outline, along the edges of voxels.
    """

    values: NDArray[np.float32]
    place: tuple[float, float, float, float]
    lines: tuple[tuple[float, float, float, float], ...]


def cut_sections(
    raw: Channel, centre: Sequence[float], voxel_size: VoxelSize, fields: Sequence[float], mask: Mask | None
) -> list[Section]:
    """The sections through a candidate: the planes at the first field, then at the second.

    Parameters
    ----------
    raw : Channel
    centre : (z, y, x) in voxels
    voxel_size : (z, y, x) in µm
    fields : sequence of float
        Width and height of what is seen, in µm; the volume may end before.
    mask : Mask, optional
        For the outline.
    """
    sections = []
    for field, most in zip(fields, MOST_PIXELS):
        for plane in PLANES:
            sections.append(_section(raw, centre, voxel_size, field, most, _AXES[plane], mask))
    return sections


def _section(
    raw: Channel,
    centre: Sequence[float],
    voxel_size: VoxelSize,
    field: float,
    most: int,
    axes: tuple[int, int],
    mask: Mask | None,
) -> Section:
    box = []
    for axis in range(3):
        middle = min(max(round(centre[axis]), 0), raw.shape[axis] - 1)
        reach = field / 2 / voxel_size[axis] if axis in axes else 0.0
        start = max(0, int(np.floor(centre[axis] - reach + 0.5))) if axis in axes else middle
        stop = min(raw.shape[axis], int(np.ceil(centre[axis] + reach + 0.5))) if axis in axes else middle + 1
        box.append(slice(start, max(stop, start + 1)))
    third = 3 - sum(axes)
    values = np.squeeze(raw[tuple(box)], third).astype(np.float32)
    steps = [-(-n // most) for n in values.shape]
    offset = [(box[axis].start - 0.5 - centre[axis]) * voxel_size[axis] for axis in axes]
    down, across = (voxel_size[axis] * step for axis, step in zip(axes, steps))
    values = _means(values, steps)
    place = (offset[1], offset[0], values.shape[1] * across, values.shape[0] * down)
    return Section(values, place, _outline(mask, box[third].start, centre, voxel_size, axes))


def _means(values: NDArray[np.float32], steps: Sequence[int]) -> NDArray[np.float32]:
    """Means of so many voxels down and across; the last ones repeat the edge."""
    for axis, step in enumerate(steps):
        if step > 1:
            padding = [(0, 0), (0, 0)]
            padding[axis] = (0, -values.shape[axis] % step)
            turned = np.moveaxis(np.pad(values, padding, mode="edge"), axis, 0)
            means = turned.reshape(-1, step, turned.shape[1]).mean(axis=1, dtype=np.float64)
            values = np.moveaxis(means, 0, axis).astype(np.float32)
    return values


def _outline(
    mask: Mask | None, at: int, centre: Sequence[float], voxel_size: VoxelSize, axes: tuple[int, int]
) -> tuple[tuple[float, float, float, float], ...]:
    if mask is None:
        return ()
    inside, start = mask
    third = 3 - sum(axes)
    if not 0 <= at - start[third] < inside.shape[third]:
        return ()
    segments = edges(np.take(inside, at - start[third], axis=third))
    across, down = (
        (segments[..., k] + start[axis] - 0.5 - centre[axis]) * voxel_size[axis] for k, axis in enumerate(axes[::-1])
    )
    return tuple(
        (float(a[0]), float(d[0]), float(a[1]), float(d[1])) for a, d in zip(np.round(across, 3), np.round(down, 3))
    )


def contrast_window(sections: Sequence[Section]) -> tuple[float, float]:
    """The values that are shown black and white: percentiles of the near sections."""
    near = np.concatenate([section.values.ravel() for section in sections])
    low, high = np.percentile(near, _PERCENTILES)
    return float(low), float(max(high, low + 1e-6))


def encode_sections(sections: Sequence[Section]) -> dict[str, Any]:
    """What the page needs of a candidate's sections, for JSON; values are rounded to 4 digits."""
    lowest = float(min(section.values.min() for section in sections))
    highest = float(max(section.values.max() for section in sections))
    spread = max(highest - lowest, 1e-6)
    return {
        "range": [_short(lowest), _short(lowest + spread)],
        "own": [_short(value) for value in contrast_window(sections[: len(PLANES)])],
        "sections": [
            {
                "png": _data_uri(np.rint(255 * np.sqrt((section.values - lowest) / spread)).astype(np.uint8)),
                "place": [round(value, 3) for value in section.place],
                # near and far show the same outline: it is kept once
                "lines": [value for line in section.lines for value in line] if k < len(PLANES) else None,
            }
            for k, section in enumerate(sections)
        ],
    }


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def _data_uri(codes: NDArray[np.uint8]) -> str:
    import imagecodecs

    png = imagecodecs.png_encode(np.ascontiguousarray(codes), level=9)
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


Outlines = Callable[[int], Mask | None]
"""The mask of a candidate by its row."""
