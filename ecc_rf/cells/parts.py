"""What is known of objects and parts of objects, and how parts are put together.

Everything is a sum, a smallest or a largest value of integers, so that the parts of an object give the same
whatever the cuts were and in whatever order they are added::

    block 0 | block 1         part  voxels  sum of x  x0  x1
      # # # | # #               0      3    0+1+2      0   3
            |                   1      2    3+4        3   5
                             whole     5      10       0   5      centre x = 10 / 5
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.compiling import compiled

# Columns of `sums`; those of the raw values begin at RAW.
Z, Y, X, PROBABILITY, RAW = range(5)

# Contrasts are summed as whole numbers of 2**-20, so that the order does not matter.
CONTRAST = 2.0**20

# A float32 is a 24-bit integer times 2**(e - 150) with e = 1..254: its sum needs 278 bits and room for carries.
_LIMBS = 10


@dataclass(frozen=True)
class Parts:
    """Integer sums over `n` objects or parts of objects.

    Attributes
    ----------
    voxels : ndarray of int64, shape (n,)
        Number of voxels.
    sums : ndarray of int64, shape (n, 4 + k)
        Sums of z, y, x, of the probability as an integer, and of the raw values: k is 0 without, 1 for integers,
        10 for floats (digits of a number to the base 2**32).
    low : ndarray of int64, shape (n, 4)
        Smallest z, y, x, and the raster index of the first voxel in the whole volume.
    high : ndarray of int64, shape (n, 3)
        Largest z, y, x, plus one.
    peak : ndarray of float64, shape (n,)
        Largest stored probability.
    pieces : ndarray of int64, shape (n,)
        Into how many pieces the object was split of which this is one.
    contrast : ndarray of int64, shape (n,)
        Sum of the voxels' contrasts, in units of ``1 / CONTRAST``; 0 where they are not wanted.
    """

    voxels: NDArray[np.int64]
    sums: NDArray[np.int64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    peak: NDArray[np.float64]
    pieces: NDArray[np.int64]
    contrast: NDArray[np.int64]

    def __len__(self) -> int:
        return self.voxels.size

    @property
    def first(self) -> NDArray[np.int64]:
        """Raster index of the first voxel: identifies the object, and orders the table."""
        return self.low[:, 3]

    def __getitem__(self, chosen: NDArray[Any] | slice) -> Parts:
        return Parts(*(column[chosen] for column in self.columns()))

    def columns(self) -> tuple[NDArray[Any], ...]:
        """In the order of the attributes."""
        return self.voxels, self.sums, self.low, self.high, self.peak, self.pieces, self.contrast

    @staticmethod
    def concatenate(several: Sequence[Parts]) -> Parts:
        """All rows, one after the other; at least one table is needed."""
        return Parts(*(np.concatenate(columns) for columns in zip(*(parts.columns() for parts in several))))

    def merge(self, group: NDArray[np.int64]) -> Parts:
        """One row for each group, in the order of the groups' numbers.

        Parameters
        ----------
        group : ndarray of int64, shape (n,)
            Number of the object of each part; no number from 0 on is left out.
        """
        if not len(self):
            return self
        order = np.argsort(group, kind="stable")
        starts = np.flatnonzero(np.diff(group[order], prepend=-1))
        return Parts(
            np.add.reduceat(self.voxels[order], starts),
            np.add.reduceat(self.sums[order], starts, axis=0),
            np.minimum.reduceat(self.low[order], starts, axis=0),
            np.maximum.reduceat(self.high[order], starts, axis=0),
            np.maximum.reduceat(self.peak[order], starts),
            self.pieces[order][starts],
            np.add.reduceat(self.contrast[order], starts),
        )


def summarise(
    index: NDArray[np.int64],
    labels: NDArray[np.int32],
    count: int,
    shape: tuple[int, ...],
    probability: NDArray[Any],
    factor: float,
    raw: NDArray[Any] | None,
    pieces: NDArray[np.int64] | None = None,
    contrast: NDArray[np.int64] | None = None,
) -> Parts:
    """Sums over labelled voxels.

    Parameters
    ----------
    index : ndarray of int64, shape (n,)
        Raster index of each voxel in the whole volume.
    labels : ndarray of int32, shape (n,)
        Part of each voxel, from 0; negative ones are left out.
    count : int
        Number of parts; none may be without voxels.
    shape : tuple of int
        Extents of the whole volume, zyx.
    probability : ndarray, shape (n,)
        Stored probability of each voxel.
    factor : float
        What makes it an integer (rounded).
    raw : ndarray, shape (n,), optional
        Raw value of each voxel, integers or float32.
    pieces : ndarray of int64, shape (count,), optional
        Into how many pieces the object of each part was split; default 1.
    contrast : ndarray of int64, shape (n,), optional
        Contrast of each voxel, in units of ``1 / CONTRAST``.
    """
    n_raw = 0 if raw is None else (_LIMBS if raw.dtype.kind == "f" else 1)
    voxels = np.zeros(count, np.int64)
    sums = np.zeros((count, RAW + n_raw), np.int64)
    low = np.full((count, 4), np.iinfo(np.int64).max)
    high = np.zeros((count, 3), np.int64)
    peak = np.full(count, -np.inf)
    _add_geometry(index, labels, shape[1], shape[2], voxels, sums, low, high)
    _add_probability(probability, labels, factor, sums, peak)
    if raw is not None and raw.dtype.kind == "f":
        _add_floats(raw.view(np.int32), labels, sums)
    elif raw is not None:
        _add_integers(raw, labels, sums)
    contrasts = np.zeros(count, np.int64)
    if contrast is not None:
        _add_contrast(contrast, labels, contrasts)
    return Parts(voxels, sums, low, high, peak, np.ones(count, np.int64) if pieces is None else pieces, contrasts)


@compiled
def _add_geometry(
    index: NDArray[np.int64],
    labels: NDArray[np.int32],
    n_y: int,
    n_x: int,
    voxels: NDArray[np.int64],
    sums: NDArray[np.int64],
    low: NDArray[np.int64],
    high: NDArray[np.int64],
) -> None:
    for i in range(index.size):
        label = labels[i]
        if label < 0:
            continue
        row = index[i] // n_x
        z = row // n_y
        at = (z, row - z * n_y, index[i] - row * n_x)
        voxels[label] += 1
        for axis in range(3):
            sums[label, axis] += at[axis]
            low[label, axis] = min(low[label, axis], at[axis])
            high[label, axis] = max(high[label, axis], at[axis] + 1)
        low[label, 3] = min(low[label, 3], index[i])


@compiled
def _add_probability(
    values: NDArray[Any],
    labels: NDArray[np.int32],
    factor: float,
    sums: NDArray[np.int64],
    peak: NDArray[np.float64],
) -> None:
    for i in range(values.size):
        label = labels[i]
        if label < 0:
            continue
        value = float(values[i])
        sums[label, 3] += np.int64(np.rint(value * factor))
        peak[label] = max(peak[label], value)


@compiled
def _add_contrast(values: NDArray[np.int64], labels: NDArray[np.int32], sums: NDArray[np.int64]) -> None:
    for i in range(values.size):
        if labels[i] >= 0:
            sums[labels[i]] += values[i]


@compiled
def _add_integers(values: NDArray[Any], labels: NDArray[np.int32], sums: NDArray[np.int64]) -> None:
    for i in range(values.size):
        if labels[i] >= 0:
            sums[labels[i], 4] += np.int64(values[i])


@compiled
def _add_floats(bits: NDArray[np.int32], labels: NDArray[np.int32], sums: NDArray[np.int64]) -> None:
    """Add float32 values exactly: each is a whole number of the smallest float32, and is added to its digits."""
    for i in range(bits.size):
        if labels[i] < 0:
            continue
        exponent = (bits[i] >> 23) & 255
        mantissa = np.int64(bits[i] & 0x7FFFFF)
        if exponent > 0:
            mantissa += 0x800000
            exponent -= 1  # the smallest normal numbers have the unit of the subnormal ones
        shifted = mantissa << (exponent & 31)
        sign = -1 if bits[i] < 0 else 1
        digit = 4 + (exponent >> 5)
        sums[labels[i], digit] += sign * (shifted & 0xFFFFFFFF)
        sums[labels[i], digit + 1] += sign * (shifted >> 32)


def raw_totals(parts: Parts) -> NDArray[np.float64]:
    """Sums of the raw values as floats; the same digits always give the same float.

    >>> values = np.float32([0.1, 1e20, -1e20, 1e-40, 0.2])
    >>> parts = summarise(np.arange(5), np.zeros(5, np.int32), 1, (1, 1, 5), values, 1.0, values)
    >>> float(raw_totals(parts)[0]) == float(np.float32(0.1)) + float(np.float32(0.2))
    True
    """
    digits = parts.sums[:, RAW:]
    if digits.shape[1] == 1:
        return digits[:, 0].astype(np.float64)
    digits = digits.copy()
    for i in range(_LIMBS - 1):  # carry, so that equal numbers have equal digits
        digits[:, i + 1] += digits[:, i] >> 32
        digits[:, i] &= 0xFFFFFFFF
    total = np.zeros(len(parts))
    for i in reversed(range(_LIMBS)):
        total += np.ldexp(digits[:, i].astype(np.float64), 32 * i - 149)
    return total
