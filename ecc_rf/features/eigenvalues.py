"""Eigenvalues of symmetric matrices, in fastfilters' float32 arithmetic.

2 x 2: half the trace, plus and minus a root. 3 x 3: the closed form of the characteristic cubic by an angle
(D. Eberly, "Eigensystems for 3 x 3 symmetric matrices (revisited)"). With c2 the trace, c1 the sum of the
principal minors and c0 the determinant of the matrix divided by its largest element::

    m = c2 / 3      a = (c1 - c2 m) / 3 <= 0      b = (c0 + m (2 m² - c1)) / 2      q = b² + a³ <= 0

    angle = atan2(sqrt(-q), b) / 3               in 0 .. pi/3
    m + 2 sqrt(-a) cos(angle),   m - sqrt(-a) (cos(angle) ± sqrt(3) sin(angle))

Near equal eigenvalues the form loses half the digits, and what is left is rounding: two correct programs then
differ by up to 1e-3 of the largest element. Forests are trained on ilastik's values, so not only the formula but
the order of the operations, none of them fused, is ilastik's. The facts are from fastfilters,
https://github.com/ilastik/fastfilters: src/library/linalg_avx.c (2 x 2), linalg_avx2.c (3 x 3), core.cxx (the
matrix is passed with z first) and avx_mathfun.h (the polynomials:
Cephes' for sine and cosine, SLEEF's for the arc tangent).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ecc_rf.features.lanes import (
    LANES,
    Buffer,
    Table,
    absolute,
    any_less,
    compiled,
    compiled_inline,
    entry,
    fma,
    keep_apart,
    load,
    negative,
    splat,
    sqrt,
    store,
    where_less,
    where_signed,
    where_zero,
)

_ZERO, _HALF, _ONE, _TWO = (np.float32(v) for v in (0.0, 0.5, 1.0, 2.0))
_THIRD = np.float32(1.0 / 3.0)
_ROOT3 = np.sqrt(np.float32(3.0))
_PI = np.float32(math.pi)
_HALF_PI = np.float32(math.pi / 2.0)
_FOUR_BY_PI = np.float32(4.0 / math.pi)
_TINY = np.float32(2.0**-100)  # below, 1 / x comes near the largest number

# atan(x) = x + x³ p(x²) on 0 .. 1, highest power first
_ATAN = tuple(
    np.float32(c)
    for c in (
        0.00282363896258175373077393,
        -0.0159569028764963150024414,
        0.0425049886107444763183594,
        -0.0748900920152664184570312,
        0.106347933411598205566406,
        -0.142027363181114196777344,
        0.199926957488059997558594,
        -0.333331018686294555664062,
    )
)
# pi/4 as a sum of three numbers with few digits, so that multiples are exact
_QUARTER_PI = tuple(np.float32(c) for c in (0.78515625, 2.4187564849853515625e-4, 3.77489497744594108e-8))
# sin(x) = x + x³ p(x²) and cos(x) = 1 - x²/2 + x⁴ p(x²) on -pi/4 .. pi/4
_SIN = tuple(np.float32(c) for c in (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1))
_COS = tuple(np.float32(c) for c in (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2))


@compiled_inline
def _smaller(a: Any, b: Any) -> Any:
    return where_less(a, b, a, b)


@compiled_inline
def _larger(a: Any, b: Any) -> Any:
    return where_less(b, a, a, b)


@compiled_inline
def _angle(y: Any, x: Any) -> Any:
    """Angle of the point (x, y), y >= 0, in 0 .. pi."""
    zero = splat(_ZERO)
    length = absolute(x)
    # the arc tangent of a number up to 1: of y/|x|, or from pi/2 backwards of |x|/y
    steep = where_less(length, y, splat(_ONE), zero)
    below = where_less(length, y, y, length)
    above = where_less(length, y, negative(length), y)
    quarter_turns = where_signed(x, splat(-_TWO), zero) + steep
    s = above / below
    t = s * s
    p = splat(_ATAN[0])
    p = t * p + splat(_ATAN[1])
    p = t * p + splat(_ATAN[2])
    p = t * p + splat(_ATAN[3])
    p = t * p + splat(_ATAN[4])
    p = t * p + splat(_ATAN[5])
    p = t * p + splat(_ATAN[6])
    p = t * p + splat(_ATAN[7])
    angle = quarter_turns * splat(_HALF_PI) + ((t * s) * p + s)
    angle = where_signed(x, negative(angle), angle)
    angle = where_zero(below, splat(_HALF_PI), angle)
    return where_zero(above, where_signed(x, splat(_PI), zero), angle)


@compiled_inline
def _sine_cosine(x: Any) -> Any:
    """Sine and cosine of an angle in 0 .. pi/3."""
    # beyond pi/4: sin(x) = cos(pi/2 - x) and cos(x) = sin(pi/2 - x), with x - pi/2 in place of x
    one = splat(_ONE)
    quarters = x * splat(_FOUR_BY_PI)
    reduced = x - splat(_TWO * _QUARTER_PI[0])
    reduced = reduced - splat(_TWO * _QUARTER_PI[1])
    reduced = reduced - splat(_TWO * _QUARTER_PI[2])
    r = where_less(quarters, one, x, reduced)
    z = r * r
    c = splat(_COS[0]) * z + splat(_COS[1])
    c = c * z + splat(_COS[2])
    c = ((c * z) * z - z * splat(_HALF)) + one
    s = splat(_SIN[0]) * z + splat(_SIN[1])
    s = s * z + splat(_SIN[2])
    s = (s * z) * r + r
    return where_less(quarters, one, s, c), where_less(quarters, one, c, negative(s))


@compiled_inline
def _quotient(a: Any, b: Any, by: Any) -> Any:
    """``a / b`` from ``by = 1 / b``, correctly rounded (P. Markstein): six divisions for the time of one."""
    near = a * by
    return fma(fma(negative(b), near, a), by, near)


@compiled
def _invariants(rows: Buffer, at: Table, base: int, work: Buffer, step: int, count: int) -> None:
    """First part of `eigenvalues3`: largest element, m, a, b, q of every matrix into five rows of `work`."""
    keep_apart()
    zero, one, two, third = splat(_ZERO), splat(_ONE), splat(_TWO), splat(_THIRD)
    xx, yy, zz = base + entry(at, 0), base + entry(at, 1), base + entry(at, 2)
    xy, xz, yz = base + entry(at, 3), base + entry(at, 4), base + entry(at, 5)
    for i in range(0, count, LANES):
        # z first, as in fastfilters' call
        a00, a01, a02 = load(rows, zz + i), load(rows, yz + i), load(rows, xz + i)
        a11, a12, a22 = load(rows, yy + i), load(rows, xy + i), load(rows, xx + i)
        largest = _larger(absolute(a00), absolute(a01))
        largest = _larger(largest, _larger(absolute(a02), absolute(a11)))
        largest = _larger(largest, _larger(absolute(a12), absolute(a22)))
        largest = where_zero(largest, one, largest)
        by = one / largest
        b00, b01, b02 = _quotient(a00, largest, by), _quotient(a01, largest, by), _quotient(a02, largest, by)
        b11, b12, b22 = _quotient(a11, largest, by), _quotient(a12, largest, by), _quotient(a22, largest, by)
        tiny = splat(_TINY)
        if any_less(largest, tiny):  # voxel by voxel, so that a result does not depend on its neighbours
            b00, b01 = where_less(largest, tiny, a00 / largest, b00), where_less(largest, tiny, a01 / largest, b01)
            b02, b11 = where_less(largest, tiny, a02 / largest, b02), where_less(largest, tiny, a11 / largest, b11)
            b12, b22 = where_less(largest, tiny, a12 / largest, b12), where_less(largest, tiny, a22 / largest, b22)
        c0 = (b00 * b11) * b22 + ((two * b01) * b02) * b12
        c0 = ((c0 - (b00 * b12) * b12) - (b11 * b02) * b02) - (b22 * b01) * b01
        c1 = ((((b00 * b11 - b01 * b01) + b00 * b22) - b02 * b02) + b11 * b22) - b12 * b12
        c2 = (b00 + b11) + b22
        m = c2 * third
        a = _smaller((c1 - c2 * m) * third, zero)
        b = splat(_HALF) * (c0 + m * ((two * m) * m - c1))
        q = _smaller(b * b + (a * a) * a, zero)
        store(work, i, largest)
        store(work, i + step, m)
        store(work, i + 2 * step, a)
        store(work, i + 3 * step, b)
        store(work, i + 4 * step, q)


@compiled
def _angles(work: Buffer, step: int, count: int) -> None:
    """Second part of `eigenvalues3`: the angle in place of q."""
    keep_apart()
    for i in range(0, count, LANES):
        b, q = load(work, i + 3 * step), load(work, i + 4 * step)
        store(work, i + 4 * step, _angle(sqrt(negative(q)), b) * splat(_THIRD))


@compiled
def _roots(work: Buffer, step: int, target: Buffer, to: int, target_step: int, count: int) -> None:
    """Third part of `eigenvalues3`: the roots, sorted, in the matrix's own size."""
    keep_apart()
    for i in range(0, count, LANES):
        largest, m = load(work, i), load(work, i + step)
        size = sqrt(negative(load(work, i + 2 * step)))
        sine, cosine = _sine_cosine(load(work, i + 4 * step))
        slanted = splat(_ROOT3) * sine
        r0 = m + (splat(_TWO) * size) * cosine
        r1 = m - size * (cosine + slanted)
        r2 = m - size * (cosine - slanted)
        low, high = _smaller(r0, r1), _larger(r0, r1)
        middle, low = _larger(low, r2), _smaller(low, r2)
        middle, high = _smaller(high, middle), _larger(high, middle)
        store(target, to + i, high * largest)
        store(target, to + i + target_step, middle * largest)
        store(target, to + i + 2 * target_step, low * largest)


