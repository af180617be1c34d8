"""A picture of all places: the plane through each, with what is wrong or uncertain there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecc_rf.cells.inputs import Channel
from ecc_rf.evaluation.picture import FALSE_ALARM as ALARM_COLOR
from ecc_rf.evaluation.picture import HIT, MISS
from ecc_rf.suggesting.crops import crop_box
from ecc_rf.suggesting.places import FALSE_ALARM, MISSED, UNCERTAIN, Place
from ecc_rf.volumes.base import VoxelSize, write_errors
from ecc_rf.volumes.unfinished import UnfinishedOutput

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = 4
_PANEL = 3.2  # inches
_MARKS = {MISSED: ("s", MISS), FALSE_ALARM: ("x", ALARM_COLOR), UNCERTAIN: ("o", HIT)}
_SEEN_UM = 15.0  # above and below the plane: what lies there is marked, thinner


def draw_places(
    places: Sequence[Place],
    raws: Sequence[str | Path],
    names: Sequence[str],
    sizes: Sequence[VoxelSize],
    output: Path,
    width_um: float,
    channel: int | None,
    *,
    overwrite: bool,
) -> None:
    """Draw all places, ``.png``.

    Raises
    ------
    EccError
        If an image cannot be read or the picture not be written.
    """
    from matplotlib.figure import Figure  # no pyplot: nothing global, no window

    columns = min(_COLUMNS, len(places))
    rows = -(-len(places) // columns)
    figure = Figure(figsize=(_PANEL * columns, (_PANEL + 0.4) * rows + 0.4), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels[len(places) :]:
        axes.set_axis_off()
    for number, (place, axes) in enumerate(zip(places, panels), start=1):
        raw = Channel(raws[place.volume], "raw", None if channel is None else channel - 1)
        try:
            _draw(axes, place, raw, sizes[place.volume], width_um)
        finally:
            raw.close()
        axes.set_title(f"{number}  {names[place.volume]}, z {place.centre[0]}\n{place.reason}", fontsize=9, loc="left")
    seen = {kind: handle for axes in panels for handle, kind in zip(*axes.get_legend_handles_labels())}
    figure.legend(list(seen.values()), list(seen), loc="outside lower center", ncols=3, frameon=False)
    target = UnfinishedOutput(output, str(output), overwrite)
    try:
        with write_errors(str(output)):
            figure.savefig(target.path, format="png", dpi=100, metadata={"Software": None})
    except BaseException:
        target.discard()
        raise
    target.commit()


def _draw(axes: Axes, place: Place, raw: Channel, size: VoxelSize, width_um: float) -> None:
    z, y, x = raw.shape
    box = crop_box(place, size, (z, y, x), width_um)
    at = min(max(place.centre[0], 0), z - 1)
    seen = raw[slice(at, at + 1), box[1], box[2]][0].astype(np.float32)
    low, high = np.percentile(seen, [1, 99.7])
    extent = (box[2].start * size[2], box[2].stop * size[2], box[1].stop * size[1], box[1].start * size[1])
    axes.imshow(seen, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), extent=extent, interpolation="nearest")
    points = place.covered
    depth = np.abs(points.at[:, 0] - place.centre[0]) * size[0]
    for kind, (marker, color) in _MARKS.items():
        of = np.array([one == kind for one in points.kind], bool) & (depth <= _SEEN_UM)
        if not of.any():
            continue
        widths = np.where(depth[of] <= size[0], 1.8, 0.8).tolist()
        across, down = (points.at[of, 2] + 0.5) * size[2], (points.at[of, 1] + 0.5) * size[1]
        if marker == "x":
            axes.scatter(across, down, s=130, marker=marker, color=color, linewidths=widths, label=kind)
        else:
            axes.scatter(
                across, down, s=160, marker=marker, facecolors="none", edgecolors=color, linewidths=widths, label=kind
            )
    axes.set(xlabel="X (µm)", ylabel="Y (µm)", xlim=extent[:2], ylim=extent[2:])
    axes.tick_params(labelsize=7)
