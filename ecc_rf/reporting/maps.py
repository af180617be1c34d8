"""Where the cells are: the brightest voxels seen along each axis, and the cells in front of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.reporting.drawing import ORANGE, PANEL, Figure, drawing, scale_bar
from ecc_rf.reporting.scene import Scene, show

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from ecc_rf.reporting.projections import Projections

MOST_DOTS = 20_000  # cells; more would hide each other, and their density is drawn instead
_BINS = 100  # along the longest edge of a map of densities
_VIEWS = (("Z", "Y", "X"), ("Y", "Z", "X"), ("X", "Z", "Y"))  # seen along, down, across
_AXES = {"Z": 0, "Y": 1, "X": 2}


def maps(cells: pd.DataFrame, scene: Scene, projections: Projections | None) -> list[Figure]:
    """Seen along z the image alone and with the cells, along y and x with the cells."""
    figures = []
    for number, (along, down, across) in enumerate(_VIEWS):
        if scene.shape[_AXES[down]] == 1 or scene.shape[_AXES[across]] == 1:
            continue
        view = None if projections is None else projections.views[number]
        if view is not None and number == 0:
            figures.append(_picture(view, scene, along, down, across, projections))
        dots = len(cells) <= MOST_DOTS
        figures.append((_dots if dots else _density)(cells, view, scene, along, down, across))
    return figures


def _frame(scene: Scene, down: str, across: str) -> tuple[float, float, float, tuple[float, float, float, float]]:
    """Extents in the unit of the axes, height of the figure in inches, margins."""
    height, width = (scene.extents[_AXES[axis]] * scene.factor for axis in (down, across))
    margins = (0.85, 0.55, 0.25, 0.1)
    inner = (PANEL - margins[0] - margins[2]) * height / width
    return height, width, min(max(inner, 0.5), 1.6 * PANEL) + margins[1] + margins[3], margins


def _picture(view: NDArray[np.float32], scene: Scene, along: str, down: str, across: str, projections: Any) -> Figure:
    sampled = "" if projections.every == 1 else f" One plane of {projections.every} was read."
    what = "The image" if scene.flat else f"The brightest voxels, seen along {along}"
    figure = Figure(f"{what}: {down} downwards, {across} to the right, in {scene.unit}.", f"{what}.{sampled}")
    height, width, inches, margins = _frame(scene, down, across)
    with drawing(figure, PANEL, inches, vector=False, margins=margins) as (_, axes):
        _show(axes, view, width, height)
        _label(axes, scene, down, across, width)
    return figure


def _dots(
    cells: pd.DataFrame, view: NDArray[np.float32] | None, scene: Scene, along: str, down: str, across: str
) -> Figure:
    what = f"{len(cells):,} cells (orange)"
    seen = "" if scene.flat else f", seen along {along}"
    figure = Figure(f"{what}{seen}: {down} downwards, {across} to the right.", f"{what}{seen}.")
    height, width, inches, margins = _frame(scene, down, across)
    with drawing(figure, PANEL, inches, vector=False, margins=margins) as (_, axes):
        _show(axes, view, width, height)
        points = (cells[across].to_numpy(float), cells[down].to_numpy(float))
        size = float(np.clip(6000 / max(1, len(cells)), 1.0, 16.0))
        half = [scene.voxel_size[_AXES[axis]] / 2 for axis in (across, down)]
        # the centre of the first voxel is 0 µm in the table, the image begins half a voxel before
        xs, ys = ((p + h) * scene.factor for p, h in zip(points, half))
        edge = {"edgecolors": "black", "linewidths": 0.5} if len(cells) <= 2000 else {"linewidths": 0.0}
        axes.scatter(xs, ys, s=size, c=ORANGE, zorder=3, **edge)
        _label(axes, scene, down, across, width)
    return figure


def _density(
    cells: pd.DataFrame, view: NDArray[np.float32] | None, scene: Scene, along: str, down: str, across: str
) -> Figure:
    """A map of how many cells lie behind each pixel, for tables too large for dots."""
    height, width, inches, margins = _frame(scene, down, across)
    step = max(height, width) / _BINS
    bins = [max(1, round(extent / step)) for extent in (width, height)]
    counts, xs, ys = np.histogram2d(
        cells[across] * scene.factor, cells[down] * scene.factor, bins=bins, range=[[0, width], [0, height]]
    )
    edge = f"{show(xs[1] - xs[0])} × {show(ys[1] - ys[0])} {scene.unit}"
    seen = "" if scene.flat else f", seen along {along}"
    what = f"Number of cells in fields of {edge}{seen}: at most {int(counts.max()):,}"
    figure = Figure(f"{what}; {down} downwards, {across} to the right.", f"{what} (viridis; {len(cells):,} cells).")
    margins = (margins[0], margins[1], 0.85, margins[3])
    with drawing(figure, PANEL + 0.6, inches, vector=False, margins=margins) as (whole, axes):
        image = axes.imshow(
            counts.T, cmap="viridis", extent=(0, width, height, 0), interpolation="nearest", aspect="equal"
        )
        bar = whole.colorbar(image, ax=axes, fraction=0.05, pad=0.03)
        bar.set_label("cells")
        _label(axes, scene, down, across, width)
    return figure


def _show(axes: Axes, view: NDArray[np.float32] | None, width: float, height: float) -> None:
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
    if view is None:
        axes.set_facecolor("#20242c")
        return
    low, high = contrast(view)
    axes.imshow(
        view, cmap="gray", vmin=low, vmax=high, extent=(0, width, height, 0), interpolation="nearest", aspect="equal"
    )


def _label(axes: Axes, scene: Scene, down: str, across: str, width: float) -> None:
    axes.set(xlabel=f"{across} ({scene.unit})", ylabel=f"{down} ({scene.unit})")
    axes.locator_params(nbins=5)
    scale_bar(axes, width, scene.unit)


def contrast(view: NDArray[Any]) -> tuple[float, float]:
    """Black and white of a grey image: the 1st and the 99.8th percentile of what is not 0, which was never imaged.

    >>> contrast(np.array([[0.0, 10.0], [np.nan, 10.0]]))
    (10.0, 11.0)
    """
    values = view[np.isfinite(view) & (view != 0)]
    if not values.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(values, [1, 99.8]))
    return low, high if high > low else low + 1.0
