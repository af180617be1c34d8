"""First stage of a scale: one Gaussian, of any radius.

Planes are filtered along x and y as they arrive and wait in a ring until enough of them are there to filter along
z::

    block plane  ──x──► lines ──y──► ring of 2R + chunk planes ──z──► a chunk of presmoothed planes
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ecc_rf.features.kernels import Kernel
from ecc_rf.features.lanes import (
    NEXT,
    NO,
    NONE,
    Buffer,
    Table,
    compiled,
    compiled_in_place,
    entry,
    keep_apart,
)
from ecc_rf.features.memory import Memory
from ecc_rf.features.passes import finish_x, fused_range, smooth, smooth_x
from ecc_rf.features.stage import buffer_width


class Presmoothing(NamedTuple):
    """Taps and buffers.

    Attributes
    ----------
    taps : Buffer
        ``radius + 1`` of them.
    radius, depth : int
        Radius in the plane and along z (0 in 2D).
    fused_first, fused_last : int
        See `passes.fused_range`.
    lines, ring, planes : Buffer
        One plane after x; the ring of planes after y; the chunk of planes after z, which is the result.
    width, plane : int
        Distance of rows and of planes.
    line_rows, ring_planes : Table
        Offsets of line 0, 1 ... and of plane 0, 1 ...
    """

    taps: Buffer
    radius: int
    depth: int
    fused_first: int
    fused_last: int
    lines: Buffer
    ring: Buffer
    planes: Buffer
    width: int
    plane: int
    line_rows: Table
    ring_planes: Table


class Window(NamedTuple):
    """A part of a block, and where the block is along x.

    Attributes
    ----------
    block : Buffer
        float32 (z, y, x), C order; along x it goes on beyond the borders of the image, mirrored.
    nz, ny, nx : int
        Extents of the block; along y and z its ends are borders of the image if the window reaches beyond them.
    z0, z1, y0, y1, x0, x1 : int
        Half-open bounds in voxels of the block; along y and z they may reach beyond it.
    x_block, image_width : int
        Position of the block's first column in the image, and extent of the image along x.
    """

    block: Buffer
    nz: int
    ny: int
    nx: int
    z0: int
    z1: int
    y0: int
    y1: int
    x0: int
    x1: int
    x_block: int
    image_width: int


def make_presmoothing(
    memory: Memory, kernel: Kernel, in_2d: bool, image_width: int, count: tuple[int, int, int], chunk: int
) -> Presmoothing:
    """Buffers for windows of at most `count` (z, y, x) voxels, filtered along z `chunk` planes at a time."""
    nz, ny, nx = count
    r, width = kernel.radius, buffer_width(nx)
    depth = 0 if in_2d else r
    slots, plane = 2 * depth + chunk, ny * width
    first, last = fused_range(image_width, r)
    return Presmoothing(
        taps=memory.taps(kernel.array()),
        radius=r,
        depth=depth,
        fused_first=first,
        fused_last=last,
        lines=memory.buffer((ny + 2 * r) * width),
        ring=memory.buffer(slots * plane if depth else 0),
        planes=memory.buffer(chunk * plane),
        width=width,
        plane=plane,
        line_rows=memory.table(np.arange(ny + 2 * r + 1) * width),
        ring_planes=memory.table(np.arange(nz + 2 * depth + 1) % slots * plane),
    )


@compiled
def mirrored(i: int, n: int) -> int:
    """Index of the voxel that is seen at `i` when ``0 .. n - 1`` is mirrored, however often."""
    if 0 <= i < n:
        return i
    if n == 1:
        return 0
    i = abs(i) % (2 * n - 2)
    return min(i, 2 * n - 2 - i)


@compiled
def _plane(pre: Presmoothing, part: Window, z: int, target: Buffer, to: int) -> None:
    """Plane `z` of a window, filtered along x and y."""
    keep_apart()
    r, width = pre.radius, pre.width
    ny, nx, x0 = part.y1 - part.y0, part.x1 - part.x0, part.x_block + part.x0
    plane = part.block + 4 * mirrored(z, part.nz) * part.ny * part.nx
    for y in range(ny + 2 * r):
        at = mirrored(part.y0 - r + y, part.ny) * part.nx + part.x0
        line = y * width
        smooth_x(plane, at, pre.lines, line, nx, pre.taps, r)
        finish_x(
            plane,
            at,
            NONE,
            pre.lines,
            line,
            NONE,
            NEXT,
            nx,
            x0,
            part.image_width,
            pre.fused_first,
            pre.fused_last,
            pre.taps,
            r,
            NO,
        )
    smooth(pre.lines, pre.line_rows, r, NONE, target, to, width, ny, nx, pre.taps, r)


@compiled_in_place
def presmooth(pre: Presmoothing, part: Window, k: int, n: int, n_read: int) -> int:
    """Planes ``k .. k + n - 1`` of a window into ``pre.planes``; `n_read` planes have come by already.

    Returns
    -------
    int
        The new `n_read`.
    """
    ny, nx = part.y1 - part.y0, part.x1 - part.x0
    if pre.depth == 0:
        for j in range(n):
            _plane(pre, part, part.z0 + k + j, pre.planes, j * pre.plane)
        return k + n
    while n_read < k + n + 2 * pre.depth:
        _plane(pre, part, part.z0 - pre.depth + n_read, pre.ring, entry(pre.ring_planes, n_read))
        n_read += 1
    for y in range(0, ny * pre.width, pre.width):
        smooth(pre.ring, pre.ring_planes, k + pre.depth, y, pre.planes, y, pre.plane, n, nx, pre.taps, pre.depth)
    return n_read
