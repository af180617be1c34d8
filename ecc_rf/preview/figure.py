"""Sections as a figure: the image with strokes on the left, with probabilities and the outline on the right.

The outline is white on black, so that it is seen on any colour and by every eye. The colours are the project's; the
palette of Okabe and Ito, which colour-blind readers can tell apart, takes their place on request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.preview.sections import Section
from ecc_rf.volumes.base import VoxelSize

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Color = tuple[int, int, int]

SAFE = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (204, 121, 167), (213, 94, 0), (0, 114, 178), (240, 228, 66))
"""Okabe and Ito's colours, the best apart first."""

_WIDTH = 11.0  # inches
_SIDE, _GAP, _HEAD, _FOOT = 0.75, 0.2, 0.75, 0.55  # inches around the panels
_TINT = 0.55  # of the colour at probability 1: what is below stays visible
_FAINT = 0.12  # of the label that is nearly everywhere: it would hide the image
_PERCENTILES = (1.0, 99.8)  # of the shown voxels: cells are few and bright, and must not all be white


@dataclass(frozen=True)
class Legend:
    """What the figure says in words.

    Attributes
    ----------
    title : str
    names : sequence of str
        Of the labels.
    colors : sequence of (red, green, blue)
        0 to 255.
    threshold : float
    outlined : int
        The label whose outline is drawn, from 1.
    """

    title: str
    names: Sequence[str]
    colors: Sequence[Color]
    threshold: float
    outlined: int = 1


def draw(sections: Sequence[Section], legend: Legend, voxel_size: VoxelSize | None) -> Figure:
    """The figure.

    Parameters
    ----------
    sections : sequence of Section
        A row each.
    legend : Legend
    voxel_size : (z, y, x) in µm, or None
        None makes the axes count voxels.
    """
    from matplotlib.figure import Figure as NewFigure  # no pyplot: nothing global, no window

    steps = dict(zip("zyx", voxel_size or (1.0, 1.0, 1.0)))
    columns = 1 if all(section.probabilities is None for section in sections) else 2
    panel = (_WIDTH - _SIDE - 0.15 - _GAP * (columns - 1)) / columns
    across = [section.raw.shape[1] * steps[section.axes[1]] for section in sections]
    down = [section.raw.shape[0] * steps[section.axes[0]] for section in sections]
    scale = panel / max(across)  # the same for all rows, so that lengths can be compared
    heights = [max(length * scale, 0.4) for length in down]
    height = _HEAD + sum(heights) + _FOOT * len(sections)
    sharp = max(section.raw.shape[1] for section in sections) / panel
    figure = NewFigure(figsize=(_WIDTH, height), dpi=float(np.clip(np.ceil(sharp), 110, 220)))
    shown = np.concatenate([section.raw.ravel() for section in sections])
    low, high = np.percentile(shown.view(np.uint8) if shown.dtype == bool else shown, _PERCENTILES)
    common = commonest(sections)
    top = height - _HEAD
    for section, width_um, row in zip(sections, across, heights):
        gray = np.clip((section.raw.astype(np.float32) - low) / max(high - low, 1e-9), 0, 1)
        for column in range(columns):
            left = _SIDE + column * (panel + _GAP)
            box = (left / _WIDTH, (top - row) / height, width_um * scale / _WIDTH, row / height)
            axes = figure.add_axes(box)
            _panel(axes, section, gray, legend, steps, common if column == 1 else None, predicted=column == 1)
            axes.set_xlabel(_axis_name(section.axes[1], voxel_size))
            if column:
                axes.tick_params(labelleft=False)
            else:
                axes.set_ylabel(_axis_name(section.axes[0], voxel_size))
            axes.set_title(_title(section, steps, voxel_size, predicted=column == 1), fontsize=9, loc="left", pad=3)
        top -= row + _FOOT
    _head(figure, legend, height, common, predicted=columns == 2)
    return figure


def commonest(sections: Sequence[Section]) -> int | None:
    """The label that is nearly everywhere, such as the background: index of the largest mean probability."""
    sums = [s.probabilities.reshape(-1, s.probabilities.shape[-1]) for s in sections if s.probabilities is not None]
    if not sums or sums[0].shape[-1] < 2:
        return None
    return int(np.argmax(np.sum([part.sum(axis=0, dtype=np.float64) for part in sums], axis=0)))


def overlay(
    gray: NDArray[np.float32], probabilities: NDArray[np.float32], colors: Sequence[Color], faint: int | None = None
) -> NDArray[Any]:
    """Grey values 0 to 1 under the labels' colours, each as strong as its probability; (…, 3) float32.

    Parameters
    ----------
    gray : (…) ndarray
    probabilities : (…, label) ndarray
    colors : sequence of (red, green, blue)
    faint : int, optional
        Index of a label that is only hinted at.

    >>> overlay(np.float32([0.0, 1.0]), np.float32([[1, 0], [0, 0]]), [(255, 0, 0), (0, 255, 0)]).round(2).tolist()
    [[0.550000011920929, 0.0, 0.0], [1.0, 1.0, 1.0]]
    """
    palette = np.array([_unit(color) for color in colors[: probabilities.shape[-1]]], np.float32)
    tints = np.full(probabilities.shape[-1], _TINT, np.float32)
    if faint is not None:
        tints[faint] = _FAINT
    strength = tints * probabilities
    rest = 1 - strength.sum(axis=-1, keepdims=True)
    return np.asarray(np.clip(gray[..., np.newaxis] * rest + strength @ palette, 0, 1))


