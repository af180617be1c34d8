"""Normalised images as files that ilastik, ITK-SNAP and we can open."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from ecc_rf.blocks import BlockCost, Grid, Progress, choose_block, parse_memory, resolve_workers, run_blocks
from ecc_rf.errors import OutputExistsError, SettingError
from ecc_rf.normalization.scale import estimate_scales
from ecc_rf.normalization.settings import ATTRIBUTE, Normalization, read_from_volume
from ecc_rf.normalization.volume import NormalizedVolume
from ecc_rf.volumes import AxisView, create_volume, open_volume
from ecc_rf.volumes.paths import image_name, split_path
from ecc_rf.volumes.user_paths import is_there

FORMATS = {"h5": ".h5/data", "ome.zarr": ".ome.zarr"}
_CHUNK = 64  # fixed, so that the file does not depend on the blocks
_CANONICAL = "tczyx"


def normalize_images(
    images: Sequence[str | Path],
    folder: str | Path,
    normalization: Normalization | None = None,
    *,
    format: str = "h5",
    together: bool = False,
    scales: tuple[float, ...] | None = None,
    axes: str | None = None,
    voxel_size: tuple[float, float, float] | None = None,
    workers: int | None = None,
    memory: str | int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> list[tuple[Path, tuple[float, ...]]]:
    """Write normalised copies of images, float32, under their own names.

    Parameters
    ----------
    images : sequence of paths
    folder : path
    normalization : Normalization, optional
    format : {'h5', 'ome.zarr'}
        HDF5 with the dataset ``data``, or OME-Zarr.
    together : bool
        The images are pieces of one brain and share its scale.
    scales : tuple of float, optional
        One per channel, instead of what is estimated.
    axes, voxel_size : optional
        As for `open_volume`.
    workers, memory, progress
        As everywhere. The files do not depend on them.
    overwrite : bool
        Replace files of these names.

    Returns
    -------
    list of (Path, tuple of float)
        The files and their scales.

    Raises
    ------
    EccError
        Bad input is found before the first file is written.
    """
    normalization = normalization or Normalization()
    if format not in FORMATS:
        raise SettingError(f"{format!r} is no format.", where="format", do=f"Choose {' or '.join(FORMATS)}.")
    outputs = [Path(folder) / (name + FORMATS[format]) for name in _names(images)]
    for image, output in zip(images, outputs):
        if read_from_volume(image) is not None:
            raise SettingError("The image is normalised already.", where=str(image), do="Give the raw image.")
        file = split_path(output).file
        if is_there(file) and not overwrite:
            raise OutputExistsError("There is an output of this name already.", where=str(file), do="--overwrite")
    workers, budget = resolve_workers(workers), parse_memory(memory)
    with ExitStack() as stack:
        volumes = [stack.enter_context(open_volume(path, axes=axes, voxel_size=voxel_size)) for path in images]
        shared = scales or (estimate_scales(volumes) if together else None)
        ready = [NormalizedVolume(v, normalization, shared or estimate_scales([v])) for v in volumes]
        for volume, output in zip(ready, outputs):
            _write(volume, output, workers, budget, overwrite, progress)
    return [(split_path(output).file, volume.scales) for volume, output in zip(ready, outputs)]


def _write(
    volume: NormalizedVolume, output: Path, workers: int, budget: int, overwrite: bool, progress: Progress | None
) -> None:
    source = AxisView(volume, _CANONICAL)
    extents = source.shape[2:]
    # raw voxels around a block and bricks of nodes are read beside it: as many again, at the most
    cost = BlockCost(read=24, core=8 * source.shape[1])
    block = choose_block(extents, (0, 0, 0), cost, memory=budget, workers=workers)
    block = tuple(min(n, -(-b // _CHUNK) * _CHUNK) for b, n in zip(block, extents))
    stored = {**volume.normalization.as_dict(), "scales": list(volume.scales)}
    with create_volume(
        output,
        volume.shape,
        "float32",
        volume.axes,
        chunks=[min(n, _CHUNK) if axis in "zyx" else 1 for axis, n in zip(volume.axes, volume.shape)],
        voxel_size=volume.voxel_size,
        attributes={ATTRIBUTE: json.dumps(stored)},
        overwrite=overwrite,
    ) as created:
        target = AxisView(created, _CANONICAL)
        grid = Grid(source.shape, (1, source.shape[1], *block))
        for one, voxels in run_blocks(
            lambda b: source[b.core], grid, workers=workers, progress=progress, stage="normalize"
        ):
            target[one.core] = voxels


def _names(images: Sequence[str | Path]) -> list[str]:
    """The images' own names.

    >>> _names(["a/brain.1.h5/data", "b/brain.2.ome.zarr"])
    ['brain.1', 'brain.2']

    Raises
    ------
    SettingError
        If two are the same: they would be written to the same file.
    """
    names = [image_name(image) for image in images]
    folded = [name.casefold() for name in names]  # one file on some systems
    for name in names:
        if folded.count(name.casefold()) > 1:
            raise SettingError(f"Several images are named {name}.", where=name, do="Normalise them into two folders.")
    return names
