"""One number per brain and channel: the median of the voxels that were imaged.

It is estimated from bricks at fixed places, so that it does not depend on blocks, workers or order, and a brain of any
size is sampled in seconds. Voxels of exactly 0 were never imaged (the margin of a stitched volume) and do not count.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ecc_rf.errors import ImageValueError
from ecc_rf.volumes import AxisView, Volume

_CANONICAL = "tczyx"
_BRICK = (16, 64, 64)
_MOST_BRICKS = 1024
_MOST_VOXELS = 2**22  # below, every voxel of the volume is taken
_THINNED = (2, 4, 4)  # otherwise every second plane, every fourth row and column of a brick


def estimate_scales(images: Sequence[Volume]) -> tuple[float, ...]:
    """The scale of each channel of a brain.

    Parameters
    ----------
    images : sequence of Volume
        The brain, or the pieces of it, which share the scale.

    Returns
    -------
    tuple of float
        One per channel, more than 0.

    Raises
    ------
    ImageValueError
        If the images have different numbers of channels, or a channel's median is not positive.
    """
    views = [AxisView(image, _CANONICAL) for image in images]
    channels = {view.shape[1] for view in views}
    if len(channels) > 1:
        raise ImageValueError(
            f"The images have {' and '.join(map(str, sorted(channels)))} channels.",
            where=", ".join(view.name for view in views),
            do="Give pieces of one brain.",
        )
    samples: list[list[NDArray[np.float32]]] = [[] for _ in range(channels.pop())]
    for view in views:
        for brick in _bricks(view):
            for channel, found in enumerate(samples):
                found.append(brick[:, channel].ravel())
    return tuple(
        _median(np.concatenate(found), channel, ", ".join(view.name for view in views))
        for channel, found in enumerate(samples)
    )


def _median(values: NDArray[np.float32], channel: int, name: str) -> float:
    values = values[np.isfinite(values) & (values != 0)]  # what is not finite is reported where it is classified
    scale = float(np.median(values)) if values.size else 0.0
    if not scale > 0:
        raise ImageValueError(
            f"The median of channel {channel + 1} is {scale:g}; it cannot be the scale of a brain.",
            where=name,
            do="Normalise images whose background is above 0, or give the scale yourself.",
        )
    return scale


def _bricks(view: Volume) -> Iterator[NDArray[np.float32]]:
    """Voxels at fixed places, ``t c z y x``."""
    extents = view.shape[2:]
    whole = math.prod(extents) <= _MOST_VOXELS
    every = (1, 1, 1) if whole else _THINNED
    counts = [-(-n // b) for n, b in zip(extents, _BRICK)]
    apart = 1 if whole else math.ceil((math.prod(counts) / _MOST_BRICKS) ** (1 / 3))
    places = [range(min(apart // 2, n - 1), n, apart) for n in counts]
    for t, at in itertools.product(range(view.shape[0]), itertools.product(*places)):
        box = tuple(slice(i * b, min((i + 1) * b, n)) for i, b, n in zip(at, _BRICK, extents))
        brick = view[(slice(t, t + 1), slice(None), *box)]
        yield brick[(slice(None), slice(None), *(slice(None, None, n) for n in every))].astype(np.float32)
