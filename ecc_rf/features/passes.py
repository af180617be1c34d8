"""One-dimensional passes: the only place where voxels are multiplied with taps.

Rounding is fastfilters' (facts from https://github.com/ilastik/fastfilters,
src/library/fir_convolve_avx_impl.c): the centre first, then outwards, the two sides added or subtracted before they are
multiplied, the multiply-add fused. There is one exception, see `fused_range`.

Rows of a plane lie at a fixed distance, the width, which is larger than the row. A pass over many rows is then one
run over memory, with the neighbour at a fixed step: 1 along x, the width along y. What it makes of the voxels between
the rows is garbage, and nobody reads it::

    x    |. . . . . . . g g|. . . . . . . g g|        step 1
    y    |. . . . . . . g g|. . . . . . . g g|        step 9
          `---- row ---´       width 9

Runs are done in whole vectors or pairs of them, so they also leave garbage behind their end.
"""

from __future__ import annotations

from ecc_rf.features.lanes import (
    LANES,
    Buffer,
    Table,
    compiled,
    entry,
    first_lanes,
    fma,
    get,
    keep_apart,
    load,
    put,
    splat,
    store,
)


@compiled
def correlate(
    source: Buffer,
    at: int,
    step: int,
    target: Buffer,
    to: int,
    count: int,
    taps: Buffer,
    radius: int,
    odd: bool,
) -> None:
    """A run of `count` voxels of a pass with a radius of 0, 1 or 2.

    ``target[to + i] = k0 s[i] + k1 (s[i + step] ± s[i - step]) + k2 (s[i + 2 step] ± s[i - 2 step])`` with ``s[i]`` for
    ``source[at + i]``; the sign is minus if `odd`.
    """
    keep_apart()
    k0, k1, k2 = splat(get(taps, 0)), splat(get(taps, 1)), splat(get(taps, 2))
    c, u1, d1, u2, d2 = at, at + step, at - step, at + 2 * step, at - 2 * step
    if radius == 0:
        for i in range(0, count, LANES):
            store(target, to + i, load(source, c + i))
    elif radius == 1 and odd:
        for i in range(0, count, LANES):
            total = k0 * load(source, c + i)
            total = fma(k1, load(source, u1 + i) - load(source, d1 + i), total)
            store(target, to + i, total)
    elif radius == 1:
        for i in range(0, count, LANES):
            total = k0 * load(source, c + i)
            total = fma(k1, load(source, u1 + i) + load(source, d1 + i), total)
            store(target, to + i, total)
    elif odd:
        for i in range(0, count, LANES):
            total = k0 * load(source, c + i)
            total = fma(k1, load(source, u1 + i) - load(source, d1 + i), total)
            total = fma(k2, load(source, u2 + i) - load(source, d2 + i), total)
            store(target, to + i, total)
    else:
        for i in range(0, count, LANES):
            total = k0 * load(source, c + i)
            total = fma(k1, load(source, u1 + i) + load(source, d1 + i), total)
            total = fma(k2, load(source, u2 + i) + load(source, d2 + i), total)
            store(target, to + i, total)


