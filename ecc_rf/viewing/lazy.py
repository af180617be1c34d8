"""Volumes as dask arrays: a piece is read when napari shows it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.errors import EccError, SettingError
from ecc_rf.volumes import AxisView, Volume, open_volume
from ecc_rf.volumes.base import VoxelSize

if TYPE_CHECKING:
    import dask.array as da

INSTALL = 'python -m pip install "ecc_rf[napari]"'

_MOST_CHUNKS = 10_000  # a graph of more takes longer to build than the plane to read
_LARGEST = 32 * 2**20  # bytes of a piece: about as long as one waits for a plane
_MOST_LEVELS = 32


def levels(path: str, voxel_size: VoxelSize | None = None, axes: str | None = None) -> list[Volume]:
    """All resolutions of an image, the finest first; one for a format without levels.

    The volumes stay open as long as they are used. The voxel size is that of the finest, as is the shape that `axes`
    are the letters of.

    Raises
    ------
    EccError
        As `open_volume`.
    """
    first = open_volume(path, axes=axes, voxel_size=voxel_size)
    found = [first]
    for number in range(1, _MOST_LEVELS):
        try:
            coarser = open_volume(path, axes=axes, level=number)
        except SettingError:  # there is no such level, or the format has none
            break
        except EccError:  # one level that is damaged is no reason not to see the others
            break
        if len(coarser.shape) != len(first.shape) or math.prod(coarser.shape) >= math.prod(found[-1].shape):
            coarser.close()
            break
        found.append(coarser)
    return found


def lazy_array(volume: Volume, axes: str) -> da.Array:
    """A volume with its axes in this order, read chunk by chunk.

    Parameters
    ----------
    volume : Volume
        It must stay open.
    axes : str
        Axes that the volume does not have get extent 1.
    """
    try:
        import dask.array as da
    except ImportError as error:
        raise SettingError("dask is not installed.", volume.name, f"Install it with napari: {INSTALL}") from error

    seen = volume if volume.axes == axes else AxisView(volume, axes)
    chunks = chunk_extents(seen.shape, seen.chunks, axes, seen.dtype.itemsize)
    explicit = tuple(
        tuple(min(edge, extent - start) for start in range(0, extent, edge)) for edge, extent in zip(chunks, seen.shape)
    )

    def read(block_info: Any = None) -> NDArray[Any]:
        place = block_info[None]["array-location"]
        block: NDArray[Any] = seen[tuple(slice(start, stop) for start, stop in place)]
        return block

    map_blocks: Callable[..., da.Array] = da.map_blocks
    return map_blocks(read, chunks=explicit, dtype=seen.dtype, meta=np.empty((0,) * len(axes), seen.dtype), name=False)


def chunk_extents(shape: Sequence[int], stored: Sequence[int] | None, axes: str, itemsize: int = 1) -> tuple[int, ...]:
    """Extents of the pieces that are read: whole stored chunks, as many along x and y as are worth one task.

    A plane is what is looked at, so that pieces do not grow along z, channels and time; where nothing is stored in
    chunks a piece is a plane.

    >>> chunk_extents((1000, 9000, 9000), (64, 64, 64), "zyx")
    (64, 704, 704)
    >>> chunk_extents((100, 300, 400), None, "zyx", 2)
    (1, 300, 400)
    """
    if stored is None:
        stored = [extent if axis in "yx" else 1 for axis, extent in zip(axes, shape)]
    chunks = [min(edge, extent) for edge, extent in zip(stored, shape)]
    flat = [position for position, axis in enumerate(axes) if axis in "yx"]
    edges = [chunks[position] for position in flat]

    def grown(times: int) -> list[int]:
        result = list(chunks)
        for position, edge in zip(flat, edges):
            result[position] = min(edge * times, shape[position])
        return result

    times = 1
    while math.prod(-(-extent // edge) for extent, edge in zip(shape, grown(times))) > 256:
        if itemsize * math.prod(grown(times + 1)) > _LARGEST and _few(shape, grown(times)):
            break
        times += 1
    return tuple(grown(times))


def _few(shape: Sequence[int], chunks: Sequence[int]) -> bool:
    return math.prod(-(-extent // edge) for extent, edge in zip(shape, chunks)) <= _MOST_CHUNKS
