"""One-dimensional taps: Gaussians and their derivatives, as fastfilters samples them.

A kernel of radius r is stored as its right half, because the left half follows from the symmetry::

    order 0, 2 (even)   k2 k1 k0 k1 k2        stored  k0 k1 k2
    order 1    (odd)   -k2 -k1 0 k1 k2        stored   0 k1 k2

and it is applied as a correlation, ``out[i] = k0 in[i] + sum_x k[x] (in[i+x] ± in[i-x])``.

The taps decide every later bit, so they follow fastfilters' arithmetic: computed in double, stored as
float32 after each of the steps (sampled, mean removed, normalised), sums over the stored values in double.
The facts are from fastfilters, https://github.com/ilastik/fastfilters, src/library/fir_kernel.c.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

PRESMOOTHING_WINDOW = 3.5
"""Radius over sigma of the Gaussian that comes before every filter."""

FILTER_WINDOW = 2.0
"""Radius over sigma of the filters themselves."""

_NO_EXTENT = 1e-6  # sigmas below this give a single tap


@dataclass(frozen=True)
class Kernel:
    """Half of a symmetric or antisymmetric kernel.

    Attributes
    ----------
    taps : tuple of float
        ``k[0] .. k[radius]``, each exactly a float32.
    odd : bool
        Antisymmetric.
    """

    taps: tuple[float, ...]
    odd: bool = False

    @property
    def radius(self) -> int:
        """Voxels needed on either side."""
        return len(self.taps) - 1

    def array(self, radius: int | None = None) -> np.ndarray:
        """The taps as float32, filled up with zeros to `radius` if that is larger."""
        length = max(len(self.taps), 0 if radius is None else radius + 1)
        filled = np.zeros(length, np.float32)
        filled[: len(self.taps)] = self.taps
        return filled


def radius(sigma: float, window: float) -> int:
    """Radius of the kernel of `sigma` (voxels), ``floor(window sigma + 1/2)``."""
    return 0 if sigma < _NO_EXTENT else math.floor(window * sigma + 0.5)


def gaussian(sigma: float, order: int = 0, window: float = FILTER_WINDOW) -> Kernel:
    """Taps of a Gaussian or of its first or second derivative.

    The normalisation makes the kernel exact, in spite of the short window, on a constant (order 0), on a
    ramp (order 1) and on a parabola (order 2).

    Parameters
    ----------
    sigma : float
        Standard deviation in voxels.
    order : {0, 1, 2}
        Order of the derivative.
    window : float
        Radius over sigma.

    Returns
    -------
    Kernel
        The identity, whatever the order, when the radius is 0: a derivative over a single voxel is 0/0, and
        fastfilters then hands its input on unchanged (its check ``|k0 - 1| > 1e-6`` is false for NaN).
    """
    r = radius(sigma, window)
    if r == 0:
        return Kernel((1.0,))
    taps = _sampled(sigma, order, r)
    if order == 2:
        mean = (float(taps[0]) + 2.0 * sum(map(float, taps[1:]))) / (2.0 * r + 1.0)
        taps = np.array([float(k) - mean for k in taps], np.float32)
    total = _moment(taps, order)
    taps = np.array([float(k) / total for k in taps], np.float32)
    return Kernel(tuple(float(k) for k in taps), odd=order == 1)


def _sampled(sigma: float, order: int, r: int) -> np.ndarray:
    """The unnormalised derivative at 0 .. r; the odd one with positive taps."""
    exponent = -0.5 / sigma / sigma
    if order == 0:
        norm = 1.0 / (math.sqrt(2.0 * math.pi) * sigma)
    else:
        norm = 1.0 / (math.sqrt(2.0 * math.pi) * sigma**3)
    values = []
    for x in range(r + 1):
        g = norm * math.exp(x * x * exponent)
        values.append((g, x * g, -(1.0 - (x / sigma) * (x / sigma)) * g)[order])
    return np.array(values, np.float32)


def _moment(taps: np.ndarray, order: int) -> float:
    """What the taps make of 1, of the ramp x, of the parabola x²/2."""
    k = [float(tap) for tap in taps]
    if order == 0:
        return k[0] + sum(2.0 * value for value in k[1:])
    # both halves added one by one, in the order in which fastfilters adds them
    total = 0.0
    for x in range(1, len(k)):
        half = k[x] * x if order == 1 else k[x] * (x * x) / 2.0
        total += half
        total += half
    return total
