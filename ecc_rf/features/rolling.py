"""One scale of one tile, from voxels to features, rolling along z.

A tile is a column of the block: small in y and x, all of the core's planes high. Planes come in at the top and
features leave at the bottom; between them there are rings of planes that fit a core's caches, never a volume::

    block plane ──► presmoothing ──► P, a chunk of planes ──► filters ──► rows ──► features
                                                          └─► structure tensor ──► features

Along z things are done for a chunk of planes at a time, row by row: the rows above and below that these planes
share are then still in the first-level cache.

Borders. Positions outside the image are computed like all others, from the block mirrored at its border (the border
voxel not repeated). That equals mirroring the input of every single pass, because an even kernel leaves a
mirrored image mirrored and an odd one turns its sign, both exactly. There are two exceptions: along x the position
decides the rounding (`passes.fused_range`), so what is mirrored there is the result of the pass; and products of
derivatives (`tensor`).
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

from ecc_rf.compiling import compiled
from ecc_rf.features.combine import Features, Output, write_row
from ecc_rf.features.lanes import NONE, compiled_in_place
from ecc_rf.features.presmoothing import Presmoothing, Window, presmooth
from ecc_rf.features.stage import Stage, emit, feed
from ecc_rf.features.tensor import Tensor, integrate

CHUNK = 4
"""Planes that are filtered along z together."""


class Scale(NamedTuple):
    """Everything that is computed at one scale.

    Attributes
    ----------
    depth, reach : int
        Radius of the second stage along z and in the plane.
    pre : Presmoothing
        First stage.
    filters, filter_features : Stage, Features
        Filters of P; without features the stage is not used.
    tensor, tensor_features : Tensor, Features
        The structure tensor, likewise.
    """

    depth: int
    reach: int
    pre: Presmoothing
    filters: Stage
    filter_features: Features
    tensor: Tensor
    tensor_features: Features


@compiled_in_place
def _emit_planes(stage: Stage, features: Features, part: Window, out: Output, first: int, last: int) -> int:
    """Planes `first` to ``last - 1`` of a tile, if any: along z, combined, stored. Returns where to go on."""
    nx = part.x1 - part.x0
    for y in range(part.y1 - part.y0):
        emit(stage, first + stage.depth, y, last - first, nx)
        for z in range(first, last):
            rows = stage.rows + 4 * (z - first) * stage.set
            write_row(features, rows, out, out.start + z * out.plane + y * out.row, nx)
    return last if last > first else first


@compiled_in_place
def _feed_tensor(scale: Scale, part: Window, k: int, n: int) -> None:
    """Planes ``k .. k + n - 1`` of P into the gradient."""
    pre, edge = scale.pre, scale.tensor.outer.radius
    ny, nx, x0 = part.y1 - part.y0 + 2 * edge, part.x1 - part.x0 + 2 * edge, part.x_block + part.x0 - edge
    for j in range(n):
        feed(scale.tensor.inner, pre.planes, j * pre.plane, NONE, ny, nx, x0, k + j)


def _sources() -> str:
    """Fingerprint of the code of this room."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _make_roll(sources: str) -> Any:
    """Compile `roll`; `sources` stands for the code that it was made from.

    numba keeps compiled code until the file of the outermost function changes, but the functions that are called are in
    other files. What a function closes over is part of the key, too.
    """

    @compiled
    def roll(part: Window, scale: Scale, out: Output) -> None:
        if len(sources) == 0:
            return
        depth, reach, pre, filters, tensor = scale.depth, scale.reach, scale.pre, scale.filters, scale.tensor
        planes, ny, nx, x0 = part.z1 - part.z0, part.y1 - part.y0, part.x1 - part.x0, part.x_block + part.x0
        needed = Window(
            part.block,
            part.nz,
            part.ny,
            part.nx,
            part.z0 - depth,
            part.z1 + depth,
            part.y0 - reach,
            part.y1 + reach,
            part.x0 - reach,
            part.x1 + reach,
            part.x_block,
            part.image_width,
        )
        n_read = n_filtered = n_multiplied = n_integrated = NONE
        for k in range(0, planes + 2 * depth, CHUNK):
            n = min(CHUNK, planes + 2 * depth - k)
            n_read = presmooth(pre, needed, k, n, n_read)
            if scale.filter_features.n > 0:
                inset = depth - filters.depth  # the structure tensor reaches farther than the filters
                for j in range(n):
                    plane = k + j - inset
                    if 0 <= plane < planes + 2 * filters.depth:
                        at = j * pre.plane + (reach - filters.radius) * (pre.width + 1)
                        feed(filters, pre.planes, at, NONE, ny, nx, x0, plane)
                ready = min(planes, k + n - inset - 2 * filters.depth)
                n_filtered = _emit_planes(filters, scale.filter_features, part, out, n_filtered, ready)
            if scale.tensor_features.n > 0:
                _feed_tensor(scale, part, k, n)
                while n_multiplied < min(planes + 2 * tensor.outer.depth, k + n - 2 * tensor.inner.depth):
                    integrate(tensor, part, n_multiplied)
                    n_multiplied += 1
                ready = min(planes, n_multiplied - 2 * tensor.outer.depth)
                n_integrated = _emit_planes(tensor.outer, scale.tensor_features, part, out, n_integrated, ready)

    return roll


roll = _make_roll(_sources())
"""All features of one scale of one input channel in one tile: ``roll(part, scale, out)``.

Parameters
----------
part : Window
    The tile.
scale : Scale
    What to compute, with buffers for a tile of at least these extents.
out : Output
    Where the results go.
"""
