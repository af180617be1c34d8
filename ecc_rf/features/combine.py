"""From filtered rows to features: what needs no neighbours.

``length`` is the gradient's, ``sum`` the trace of the Hessian; the order of the additions is fastfilters' (facts from
https://github.com/ilastik/fastfilters, src/library/linalg_avx.c and fir_filters.c), nothing is fused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ecc_rf.features.eigenvalues import eigenvalues2, eigenvalues3
from ecc_rf.features.lanes import LANES, NONE, Buffer, Table, compiled, entry, get, keep_apart, load, put, sqrt, store
from ecc_rf.features.memory import Memory

COPY, DIFFERENCE, LENGTH2, LENGTH3, SUM2, SUM3, EIGENVALUES2, EIGENVALUES3 = range(8)
"""What is made of the rows that belong to a feature."""

N_OUTPUTS = (1, 1, 1, 1, 1, 1, 2, 3)
"""Features of each kind."""

_FIELDS = 8  # numbers that describe a feature: kind, number, six offsets of rows
_WORK_ROWS = 6  # five for the eigenvalues, one for vectors that stick out


class Features(NamedTuple):
    """What is made of the rows of a stage.

    Attributes
    ----------
    n : int
        Number of filters.
    table : Table
        For each: kind, number of the first feature, offsets of the rows that go in.
    work : Buffer
        Scratch rows.
    width : int
        Distance of rows.
    """

    n: int
    table: Table
    work: Buffer
    width: int


class Output(NamedTuple):
    """Where features go.

    Attributes
    ----------
    values : Buffer
        (feature, z, y, x).
    channel : int
        Input channel; the features of a filter are those of channel 0, then those of channel 1 ...
    start : int
        The tile's first voxel within a feature.
    feature, plane, row : int
        Distances.
    """

    values: Buffer
    channel: int
    start: int
    feature: int
    plane: int
    row: int


def make_features(
    memory: Memory, kinds: Sequence[int], firsts: Sequence[int], inputs: Sequence[Sequence[int]], width: int
) -> Features:
    """Describe filters by kind, number of the first feature and numbers of the rows (of distance `width`)."""
    table = np.zeros((len(kinds), _FIELDS), np.int64)
    for record, kind, first, rows in zip(table, kinds, firsts, inputs):
        record[:2] = kind, first
        record[2 : 2 + len(rows)] = np.array(rows) * width
    return Features(len(kinds), memory.table(table), memory.buffer(_WORK_ROWS * width), width)


@compiled
def _combine(
    features: Features, f: int, rows: Buffer, base: int, target: Buffer, to: int, step: int, count: int
) -> None:
    """Filter `f` for `count` voxels (whole vectors) from voxel `base` of the rows on; output e to ``to + e step``."""
    keep_apart()
    at = features.table + 8 * (f * _FIELDS + 2)
    kind = entry(at, -2)
    a, b, c = base + entry(at, 0), base + entry(at, 1), base + entry(at, 2)
    if kind == COPY:
        for i in range(0, count, LANES):
            store(target, to + i, load(rows, a + i))
    elif kind == DIFFERENCE:
        for i in range(0, count, LANES):
            store(target, to + i, load(rows, a + i) - load(rows, b + i))
    elif kind == LENGTH2:
        for i in range(0, count, LANES):
            x, y = load(rows, a + i), load(rows, b + i)
            store(target, to + i, sqrt(x * x + y * y))
    elif kind == LENGTH3:
        for i in range(0, count, LANES):
            x, y, z = load(rows, a + i), load(rows, b + i), load(rows, c + i)
            store(target, to + i, sqrt((x * x + y * y) + z * z))
    elif kind == SUM2:
        for i in range(0, count, LANES):
            store(target, to + i, load(rows, a + i) + load(rows, b + i))
    elif kind == SUM3:
        for i in range(0, count, LANES):
            store(target, to + i, (load(rows, a + i) + load(rows, b + i)) + load(rows, c + i))
    elif kind == EIGENVALUES2:
        eigenvalues2(rows, at, base, target, to, step, count)
    else:
        eigenvalues3(rows, at, base, features.work, features.width, target, to, step, count)


@compiled
def write_row(features: Features, rows: Buffer, out: Output, to: int, count: int) -> None:
    """Make the features of a row of `count` voxels, and store them at voxel `to`.

    Vectors must not write beyond the row, into voxels that are another thread's: what is left over after the whole
    vectors goes by way of scratch memory.
    """
    keep_apart()
    whole = count // LANES * LANES
    for f in range(features.n):
        record = f * _FIELDS
        outputs = N_OUTPUTS[entry(features.table, record)]
        first = entry(features.table, record + 1) + out.channel * outputs
        at = first * out.feature + to
        if whole > 0:
            _combine(features, f, rows, NONE, out.values, at, out.feature, whole)
        if whole < count:
            spare = (_WORK_ROWS - 1) * features.width
            _combine(features, f, rows, whole, features.work, spare, NONE + LANES, count - whole)
            for e in range(outputs):
                for i in range(count - whole):
                    put(out.values, at + e * out.feature + whole + i, get(features.work, spare + e * LANES + i))
