"""The background of an image and its spread: medians in a window, on a coarse grid, interpolated between.

The grid's nodes lie at fixed places of the whole volume, every few voxels from voxel 0; so do the samples that a
median is taken of. What is computed for a voxel is therefore the same from whichever block it is asked::

    voxels     0 . . . . . . . . . 10. . . . . . . . . 20
    samples    s         s         s         s         s       every 5 voxels
    nodes      N                             N                 every 15: the median of the samples within the window
    m(7)       N ---------- * -------------- N                 linear between the nodes

Nodes are computed in bricks of many, and kept for the blocks beside.
"""

from __future__ import annotations

import itertools
import math
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.compiling import compiled
from ecc_rf.errors import SettingError
from ecc_rf.normalization.selection import select_float32

Box = tuple[slice, ...]
Read = Callable[[Box], NDArray[Any]]
Triple = tuple[int, int, int]

# As parts of the window's width. Measured: finer ones cost more and find no more cells (docs/accuracy.md).
_SAMPLES = 9  # samples in a window's width, at least
_NODES = 3  # nodes in a window's width

_BRICK_VOXELS = (128, 256, 256)  # about what a brick of nodes covers
KEPT_BYTES = 64 * 2**20  # of nodes: a volume of 7 000 million voxels at the usual window


def bytes_needed(itemsize: int) -> int:
    """Bytes that a thread needs to find the background of an image: a brick's voxels, and its share of what is kept.

    A brick reaches half a window beyond its nodes; it is taken for twice as large.
    """
    return 2 * itemsize * math.prod(_BRICK_VOXELS) + KEPT_BYTES // 2


@dataclass(frozen=True)
class Window:
    """A window in voxels, and the places of samples and nodes.

    Attributes
    ----------
    every : (z, y, x)
        Voxels from one sample to the next.
    reach : (z, y, x)
        Samples from a node to the window's edge.
    step : (z, y, x)
        Samples from one node to the next.
    """

    every: Triple
    reach: Triple
    step: Triple

    @classmethod
    def of(cls, width_um: float, voxel_size: tuple[float, float, float]) -> Window:
        """The window of a width.

        >>> Window.of(75, (6, 1.62, 1.62))
        Window(every=(1, 5, 5), reach=(6, 5, 5), step=(4, 3, 3))

        Raises
        ------
        SettingError
            If the width is not positive.
        """
        if not 0 < width_um < float("inf"):
            raise SettingError(f"The window is {width_um} µm wide; it must be more than 0.", where="window_um")
        every = [max(1, round(width_um / _SAMPLES / size)) for size in voxel_size]
        reach = [max(1, round(width_um / 2 / (size * n))) for size, n in zip(voxel_size, every)]
        step = [max(1, round(width_um / _NODES / (size * n))) for size, n in zip(voxel_size, every)]
        return cls(_triple(every), _triple(reach), _triple(step))

    @property
    def pitch(self) -> Triple:
        """Voxels from one node to the next."""
        return _triple([n * s for n, s in zip(self.every, self.step)])


def _triple(values: Any) -> Triple:
    z, y, x = (int(value) for value in values)
    return z, y, x


