"""The report's figures: charts of the table of cells, and sections of the image with outlines.

Colours are the Okabe-Ito palette, which colour-blind readers can tell apart.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ecc_rf.volumes import AxisView, Volume

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, SKY = "#0072B2", "#E69F00", "#56B4E9"
WINDOW_UM = 220.0  # edge of a section: a few tens of cells
BIN = 64  # voxels: coarse cubes in which cells are counted to find dense and typical places
LARGEST_WINDOW = 512  # voxels: a section is looked at on a screen


def histograms(cells: pd.DataFrame) -> str:
    """Volume, intensity above background and, if it is known, peak probability of the cells, as HTML."""
    panels = [("vol", "volume (µm³)", True), ("deltaI", "intensity above background", True)]
    if cells["peak_probability"].notna().any():
        panels.append(("peak_probability", "peak probability", False))
    with drawing(9, 2.6) as (figure, html):
        for axes, (column, label, logarithmic) in zip(figure.subplots(1, len(panels)), panels):
            _histogram(axes, cells[column].to_numpy(float), label, logarithmic)
    return html.text


def profiles(cells: pd.DataFrame, extents_um: tuple[float, float, float]) -> str:
    """Number of cells along each axis, as HTML; extents are ``z, y, x``."""
    with drawing(9, 2.4) as (figure, html):
        for axes, column, extent in zip(figure.subplots(1, 3), "ZYX", extents_um):
            axes.hist(cells[column], bins=40, range=(0, max(extent, 1e-9)), color=BLUE)
            axes.set(xlabel=f"{column} (µm)", ylabel="cells")
    return html.text


def overview(cells: pd.DataFrame, extents_um: tuple[float, float, float]) -> str:
    """Where the cells are, seen along each axis, as HTML."""
    views = (("X", "Y", 2, 1), ("X", "Z", 2, 0), ("Z", "Y", 0, 1))
    with drawing(9, 3.2, fitted=True) as (figure, html):
        for axes, (across, down, i, j) in zip(figure.subplots(1, 3), views):
            span = [[0, max(extents_um[i], 1e-9)], [0, max(extents_um[j], 1e-9)]]
            counts, xs, ys = np.histogram2d(cells[across], cells[down], bins=40, range=span)
            image = axes.pcolormesh(xs, ys, counts.T, cmap="cividis", rasterized=True)
            figure.colorbar(image, ax=axes, label="cells")
            axes.set(xlabel=f"{across} (µm)", ylabel=f"{down} (µm)", aspect="equal")
            axes.invert_yaxis()
    return html.text


@dataclass(frozen=True)
class Place:
    """A place worth looking at: a title and a voxel ``z, y, x``."""

    title: str
    voxel: tuple[int, int, int]


def places(cells: pd.DataFrame) -> list[Place]:
    """A dense, a typical and a doubtful place, chosen by rule, so that a repeated run shows the same."""
    if cells.empty:
        return []
    points = cells[["z", "y", "x"]].to_numpy(float)
    _, membership, counts = np.unique((points // BIN).astype(int), axis=0, return_inverse=True, return_counts=True)
    by_count = np.argsort(counts, kind="stable")
    dense, typical = by_count[-1], by_count[len(by_count) // 2]
    chosen = [("the densest place", _centre_of(points, membership.ravel() == dense))]
    if typical != dense:
        chosen.append(("a typical place", _centre_of(points, membership.ravel() == typical)))
    peak = cells["peak_probability"].to_numpy(float)
    if not np.isnan(peak).any():
        chosen.append(("the least certain cell", points[int(np.argmin(peak))]))
    return [Place(title, tuple(int(v) for v in np.rint(p))) for title, p in chosen]  # type: ignore[arg-type]


def section(
    place: Place,
    raw: Volume,
    probability: Volume,
    cells: pd.DataFrame,
    level: float,
    voxel_size: tuple[float, float, float],
) -> str:
    """The plane through a place: raw, and raw with the outlines of what lies above the threshold, as HTML.

    Parameters
    ----------
    level : float
        The threshold in the stored probability's own units.
    """
    z, y, x = place.voxel
    image, seen = AxisView(raw, "tczyx"), AxisView(probability, "tczyx")
    _, _, _, height, width = image.shape
    half_y, half_x = (int(min(WINDOW_UM / size, LARGEST_WINDOW) / 2) for size in voxel_size[1:])
    rows, columns = _window(y, half_y, height), _window(x, half_x, width)
    at = (slice(0, 1), slice(0, 1), slice(z, z + 1), rows, columns)
    plane, values = image[at][0, 0, 0].astype(float), seen[at][0, 0, 0]
    _, dy, dx = voxel_size
    extent = (columns.start * dx, columns.stop * dx, rows.stop * dy, rows.start * dy)
    low, high = np.percentile(plane, [1, 99.8])
    inside = cells.y.between(rows.start, rows.stop) & cells.x.between(columns.start, columns.stop)
    near = cells[(cells.z.round() == z) & inside]
    with drawing(9, 4.4) as (figure, html):
        for axes in figure.subplots(1, 2, sharey=True, gridspec_kw={"wspace": 0.08}):
            axes.imshow(
                plane, cmap="gray", vmin=low, vmax=max(high, low + 1e-9), extent=extent, interpolation="nearest"
            )
            axes.set_xlabel("X (µm)")
        figure.axes[0].set_ylabel("Y (µm)")
        outlined = figure.axes[1]
        if (values > level).any() and min(values.shape) > 1:
            xs, ys = (np.arange(columns.start, columns.stop) + 0.5) * dx, (np.arange(rows.start, rows.stop) + 0.5) * dy
            outlined.contour(xs, ys, values > level, levels=[0.5], colors=ORANGE, linewidths=0.8)
        outlined.plot((near.x + 0.5) * dx, (near.y + 0.5) * dy, "+", color=SKY, markersize=7, markeredgewidth=1.2)
        outlined.plot((x + 0.5) * dx, (y + 0.5) * dy, "o", color=SKY, fillstyle="none", markersize=18)
        outlined.set(xlim=extent[:2], ylim=extent[2:])
    return f"<h3>{place.title[0].upper()}{place.title[1:]}: z = {z}, y = {y}, x = {x}</h3>{html.text}"


class Html:
    """Where `drawing` leaves its result."""

    text = ""


@contextmanager
def drawing(width: float, height: float, *, fitted: bool = False) -> Iterator[tuple[Figure, Html]]:
    """A figure of this size in inches; at the end it becomes an embedded image.

    A fitted figure makes room for all that surrounds its panels, at twice the time.
    """
    from matplotlib.figure import Figure as NewFigure  # no pyplot: nothing global, no window

    figure = NewFigure(figsize=(width, height), layout="constrained" if fitted else None)
    if not fitted:  # margins in inches
        figure.subplots_adjust(0.75 / width, 0.5 / height, 1 - 0.15 / width, 1 - 0.1 / height, wspace=0.35)
    html = Html()
    yield figure, html
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    html.text = f'<img alt="" src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">'


def _histogram(axes: Axes, values: np.ndarray[Any, Any], label: str, logarithmic: bool) -> None:
    values = values[np.isfinite(values)]
    axes.set(xlabel=label, ylabel="cells")
    if logarithmic:
        values = values[values > 0]
    if not values.size:
        axes.text(0.5, 0.5, "no values", ha="center", transform=axes.transAxes)
        return
    bins: Any = 40
    if logarithmic:
        low, high = float(values.min()), float(values.max())
        bins = np.geomspace(low, high if high > low else low * 2, 41)
        axes.set_xscale("log")
    axes.hist(values, bins=bins, color=BLUE)


def _centre_of(points: np.ndarray[Any, Any], chosen: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The chosen point that is nearest to the mean of all chosen ones."""
    own = points[chosen]
    nearest: np.ndarray[Any, Any] = own[np.argmin(((own - own.mean(axis=0)) ** 2).sum(axis=1))]
    return nearest


def _window(at: int, half: int, extent: int) -> slice:
    """
    >>> _window(5, 10, 100), _window(95, 10, 100)
    (slice(0, 20, None), slice(80, 100, None))
    """
    start = max(0, min(at - half, extent - 2 * half))
    return slice(start, min(extent, start + max(1, 2 * half)))
