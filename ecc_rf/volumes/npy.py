"""NPY files: the voxels alone. Axes, voxel size, data range and attributes are not kept."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from ecc_rf.errors import FormatError
from ecc_rf.volumes.array import ArrayVolume, reserve_space
from ecc_rf.volumes.axes import check_axes, default_axes
from ecc_rf.volumes.base import Source, Target, damage_reported
from ecc_rf.volumes.npy_header import check_header, read_header


def open_source(source: Source) -> ArrayVolume:
    with damage_reported(source.name):
        with source.path.open("rb") as file:
            shape, _, dtype = read_header(file, source.name)
            check_header(shape, dtype, source.name)
            needed, size = file.tell() + dtype.itemsize * math.prod(shape), source.path.stat().st_size
        if size < needed:
            raise FormatError(f"the file is truncated: {size:,} bytes of {needed:,}", source.name, "copy it anew")
        array = np.lib.format.open_memmap(source.path, mode="r")
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
