"""Which files of a result folder are shown, and what a file on its own is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ecc_rf.cells.writing import read_cells
from ecc_rf.errors import EccError, FormatError, MissingFileError, SettingError
from ecc_rf.near import missing_file
from ecc_rf.viewing.layers import LayerData, cell_layer, depth_of_planes, volume_layers
from ecc_rf.volumes.base import VoxelSize
from ecc_rf.volumes.checking import check_files
from ecc_rf.volumes.paths import split_path

TABLES = (".csv", ".parquet")
_PROBABILITIES = ("probability.ome.zarr", "probability.h5")
_MASKS = ("mask.ome.zarr", "mask.h5")


@dataclass(frozen=True)
class Shown:
    """What is to be shown.

    Attributes
    ----------
    raw : path, optional
        The image.
    probability, mask, objects, cells : path, optional
        Results that belong to it.
    others : tuple of path
        Volumes that say themselves what they are.
    voxel_size : (z, y, x) in µm, optional
        Of all of them, instead of what the files say.
    axes : str, optional
        Of the image, instead of what the file says.
    notes : tuple of str
        What the user should know, such as an image that is not found.
    """

    raw: str | Path | None = None
    probability: str | Path | None = None
    mask: str | Path | None = None
    objects: str | Path | None = None
    cells: str | Path | None = None
    others: tuple[str | Path, ...] = ()
    voxel_size: VoxelSize | None = None
    axes: str | None = None
    notes: tuple[str, ...] = field(default=())


def results_of(folder: str | Path) -> Shown:
    """What a result folder of `run` holds, and the image it was made from if that is still there.

    Raises
    ------
    MissingFileError
        If there is no such folder.
    FormatError
        If it holds no results, or those of several images, which the message names.
    """
    place = Path(folder).expanduser()
    if not place.exists():
        raise missing_file(folder, "There is no such folder.")
    raw, size, axes, notes = _record(place)
    shown = Shown(
        raw=raw,
        probability=_first(place, _PROBABILITIES),
        mask=_first(place, _MASKS),
        objects=_first(place, ("objects.ome.zarr",)),
        cells=_first(place, ("cells.csv",)),
        voxel_size=size,
        axes=axes,
        notes=notes,
    )
    if any((shown.probability, shown.mask, shown.objects, shown.cells)):
        return shown
    inner = sorted(path.parent for path in place.glob("*/run.json"))
    if inner:
        raise FormatError(
            "The folder holds the results of several images.",
            str(folder),
            f"Choose one of {', '.join(map(str, inner[:8]))}.",
        )
    raise FormatError(
        "The folder holds no results of ecc-rf run.", str(folder), "Give the folder that was named with ecc-rf run -o."
    )


def _first(folder: Path, names: Sequence[str]) -> Path | None:
    return next((folder / name for name in names if (folder / name).exists()), None)


def _record(folder: Path) -> tuple[str | None, VoxelSize | None, str | None, tuple[str, ...]]:
    """Image, voxel size and axes that ``run.json`` names, and what is wrong with them."""
    try:
        record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        path = str(record["image"]["path"])
        z, y, x = (float(length) for length in record["voxel_size_um_zyx"])
        axes = record["settings"]["run"].get("axes")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return None, None, None, (f"run.json cannot be used ({type(error).__name__}): the image is not shown (--raw)",)
    for base in (Path(), *folder.resolve().parents):  # the path may be as seen from where the run was started
        try:
            check_files([base / path])
        except MissingFileError:
            continue
        return str(base / path), (z, y, x), axes, ()
    return None, (z, y, x), axes, (f"the image is no longer at {path}: it is not shown; say where it is with --raw",)


def shown_of(paths: Sequence[str | Path]) -> Shown:
    """What to show for some paths: one result folder, or volumes and tables.

    Raises
    ------
    EccError
        If one is none of these.
    """
    shown = Shown()
    for path in paths:
        kind = what_is(path)
        if kind == "results" and len(paths) > 1:
            raise SettingError("A result folder is shown by itself.", str(path), "Give --raw, --objects … beside it.")
        if kind == "results":
            return results_of(path)
        if kind == "cells":
            if shown.cells is not None:
                raise SettingError("Two tables of cells are given.", str(path), "Give one.")
            shown = replace(shown, cells=path)
        else:
            shown = replace(shown, others=(*shown.others, path))
    return shown


def what_is(path: str | Path) -> str:
    """``results``, ``cells`` or ``volume``, by the name and by what is there."""
    place = Path(path).expanduser()
    if place.suffix.lower() in TABLES:
        return "cells"
    if place.is_dir() and (_first(place, (*_PROBABILITIES, *_MASKS, "cells.csv", "run.json")) or _several(place)):
        return "results"
    return "volume"


def _several(folder: Path) -> bool:
    return not folder.name.lower().endswith((".zarr", ".n5")) and next(folder.glob("*/run.json"), None) is not None


def layers_of(shown: Shown, *, spheres: bool = False) -> list[LayerData]:
    """The layers, the image at the bottom and the cells on top.

    Parameters
    ----------
    shown : Shown
    spheres : bool
        Whether the viewer will show cells as spheres, in all planes that they reach, rather than in their middle one.

    Raises
    ------
    EccError
        If a file cannot be read.
    SettingError
        If nothing is to be shown.
    """
    size = shown.voxel_size
    found: list[LayerData] = []
    if shown.raw is not None:
        found += volume_layers(shown.raw, "image", voxel_size=size, axes=shown.axes)
    for other in shown.others:
        found += volume_layers(other, voxel_size=size, axes=shown.axes)
    if shown.probability is not None:
        found += volume_layers(shown.probability, "probability", voxel_size=size)
    if shown.mask is not None:
        found += volume_layers(shown.mask, "objects", name="mask", voxel_size=size)
    if shown.objects is not None:
        found += volume_layers(shown.objects, "objects", voxel_size=size)
    if shown.cells is not None:
        cells = read_cells(shown.cells)
        flat = bool(found) and all("z" not in options["axis_labels"] for _, options, _ in found)
        found.append(cell_layer(cells, depth_um=None if flat else 1.0 if spheres else depth_of_planes(cells)))
    if not found:
        raise SettingError("There is nothing to show.", do="Give a result folder, or volumes and a table of cells.")
    return found


def is_ours(path: str | Path) -> bool:
    """Whether a path is one that the reader in napari should offer to open: cheap, and never an error."""
    try:
        kind = what_is(path)
        if kind == "results":
            return True
        if kind == "cells":
            place = Path(path).expanduser()
            if place.suffix.lower() != ".csv":
                return True
            with place.open(encoding="utf-8") as file:
                return {"X", "Y", "Z"} <= set(file.readline(10_000).strip().split(","))
        parts = split_path(path)  # refuses what is no volume
        return parts.file.exists()
    except (OSError, ValueError, EccError):
        return False
