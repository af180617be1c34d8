"""Volumes over numpy arrays, in memory or mapped from a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.volumes.base import BaseVolume, Slices, VoxelSize
from ecc_rf.volumes.unfinished import UnfinishedOutput


class ArrayVolume(BaseVolume):
    """An array, or a memory map, as a volume. Threads may read and write any blocks that do not overlap."""

    def __init__(
        self,
        name: str,
        array: NDArray[Any],
        axes: str,
        *,
        voxel_size: VoxelSize | None = None,
        drange: tuple[float, float] | None = None,
        output: UnfinishedOutput | None = None,
    ) -> None:
        super().__init__(name, array.shape, array.dtype, axes, voxel_size=voxel_size, drange=drange, output=output)
        self._array = array

    def _read(self, slices: Slices) -> NDArray[Any]:
        return np.array(self._array[slices], dtype=self.dtype, order="C")

    def _write(self, slices: Slices, array: NDArray[Any]) -> None:
        self._array[slices] = array

    def _sync(self, slices: Slices) -> None:
        if isinstance(self._array, np.memmap):
            self._array.flush()

    def _release(self) -> None:
        if self._output is not None:
            self._sync(())
        self._array = np.empty(0, self.dtype)  # lets go of the file


def reserve_space(path: Path) -> None:
    """Claim a file's disk space now: a full disk would otherwise kill the process while it writes to the map.

    Raises
    ------
    OSError
        If the disk is too full.
    """
    if hasattr(os, "posix_fallocate"):  # not on Windows and macOS, where a map claims its space itself
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
