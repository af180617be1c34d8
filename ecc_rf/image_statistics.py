"""What an image is like, from a sample at fixed places: the range of its values, in well under a second."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.errors import EccError
from ecc_rf.volumes import AxisView, Volume

QUANTILES = (0.01, 0.5, 0.999)
_CANONICAL = "tczyx"
_WHOLE = 2**18  # voxels up to which the sample is the whole image
_PLACES = (3, 3, 3)  # along z, y, x: odd, since the middle of an image is the last to lie outside of the sample
_EXTENT = (4, 64, 64)  # of a place; in z no more than a chunk, since whole planes may have to be decoded for it


@dataclass(frozen=True)
class ImageStatistics:
    """An image in a few numbers.

    Attributes
    ----------
    name : str
    dtype : str
    voxel_size : (z, y, x) in µm, optional
    flat : bool
        Whether it is a plane, without depth.
    quantiles : tuple of tuple of float
        For each channel the values at `QUANTILES` of its voxels. Those that are exactly 0 (never imaged) or not finite
        do not count, nor do places of one value (outside of the sample); empty where no other was met.
    """

    name: str
    dtype: str
    voxel_size: tuple[float, float, float] | None
    flat: bool
    quantiles: tuple[tuple[float, ...], ...]

    def as_dict(self) -> dict[str, Any]:
        """In types of JSON; `from_dict` reads it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> ImageStatistics:
        """What `as_dict` gave; raises KeyError, TypeError or ValueError if it is something else."""
        size = stored["voxel_size"]
        if size is not None:
            z, y, x = (float(length) for length in size)
            if not all(0 < length < math.inf for length in (z, y, x)):
                raise ValueError(f"voxel size {size}")
            size = (z, y, x)
        quantiles = tuple(tuple(float(value) for value in channel) for channel in stored["quantiles"])
        if any(len(channel) not in (0, len(QUANTILES)) for channel in quantiles):
            raise ValueError("quantiles")
        return cls(str(stored["name"]), str(stored["dtype"]), size, bool(stored["flat"]), quantiles)


def image_statistics(volume: Volume, *, values: bool = True) -> ImageStatistics:
    """Sample an image.

    Parameters
    ----------
    volume : Volume
        Opened. Pieces that cannot be read are left out.
    values : bool
        Whether voxels are looked at; otherwise the quantiles are empty.
    """
    view = AxisView(volume, _CANONICAL)
    samples: list[list[NDArray[Any]]] = [[] for _ in range(view.shape[1])]
    for brick in _bricks(view) if values else ():
        for channel, found in enumerate(samples):
            piece = brick[:, channel].ravel()
            if (piece != piece[0]).any():
                found.append(piece)
    return ImageStatistics(
        volume.name,
        str(np.dtype(volume.dtype).newbyteorder("=")),
        volume.voxel_size,
        view.shape[2] == 1,
        tuple(_quantiles(found) for found in samples),
    )


def _quantiles(pieces: list[NDArray[Any]]) -> tuple[float, ...]:
    values = np.concatenate(pieces).astype(np.float64) if pieces else np.empty(0)
    values = values[np.isfinite(values) & (values != 0)]
    return tuple(np.quantile(values, QUANTILES).tolist()) if values.size else ()


def _bricks(view: Volume) -> Iterator[NDArray[Any]]:
    """Voxels at fixed places, ``t c z y x``."""
    extents = view.shape[2:]
    if math.prod(view.shape) <= _WHOLE:
        boxes: Iterator[tuple[slice, ...]] = iter([tuple(slice(0, n) for n in extents)])
    else:
        deep = view.chunks[2] if view.chunks else 1
        edges = (min(_EXTENT[0], deep), *_EXTENT[1:])
        boxes = itertools.product(*(_spread(n, k, edge) for n, k, edge in zip(extents, _PLACES, edges)))
    time = view.shape[0] // 2
    for box in boxes:
        try:
            yield view[(slice(time, time + 1), slice(None), *box)]
        except EccError:  # is reported, with its place, when the block is read
            continue


def _spread(n: int, count: int, edge: int) -> list[slice]:
    """Short pieces of an axis, evenly spread.

    >>> _spread(100, 2, 10), _spread(3, 8, 1)
    ([slice(20, 30, None), slice(70, 80, None)], [slice(0, 1, None), slice(1, 2, None), slice(2, 3, None)])
    """
    edge = min(edge, n)
    count = min(count, n // edge)
    middles = [(2 * i + 1) * n // (2 * count) for i in range(count)]
    return [slice(m - edge // 2, m - edge // 2 + edge) for m in middles]