def _panel(
    axes: Axes,
    section: Section,
    gray: NDArray[np.float32],
    legend: Legend,
    steps: dict[str, float],
    common: int | None,
    *,
    predicted: bool,
) -> None:
    dy, dx = (steps[axis] for axis in section.axes)
    (row, column), (rows, columns) = section.start, section.raw.shape
    extent = (column * dx, (column + columns) * dx, (row + rows) * dy, row * dy)
    options: dict[str, Any] = {"extent": extent, "aspect": "auto"}
    voxel = 72 * axes.get_position().width * _WIDTH / columns
    if predicted and section.probabilities is not None:
        axes.imshow(overlay(gray, section.probabilities, legend.colors, common), **options)
        _outline(axes, section.probabilities[..., legend.outlined - 1] > legend.threshold, extent, voxel)
    else:
        axes.imshow(gray, cmap="gray", vmin=0, vmax=1, **options)
        if section.strokes.any():
            strokes = np.zeros((*section.strokes.shape, 4), np.float32)
            for label, color in enumerate(legend.colors, start=1):
                strokes[section.strokes == label] = (*_unit(color), 1)
            axes.imshow(strokes, interpolation="nearest", **options)
    # where the point is: marks at the edges, so that nothing is covered
    y, x = ((at + 0.5) * step for at, step in zip(section.point, (dy, dx)))
    for mark in ((0, 0.03), (0.97, 1)):
        axes.axvline(x, *mark, color="#56B4E9", linewidth=1.5)
        axes.axhline(y, *mark, color="#56B4E9", linewidth=1.5)
    axes.set(xlim=extent[:2], ylim=extent[2:])
    axes.tick_params(labelsize=8)


def _outline(axes: Axes, inside: NDArray[np.bool_], extent: tuple[float, float, float, float], voxel: float) -> None:
    """Lines along the edges of voxels, since it is voxels that are cells or not; `voxel` is their width in points."""
    if not inside.any():
        return
    from matplotlib.collections import LineCollection

    left, right, bottom, top = extent
    rows, columns = inside.shape
    segments = edges(inside) * [(right - left) / columns, (bottom - top) / rows] + [left, top]
    width = float(np.clip(0.4 * voxel, 0.35, 0.9))  # thinner than a voxel, or small cells would be all outline
    for color, times in (("black", 2.4), ("white", 1.0)) if voxel > 1 else (("white", 1.0),):
        lines = LineCollection(list(segments), colors=color, linewidths=width * times, capstyle="projecting")
        axes.add_collection(lines)


def edges(inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Edges between voxels that are inside and outside, as segments (n, 2, 2) of points (across, down).

    >>> edges(np.array([[True]])).astype(int).tolist()
    [[[0, 0], [1, 0]], [[0, 1], [1, 1]], [[0, 0], [0, 1]], [[1, 0], [1, 1]]]
    """
    padded = np.pad(inside, 1)
    row, column = np.nonzero(padded[1:, 1:-1] != padded[:-1, 1:-1])
    level = np.stack([np.column_stack([column, row]), np.column_stack([column + 1, row])], axis=1)
    row, column = np.nonzero(padded[1:-1, 1:] != padded[1:-1, :-1])
    upright = np.stack([np.column_stack([column, row]), np.column_stack([column, row + 1])], axis=1)
    return np.concatenate([level, upright]).astype(np.float64)


def _unit(color: Color) -> tuple[float, float, float]:
    red, green, blue = (value / 255 for value in color)
    return red, green, blue


def _axis_name(axis: str, voxel_size: VoxelSize | None) -> str:
    return f"{axis.upper()} (µm)" if voxel_size is not None else f"{axis} (voxels)"


def _title(section: Section, steps: dict[str, float], voxel_size: VoxelSize | None, *, predicted: bool) -> str:
    if predicted:
        return "probabilities"
    where = f" ({(section.at + 0.5) * steps[section.third]:.1f} µm)" if voxel_size is not None else ""
    return f"{section.plane}, {section.third} = {section.at}{where}"


def _head(figure: Figure, legend: Legend, height: float, common: int | None, *, predicted: bool) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    figure.text(_SIDE / _WIDTH, 1 - 0.1 / height, legend.title, ha="left", va="top", fontsize=10)
    handles: list[Any] = []
    for index, (name, color) in enumerate(zip(legend.names, legend.colors)):
        label = f"{index + 1} {name}" + (" (faint)" if index == common else "")
        handles.append(Patch(facecolor=_unit(color), edgecolor="black", linewidth=0.5, label=label))
    if predicted:
        from matplotlib.patheffects import withStroke

        name = legend.names[legend.outlined - 1]
        line = Line2D([], [], color="white", linewidth=1.2, label=f"{name} > {legend.threshold:g}")
        line.set_path_effects([withStroke(linewidth=3, foreground="black")])
        handles.append(line)
    place = ((_SIDE - 0.05) / _WIDTH, 1 - 0.28 / height)
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=place,
        ncols=min(len(handles), 8),
        frameon=False,
        fontsize=8,
        borderpad=0,
        borderaxespad=0,
        columnspacing=1.5,
        handlelength=1.4,
    )