@compiled
def eigenvalues3(
    rows: Buffer, at: Table, base: int, work: Buffer, step: int, target: Buffer, to: int, target_step: int, count: int
) -> None:
    """Eigenvalues of a row of symmetric 3 x 3 matrices, largest first.

    Three loops over the row instead of one: a single voxel is a chain of some 200 dependent operations, and short
    loops let the processor work on several voxels at once.

    Parameters
    ----------
    rows, at, base : Buffer, Table, int
        Elements xx, yy, zz, xy, xz, yz of matrix i at ``rows[at[k] + base + i]``.
    work, step : Buffer, int
        Five rows of `step` voxels for what passes between the loops.
    target, to, target_step : Buffer, int, int
        Eigenvalue k of matrix i goes to ``target[to + k target_step + i]``.
    count : int
        Number of matrices; rounded up to whole vectors.
    """
    keep_apart()
    _invariants(rows, at, base, work, step, count)
    _angles(work, step, count)
    _roots(work, step, target, to, target_step, count)


@compiled
def eigenvalues2(rows: Buffer, at: Table, base: int, target: Buffer, to: int, target_step: int, count: int) -> None:
    """Eigenvalues of a row of symmetric 2 x 2 matrices (elements xx, yy, xy), largest first."""
    keep_apart()
    half = splat(_HALF)
    a, b, c = base + entry(at, 0), base + entry(at, 1), base + entry(at, 2)
    for i in range(0, count, LANES):
        xx, yy, xy = load(rows, a + i), load(rows, b + i), load(rows, c + i)
        middle = (xx + yy) * half
        difference = (xx - yy) * half
        root = sqrt(difference * difference + xy * xy)
        store(target, to + i, middle + root)
        store(target, to + i + target_step, middle - root)
