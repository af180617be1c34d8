"""Connected components within one block, by runs and union-find, compiled.

Foreground is sparse, so a block is first reduced to its runs (stretches of foreground along x); two runs of
neighbouring rows belong together when they overlap, or nearly so if diagonals count::

    row y    . [= run 0 =] . . [1] .
    row y+1  . . . . [= run 2 =] . .      2 overlaps 0 and touches 1 by a corner: one object for 18 and 26
                                          neighbours; for 6 neighbours, run 1 is an object of its own
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.compiling import compiled

# How many of the three coordinates may differ by one between two neighbouring voxels.
DEGREE = {6: 1, 18: 2, 26: 3}


def label_block(foreground: NDArray[np.bool_], connectivity: int) -> tuple[NDArray[np.int64], NDArray[np.int32], int]:
    """The foreground voxels of a block and which object each belongs to.

    Parameters
    ----------
    foreground : ndarray of bool, shape (z, y, x), C order
    connectivity : {6, 18, 26}

    Returns
    -------
    positions : ndarray of int64, shape (n,)
        Raster positions ``(z Y + y) X + x`` within the block of the foreground voxels, ascending.
    labels : ndarray of int32, shape (n,)
        Object of each voxel, from 0, numbered by their first voxels.
    count : int
        Number of objects.

    Examples
    --------
    >>> block = np.array([[[1, 1, 0, 1], [0, 0, 1, 0]]], bool)
    >>> label_block(block, 6)
    (array([0, 1, 3, 6]), array([0, 0, 1, 2], dtype=int32), 3)
    >>> label_block(block, 26)[1:]
    (array([0, 0, 0, 0], dtype=int32), 1)
    """
    n_z, n_y, n_x = foreground.shape
    rows = foreground.reshape(n_z * n_y, n_x)
    first, starts, stops = _find_runs(rows)
    run_labels, count = _join_runs(first, starts, stops, n_z, n_y, DEGREE[connectivity])
    positions, labels = _expand_runs(first, starts, stops, run_labels, n_x)
    return positions, labels, count


@compiled
def _find_runs(rows: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
    """Runs of all rows: starts, stops, and the number of the first run of every row."""
    n_rows, n_x = rows.shape
    first = np.zeros(n_rows + 1, np.int64)
    for r in range(n_rows):
        n = 0
        before = False
        for x in range(n_x):
            here = rows[r, x]
            n += here and not before
            before = here
        first[r + 1] = first[r] + n
    starts = np.empty(first[n_rows], np.int32)
    stops = np.empty(first[n_rows], np.int32)
    for r in range(n_rows):
        i = first[r]
        if i == first[r + 1]:
            continue
        before = False
        for x in range(n_x):
            here = rows[r, x]
            if here and not before:
                starts[i] = x
            elif before and not here:
                stops[i] = x
                i += 1
            before = here
        if before:
            stops[i] = n_x
    return first, starts, stops


@compiled
def find_root(parent: NDArray[Any], i: int) -> int:
    """Root of `i`, halving the path to it on the way."""
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@compiled
def unite(parent: NDArray[Any], i: int, j: int) -> None:
    """Join two trees; the smaller number becomes the root, so that the outcome has one form only."""
    i = find_root(parent, i)
    j = find_root(parent, j)
    if i < j:
        parent[j] = i
    else:
        parent[i] = j


@compiled
def number_roots(parent: NDArray[Any], labels: NDArray[np.int32]) -> int:
    """Write to `labels` the number of each element's tree, trees numbered from 0 by their roots."""
    count = 0
    for i in range(parent.size):
        root = find_root(parent, i)
        if root == i:  # roots are the smallest of their trees: seen before all others
            labels[i] = count
            count += 1
        else:
            labels[i] = labels[root]
    return count


@compiled
def _join_runs(
    first: NDArray[np.int64],
    starts: NDArray[np.int32],
    stops: NDArray[np.int32],
    n_z: int,
    n_y: int,
    degree: int,
) -> tuple[NDArray[np.int32], int]:
    """Object of every run, objects numbered by their first runs."""
    parent = np.arange(starts.size)
    for z in range(n_z):
        for y in range(n_y):
            row = z * n_y + y
            if first[row] == first[row + 1]:
                continue
            if y > 0:
                _join_rows(parent, first, starts, stops, row, row - 1, min(1, degree - 1))
            if z > 0:
                _join_rows(parent, first, starts, stops, row, row - n_y, min(1, degree - 1))
                if degree >= 2 and y > 0:
                    _join_rows(parent, first, starts, stops, row, row - n_y - 1, degree - 2)
                if degree >= 2 and y < n_y - 1:
                    _join_rows(parent, first, starts, stops, row, row - n_y + 1, degree - 2)
    labels = np.empty(starts.size, np.int32)
    return labels, number_roots(parent, labels)


@compiled
def _join_rows(
    parent: NDArray[np.int64],
    first: NDArray[np.int64],
    starts: NDArray[np.int32],
    stops: NDArray[np.int32],
    row: int,
    other: int,
    reach: int,
) -> None:
    """Unite the runs of two rows that overlap, or miss each other by at most a corner if `reach` is 1."""
    i, j = first[row], first[other]
    while i < first[row + 1] and j < first[other + 1]:
        if starts[i] < stops[j] + reach and starts[j] < stops[i] + reach:
            unite(parent, i, j)
        if stops[i] < stops[j]:
            i += 1
        else:
            j += 1


@compiled
def _expand_runs(
    first: NDArray[np.int64],
    starts: NDArray[np.int32],
    stops: NDArray[np.int32],
    run_labels: NDArray[np.int32],
    n_x: int,
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Position and object of every voxel of the runs."""
    total = 0
    for i in range(starts.size):
        total += stops[i] - starts[i]
    positions = np.empty(total, np.int64)
    labels = np.empty(total, np.int32)
    n = 0
    for row in range(first.size - 1):
        for i in range(first[row], first[row + 1]):
            for x in range(starts[i], stops[i]):
                positions[n] = row * n_x + x
                labels[n] = run_labels[i]
                n += 1
    return positions, labels
