"""Pieces of an image that cannot be read: where they are, and reading on without them."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.errors import FormatError
from ecc_rf.volumes.base import BaseVolume, Slices, chunks_of, normalized_index

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
        """Voxels of a box.

        Raises
        ------
        FormatError
            If something in it cannot be read; the message names the first such chunk.
        """
        try:
            return self._volume[index]
        except FormatError as error:
            if not self._skip:
                raise FormatError(
                    error.what, error.where, f"{error.do}; or give --skip-unreadable to take such pieces for 0"
                ) from error
            return self._what_can_be_read(normalized_index(index, self.shape)[0])

    def _what_can_be_read(self, box: tuple[slice, ...]) -> NDArray[Any]:
        voxels = np.zeros(tuple(s.stop - s.start for s in box), self._volume.dtype)
        for chunk in chunks_of(box, self.shape, self._volume.chunks or self.shape):
            part = tuple(slice(max(s.start, c.start), min(s.stop, c.stop)) for s, c in zip(box, chunk))
            try:
                voxels[tuple(slice(p.start - s.start, p.stop - s.start) for p, s in zip(part, box))] = self._volume[
                    part
                ]
            except FormatError:
                with self._lock:
                    self._skipped.add(tuple((c.start, c.stop) for c in chunk))
        return voxels

    def skipped_in(self, index: tuple[slice, ...]) -> list[Bounds]:
        """Pieces that were left out and lie in a box, in order."""
        with self._lock:
            return sorted(
                bounds
                for bounds in self._skipped
                if all(a < s.stop and s.start < b for (a, b), s in zip(bounds, index))
            )


class ForgivingVolume(BaseVolume):
    """The same volume, in which pieces that cannot be read are 0. Closing it closes the volume.

    Parameters
    ----------
    volume : Volume
    """

    def __init__(self, volume: Volume) -> None:
        super().__init__(
            volume.name,
            volume.shape,
            volume.dtype,
            volume.axes,
            voxel_size=volume.voxel_size,
            drange=volume.drange,
            chunks=volume.chunks,
            attributes=volume.attributes,
        )
        self._volume = volume
        self._reader = CarefulReader(volume, skip=True)
        self.cache = volume.cache

    def _read(self, slices: Slices) -> NDArray[Any]:
        return self._reader[slices]

    @property
    def reading_bytes(self) -> int:
        return self._volume.reading_bytes

    def _release(self) -> None:
        self._volume.close()


def describe_bounds(bounds: Bounds, axes: str) -> str:
    """Where a piece is, as people read it.

    >>> describe_bounds(((0, 1), (64, 128), (0, 64), (0, 64)), "czyx")
    'z=64:128, y=0:64, x=0:64'
    """
    shown = [f"{axis}={a}:{b}" for (a, b), axis in zip(bounds, axes) if axis in "zyx" or a > 0]
    return ", ".join(shown)
