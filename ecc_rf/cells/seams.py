"""Where blocks meet: which objects of neighbouring blocks touch, found without holding the volume.

Every block hands in the foreground voxels of its outer layers that face another block. As soon as both of two
neighbours are there their voxels are compared; a block's layers are forgotten when its last neighbour has come::

    block 0    block 1
    . . 0 | 0 0 .            pairs: object 0 of block 0 with object 0 of block 1
    . . . | . . .                   object 1 of block 0 with object 1 of block 1
    . 1 1 | 1 . .
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecc_rf.blocks.grid import Block, Grid
from ecc_rf.cells.labelling import DEGREE, number_roots, unite
from ecc_rf.compiling import compiled

At = tuple[int, ...]


@dataclass(frozen=True)
class Layers:
    """Foreground voxels of a block's outer layers.

    Attributes
    ----------
    keys : ndarray of int64, ascending
        Raster index of each voxel in the volume, as if it had a margin of one voxel on all sides (so that a step
        across the volume's edge leads to no other voxel).
    labels : ndarray of int32
        Object of each voxel within the block.
    """

    keys: NDArray[np.int64]
    labels: NDArray[np.int32]


def outer_layers(
    positions: NDArray[np.int64], labels: NDArray[np.int32], block: Block, shape: tuple[int, ...]
) -> Layers:
    """The layers of a block that face other blocks.

    Parameters
    ----------
    positions : ndarray of int64, shape (n,)
        Raster positions of the foreground within the block, ascending.
    labels : ndarray of int32, shape (n,)
        Their objects.
    block : Block
    shape : tuple of int
        Extents of the whole volume, zyx.
    """
    start = np.array([s.start for s in block.core])
    faces = np.array([[s.start > 0, s.stop < n] for s, n in zip(block.core, shape)])
    return Layers(*_outer_layers(positions, labels, np.array(block.shape), start, faces, np.array(shape)))


@compiled
def _outer_layers(
    positions: NDArray[np.int64],
    labels: NDArray[np.int32],
    extents: NDArray[np.int64],
    start: NDArray[np.int64],
    faces: NDArray[np.bool_],
    shape: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    keys = np.empty(positions.size, np.int64)
    kept = np.empty(positions.size, np.int32)
    n = 0
    for i in range(positions.size):
        row = positions[i] // extents[2]
        z = row // extents[1]
        at = (z, row - z * extents[1], positions[i] - row * extents[2])
        outer = False
        key = np.int64(0)
        for axis in range(3):
            outer |= at[axis] == 0 and faces[axis, 0]
            outer |= at[axis] == extents[axis] - 1 and faces[axis, 1]
            key = key * (shape[axis] + 2) + start[axis] + at[axis] + 1
        if outer:
            keys[n] = key
            kept[n] = labels[i]
            n += 1
    return keys[:n].copy(), kept[:n].copy()


class Seams:
    """Collects the outer layers of blocks in any order and finds the pairs of objects that touch.

    Parameters
    ----------
    grid : Grid
        Of three axes, the whole volume.
    connectivity : {6, 18, 26}
    """

    def __init__(self, grid: Grid, connectivity: int) -> None:
        self._grid = grid
        self._steps = _steps(connectivity)
        self._waiting: dict[int, Layers] = {}
        self._missing: dict[int, int] = {}
        self._pairs: list[NDArray[np.int64]] = []

    def add(self, index: int, layers: Layers) -> None:
        """Hand in the layers of block number `index`, and compare them with the neighbours that are there."""
        self._waiting[index] = layers
        self._missing[index] = 0
        at = _position(index, self._grid.counts)
        for direction, steps in self._steps.items():
            neighbour = _neighbour(at, direction, self._grid.counts)
            if neighbour is None:
                continue
            if neighbour not in self._missing:  # has not come yet; this one waits for it
                self._missing[index] += 1
                continue
            self._compare(index, neighbour, steps)
            self._missing[neighbour] -= 1
            if not self._missing[neighbour]:
                del self._waiting[neighbour]
        if not self._missing[index]:
            del self._waiting[index]

    def _compare(self, a: int, b: int, steps: list[At]) -> None:
        n_y, n_x = (n + 2 for n in self._grid.shape[1:])
        here, there = self._waiting[a], self._waiting[b]
        for step in steps:
            offset = (step[0] * n_y + step[1]) * n_x + step[2]
            found = _touching(here.keys, here.labels, there.keys, there.labels, offset)
            if len(found):
                self._pairs.append(np.insert(np.unique(found, axis=0), [0, 1], (a, b), axis=1))

    def pairs(self) -> NDArray[np.int64]:
        """All touching pairs, shape (n, 4): block, object in it, other block, object in that."""
        return np.concatenate(self._pairs) if self._pairs else np.empty((0, 4), np.int64)


def _steps(connectivity: int) -> dict[At, list[At]]:
    """For every direction to a neighbouring block, the steps from a voxel to a neighbouring voxel over there.

    >>> {direction: len(steps) for direction, steps in _steps(6).items()}[(0, 0, 1)], len(_steps(6))
    (1, 6)
    >>> [len(_steps(26)[direction]) for direction in [(0, 0, 1), (0, 1, 1), (1, 1, 1)]]
    [9, 3, 1]
    """
    all_steps = [s for s in itertools.product((-1, 0, 1), repeat=3) if 0 < sum(map(abs, s)) <= DEGREE[connectivity]]
    directions: dict[At, list[At]] = {}
    for direction in itertools.product((-1, 0, 1), repeat=3):
        # along an axis that the direction leaves alone a step may go either way within both blocks
        steps = [s for s in all_steps if any(direction) and all(d in (0, i) for d, i in zip(direction, s))]
        if steps:
            directions[direction] = steps
    return directions


def _position(index: int, counts: tuple[int, ...]) -> At:
    return tuple(int(i) for i in np.unravel_index(index, counts))


def _neighbour(at: At, direction: At, counts: tuple[int, ...]) -> int | None:
    """Number of the block that lies in a direction; None beyond the volume."""
    there = [i + d for i, d in zip(at, direction)]
    if any(not 0 <= i < n for i, n in zip(there, counts)):
        return None
    return int(np.ravel_multi_index(there, counts))


@compiled
def _touching(
    keys_a: NDArray[np.int64],
    labels_a: NDArray[np.int32],
    keys_b: NDArray[np.int64],
    labels_b: NDArray[np.int32],
    offset: int,
) -> NDArray[np.int64]:
    """Pairs of objects of which a voxel of a, moved by `offset`, is a voxel of b; both lists ascend."""
    found = np.empty((min(keys_a.size, keys_b.size), 2), np.int64)
    n = i = j = 0
    while i < keys_a.size and j < keys_b.size:
        difference = keys_a[i] + offset - keys_b[j]
        if difference < 0:
            i += 1
        elif difference > 0:
            j += 1
        else:
            if n == 0 or found[n - 1, 0] != labels_a[i] or found[n - 1, 1] != labels_b[j]:
                found[n, 0] = labels_a[i]
                found[n, 1] = labels_b[j]
                n += 1
            i += 1
            j += 1
    return found[:n]


def join_pairs(count: int, a: NDArray[np.int64], b: NDArray[np.int64]) -> tuple[NDArray[np.int32], int]:
    """Number of the object of each of `count` parts, given pairs of parts that touch, and how many objects.

    >>> join_pairs(5, np.array([4, 1]), np.array([1, 2]))
    (array([0, 1, 1, 2, 1], dtype=int32), 3)
    """
    parent = np.arange(count)
    labels = np.empty(count, np.int32)
    _unite_all(parent, a, b)
    return labels, int(number_roots(parent, labels))


@compiled
def _unite_all(parent: NDArray[np.int64], a: NDArray[np.int64], b: NDArray[np.int64]) -> None:
    for i in range(a.size):
        unite(parent, a[i], b[i])
