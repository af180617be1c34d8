"""Volumes and tables as layers of napari: data, options and kind, in napari's own form; napari is not needed for it.

Every layer is placed in µm, voxel (0, 0, 0) at the origin, so that all of one image lie on each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ecc_rf.errors import FormatError
from ecc_rf.viewing.lazy import lazy_array, levels
from ecc_rf.volumes import AxisView, Volume
from ecc_rf.volumes.base import VoxelSize
from ecc_rf.volumes.paths import split_path

if TYPE_CHECKING:
    import pandas as pd

LayerData = tuple[Any, dict[str, Any], str]
"""What napari makes a layer of: data, options, kind of layer."""

Kind = Literal["image", "probability", "objects"]

_ORDER = "tzyx"
_PERCENTILES = (1.0, 99.9)  # of what is shown at first: cells are few and bright
_SAMPLE = 512  # voxels along y and x that the first contrast is taken from
_UM = {"t": "pixel", "z": "um", "y": "um", "x": "um"}


def volume_layers(
    path: str | Path,
    kind: Kind | None = None,
    *,
    name: str | None = None,
    voxel_size: VoxelSize | None = None,
    axes: str | None = None,
) -> list[LayerData]:
    """The layers of a volume, one for each channel.

    Parameters
    ----------
    path : path
        What `open_volume` reads; all resolutions of an OME-Zarr are used.
    kind : {'image', 'probability', 'objects'}, optional
        What it is; default: what the file says of itself, otherwise an image.
    name : str, optional
        Of the layer; default the file's.
    voxel_size : (z, y, x) in µm, optional
        Instead of what the file says; 1 µm where nothing is known.
    axes : str, optional
        Instead of what the file says.

    Returns
    -------
    list of (data, options, kind)

    Raises
    ------
    EccError
        As `open_volume`.
    FormatError
        If objects are no integers.
    """
    volumes = levels(str(path), voxel_size, axes)
    first = volumes[0]
    kind = kind or kind_of(first)
    order = "".join(axis for axis in _ORDER if axis in first.axes)
    size = dict(zip("zyx", voxel_size or first.voxel_size or (1.0, 1.0, 1.0)))
    channels = dict(zip(first.axes, first.shape)).get("c", 1)
    arrays = [lazy_array(volume, order + "c") for volume in volumes]
    placed: dict[str, Any] = {
        "scale": [size.get(axis, 1.0) for axis in order],
        "units": [_UM[axis] for axis in order],
        "axis_labels": list(order),
    }
    found: list[LayerData] = []
    for channel in range(channels):
        data = [array[..., channel] for array in arrays]
        options = placed | {"name": _name(first, name or kind_name(kind, path), channel, channels)}
        if kind == "objects":
            if first.dtype.kind not in "iu":
                raise FormatError(f"objects are integers, not {first.dtype}", first.name, "give it as an image")
            options |= {"opacity": 0.6, "multiscale": len(data) > 1}
            found.append((data if len(data) > 1 else data[0], options, "labels"))
            continue
        options |= {"multiscale": len(data) > 1, "blending": "additive"}
        if kind == "probability":
            high = first.drange[1] if first.drange else 1.0 if first.dtype.kind == "f" else np.iinfo(first.dtype).max
            options |= {"colormap": "inferno", "contrast_limits": (0.0, float(high)), "opacity": 0.6}
        else:
            options |= {"colormap": "gray", "contrast_limits": contrast(volumes[-1], channel)}
        found.append((data if len(data) > 1 else data[0], options, "image"))
    return found


def kind_of(volume: Volume) -> Kind:
    """What a volume says that it holds."""
    ours = volume.attributes.get("ecc_rf")
    said = ours.get("export") if isinstance(ours, dict) else None
    if said is None and volume.dtype.kind in "iu" and volume.dtype.itemsize >= 4:
        return "objects"  # numbers of objects; no camera counts that far
    if said in ("segmentation", "mask"):
        return "objects"
    return "probability" if said in ("probabilities", "uncertainty") else "image"


def kind_name(kind: Kind, path: str | Path) -> str:
    """The name of a layer: what it is, or the file's for an image."""
    return split_path(path).file.name if kind == "image" else kind


def contrast(volume: Volume, channel: int = 0) -> tuple[float, float]:
    """Limits between which the middle of a volume's middle plane is seen well."""
    seen = AxisView(volume, "tzyxc")
    t, z, y, x, _ = seen.shape
    rows, columns = (slice(max(0, (n - _SAMPLE) // 2), (n - _SAMPLE) // 2 + _SAMPLE) for n in (y, x))
    middle = seen[slice(t // 2, t // 2 + 1), slice(z // 2, z // 2 + 1), rows, columns, slice(channel, channel + 1)]
    finite = middle[np.isfinite(middle)]
    low, high = np.percentile(finite, _PERCENTILES) if finite.size else (0.0, 1.0)
    return float(low), float(high) if high > low else float(low) + 1.0


def _name(volume: Volume, name: str, channel: int, channels: int) -> str:
    ours = volume.attributes.get("ecc_rf")
    names: Sequence[str] = ours.get("label_names") or () if isinstance(ours, dict) else ()
    if len(names) == channels and kind_of(volume) == "probability":
        return f"{name}: {names[channel]}"
    return name if channels == 1 else f"{name}, channel {channel}"


def cell_layer(cells: pd.DataFrame, *, name: str = "cells", depth_um: float | None = 1.0) -> LayerData:
    """Cells as points, as large as the spheres of their volumes, with the table's columns as features.

    Parameters
    ----------
    cells : DataFrame
        With the columns X, Y and Z in µm; without ``diameter_um`` or ``vol`` all are 10 µm large.
    name : str
    depth_um : float, optional
        Of a plane. napari shows a point in the slice of one unit of its data around it, which this makes the plane;
        1 where points are shown as spheres (`spheres`), None for an image without depth.
    """
    columns = ["Y", "X"] if depth_um is None else ["Z", "Y", "X"]
    scale = [1.0] * len(columns) if depth_um is None else [depth_um, 1.0, 1.0]
    if "diameter_um" in cells:
        size = cells["diameter_um"].to_numpy(np.float64)
    elif "vol" in cells:
        size = np.cbrt(6 / np.pi * cells["vol"].to_numpy(np.float64))
    else:
        size = np.full(len(cells), 10.0)
    options: dict[str, Any] = {
        "name": name,
        "features": cells.reset_index(drop=True),
        "size": np.where(np.isfinite(size) & (size > 0), size, 1.0) if len(cells) else 10.0,
        "face_color": "transparent",
        "border_color": "cyan",
        "border_width": 0.1,
        "scale": scale,
        "units": ["um"] * len(columns),
        "axis_labels": [column.lower() for column in columns],
    }
    return cells[columns].to_numpy(np.float64) / scale, options, "points"


def depth_of_planes(cells: pd.DataFrame) -> float:
    """The distance of planes in µm that a table was made with; 1 if it does not say.

    >>> import pandas as pd
    >>> depth_of_planes(pd.DataFrame({"Z": [0.0, 12.0, 30.0], "z": [0.0, 2.0, 5.0]}))
    6.0
    """
    if "z" not in cells:
        return 1.0
    below = cells[cells["z"] > 0]
    return float((below["Z"] / below["z"]).median()) if len(below) else 1.0
