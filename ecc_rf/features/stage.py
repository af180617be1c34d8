"""A stage: several separable filters of one input, every one-dimensional pass done once.

A filter is a word of three letters, the kernels along x, y and z: ``sss`` a Gaussian, ``dss`` its derivative along
x. Words with the same beginning share their first passes::

    input ──s──► s ──s──► ss ──e──► sse                 Hessian: ess ses sse dds dsd sdd
          │      ├──e──► se ──s──► ses                  3 passes along x, 6 along y, 6 along z
          │      └──d──► sd ──d──► sdd                  instead of 18
          ├──d──► d ──s──► ds ──d──► dsd
          │       └──d──► dd ──s──► dds
          └──e──► e ──s──► es ──s──► ess

A stage rolls along z. `feed` takes a plane, does x and y, and leaves planes (the two-letter words) in a ring;
`emit` does z for one row of a few planes, as soon as the planes above and below are there::

    lines (x done)         one plane for each letter
    fields (x, y done)     a ring of planes for each two letters
    rows (x, y, z done)    one row for each word and plane
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ecc_rf.features.kernels import Kernel
from ecc_rf.features.lanes import LANES, NEXT, Buffer, Table, compiled, entry, keep_apart
from ecc_rf.features.memory import Memory
from ecc_rf.features.passes import correlate, correlate_planes, finish_x, fused_range

IDENTITY = "."
"""The letter of an axis that is not filtered."""

_LONGEST = 2  # radius of the longest kernel of a stage
_FIELDS = 7  # numbers that describe a pass: from, to, taps, radius, odd, first and last fused column


class Stage(NamedTuple):
    """Passes and buffers of a stage.

    Attributes
    ----------
    n_x, n_y, n_z : int
        Number of passes.
    x_passes, y_passes, z_passes : Table
        From input to line, from line to field, from field to row; `_FIELDS` numbers each.
    radius, depth : int
        Greatest radius in the plane and along z.
    image_width : int
        Extent of the whole image along x.
    lines, fields, rows : Buffer
        See the module.
    width : int
        Distance of rows in the planes of the input, the lines and the fields.
    row, set : int
        In `rows`, distance of the words, and of the planes.
    field_planes : Table
        Offset in a field of plane k = 0, 1 ...
    """

    n_x: int
    n_y: int
    n_z: int
    x_passes: Table
    y_passes: Table
    z_passes: Table
    radius: int
    depth: int
    image_width: int
    lines: Buffer
    fields: Buffer
    rows: Buffer
    width: int
    row: int
    set: int
    field_planes: Table


def buffer_width(count: int) -> int:
    """Distance of rows of `count` voxels: whole pairs of vectors."""
    return -(-count // (2 * LANES)) * (2 * LANES)


def share(words: Sequence[Sequence[str]]) -> tuple[list[str], list[str], list[str]]:
    """Distinct passes along x, y and z of the words of each input, named by input and letters.

    >>> share([["sss", "sse", "dss"]])
    (['0s', '0d'], ['0ss', '0ds'], ['0sss', '0sse', '0dss'])
    """
    full = [f"{source}{word}" for source, group in enumerate(words) for word in group]
    return list(dict.fromkeys(w[:-2] for w in full)), list(dict.fromkeys(w[:-1] for w in full)), full


def make_stage(
    memory: Memory,
    words: Sequence[Sequence[str]],
    kernels: Mapping[str, Kernel],
    image_width: int,
    width: int,
    count_yx: tuple[int, int],
    n_planes: int,
    chunk: int,
) -> Stage:
    """Share the passes of words, and make room for them.

    Parameters
    ----------
    memory : Memory
        Where the buffers are kept.
    words : sequence of sequence of str
        The words of each input, at most ten inputs; row k of the result is word k of the flattened list.
    kernels : mapping
        Kernel of each letter, with a radius of at most 2.
    image_width : int
        Extent of the whole image along x.
    width : int
        Distance of rows in the planes that are fed.
    count_yx : tuple of int
        Extents of the output planes.
    n_planes : int
        Number of planes that are fed in all.
    chunk : int
        Most planes that are fed before they are emitted.
    """
    lines, fields, rows = share(words)
    radius = max((kernels[letter].radius for name in fields for letter in name[1:]), default=0)
    depth = max((kernels[name[-1]].radius for name in rows), default=0)
    ny, nx = count_yx
    plane, slots = ny * width, 2 * depth + chunk
    line, field, row = (ny + 2 * radius) * width, slots * plane, buffer_width(nx)
    taps = {letter: memory.taps(kernel.array(_LONGEST)) for letter, kernel in kernels.items()}

    def one(source: int, letter: str, to: int) -> tuple[int, ...]:
        kernel = kernels[letter]
        return source, to, taps[letter], kernel.radius, kernel.odd, *fused_range(image_width, kernel.radius)

    return Stage(
        n_x=len(lines),
        n_y=len(fields),
        n_z=len(rows),
        x_passes=memory.table([one(int(w[0]), w[-1], k * line) for k, w in enumerate(lines)]),
        y_passes=memory.table([one(lines.index(w[:-1]) * line, w[-1], k * field) for k, w in enumerate(fields)]),
        z_passes=memory.table([one(fields.index(w[:-1]) * field, w[-1], k * row) for k, w in enumerate(rows)]),
        radius=radius,
        depth=depth,
        image_width=image_width,
        lines=memory.buffer(len(lines) * line),
        fields=memory.buffer(len(fields) * field),
        rows=memory.buffer(chunk * len(rows) * row),
        width=width,
        row=row,
        set=len(rows) * row,
        field_planes=memory.table(np.arange(n_planes + 2) % slots * plane),
    )


@compiled
def feed(stage: Stage, source: Buffer, base: int, input_step: int, ny: int, nx: int, x0: int, k: int) -> None:
    """Take plane `k` of the input: filter it along x and y.

    Parameters
    ----------
    stage : Stage
        Its fields get the result.
    source, base, input_step : Buffer, int, int
        Input j, ``stage.radius`` rows above and columns left of the output, begins at
        ``source[base + j input_step]``; its rows have the stage's width.
    ny, nx : int
        Extents of the output plane.
    x0 : int
        Position of the output's column 0 in the image; columns outside the image are mirrored.
    k : int
        Number of the plane.
    """
    keep_apart()
    r, width = stage.radius, stage.width
    for p in range(0, stage.n_x * _FIELDS, _FIELDS):
        at, to = base + entry(stage.x_passes, p) * input_step + r, entry(stage.x_passes, p + 1)
        taps, radius = entry(stage.x_passes, p + 2), entry(stage.x_passes, p + 3)
        odd = entry(stage.x_passes, p + 4) != 0
        count = (ny + 2 * r - 1) * width + nx
        correlate(source, at, NEXT, stage.lines, to, count, taps, radius, odd)
        first, last = entry(stage.x_passes, p + 5), entry(stage.x_passes, p + 6)
        finish_x(
            source,
            at,
            width,
            stage.lines,
            to,
            width,
            ny + 2 * r,
            nx,
            x0,
            stage.image_width,
            first,
            last,
            taps,
            radius,
            odd,
        )
    plane, count = entry(stage.field_planes, k), (ny - 1) * width + nx
    for p in range(0, stage.n_y * _FIELDS, _FIELDS):
        at, to = entry(stage.y_passes, p) + r * width, entry(stage.y_passes, p + 1) + plane
        taps, radius = entry(stage.y_passes, p + 2), entry(stage.y_passes, p + 3)
        odd = entry(stage.y_passes, p + 4) != 0
        correlate(stage.lines, at, width, stage.fields, to, count, taps, radius, odd)


@compiled
def emit(stage: Stage, k: int, y: int, n: int, nx: int) -> None:
    """Filter row `y` of planes ``k .. k + n - 1`` along z, into the stage's rows."""
    keep_apart()
    for p in range(0, stage.n_z * _FIELDS, _FIELDS):
        at, to = entry(stage.z_passes, p) + y * stage.width, entry(stage.z_passes, p + 1)
        taps, radius = entry(stage.z_passes, p + 2), entry(stage.z_passes, p + 3)
        odd = entry(stage.z_passes, p + 4) != 0
        correlate_planes(stage.fields, stage.field_planes, k, at, stage.rows, to, stage.set, n, nx, taps, radius, odd)
