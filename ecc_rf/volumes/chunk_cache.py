"""Decoded pieces that are kept for a while: whoever reads blocks needs each piece many times, and decoding is slow."""

from __future__ import annotations

import itertools
import mmap
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.volumes.base import Slices

LIMIT = 256 * 2**20  # bytes; a band of 156 rows through 156 planes (a block and its halo) of 5,500 columns in uint16


class ChunkCache:
    """The pieces used last, up to a number of bytes; threads may share it, and no piece is decoded twice at a time.

    Attributes
    ----------
    loads : int
        How many pieces were decoded so far.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self.loads = 0
        self._bytes = 0
        self._entries: OrderedDict[tuple[int, ...], _Entry] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[int, ...], load: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """The piece of this key; the caller does not write to it."""
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
            self._entries.move_to_end(key)
        with entry.lock:
            if entry.array is None:
                entry.array = _apart(load())
                with self._lock:
                    self.loads += 1
                    self._keep(key, entry)
            return entry.array

    def _keep(self, key: tuple[int, ...], entry: _Entry) -> None:
        if self._entries.setdefault(key, entry) is not entry or entry.array is None:
            return  # another thread has begun anew on this piece
        self._bytes += entry.array.nbytes
        for old in list(self._entries):
            if self._bytes <= self.limit:
                break
            found = self._entries[old].array
            if found is not None:  # one that is being decoded is about to be used
                self._bytes -= found.nbytes
                del self._entries[old]

    def clear(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._entries.clear()
            self._bytes = 0


def _apart(array: NDArray[Any]) -> NDArray[Any]:
    """A copy in memory of its own, which goes back to the system when it is no longer used.

    Pieces are decoded by many threads, whose allocators would each keep what was freed: measured, half as much again.
    """
    if array.nbytes < 2**20:
        return array
    own = np.frombuffer(mmap.mmap(-1, array.nbytes), array.dtype).reshape(array.shape)
    own[...] = array
    return own


class _Entry:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.array: NDArray[Any] | None = None


def assemble(
    slices: Slices,
    shape: Sequence[int],
    pieces: Sequence[int],
    dtype: np.dtype[Any],
    piece: Callable[[tuple[int, ...], Slices], NDArray[Any]],
) -> NDArray[Any]:
    """A region out of the pieces that it touches.

    Parameters
    ----------
    slices
        The region.
    shape, pieces
        Extents of the image and of a piece; pieces at the far end are smaller.
    dtype
        Of the result.
    piece : callable
        The piece of a place in the grid of pieces, and the region that it covers.
    """
    out = np.empty([part.stop - part.start for part in slices], dtype)
    grid = [range(part.start // edge, -(-part.stop // edge)) for part, edge in zip(slices, pieces)]
    for at in itertools.product(*grid):
        whole = tuple(slice(i * edge, min(i * edge + edge, n)) for i, edge, n in zip(at, pieces, shape))
        shared = [(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(whole, slices)]
        source = tuple(slice(low - part.start, high - part.start) for (low, high), part in zip(shared, whole))
        target = tuple(slice(low - part.start, high - part.start) for (low, high), part in zip(shared, slices))
        out[target] = piece(at, whole)[source]
    return out


def bands(axes: str, shape: Sequence[int], chunks: Sequence[int], rows: int = 64) -> tuple[int, ...]:
    """Pieces to decode at once: strips of few rows are taken together.

    >>> bands("zyx", (30, 500, 600), (1, 3, 600)), bands("zyx", (30, 500, 600), (1, 500, 600))
    ((1, 66, 600), (1, 500, 600))
    """
    return tuple(
        min(extent, chunk * max(1, -(-rows // chunk)) if axis == "y" else chunk)
        for axis, extent, chunk in zip(axes, shape, chunks)
    )
