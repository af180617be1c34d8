"""Voxels that cannot be computed with, or not exactly: everything is computed in float32."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from ecc_rf.errors import ImageValueError, SettingError

NAN_CHOICES = ("refuse", "zero")
_EXACT = 2**24  # integers up to here have a float32 of their own
_LARGEST = float(np.finfo(np.float32).max)


def check_nan_choice(nan: str) -> str:
    """The choice itself.

    Raises
    ------
    SettingError
        If it is none.
    """
    if nan not in NAN_CHOICES:
        raise SettingError(f"{nan!r} says nothing about NaN.", where="nan", do=f"Choose {' or '.join(NAN_CHOICES)}.")
    return nan


def usable_voxels(raw: np.ndarray, nan: str, name: str, start: Sequence[int]) -> np.ndarray:
    """The voxels of a block, fit for float32.

    Parameters
    ----------
    raw : (c, z, y, x)
    nan : {'refuse', 'zero'}
        What becomes of NaN, infinity, and what is as good as infinite in float32.
    name : str
        The image, for messages.
    start : sequence of int
        Where the block begins in the image, ``z y x``.

    Warns
    -----
    UserWarning
        If there are integers that float32 rounds.

    Raises
    ------
    ImageValueError
        If a voxel is not finite and `nan` is 'refuse'.

    Examples
    --------
    >>> usable_voxels(np.array([[[[1.0, np.nan]]]]), "zero", "image", (0, 0, 0))
    array([[[[1., 0.]]]])
    """
    if raw.dtype.kind in "iu":
        if raw.dtype.itemsize > 2 and raw.size and max(int(raw.max()), -int(raw.min())) > _EXACT:
            warnings.warn(
                f"The image holds integers beyond {_EXACT:,}, which are rounded: features are computed in float32.",
                stacklevel=2,
            )
        return raw
    if raw.dtype.kind != "f":
        return raw
    bad = ~(np.abs(raw) <= _LARGEST) if raw.dtype.itemsize > 4 else ~np.isfinite(raw)  # NaN is caught by both
    count = int(np.count_nonzero(bad))
    if not count:
        return raw
    if nan == "zero":
        return np.where(bad, raw.dtype.type(0), raw)
    channel, *at = (int(i) for i in np.argwhere(bad)[0])
    z, y, x = (first + i for first, i in zip(start, at))
    of = f", channel {channel}" if raw.shape[0] > 1 else ""
    raise ImageValueError(
        f"The image holds {count} voxels that are NaN or infinite, or too large for float32, in one block; "
        f"the first is at z={z}, y={y}, x={x}{of}.",
        where=name,
        do="Take them for 0 with --nan zero (nan='zero'), or mend the image.",
    )


def is_constant(raw: np.ndarray) -> bool:
    """Whether each channel of a block ``c z y x`` has one value.

    >>> block = np.zeros((2, 4, 4, 4))
    >>> block[1] = 7
    >>> is_constant(block), is_constant(np.arange(64).reshape(1, 4, 4, 4))
    (True, False)
    """
    first = raw[:, :1, :1, :1]
    # A row in the middle tells nearly all blocks of tissue apart, without a look at the rest.
    middle = raw[:, raw.shape[1] // 2, raw.shape[2] // 2, :]
    return bool((middle == first[:, 0, 0]).all()) and bool((raw == first).all())
