"""Slow, obvious features: the definition of ilastik's filters in float64, with scipy.

Whole image, no blocks, no shared passes: one line for each filter. `exact` restates the same in float32 with the
roundings of fastfilters, operation by operation, with numpy.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import scipy.ndimage

Pass = Callable[[np.ndarray, float, int, float, int], np.ndarray]


def kernel(sigma: float, order: int, window: float) -> np.ndarray:
    """Whole symmetric kernel in float64: sampled, without mean if of order 2, exact on 1, x or x²/2."""
    r = math.floor(window * sigma + 0.5)
    if r == 0:
        return np.ones(1)
    x = np.arange(-r, r + 1.0)
    g = np.exp(-(x**2) / (2 * sigma**2))
    if order == 0:
        return g / g.sum()
    if order == 1:
        k = x * g
        return k / (x * k).sum()
    k = (x**2 / sigma**2 - 1) * g
    k -= k.mean()
    return k / (x**2 / 2 * k).sum()


def scipy_pass(image: np.ndarray, sigma: float, order: int, window: float, axis: int) -> np.ndarray:
    """A pass along an axis, the image mirrored without repeating its border."""
    k = kernel(sigma, order, window)
    return scipy.ndimage.correlate1d(image, k, axis, mode="mirror")


def _separable(run: Pass, image: np.ndarray, sigma: float, orders: tuple[int, ...], window: float) -> np.ndarray:
    """Orders along x, y and, in 3D, z, in this order."""
    for axis, order in zip((2, 1, 0), orders):
        image = run(image, sigma, order, window, axis)
    return image


def _unit(axis: int, axes: int, order: int = 1) -> tuple[int, ...]:
    return tuple(order * (a == axis) for a in range(axes))


def _eigenvalues(elements: dict[tuple[int, int], np.ndarray], axes: int) -> np.ndarray:
    """Eigenvalues, largest first, of matrices whose upper triangles are given."""
    rows = [[elements[min(i, j), max(i, j)] for j in range(axes)] for i in range(axes)]
    matrices = np.moveaxis(np.array(rows), (0, 1), (-2, -1))
    return np.moveaxis(np.linalg.eigvalsh(matrices)[..., ::-1], -1, 0)


def feature(
    image: np.ndarray,
    name: str,
    scale: float,
    in_2d: bool,
    run: Pass = scipy_pass,
    eigenvalues: Callable[[dict[tuple[int, int], np.ndarray], int], np.ndarray] = _eigenvalues,
) -> np.ndarray:
    """One filter of one channel (z, y, x): (1 or number of eigenvalues, z, y, x), in the image's own dtype."""
    axes = 2 if in_2d else 3
    before, d = (math.sqrt(scale**2 - 1), 1.0) if scale > 1 else (scale, scale)
    smooth = (0,) * axes
    p = _separable(run, image, before, smooth, 3.5)
    pairs = [(i, j) for i in range(axes) for j in range(i, axes)]
    if name == "GaussianSmoothing":
        return _separable(run, p, d, smooth, 2.0)[np.newaxis]
    if name == "DifferenceOfGaussians":
        return (_separable(run, p, d, smooth, 2.0) - _separable(run, p, 0.66 * d, smooth, 2.0))[np.newaxis]
    if name == "GaussianGradientMagnitude":
        gradient = [_separable(run, p, d, _unit(i, axes), 2.0) for i in range(axes)]
        total = gradient[0] * gradient[0]
        for g in gradient[1:]:
            total = total + g * g
        return np.sqrt(total)[np.newaxis]
    if name == "LaplacianOfGaussian":
        total = _separable(run, p, d, _unit(0, axes, 2), 2.0)
        for i in range(1, axes):
            total = total + _separable(run, p, d, _unit(i, axes, 2), 2.0)
        return total[np.newaxis]
    if name == "HessianOfGaussianEigenvalues":
        orders = {(i, j): tuple(np.add(_unit(i, axes), _unit(j, axes))) for i, j in pairs}
        return eigenvalues({ij: _separable(run, p, d, o, 2.0) for ij, o in orders.items()}, axes)
    assert name == "StructureTensorEigenvalues"
    gradient = [_separable(run, p, 0.5 * d, _unit(i, axes), 2.0) for i in range(axes)]
    return eigenvalues({(i, j): _separable(run, gradient[i] * gradient[j], d, smooth, 2.0) for i, j in pairs}, axes)


def exact(
    image: np.ndarray, name: str, scale: float, in_2d: bool, taps: Callable[[float, int, float], np.ndarray]
) -> np.ndarray:
    """The same in float32, rounded as fastfilters rounds; `taps` gives the float32 half kernels."""

    def run(values: np.ndarray, sigma: float, order: int, window: float, axis: int) -> np.ndarray:
        return _float32_pass(values, taps(sigma, order, window), order, axis)

    return feature(image.astype(np.float32), name, scale, in_2d, run, _float32_eigenvalues)


def _float32_pass(image: np.ndarray, k: np.ndarray, order: int, axis: int) -> np.ndarray:
    r, n = len(k) - 1, image.shape[axis]
    if r == 0:
        return image
    around = np.moveaxis(image, axis, -1)
    around = np.pad(around, [(0, 0), (0, 0), (r, r)], mode="reflect")
    fused = k[0] * around[..., r : r + n]
    plain = fused
    for x in range(1, r + 1):
        up, down = around[..., r + x : r + x + n], around[..., r - x : r - x + n]
        pair = up - down if order == 1 else up + down
        # the product of two float32 is exact in float64: one rounding, but for ties that are all but impossible
        fused = (np.float64(k[x]) * pair.astype(np.float64) + fused).astype(np.float32)
        plain = plain + k[x] * pair
    if axis == 2:
        first, last = (r + 7) // 8 * 8, (n - r) // 32 * 32
        if last <= (first + 31) // 32 * 32:
            first = last = 0
        fused = np.concatenate([plain[..., :first], fused[..., first:last], plain[..., last:]], axis=-1)
    return np.moveaxis(fused, -1, axis)


def _float32_eigenvalues(elements: dict[tuple[int, int], np.ndarray], axes: int) -> np.ndarray:
    """Closed forms in float32; the angle in 3D from numpy, so only nearly fastfilters' own."""
    f = np.float32
    if axes == 2:
        xx, xy, yy = elements[0, 0], elements[0, 1], elements[1, 1]
        middle, difference = (xx + yy) * f(0.5), (xx - yy) * f(0.5)
        root = np.sqrt(difference * difference + xy * xy)
        return np.stack([middle + root, middle - root])
    return _eigenvalues({ij: e.astype(np.float64) for ij, e in elements.items()}, axes).astype(np.float32)
