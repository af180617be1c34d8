"""One-dimensional taps."""

from __future__ import annotations

import numpy as np
import pytest

from ecc_rf.features.kernels import gaussian, radius
from tests.reference_features import kernel

SIGMAS = (0.3, 0.35, 0.5, 0.66, 0.7, 1.0, 1.249, 1.6, 2.5, 3.354102, 5.0, 9.949874)


@pytest.mark.parametrize("window", [2.0, 3.5])
@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("sigma", SIGMAS)
def test_taps_against_the_formula(sigma: float, order: int, window: float) -> None:
    taps = gaussian(sigma, order, window).array()
    wanted = kernel(sigma, order, window)
    wanted = wanted[len(wanted) // 2 :]
    assert taps.dtype == np.float32
    # a few float32 roundings of numbers no larger than the largest tap
    np.testing.assert_allclose(taps, wanted, rtol=0, atol=4e-7 * np.abs(wanted).max())


# from the specification of ilastik's features, printed to seven digits
@pytest.mark.parametrize(
    ("sigma", "order", "window", "taps"),
    [
        (0.3, 0, 3.5, [0.9923275, 0.003836259]),
        (1.0, 0, 3.5, [0.3989435, 0.2419714, 0.05399113, 0.004431861, 0.0001338306]),
        (1.0, 1, 2.0, [0, 0.2641979, 0.117901]),
        (1.0, 2, 2.0, [-0.5311237, 0.02074913, 0.2448127]),
        (0.66, 0, 2.0, [0.6117549, 0.1941226]),
        (0.5, 0, 2.0, [0.7869861, 0.106507]),
        (0.5, 1, 2.0, [0, 0.5]),
        (0.198, 0, 2.0, [1]),
        (0.15, 1, 2.0, [1]),
    ],
)
def test_known_taps(sigma: float, order: int, window: float, taps: list[float]) -> None:
    np.testing.assert_allclose(gaussian(sigma, order, window).array(), taps, rtol=6e-7, atol=1e-9)


def test_radius_rounds_half_up() -> None:
    assert [radius(s, 2.0) for s in (0.0, 1e-7, 0.2, 0.25, 0.7, 1.0)] == [0, 0, 0, 1, 1, 2]
    assert [radius(s, 3.5) for s in (0.3, 1.0, 1.249, 10.0)] == [1, 4, 4, 35]


def test_symmetry_is_known() -> None:
    assert gaussian(1.0, 1).odd and not gaussian(1.0, 0).odd and not gaussian(1.0, 2).odd
    assert not gaussian(0.15, 1).odd  # a single tap: the identity


def test_array_is_filled_up() -> None:
    np.testing.assert_array_equal(gaussian(0.7).array(2), [*gaussian(0.7).array(), 0])
