"""A picture of what was found, missed and falsely found.

Colours are the Okabe-Ito palette, which colour-blind readers can tell apart; the marks differ in shape as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.errors import SettingError
from ecc_rf.evaluation.evaluate import Evaluation, Result
from ecc_rf.volumes import AxisView, Volume, open_volume
from ecc_rf.volumes.base import write_errors
from ecc_rf.volumes.unfinished import UnfinishedOutput

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HIT, MISS, FALSE_ALARM = "#56B4E9", "#E69F00", "#D55E00"
SLABS = 3  # pictures side by side, through the depth
SLAB_UM = 36.0  # depth of a slab: cells of one layer, hardly any above each other
WIDTH_UM = 400.0  # of a picture, so that a cell is seen


def draw(result: Result, output: str | Path, raw: str | Path | None = None, *, overwrite: bool = False) -> None:
    """Draw slabs of a volume, seen along z: the brightest raw voxel, and every cell at its place.

    Parameters
    ----------
    result : Result
    output : path
        ``.png``.
    raw : path, optional
        The image; without it the cells alone are drawn.
    overwrite : bool
        Replace a file of that name.

    Raises
    ------
    EccError
        If the image cannot be read or the picture not be written.
    """
    from matplotlib.figure import Figure  # no pyplot: nothing global, no window

    if raw is None:
        image = None
    else:
        image = AxisView(open_volume(raw), "tczyx")
    figure = Figure(figsize=(4.2 * SLABS, 4.9), layout="constrained")
    try:
        for axes, (low, high) in zip(figure.subplots(1, SLABS), _slabs(result)):
            _draw_slab(axes, result, low, high, image)
    finally:
        if image is not None:
            image.close()
    score = result.score
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    figure.suptitle(
        f"{result.case.name}: precision {score.precision:.2f}, recall {score.recall:.2f}, F1 {score.f1:.2f}"
    )
    target = UnfinishedOutput(Path(output), str(output), overwrite)
    try:
        with write_errors(str(output)):
            figure.savefig(target.path, format="png", dpi=110, metadata={"Software": None})
    except BaseException:
        target.discard()
        raise
    target.commit()


def draw_all(
    evaluation: Evaluation, folder: str | Path, raws: Sequence[str | Path] | None = None, *, overwrite: bool = False
) -> None:
    """Draw every volume into a folder, as ``NAME.png``.

    Raises
    ------
    EccError
        As `draw`; or if there are images, but not one for each volume.
    """
    if raws is not None and len(raws) != len(evaluation.results):
        raise SettingError(
            f"There are {len(evaluation.results)} tables of cells and {len(raws)} images.",
            where="--raw",
            do="Give one image for each table, in the same order.",
        )
    images: Sequence[str | Path | None] = raws or [None] * len(evaluation.results)
    for result, raw in zip(evaluation.results, images):
        draw(result, Path(folder) / f"{result.case.name.replace('/', '_')}.png", raw, overwrite=overwrite)


def _slabs(result: Result) -> list[tuple[int, int]]:
    """Half-open planes of the slabs: evenly through the depth in which there is something."""
    z = np.concatenate([result.case.detections[:, 0], result.case.truth.centres[:, 0], [0.0]])
    top = int(np.ceil(z.max())) + 1
    depth = max(1, round(SLAB_UM / result.case.voxel_size[0]))
    starts = np.linspace(0, max(0, top - depth), SLABS)
    return [(int(start), min(int(start) + depth, top)) for start in starts]


def _draw_slab(axes: Axes, result: Result, low: int, high: int, image: Volume | None) -> None:
    case = result.case
    _, dy, dx = case.voxel_size
    in_slab = [_within(points, low, high) for points in (case.detections, case.truth.centres)]
    rows, columns = _window(np.concatenate([case.detections[in_slab[0]], case.truth.centres[in_slab[1]]]), (dy, dx))
    if image is not None:
        *_, n_z, n_y, n_x = image.shape
        low, high = min(low, n_z - 1), min(high, n_z)
        rows, columns = _shifted(rows, n_y), _shifted(columns, n_x)
        part = image[:, 0:1, low:high, rows[0] : rows[1], columns[0] : columns[1]]
        seen = part[0, 0].max(axis=0).astype(np.float32)
        floor, ceiling = np.percentile(seen, [1, 99.7])
        axes.imshow(
            seen,
            cmap="gray",
            vmin=floor,
            vmax=max(ceiling, floor + 1e-6),
            extent=(columns[0] * dx, columns[1] * dx, rows[1] * dy, rows[0] * dy),
            interpolation="nearest",
        )
    hit = result.cell_of >= 0
    missed = np.zeros(len(case.truth.centres), bool)
    missed[result.missed] = True
    for label, points, marker, colour in (
        ("found", case.detections[in_slab[0] & hit], "o", HIT),
        ("missed", case.truth.centres[in_slab[1] & missed], "s", MISS),
        ("false alarm", case.detections[in_slab[0] & ~hit], "x", FALSE_ALARM),
    ):
        style: dict[str, Any] = {"facecolors": "none", "edgecolors": colour} if marker != "x" else {"color": colour}
        axes.scatter(
            (points[:, 2] + 0.5) * dx,
            (points[:, 1] + 0.5) * dy,
            s=60,
            marker=marker,
            label=label,
            linewidths=1,
            **style,
        )
    axes.set(
        title=f"planes {low} to {high - 1}",
        xlabel="X (µm)",
        ylabel="Y (µm)",
        xlim=(columns[0] * dx, columns[1] * dx),
        ylim=(rows[1] * dy, rows[0] * dy),
        aspect="equal",
    )


def _within(points: NDArray[np.float64], low: int, high: int) -> NDArray[np.bool_]:
    return np.asarray((np.rint(points[:, 0]) >= low) & (np.rint(points[:, 0]) < high))


def _window(points: NDArray[np.float64], size: tuple[float, float]) -> list[tuple[int, int]]:
    """Rows and columns of `WIDTH_UM` around the point that is nearest to the middle of all."""
    middle = np.zeros(2)
    if len(points):
        at = points[:, 1:]
        middle = at[np.argmin(((at - np.median(at, axis=0)) ** 2).sum(axis=1))]
    windows = []
    for centre, extent in zip(middle, size):
        half = max(1, round(WIDTH_UM / extent / 2))
        start = max(0, int(centre) - half)
        windows.append((start, start + 2 * half))
    return windows


def _shifted(window: tuple[int, int], extent: int) -> tuple[int, int]:
    """A window moved and cut so that it lies in the image.

    >>> _shifted((5, 15), 12), _shifted((0, 50), 12)
    ((2, 12), (0, 12))
    """
    width = min(window[1] - window[0], extent)
    start = min(window[0], extent - width)
    return start, start + width
