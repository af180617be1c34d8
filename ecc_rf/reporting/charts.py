"""Charts of the table of cells: how their values are distributed, and where along each axis they are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.reporting.drawing import BLUE, VERMILION, Figure, drawing
from ecc_rf.reporting.scene import Scene, show

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    Values = NDArray[np.float64]

_MOST_BINS = 40  # of a histogram
_MOST_STEPS = 60  # of a profile
_DECADES = 20.0  # values that span a larger factor than this are shown on a logarithmic axis


def histograms(cells: pd.DataFrame, scene: Scene, threshold: float) -> list[Figure]:
    """Size, diameter, intensity above background, signal-to-background and probability, as far as they are known."""
    unit = "µm" if scene.known else "voxels"
    size = ("area", "µm²") if scene.flat else ("volume", "µm³")
    volume = (f"{size[0]} ({size[1]})" if scene.known else f"{size[0]} (voxels)", "vol")
    diameter = (f"diameter of the equal {'sphere' if not scene.flat else 'ball'} ({unit})", "diameter_um")
    panels = [volume, diameter, ("intensity above background", "deltaI"), ("signal / background", "sbr")]
    figures = []
    for label, column in panels:
        if column == "diameter_um" and scene.flat:
            values = np.sqrt(cells["vol"].to_numpy(float) / scene.voxel_size[0] * 4 / np.pi)
            label = f"diameter of the equal disc ({unit})"
        elif column == "vol" and scene.flat:
            values = cells["vol"].to_numpy(float) / scene.voxel_size[0]
        else:
            values = cells[column].to_numpy(float)
        if np.isfinite(values).any():
            steps = None
            if column in ("vol", "diameter_um"):
                steps = cells["voxels"].to_numpy(float)
            figures.append(_histogram(values, label, steps))
    peak = cells["peak_probability"].to_numpy(float)
    if np.isfinite(peak).any():
        figures.append(_probabilities(peak, threshold))
    return figures


def _histogram(values: Values, label: str, voxels: Values | None = None) -> Figure:
    """A histogram; of values that are those of whole voxels, each bin holds as many of them as it is wide."""
    from matplotlib.ticker import MaxNLocator

    finite = values[np.isfinite(values)]
    logarithmic = bool(finite.min() > 0 and finite.max() > _DECADES * finite.min())
    low, high = np.percentile(finite, [0.1, 99.9]) if finite.size > 1000 else (finite.min(), finite.max())
    shown = finite[(finite >= low) & (finite <= high)]
    if low == high:
        low, high = (low / 1.5, high * 1.5) if logarithmic else (low - 0.5, high + 0.5)
    edges = _bins(finite.size) + 1
    bins = np.geomspace(low, high, edges) if logarithmic else np.linspace(low, high, edges)
    if voxels is not None:
        bins = _between_voxels(bins, values, voxels)
    quarters = np.percentile(finite, [25, 50, 75])
    spread = f"median {show(quarters[1])}, half of the cells from {show(quarters[0])} to {show(quarters[2])}"
    out = values.size - finite.size
    caption = f"n = {finite.size:,}; {spread}"
    if finite.size > shown.size:
        caption += f"; {finite.size - shown.size:,} extreme values lie outside of the axis"
    if out:
        caption += f"; {out:,} cells have none"
    figure = Figure(f"Histogram of {label}: {spread}, {finite.size} cells.", caption + ".")
    with drawing(figure) as (_, axes):
        axes.hist(shown, bins=bins.tolist(), color=BLUE)
        if logarithmic:
            axes.set_xscale("log")
            _plain_ticks(axes)
        _marked(axes, quarters[1], "median")
        axes.set(xlabel=label, ylabel="cells", xlim=(bins[0], bins[-1]))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    return figure


def _probabilities(peak: Values, threshold: float) -> Figure:
    finite = peak[np.isfinite(peak)]
    near = int((finite < threshold + (1 - threshold) / 4).sum())
    caption = (
        f"n = {finite.size:,}; median {show(float(np.median(finite)))}; {near:,} cells"
        f" ({near / finite.size:.0%}) lie in the quarter next to the threshold {threshold:g}"
    )
    figure = Figure(f"Histogram of the largest probability of each cell: {caption}.", caption + ".")
    low = min(threshold, float(finite.min()))
    # wider than the share of one tree, or there would be bins that hold none
    bins = np.linspace(low, 1, min(20, _bins(finite.size)) + 1).tolist() if low < 1 else [0.99, 1.01]
    with drawing(figure) as (_, axes):
        axes.hist(finite, bins=bins, color=BLUE)
        _marked(axes, threshold, "threshold")
        axes.set(xlabel="largest probability in the cell", ylabel="cells")
    return figure


def profiles(cells: pd.DataFrame, scene: Scene) -> list[Figure]:
    """Cells per length along each axis that the image has."""
    from matplotlib.ticker import MaxNLocator

    figures = []
    for column, extent, n in zip("ZYX", scene.extents, scene.shape):
        if n == 1:
            continue
        # whole planes in each bin, or bins of unequal numbers of planes would draw a comb
        per_bin = max(1, -(-n // min(_MOST_STEPS, 2 * _bins(len(cells)))))
        size = extent / n
        edges = np.arange(0, n + per_bin, per_bin) * size - size / 2
        counts, _ = np.histogram(cells[column].to_numpy(float), bins=edges)
        at = int(np.argmax(counts))
        width = f"{show(per_bin * size)} {'µm' if scene.known else 'voxels'}"
        name = {"Z": "depth Z", "Y": "Y", "X": "X"}[column]
        caption = f"Cells in steps of {width} ({per_bin} {'plane' if per_bin == 1 else 'planes'})"
        figure = Figure(
            f"Number of cells along {name}: at most {counts.max(initial=0):,} in a step of {width},"
            f" at {show(edges[at] * scene.factor)} {scene.unit}.",
            caption + ".",
        )
        with drawing(figure) as (_, axes):
            axes.stairs(counts, np.maximum(edges, 0) * scene.factor, fill=True, color=BLUE)
            axes.set(xlabel=f"{name} ({scene.unit})", ylabel="cells", xlim=(0, extent * scene.factor))
            axes.set_ylim(0, max(1, counts.max(initial=0)) * 1.08)
            axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        figures.append(figure)
    return figures


def _between_voxels(bins: Values, values: Values, voxels: Values) -> Values:
    """Edges moved to between two numbers of voxels, or bins would hold none, one or two of them, like a comb.

    >>> voxels = np.array([3.0, 4.0, 5.0, 9.0])
    >>> _between_voxels(np.array([6.0, 6.5, 7.0, 12.0, 18.0]), 2 * voxels, voxels).tolist()
    [5.0, 7.0, 9.0, 13.0, 19.0]
    """
    power = 1.0 if np.allclose(values / voxels, values[0] / voxels[0]) else None
    if power is None:  # a diameter, by a power of the volume
        small, large = int(np.argmin(voxels)), int(np.argmax(voxels))
        if voxels[small] == voxels[large]:
            return bins
        power = math.log(values[large] / values[small]) / math.log(voxels[large] / voxels[small])
    unit = values[0] / voxels[0] ** power
    counts = np.round((bins / unit) ** (1 / power))
    counts[0] -= 1
    moved: Values = unit * (np.unique(counts) + 0.5) ** power
    return moved


def _bins(n: int) -> int:
    """So many that most of them hold several cells.

    >>> _bins(69), _bins(10_000)
    (12, 40)
    """
    return min(_MOST_BINS, max(12, math.ceil(math.sqrt(n))))


def _marked(axes: Axes, value: float, name: str) -> None:
    """A line across, with its name above the chart."""
    axes.axvline(value, color=VERMILION, linewidth=1.5, linestyle="--")
    axes.annotate(
        f"{name} {show(value)}",
        (value, 1.01),
        xycoords=("data", "axes fraction"),
        ha="center",
        va="bottom",
        fontsize=9.5,
        color="#9c4400",
        annotation_clip=False,
    )


def _plain_ticks(axes: Axes) -> None:
    """Numbers as 20 and 500, not as powers; few enough that they do not run into each other."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axes.get_xlim()
    wide = high / low > 1e3
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if high / low > 1e5 else (1.0, 3.0) if wide else (1, 2, 5)))

    def plain(value: float, _: Any) -> str:
        return show(value) if value < 1e5 else f"{value:.0e}".replace("e+0", "e")

    axes.xaxis.set_major_formatter(FuncFormatter(plain))
    axes.xaxis.set_minor_formatter(NullFormatter())
