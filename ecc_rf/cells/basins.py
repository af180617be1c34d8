"""Watershed basins of one object given as a list of its voxels, compiled.

An object is a list of voxels in raster order, not an array with a box around it: a branching object that runs
through a whole brain costs memory for its voxels only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ecc_rf.cells.labelling import find_root
from ecc_rf.compiling import compiled

# The 13 steps to the neighbours that come later in raster order.
_FORWARD = np.array(
    [(0, 0, 1)] + [(0, 1, dx) for dx in (-1, 0, 1)] + [(1, dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
)


@compiled
def coordinates(index: NDArray[np.int64], n_y: int, n_x: int) -> NDArray[np.int64]:
    """z, y, x of raster indices, shape (n, 3).

    >>> coordinates(np.array([0, 7, 29]), 3, 5).tolist()
    [[0, 0, 0], [0, 1, 2], [1, 2, 4]]
    """
    at = np.empty((index.size, 3), np.int64)
    for i in range(index.size):
        row = index[i] // n_x
        at[i, 0] = row // n_y
        at[i, 1] = row % n_y
        at[i, 2] = index[i] % n_x
    return at


@compiled
def neighbours(index: NDArray[np.int64], at: NDArray[np.int64], n_y: int, n_x: int) -> NDArray[np.int32]:
    """For every voxel its up to 26 neighbours in the object, shape (n, 26); -1 where there is none.

    >>> index = np.array([0, 2, 3])         # # . #      voxel 1 of the list (2) and voxel 2 (3) are no neighbours
    >>> table = neighbours(index, coordinates(index, 2, 3), 2, 3)      # # . .   across the end of the row
    >>> [row[row >= 0].tolist() for row in table]
    [[2], [], [0]]
    """
    n = index.size
    table = np.full((n, 26), -1, np.int32)
    for k in range(13):
        dz, dy, dx = _FORWARD[k]
        offset = (dz * n_y + dy) * n_x + dx
        j = 0
        for i in range(n):  # the voxels and the places a step away both ascend: one walk beside the other
            if not (0 <= at[i, 1] + dy < n_y and 0 <= at[i, 2] + dx < n_x):
                continue
            while j < n and index[j] < index[i] + offset:
                j += 1
            if j < n and index[j] == index[i] + offset:
                table[i, k] = j
                table[j, 25 - k] = i
    return table


@compiled
def _lines(at: NDArray[np.int64], axis: int, radius: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The voxels line after line along an axis, and keys that count along the lines, ascending.

    From one line to the next the keys leap by more than `radius`.
    """
    a, b = (axis + 1) % 3, (axis + 2) % 3
    key = (at[:, a] * (at[:, b].max() + 1) + at[:, b]) * (at[:, axis].max() + 1 + radius) + at[:, axis]
    order = np.argsort(key)
    return order, key[order]


@compiled
def edge_distance(
    at: NDArray[np.int64], shape: tuple[int, int, int], spacing: NDArray[np.float64], largest: float
) -> NDArray[np.float64]:
    """Distance of each voxel to the nearest one outside the object, at most `largest`.

    Beyond the edge of the volume nothing is known, so nothing counts as outside there. Squared distances are taken
    axis by axis: the least over a line of the distance across it squared plus the distance along it squared. Behind
    the first voxel outside on a line nothing nearer can follow.

    Parameters
    ----------
    at : ndarray of int64, shape (n, 3)
        Coordinates.
    shape : tuple of int
        Extents of the volume.
    spacing : ndarray of float64, shape (3,)
        Extents of a voxel.
    largest : float
    """
    squared = np.full(len(at), largest * largest)
    for axis in range(3):
        order, key = _lines(at, axis, 1)
        before = squared[order]
        for i in range(order.size):
            best = before[i]
            for direction in (-1, 1):
                k = 1
                while (k * spacing[axis]) ** 2 < best:
                    along = (k * spacing[axis]) ** 2
                    place = at[order[i], axis] + direction * k
                    if not 0 <= place < shape[axis]:
                        break
                    j = i + direction * k
                    if not 0 <= j < order.size or key[j] != key[i] + direction * k:
                        best = along
                        break
                    best = min(best, before[j] + along)
                    k += 1
            squared[order[i]] = best
    return np.asarray(np.sqrt(squared))


@compiled
def smooth(values: NDArray[np.float64], at: NDArray[np.int64], taps: NDArray[np.float64], axis: int) -> None:
    """Convolve along an axis, in place; everything outside the object is 0.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
    at : ndarray of int64, shape (n, 3)
        Coordinates.
    taps : ndarray of float64
        A symmetric kernel from its middle on.
    axis : int
    """
    radius = taps.size - 1
    if radius == 0:
        return
    order, key = _lines(at, axis, radius)
    before = values[order]
    for i in range(order.size):
        total = taps[0] * before[i]
        j = i - 1
        while j >= 0 and key[i] - key[j] <= radius:
            total += taps[key[i] - key[j]] * before[j]
            j -= 1
        j = i + 1
        while j < order.size and key[j] - key[i] <= radius:
            total += taps[key[j] - key[i]] * before[j]
            j += 1
        values[order[i]] = total