@compiled
def correlate_planes(
    source: Buffer,
    planes: Table,
    k: int,
    base: int,
    target: Buffer,
    to: int,
    to_step: int,
    n: int,
    count: int,
    taps: Buffer,
    radius: int,
    odd: bool,
) -> None:
    """The same along z, for a row of planes ``k .. k + n - 1``.

    The row of plane k is at ``source[base + planes[k]:]``, its result goes to ``target[to:]``, that of the next plane
    `to_step` further. Two planes are done together, because they share four of the six rows that they need; an odd
    last plane is done together with itself.
    """
    keep_apart()
    k0, k1, k2 = splat(get(taps, 0)), splat(get(taps, 1)), splat(get(taps, 2))
    for j in range(0, n, 2):
        m = k + j
        r0, r1 = base + entry(planes, m), base + entry(planes, m + 1)
        t0, t1 = to + j * to_step, to + min(j + 1, n - 1) * to_step
        if radius == 0:
            for i in range(0, count, LANES):
                store(target, t1 + i, load(source, r1 + i))
                store(target, t0 + i, load(source, r0 + i))
            continue
        d1, u2 = base + entry(planes, m - 1), base + entry(planes, m + 2)
        if radius == 1 and odd:
            for i in range(0, count, LANES):
                b, c = load(source, r0 + i), load(source, r1 + i)
                store(target, t1 + i, fma(k1, load(source, u2 + i) - b, k0 * c))
                store(target, t0 + i, fma(k1, c - load(source, d1 + i), k0 * b))
            continue
        if radius == 1:
            for i in range(0, count, LANES):
                b, c = load(source, r0 + i), load(source, r1 + i)
                store(target, t1 + i, fma(k1, load(source, u2 + i) + b, k0 * c))
                store(target, t0 + i, fma(k1, c + load(source, d1 + i), k0 * b))
            continue
        d2, u3 = base + entry(planes, m - 2), base + entry(planes, m + 3)
        if odd:
            for i in range(0, count, LANES):
                a, b, c, d = load(source, d1 + i), load(source, r0 + i), load(source, r1 + i), load(source, u2 + i)
                store(target, t1 + i, fma(k2, load(source, u3 + i) - a, fma(k1, d - b, k0 * c)))
                store(target, t0 + i, fma(k2, d - load(source, d2 + i), fma(k1, c - a, k0 * b)))
        else:
            for i in range(0, count, LANES):
                a, b, c, d = load(source, d1 + i), load(source, r0 + i), load(source, r1 + i), load(source, u2 + i)
                store(target, t1 + i, fma(k2, load(source, u3 + i) + a, fma(k1, d + b, k0 * c)))
                store(target, t0 + i, fma(k2, d + load(source, d2 + i), fma(k1, c + a, k0 * b)))


@compiled
def smooth_x(source: Buffer, at: int, target: Buffer, to: int, count: int, taps: Buffer, radius: int) -> None:
    """A row of a pass along x with an even kernel of any radius."""
    keep_apart()
    for i in range(0, count, 2 * LANES):
        k = splat(get(taps, 0))
        total = k * load(source, at + i)
        other = k * load(source, at + i + LANES)
        for x in range(1, radius + 1):
            k = splat(get(taps, x))
            u, d = at + i + x, at + i - x
            total = fma(k, load(source, u) + load(source, d), total)
            other = fma(k, load(source, u + LANES) + load(source, d + LANES), other)
        store(target, to + i, total)
        store(target, to + i + LANES, other)


@compiled
def smooth(
    source: Buffer,
    rows: Table,
    at: int,
    base: int,
    target: Buffer,
    to: int,
    to_step: int,
    n: int,
    count: int,
    taps: Buffer,
    radius: int,
) -> None:
    """`n` rows of a pass along y or z with an even kernel of any radius.

    Row k of the source is at ``source[base + rows[k]:]``; the result of row ``at + j`` goes to
    ``target[to + j to_step:]``. Two rows are done together, so that every row of the source is loaded once for both.
    The sums walk outwards; what is the upper row of one is the upper row of the other a step earlier::

        x             1        2        3
        row at      +1 -1    +2 -2    +3 -3
        row at + 1  +2  0    +3 -1    +4 -2        relative to `at`

    An odd last row is done together with itself.
    """
    keep_apart()
    for j in range(0, n, 2):
        m = at + j
        c, e = base + entry(rows, m), base + entry(rows, m + 1)
        t, t_next = to + j * to_step, to + min(j + 1, n - 1) * to_step
        for i in range(0, count, 2 * LANES):
            k = splat(get(taps, 0))
            down_a, down_b = load(source, c + i), load(source, c + i + LANES)
            up_a, up_b = load(source, e + i), load(source, e + i + LANES)
            total_a, total_b = k * down_a, k * down_b
            next_a, next_b = k * up_a, k * up_b
            for x in range(1, radius + 1):
                k = splat(get(taps, x))
                u, d = base + entry(rows, m + 1 + x) + i, base + entry(rows, m - x) + i
                low_a, low_b = load(source, d), load(source, d + LANES)
                high_a, high_b = load(source, u), load(source, u + LANES)
                total_a, total_b = fma(k, up_a + low_a, total_a), fma(k, up_b + low_b, total_b)
                next_a, next_b = fma(k, high_a + down_a, next_a), fma(k, high_b + down_b, next_b)
                down_a, down_b, up_a, up_b = low_a, low_b, high_a, high_b
            store(target, t_next + i, next_a)
            store(target, t_next + i + LANES, next_b)
            store(target, t + i, total_a)
            store(target, t + i + LANES, total_b)