class LocalBackground:
    """Local median, and spread if wanted, of one channel of a volume; safe for threads.

    Parameters
    ----------
    read : callable
        Gives the voxels of a box of three slices (z, y, x).
    shape : (z, y, x)
        Extents of the volume.
    window : Window
    spread : bool
        Whether the spread is wanted: 1.4826 times the median absolute deviation from the node's median in the same
        window, which for a normal distribution is its standard deviation.
    """

    def __init__(self, read: Read, shape: tuple[int, ...], window: Window, *, spread: bool = False) -> None:
        self._read = read
        self._shape = _triple(shape)
        self._window = window
        self._fields = 2 if spread else 1
        # nodes up to the first one at or behind the last voxel: every voxel lies between two
        self._nodes = _triple(-(-(n - 1) // p) + 1 for n, p in zip(self._shape, window.pitch))
        self._brick = _triple(_even(n, v // p) for n, v, p in zip(self._nodes, _BRICK_VOXELS, window.pitch))
        self._bricks: OrderedDict[Triple, Future[NDArray[np.float32]]] = OrderedDict()
        self._lock = Lock()

    def fields(self, box: Box) -> NDArray[np.float32]:
        """Median, and spread if wanted, at the voxels of a box: shape (fields, z, y, x)."""
        at, nodes = self._around(box)
        return np.stack([_interpolated(one, at, self._window.pitch, _extents(box)) for one in nodes])

    def subtract(self, voxels: NDArray[Any], box: Box, scale: float) -> NDArray[np.float32]:
        """``(voxels - median) / scale`` in float32, for the voxels of a box."""
        at, nodes = self._around(box)
        one = np.float32(scale)
        return np.asarray(_subtracted(np.ascontiguousarray(voxels), nodes[0], at, self._window.pitch, one))

    def at_voxels(self, voxels: NDArray[np.int64]) -> NDArray[np.float32]:
        """Median, and spread if wanted, at single voxels: shape (fields, n) for voxels of shape (n, 3)."""
        found = np.empty((self._fields, len(voxels)), np.float32)
        # brick by brick: voxels far apart do not ask for all nodes between them
        for members in self._by_brick(voxels) if len(voxels) else ():
            mine = voxels[members]
            low, high = mine.min(axis=0), mine.max(axis=0) + 1
            at, nodes = self._around(tuple(map(slice, low.tolist(), high.tolist())))
            for field, one in zip(found, nodes):
                field[members] = _at_points(one, mine - low + np.array(at), self._window.pitch)
        return found

    def _by_brick(self, voxels: NDArray[np.int64]) -> list[NDArray[np.intp] | slice]:
        """Which voxels lie in each brick."""
        extents = [n * p for n, p in zip(self._brick, self._window.pitch)]
        low, high = voxels.min(axis=0), voxels.max(axis=0)
        first = [int(v) // n for v, n in zip(low, extents)]
        counts = [int(v) // n - a + 1 for v, n, a in zip(high, extents, first)]
        if max(counts) == 1:
            return [slice(None)]
        number = _brick_numbers(voxels, _triple(extents), _triple(first), _triple(counts))
        if np.prod(counts) <= 2**16:
            number = number.astype(np.uint16)  # which numpy sorts by digits, much faster
        order = np.argsort(number, kind="stable")
        ends = np.flatnonzero(np.diff(number[order])) + 1
        return list(np.split(order, ends))

    def _around(self, box: Box) -> tuple[Triple, NDArray[np.float32]]:
        """The nodes around a box, and the place of its first voxel relative to the first of them, in voxels."""
        first = [s.start // p for s, p in zip(box, self._window.pitch)]
        last = [-(-(s.stop - 1) // p) + 1 for s, p in zip(box, self._window.pitch)]
        nodes = np.empty((self._fields, *(b - a for a, b in zip(first, last))), np.float32)
        bricks = (range(a // n, (b - 1) // n + 1) for a, b, n in zip(first, last, self._brick))
        for brick in itertools.product(*bricks):
            held = self._held(_triple(brick))
            origin = [i * n for i, n in zip(brick, self._brick)]
            both = [
                (max(a, o), min(b, o + n)) for a, b, o, n in zip(first, last, origin, held.shape[1:])
            ]  # which of the brick's nodes are wanted
            target = tuple(slice(i - a, j - a) for (i, j), a in zip(both, first))
            source = tuple(slice(i - o, j - o) for (i, j), o in zip(both, origin))
            nodes[(slice(None), *target)] = held[(slice(None), *source)]
        at = _triple(s.start - a * p for s, a, p in zip(box, first, self._window.pitch))
        return at, nodes

    def _held(self, brick: Triple) -> NDArray[np.float32]:
        """A brick of nodes; computed once, while others wait for it."""
        with self._lock:
            found = self._bricks.get(brick)
            if found is not None:
                self._bricks.move_to_end(brick)
            else:
                mine: Future[NDArray[np.float32]] = Future()
                self._bricks[brick] = mine
                largest = 4 * self._fields * int(np.prod(self._brick))
                while len(self._bricks) > max(8, KEPT_BYTES // largest):
                    self._bricks.popitem(last=False)
        if found is not None:
            return found.result()
        try:
            nodes = self._compute(brick)
        except BaseException as error:
            mine.set_exception(error)
            with self._lock:
                self._bricks.pop(brick, None)
            raise
        mine.set_result(nodes)
        return nodes

    def _compute(self, brick: Triple) -> NDArray[np.float32]:
        window = self._window
        first = [i * n for i, n in zip(brick, self._brick)]
        count = [min(n, all_ - a) for n, all_, a in zip(self._brick, self._nodes, first)]
        samples, offset = [], []
        for axis, (a, n) in enumerate(zip(first, count)):
            there = (self._shape[axis] - 1) // window.every[axis]  # the last sample of the volume
            low = min(max(0, a * window.step[axis] - window.reach[axis]), there)
            high = (a + n - 1) * window.step[axis] + window.reach[axis]
            samples.append((low, min(high, there) + 1))
            offset.append(a * window.step[axis] - low)
        box = tuple(
            slice(low * n, (high - 1) * n + 1) for (low, high), n in zip(samples, window.every)
        )  # from the first sample to the last
        every = tuple(slice(None, None, n) for n in window.every)
        values = np.ascontiguousarray(self._read(box)[every], np.float32)
        return _medians(values, _triple(offset), _triple(count), window.step, window.reach, self._fields)


def _even(count: int, most: int) -> int:
    """As many or somewhat more at once, so that the last brick is not much smaller than the others.

    >>> _even(18, 17), _even(40, 17)
    (18, 20)
    """
    return -(-count // max(1, round(count / max(1, most))))


def _extents(box: Box) -> Triple:
    return _triple(s.stop - s.start for s in box)


def spread_floor(median: NDArray[np.float64]) -> NDArray[np.float64]:
    """The least spread that is believed, against division by nothing: 1 % of the median and 10 counts."""
    return np.maximum(0.01 * median, 0) + 10


@compiled
def _medians(
    samples: NDArray[np.float32], offset: Triple, count: Triple, step: Triple, reach: Triple, fields: int
) -> NDArray[np.float32]:
    """Medians (the lower of two middle ones) around nodes, then spreads, from samples that lie densely.

    The first node is at sample `offset`; windows are clipped at the samples' edges, which are the volume's.
    """
    nodes = np.empty((fields, count[0], count[1], count[2]), np.float32)
    values = np.empty((2 * reach[0] + 1) * (2 * reach[1] + 1) * (2 * reach[2] + 1), np.float32)
    chosen = np.empty_like(values)  # selecting uses them up
    for i in range(count[0]):
        z0, z1 = _clipped(offset[0] + i * step[0], reach[0], samples.shape[0])
        for j in range(count[1]):
            y0, y1 = _clipped(offset[1] + j * step[1], reach[1], samples.shape[1])
            for k in range(count[2]):
                x0, x1 = _clipped(offset[2] + k * step[2], reach[2], samples.shape[2])
                n = 0
                for z in range(z0, z1):
                    for y in range(y0, y1):
                        for x in range(x0, x1):
                            values[n] = samples[z, y, x]
                            n += 1
                chosen[:n] = values[:n]
                middle = select_float32(chosen[:n], (n - 1) // 2)
                nodes[0, i, j, k] = middle
                if fields > 1:
                    for v in range(n):
                        values[v] = abs(values[v] - middle)
                    nodes[1, i, j, k] = np.float32(1.4826) * select_float32(values[:n], (n - 1) // 2)
    return nodes


@compiled
def _clipped(middle: int, reach: int, n: int) -> tuple[int, int]:
    """Half-open bounds of a window; a node may lie behind the last sample, but its window does not."""
    return max(0, min(middle - reach, n - 1)), min(n, middle + reach + 1)


@compiled
def _between(nodes: NDArray[np.float32], z: int, y: int, pitch: Triple, k: int) -> Any:
    """The value at node k of x, between the nodes of z and y; z, y in voxels from the first node."""
    i, j = z // pitch[0], y // pitch[1]
    u, v = np.float32(z - i * pitch[0]) / np.float32(pitch[0]), np.float32(y - j * pitch[1]) / np.float32(pitch[1])
    i1, j1 = min(i + 1, nodes.shape[0] - 1), min(j + 1, nodes.shape[1] - 1)
    near = nodes[i, j, k] + v * (nodes[i, j1, k] - nodes[i, j, k])
    far = nodes[i1, j, k] + v * (nodes[i1, j1, k] - nodes[i1, j, k])
    return near + u * (far - near)


@compiled
def _line(nodes: NDArray[np.float32], z: int, y: int, pitch: Triple, line: NDArray[np.float32]) -> None:
    """The values at one z and y, at all nodes along x."""
    for k in range(nodes.shape[2]):
        line[k] = _between(nodes, z, y, pitch, k)


@compiled
def _shares(pitch: int) -> NDArray[np.float32]:
    """How far each voxel between two nodes is on its way to the next."""
    return np.arange(pitch).astype(np.float32) / np.float32(pitch)


@compiled
def _interpolated(nodes: NDArray[np.float32], at: Triple, pitch: Triple, shape: Triple) -> NDArray[np.float32]:
    out = np.empty(shape, np.float32)
    line = np.empty(nodes.shape[2], np.float32)
    share = _shares(pitch[2])
    for z in range(shape[0]):
        for y in range(shape[1]):
            _line(nodes, at[0] + z, at[1] + y, pitch, line)
            for k in range(line.size):
                left, rise = line[k], line[min(k + 1, line.size - 1)] - line[k]
                start = k * pitch[2] - at[2]  # the node's place along x, which may lie before the box
                for x in range(max(start, 0), min(start + pitch[2], shape[2])):
                    out[z, y, x] = left + share[x - start] * rise
    return out


@compiled
def _subtracted(
    voxels: NDArray[Any], nodes: NDArray[np.float32], at: Triple, pitch: Triple, scale: np.float32
) -> NDArray[np.float32]:
    """In float32 throughout: `scale` is one."""
    out = np.empty(voxels.shape, np.float32)
    line = np.empty(nodes.shape[2], np.float32)
    share = _shares(pitch[2])
    for z in range(voxels.shape[0]):
        for y in range(voxels.shape[1]):
            _line(nodes, at[0] + z, at[1] + y, pitch, line)
            for k in range(line.size):
                left, rise = line[k], line[min(k + 1, line.size - 1)] - line[k]
                start = k * pitch[2] - at[2]
                for x in range(max(start, 0), min(start + pitch[2], voxels.shape[2])):
                    out[z, y, x] = (np.float32(voxels[z, y, x]) - (left + share[x - start] * rise)) / scale
    return out


@compiled
def _brick_numbers(voxels: NDArray[np.int64], extents: Triple, first: Triple, counts: Triple) -> NDArray[np.int64]:
    """Raster number of each voxel's brick, among those from the first on."""
    out = np.empty(len(voxels), np.int64)
    for i in range(len(voxels)):
        z, y, x = (
            voxels[i, 0] // extents[0] - first[0],
            voxels[i, 1] // extents[1] - first[1],
            voxels[i, 2] // extents[2] - first[2],
        )
        out[i] = (z * counts[1] + y) * counts[2] + x
    return out


@compiled
def _at_points(nodes: NDArray[np.float32], points: NDArray[np.int64], pitch: Triple) -> NDArray[np.float32]:
    out = np.empty(len(points), np.float32)
    share = _shares(pitch[2])
    for i in range(len(points)):
        z, y, x = points[i, 0], points[i, 1], points[i, 2]
        k = x // pitch[2]
        left = _between(nodes, z, y, pitch, k)
        right = _between(nodes, z, y, pitch, min(k + 1, nodes.shape[2] - 1))
        out[i] = left + share[x - k * pitch[2]] * (right - left)
    return out