@compiled
def basins(
    height: NDArray[np.float64],
    table: NDArray[np.int32],
    at: NDArray[np.int64],
    spacing: NDArray[np.float64],
    distance: float,
    depth: float,
    smallest: float,
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The watershed of a height; peaks that are shallow, crowded or small are joined to their neighbours.

    Voxels are visited from the highest to the lowest (equal ones in raster order). One without a visited
    neighbour is a peak; any other joins the basin of its highest visited neighbour. Where basins meet, the lower
    peak is joined to the higher one if it stands at most `depth` times its height above the meeting, or lies
    nearer than `distance`. The voxels of a plateau stand 0 above each other: they are one peak.

    At the end basins of fewer than `smallest` voxels are joined to those that they meet at the highest place.

    Parameters
    ----------
    height : ndarray of float64, shape (n,)
    table : ndarray of int32, shape (n, 26)
        Neighbours.
    at : ndarray of int64, shape (n, 3)
        Coordinates.
    spacing : ndarray of float64, shape (3,)
        Extents of a voxel.
    distance, depth, smallest : float

    Returns
    -------
    labels : ndarray of int32, shape (n,)
        Basin of each voxel, numbered from 0 by first voxels.
    peaks : ndarray of int64
        The highest voxel of each basin.
    """
    n = height.size
    order = np.argsort(-height, kind="mergesort")
    rank = np.empty(n, np.int64)
    rank[order] = np.arange(n)
    parent = np.arange(n)  # the root of a tree is its peak, the voxel of lowest rank
    meeting = np.zeros(n, np.bool_)
    for i in order:
        best = -1
        for j in table[i]:
            if j >= 0 and rank[j] < rank[i] and (best < 0 or rank[j] < rank[best]):
                best = j
        if best < 0:
            continue
        parent[i] = find_root(parent, best)
        for j in table[i]:
            if j < 0 or rank[j] >= rank[i]:
                continue
            high, low = _high_and_low(parent, rank, i, j)
            if high == low:
                continue
            apart = 0.0
            for d in range(3):
                apart += ((at[high, d] - at[low, d]) * spacing[d]) ** 2
            if height[low] - height[i] <= depth * height[low] or apart < distance * distance:
                parent[low] = high
            else:
                meeting[i] = True
    _join_small(parent, order, rank, table, meeting, smallest)
    return _number_basins(parent)


@compiled
def _high_and_low(parent: NDArray[np.int64], rank: NDArray[np.int64], i: int, j: int) -> tuple[int, int]:
    """Peaks of two voxels' basins, the higher first."""
    a, b = find_root(parent, i), find_root(parent, j)
    return (a, b) if rank[a] <= rank[b] else (b, a)


@compiled
def _join_small(
    parent: NDArray[np.int64],
    order: NDArray[np.int64],
    rank: NDArray[np.int64],
    table: NDArray[np.int32],
    meeting: NDArray[np.bool_],
    smallest: float,
) -> None:
    size = np.zeros(parent.size, np.int64)
    for i in range(parent.size):
        size[find_root(parent, i)] += 1
    for i in order:
        if not meeting[i]:
            continue
        for j in table[i]:
            if j < 0 or rank[j] >= rank[i]:
                continue
            high, low = _high_and_low(parent, rank, i, j)
            if high != low and min(size[high], size[low]) < smallest:
                parent[low] = high
                size[high] += size[low]


@compiled
def _number_basins(parent: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    number = np.full(parent.size, -1, np.int32)
    labels = np.empty(parent.size, np.int32)
    peaks = np.empty(parent.size, np.int64)
    count = 0
    for i in range(parent.size):
        root = find_root(parent, i)
        if number[root] < 0:
            number[root] = count
            peaks[count] = root
            count += 1
        labels[i] = number[root]
    return labels, peaks[:count].copy()


@compiled
def nearest_maxima(
    height: NDArray[np.float64],
    table: NDArray[np.int32],
    at: NDArray[np.int64],
    spacing: NDArray[np.float64],
    distance: float,
) -> NDArray[np.int32]:
    """Each voxel goes to the nearest local maximum; of maxima nearer than `distance` the higher one stays.

    A plateau is one maximum, at its first voxel. Labels are numbered from 0 by first voxels.
    """
    n = height.size
    _, peaks = basins(height, table, at, spacing, 0.0, 0.0, 0.0)
    peaks = peaks[np.argsort(-height[peaks], kind="mergesort")]
    kept = np.empty(peaks.size, np.int64)
    count = 0
    for peak in peaks:
        free = True
        for j in kept[:count]:
            free &= _squared_distance(at[peak], at[j], spacing) >= distance * distance
        if free:
            kept[count] = peak
            count += 1
    number = np.full(count, -1, np.int32)
    labels = np.empty(n, np.int32)
    numbered = 0
    for i in range(n):
        nearest = 0
        least = np.inf
        for k in range(count):
            apart = _squared_distance(at[i], at[kept[k]], spacing)
            if apart < least:
                nearest, least = k, apart
        if number[nearest] < 0:
            number[nearest] = numbered
            numbered += 1
        labels[i] = number[nearest]
    return labels


@compiled
def _squared_distance(a: NDArray[np.int64], b: NDArray[np.int64], spacing: NDArray[np.float64]) -> float:
    return float(
        ((a[0] - b[0]) * spacing[0]) ** 2 + ((a[1] - b[1]) * spacing[1]) ** 2 + ((a[2] - b[2]) * spacing[2]) ** 2
    )
