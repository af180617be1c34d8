"""Volumes over numpy arrays, in memory or mapped from a file."""

from __future__ import annotations

import mmap
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.volumes.base import BaseVolume, Slices, VoxelSize
from ecc_rf.volumes.unfinished import UnfinishedOutput

_MOST_TOUCHED = 64 * 2**20
_LETS_GO = sys.platform == "linux"  # elsewhere the advice may lose what was written


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
        self._touched = 0  # bytes since pages were let go of; threads may lose a few of them

    def _read(self, slices: Slices) -> NDArray[Any]:
        block = np.array(self._array[slices], dtype=self.dtype, order="C")
        self._let_go(block.nbytes)
        return block

    def _write(self, slices: Slices, array: NDArray[Any]) -> None:
        self._array[slices] = array
        self._let_go(array.nbytes)

    def _let_go(self, size: int) -> None:
        """Keep the pages of a map that were used from counting as this process's memory.

        They stay in the system's cache, changed ones too, and come back when they are touched.
        """
        self._touched += size
        if self._touched >= _MOST_TOUCHED and _LETS_GO and isinstance(self._array, np.memmap):
            self._touched = 0
            self._array._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]

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
