"""Bricks of volumes kept in memory, so that a compressed chunk is not decoded again for every block it touches.

Blocks with a halo overlap, and blocks need not be whole chunks: read directly, each chunk of a volume of
64-voxel chunks would be decoded up to eight times.
"""

from __future__ import annotations

import itertools
import math
import mmap
from collections import OrderedDict
from concurrent.futures import Future
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.cells.inputs import Box, Channel

_BRICK_VOXELS = 64**3

_Key = tuple[int, tuple[int, ...]]


class BrickCache:
    """The most recently used bricks of some volumes; safe for threads.

    Parameters
    ----------
    budget : int
        Bytes that may be kept; at least the brick last read is.
    """

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._bricks: OrderedDict[_Key, Future[NDArray[Any]]] = OrderedDict()
        self._sizes: dict[_Key, int] = {}
        self._held = 0
        self._lock = Lock()

    def read(self, channel: Channel, box: Box) -> NDArray[Any]:
        """Voxels of a box, C order; a volume without chunks is read directly."""
        if channel.chunks is None:
            return channel[box]
        brick = brick_shape(channel.chunks, channel.shape)
        block = np.empty(tuple(s.stop - s.start for s in box), channel.dtype)
        for at in itertools.product(*(range(s.start // b, -(-s.stop // b)) for s, b in zip(box, brick))):
            origin = [i * b for i, b in zip(at, brick)]
            voxels = self._brick(channel, at, brick)
            both = [
                (max(s.start, o), min(s.stop, o + n)) for s, o, n in zip(box, origin, voxels.shape)
            ]  # what of the brick lies in the box
            target = tuple(slice(first - s.start, last - s.start) for (first, last), s in zip(both, box))
            source = tuple(slice(first - o, last - o) for (first, last), o in zip(both, origin))
            block[target] = voxels[source]
        return block

    def _brick(self, channel: Channel, at: tuple[int, ...], brick: tuple[int, ...]) -> NDArray[Any]:
        key = (id(channel), at)
        with self._lock:
            found = self._bricks.get(key)
            if found is not None:
                self._bricks.move_to_end(key)
            else:
                mine: Future[NDArray[Any]] = Future()
                self._bricks[key] = mine
        if found is not None:
            return found.result()  # waits if another thread is reading it
        box = tuple(slice(i * b, min((i + 1) * b, n)) for i, b, n in zip(at, brick, channel.shape))
        try:
            voxels = in_own_pages(channel[box])
        except BaseException as error:
            mine.set_exception(error)
            with self._lock:
                del self._bricks[key]
            raise
        mine.set_result(voxels)
        with self._lock:
            self._sizes[key] = voxels.nbytes
            self._held += voxels.nbytes
            self._drop_oldest(key)
        return voxels

    def _drop_oldest(self, newest: _Key) -> None:
        for key in list(self._bricks):
            if self._held <= self._budget:
                break
            if key in self._sizes and key != newest:  # one without a size is still being read
                del self._bricks[key]
                self._held -= self._sizes.pop(key)


def in_own_pages(array: NDArray[Any]) -> NDArray[Any]:
    """A copy whose memory goes back to the system as soon as it is dropped.

    What many threads allocate and drop in changing order the C library's allocator keeps: measured on a thousand
    million voxels, half as much again as the bricks themselves.
    """
    if not array.nbytes:
        return array
    copy = np.frombuffer(mmap.mmap(-1, array.nbytes), array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def brick_shape(chunks: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """Whole chunks, about 64 x 64 x 64 voxels of them unless a chunk is larger.

    >>> brick_shape((64, 64, 64), (256, 256, 256)), brick_shape((1, 128, 128), (30, 500, 500))
    ((64, 64, 64), (16, 128, 128))
    >>> brick_shape((1, 2000, 2000), (300, 2000, 2000))
    (1, 2000, 2000)
    """
    brick = [min(c, n) for c, n in zip(chunks, shape)]
    while True:
        short = [axis for axis in range(3) if brick[axis] < shape[axis]]
        if not short or 2 * math.prod(brick) > _BRICK_VOXELS:
            return tuple(brick)
        axis = min(short, key=lambda axis: brick[axis])
        brick[axis] = min(2 * brick[axis], shape[axis])
