"""Scratch memory for compiled code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ecc_rf.features.lanes import LANES, Buffer, Table, address


class Memory:
    """Hands out buffers and tables by their addresses, and keeps them for as long as it lives."""

    def __init__(self) -> None:
        self._arrays: list[np.ndarray] = []

    def buffer(self, size: int) -> Buffer:
        """Room for `size` float32, zero at first, and for vectors that begin in it and end behind it."""
        return self._keep(np.zeros(size + 4 * LANES, np.float32))

    def taps(self, values: Any) -> Buffer:
        """These float32 values."""
        return self._keep(np.array(values, np.float32))

    def table(self, values: Sequence[Any] | np.ndarray) -> Table:
        """These int64 values, row by row."""
        return self._keep(np.array(values, np.int64))

    def _keep(self, array: np.ndarray) -> int:
        self._arrays.append(array)
        return address(array)

    @property
    def nbytes(self) -> int:
        """Bytes handed out."""
        return sum(array.nbytes for array in self._arrays)
