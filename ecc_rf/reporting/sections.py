"""Sections of the image through chosen places: as it is, and with what was found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.cells.inputs import Channel
from ecc_rf.reporting.drawing import ORANGE, PANEL, SKY, Figure, drawing, scale_bar
from ecc_rf.reporting.maps import contrast
from ecc_rf.reporting.places import Place
from ecc_rf.reporting.scene import Scene

if TYPE_CHECKING:
    import pandas as pd

WINDOW_UM = 220.0  # edge of a section: a few tens of cells
WINDOW_VOXELS = 128.0  # where the voxel size is not known
LARGEST_WINDOW = 512  # voxels: a section is looked at on a screen
LOWER = 0.2  # by how much the second, dashed outline is below the threshold


def section(
    place: Place,
    scene: Scene,
    cells: pd.DataFrame,
    *,
    raw: Channel | None,
    probability: Channel | None,
    levels: tuple[float, float | None],
) -> list[Figure]:
    """The plane through a place: the image, and the image with outlines and cells.

    Parameters
    ----------
    place : Place
    scene : Scene
    cells : DataFrame
    raw, probability : Channel, optional
        What is not there is left out.
    levels : (float, float or None)
        The threshold in the stored probability's own units, and the lower one of the dashed outline.
    """
    z, y, x = place.voxel
    _, height, width = scene.shape
    edge = WINDOW_UM if scene.known else WINDOW_VOXELS
    half_y, half_x = (max(1, int(min(edge / size, LARGEST_WINDOW) / 2)) for size in scene.voxel_size[1:])
    rows, columns = _window(y, half_y, height), _window(x, half_x, width)
    box = (slice(z, z + 1), rows, columns)
    plane = None if raw is None else raw[box][0].astype(float)
    values = None if probability is None else probability[box][0]
    inside = cells.y.between(rows.start, rows.stop) & cells.x.between(columns.start, columns.stop)
    near = cells[(cells.z0 <= z) & (z < cells.z1) & inside]
    where = f"Z {z * scene.voxel_size[0]:.0f}, Y {y * scene.voxel_size[1]:.0f}, X {x * scene.voxel_size[2]:.0f}"
    where += f" µm (voxel {z}, {y}, {x})" if scene.known else " voxels"
    named = f"{place.title} at {where}"
    figures = []
    if plane is not None:
        figure = Figure(f"{named}: the image alone.", f"{where}.")
        _draw(figure, plane, scene, rows, columns)
        figures.append(figure)
    figure = Figure(
        f"{named}: the image with outlines of what lies above the threshold, and {len(near)} cells.",
        f"{len(near)} cell{'' if len(near) == 1 else 's'} cross{'es' if len(near) == 1 else ''} this section.",
    )
    _draw(figure, plane, scene, rows, columns, values=values, levels=levels, near=near, at=(y, x))
    return [*figures, figure]


def _draw(
    figure: Figure,
    plane: NDArray[Any] | None,
    scene: Scene,
    rows: slice,
    columns: slice,
    *,
    values: NDArray[Any] | None = None,
    levels: tuple[float, float | None] = (0.0, None),
    near: pd.DataFrame | None = None,
    at: tuple[int, int] | None = None,
) -> None:
    _, dy, dx = scene.voxel_size
    # as in the table, 0 µm is the centre of the first voxel
    extent = tuple(
        (edge - 0.5) * size
        for edge, size in ((columns.start, dx), (columns.stop, dx), (rows.stop, dy), (rows.start, dy))
    )
    margins = (0.85, 0.55, 0.2, 0.1)
    inner = (PANEL - margins[0] - margins[2]) * (extent[2] - extent[3]) / (extent[1] - extent[0])
    inches = min(max(inner, 0.5), 1.6 * PANEL) + margins[1] + margins[3]
    with drawing(figure, PANEL, inches, vector=False, margins=margins) as (_, axes):
        axes.set_facecolor("#20242c")
        axes.set_aspect("equal")
        if plane is not None:
            low, high = contrast(plane)
            axes.imshow(plane, cmap="gray", vmin=low, vmax=high, extent=extent, interpolation="nearest")
        if values is not None and min(values.shape) > 1:
            xs, ys = np.arange(columns.start, columns.stop) * dx, np.arange(rows.start, rows.stop) * dy
            for level, style in ((levels[1], "dashed"), (levels[0], "solid")):
                if level is not None and (values > level).any() and not (values > level).all():
                    axes.contour(xs, ys, values > level, levels=[0.5], colors=ORANGE, linewidths=1.1, linestyles=style)
        if near is not None:
            axes.plot(near.x * dx, near.y * dy, "+", color=SKY, markersize=8, markeredgewidth=1.6)
        if at is not None:
            y, x = at
            axes.plot(x * dx, y * dy, "o", color=SKY, fillstyle="none", markersize=20)
        axes.set(xlim=extent[:2], ylim=extent[2:], xlabel=f"X ({_unit(scene)})", ylabel=f"Y ({_unit(scene)})")
        axes.locator_params(nbins=5)
        scale_bar(axes, extent[1] - extent[0], _unit(scene))


def _unit(scene: Scene) -> str:
    return "µm" if scene.known else "voxels"


def _window(at: int, half: int, extent: int) -> slice:
    """
    >>> _window(5, 10, 100), _window(95, 10, 100)
    (slice(0, 20, None), slice(80, 100, None))
    """
    start = max(0, min(at - half, extent - 2 * half))
    return slice(start, min(extent, start + max(1, 2 * half)))
