"""NPY files: the voxels alone. Axes, voxel size, data range and attributes are not kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ecc_rf.volumes.array import ArrayVolume, reserve_space
from ecc_rf.volumes.axes import check_axes, default_axes
from ecc_rf.volumes.base import Source, Target, check_voxels, damage_reported


def open_source(source: Source) -> ArrayVolume:
    with damage_reported(source.name):
        array = np.lib.format.open_memmap(source.path, mode="r")
        check_voxels(source.name, array.shape, array.dtype)
        axes = check_axes(source.axes or default_axes(array.shape), array.ndim, source.name)
        return ArrayVolume(source.name, array, axes, voxel_size=source.voxel_size)


def create_target(target: Target) -> ArrayVolume:
    def write(path: Path) -> None:
        np.lib.format.open_memmap(path, mode="w+", dtype=target.dtype, shape=target.shape)

    target.output.begin(write, _describe)
    reserve_space(target.output.path)
    return ArrayVolume(
        target.output.name,
        np.lib.format.open_memmap(target.output.path, mode="r+"),
        target.axes,
        voxel_size=target.voxel_size,
        drange=target.drange,
        output=target.output,
    )


def _describe(path: Path) -> dict[str, Any]:
    array = np.lib.format.open_memmap(path, mode="r")
    return {"shape": array.shape, "dtype": str(array.dtype)}