def fused_range(extent: int, radius: int) -> tuple[int, int]:
    """Columns ``first .. last - 1`` of an image that fastfilters computes with fused multiply-adds along x.

    Its vector loop starts at a multiple of 8 beyond the left border, ends at a multiple of 32 before the right
    one, and is not entered for less than 32 columns beyond the first multiple of 32. The other columns are
    computed one by one by code that the compiler must not fuse (C99 mode).

    This is as if fastfilters were given the whole image. ilastik does so with images smaller than its own blocks; of
    larger ones the columns near the ends of its blocks are rounded differently, wherever they happen to be.

    >>> fused_range(1000, 4), fused_range(60, 4)
    ((8, 992), (0, 0))
    """
    first, last = (radius + 7) & ~7, (extent - radius) & ~31
    return (first, last) if last > (first + 31) & ~31 else (0, 0)


@compiled
def _unfused(
    source: Buffer,
    base: int,
    base_step: int,
    target: Buffer,
    to: int,
    to_step: int,
    n: int,
    count: int,
    taps: Buffer,
    radius: int,
    odd: bool,
) -> None:
    """Part of `n` rows of a pass along x, products rounded before they are added; leaves no garbage."""
    keep_apart()
    k0, k1 = splat(get(taps, 0)), splat(get(taps, min(radius, 1)))
    for j in range(n):
        for i in range(0, count, LANES):
            at, t = base + j * base_step + i, to + j * to_step + i
            total = k0 * load(source, at)
            if odd:
                total = total + k1 * (load(source, at + 1) - load(source, at - 1))
                if radius == 2:
                    total = total + splat(get(taps, 2)) * (load(source, at + 2) - load(source, at - 2))
            elif radius > 0:
                total = total + k1 * (load(source, at + 1) + load(source, at - 1))
                for x in range(2, radius + 1):
                    total = total + splat(get(taps, x)) * (load(source, at + x) + load(source, at - x))
            store(target, t, first_lanes(count - i, total, load(target, t)))


@compiled
def finish_x(
    source: Buffer,
    base: int,
    base_step: int,
    target: Buffer,
    to: int,
    to_step: int,
    n: int,
    count: int,
    x0: int,
    width: int,
    fused_first: int,
    fused_last: int,
    taps: Buffer,
    radius: int,
    odd: bool,
) -> None:
    """What is special near the left and right border of the image, after a pass along x over `n` rows.

    Column 0 of the rows is at `x0` in an image of `width` columns. First the columns outside `fused_range` are done
    again, unfused; then the columns outside the image become mirror images of those inside::

        row      d c[b a b c d e . . .]        low = 2: b, the second voxel inside, appears left of a
    """
    low, high = min(max(0, -x0), count), min(count, width - x0)
    first = min(max(fused_first - x0, low), high)
    last = min(max(fused_last - x0, first), high)
    if low == first and last == high and low == 0 and high == count:
        return
    _unfused(source, base + low, base_step, target, to + low, to_step, n, first - low, taps, radius, odd)
    _unfused(source, base + last, base_step, target, to + last, to_step, n, high - last, taps, radius, odd)
    for j in range(n):
        t = to + j * to_step
        for c in range(low):
            put(target, t + c, get(target, t + 2 * low - c))
        for c in range(high, count):
            put(target, t + c, get(target, t + 2 * (high - 1) - c))
