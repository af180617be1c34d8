"""Pieces of an image that cannot be read: where they are, and reading on without them."""

from __future__ import annotations

import itertools
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.errors import FormatError

if TYPE_CHECKING:
    from ecc_rf.volumes.volume import Volume

Bounds = tuple[tuple[int, int], ...]


class CarefulReader:
    """A volume of which the unreadable pieces are named, or left out.

    Parameters
    ----------
    volume : Volume
        Or an `AxisView` of one.
    skip : bool
        Whether a piece that cannot be read is taken for 0, and noted in `skipped`.
    """

    def __init__(self, volume: Volume, *, skip: bool = False) -> None:
        self._volume = volume
        self._skip = skip
        self.shape = volume.shape
        self._lock = Lock()
        self._skipped: set[Bounds] = set()

    def __getitem__(self, index: tuple[slice, ...]) -> NDArray[Any]:
        """Voxels of a box with plain bounds.

        Raises
        ------
        FormatError
            If something in it cannot be read; the message names the first such chunk.
        """
        try:
            return self._volume[index]
        except FormatError as error:
            box = tuple(slice(*s.indices(n)[:2]) for s, n in zip(index, self.shape))
            return self._piecewise(box, error)

    def _piecewise(self, box: tuple[slice, ...], error: FormatError) -> NDArray[Any]:
        voxels = np.zeros(tuple(s.stop - s.start for s in box), self._volume.dtype)
        found = False
        chunks = self._volume.chunks or self.shape
        for at in itertools.product(*(range(s.start // c, -(-s.stop // c)) for s, c in zip(box, chunks))):
            part = tuple(slice(max(s.start, i * c), min(s.stop, (i + 1) * c)) for i, c, s in zip(at, chunks, box))
            target = tuple(slice(p.start - s.start, p.stop - s.start) for p, s in zip(part, box))
            try:
                voxels[target] = self._volume[part]
            except FormatError as inner:
                found = True
                bounds = tuple((i * c, min((i + 1) * c, n)) for i, c, n in zip(at, chunks, self.shape))
                if not self._skip:
                    raise self._named(bounds, inner) from error
                with self._lock:
                    self._skipped.add(bounds)
        if not found:  # readable piece by piece, not as a whole: nothing that could be named
            raise error
        return voxels

    def _named(self, bounds: Bounds, error: FormatError) -> FormatError:
        return FormatError(
            f"A piece of the image cannot be read: {error.what}.",
            where=f"{self._volume.name}, {describe_bounds(bounds, self._volume.axes)}",
            do="Restore the file; or give --skip-unreadable to take such pieces for 0.",
        )

    def skipped_in(self, index: tuple[slice, ...]) -> list[Bounds]:
        """Pieces that were left out and lie in a box, in order."""
        with self._lock:
            return sorted(
                bounds
                for bounds in self._skipped
                if all(a < s.stop and s.start < b for (a, b), s in zip(bounds, index))
            )


def describe_bounds(bounds: Bounds, axes: str) -> str:
    """Where a piece is, as people read it.

    >>> describe_bounds(((0, 1), (64, 128), (0, 64), (0, 64)), "czyx")
    'z=64:128, y=0:64, x=0:64'
    """
    shown = [f"{axis}={a}:{b}" for (a, b), axis in zip(bounds, axes) if axis in "zyx" or a > 0]
    return ", ".join(shown)
