"""A few blocks, spread over the volume, done for about five seconds: how fast it goes, and how small it becomes.

Blocks of one value, such as those outside of the sample, cost next to nothing, so that a mean over all blocks would
say little about tissue. How many there are is told from a cheap sample, the middle plane of some blocks; the time is
that of tissue for the rest.
"""

from __future__ import annotations

import itertools
import math
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.blocks import Block, Grid

SECONDS = 5.0
"""Of work on blocks of tissue."""

_LOOKING = 1.5  # seconds of looking which blocks are tissue
_LOOKS = 512  # blocks that are looked at
_GOLDEN = (math.sqrt(5) - 1) / 2

TISSUE, CONSTANT, MASKED = "tissue", "constant", "masked"


@dataclass(frozen=True)
class Done:
    """What a block came to: its voxels, the bytes of its result, and those after compression."""

    voxels: int
    plain: int
    stored: int


@dataclass(frozen=True)
class Probe:
    """What was found.

    Attributes
    ----------
    looked_at, constant, masked : int
        Blocks whose middle plane was looked at; of these, of one value, and left out by the mask.
    computed : int
        Blocks of tissue that were done.
    rate : float or None
        Voxels per second in tissue, of all workers; None if no tissue was found.
    constant_rate : float or None
        The same where there is one value.
    stored : float or None
        Compressed size as a share of the plain one, over the whole volume.
    seconds : float
        That all of it took.
    """

    looked_at: int
    constant: int
    masked: int
    computed: int
    rate: float | None
    constant_rate: float | None
    stored: float | None
    seconds: float

    @property
    def tissue(self) -> float:
        """Share of blocks that are neither of one value nor masked."""
        return 1 - (self.constant + self.masked) / max(1, self.looked_at)

    def time(self, voxels: int) -> float | None:
        """Seconds for so many voxels of the volume."""
        share_constant = self.constant / max(1, self.looked_at)
        seconds = 0.0
        for share, rate in ((self.tissue, self.rate), (share_constant, self.constant_rate)):
            if share and not rate:
                return None
            seconds += share * voxels / rate if rate else 0.0
        return seconds


def probe(
    grid: Grid,
    kind: Callable[[Block], str],
    work: Callable[[Block], Done],
    workers: int,
    *,
    warm: Callable[[Block], object] | None = None,
    seconds: float | None = None,
) -> Probe:
    """Look at some blocks, and do as many of them as a few seconds allow; at least one per worker.

    Parameters
    ----------
    grid : Grid
    kind : callable
        ``'tissue'``, ``'constant'`` or ``'masked'``, told cheaply.
    work : callable
        Does a block, and keeps nothing of it.
    workers : int
        Threads that do so at once.
    warm : callable, optional
        Called with a block of tissue before the clock starts, so that nothing has to be compiled or loaded then.
    seconds : float, optional
        Of work on tissue; default `SECONDS`.
    """
    seconds = SECONDS if seconds is None else seconds
    started = time.perf_counter()
    kinds: dict[str, list[Block]] = {TISSUE: [], CONSTANT: [], MASKED: []}
    for block in itertools.islice(spread(grid), _LOOKS):
        kinds[kind(block)].append(block)
        if time.perf_counter() - started > _LOOKING:
            break
    tissue, constant = kinds[TISSUE], kinds[CONSTANT]
    if tissue and warm is not None:
        warm(tissue[0])
    rate, done = timed(tissue, work, workers, seconds)
    constant_rate, blank = timed(constant, work, workers, seconds / 10)
    found = sum(map(len, kinds.values()))
    shares = [
        (len(kinds[name]) / found, sum(one.stored for one in some) / max(1, sum(one.plain for one in some)))
        for name, some in ((TISSUE, done), (CONSTANT, blank))
        if some
    ]
    return Probe(
        found,
        len(constant),
        len(kinds[MASKED]),
        len(done),
        rate,
        constant_rate,
        sum(share * ratio for share, ratio in shares) if done or blank else None,
        time.perf_counter() - started,
    )


def timed(
    blocks: Sequence[Block], work: Callable[[Block], Done], workers: int, seconds: float
) -> tuple[float | None, list[Done]]:
    """Do blocks in threads until the time is over; voxels per second of all threads, and what each came to."""
    if not blocks:
        return None, []
    source, lock = iter(blocks), Lock()
    until = time.perf_counter() + seconds

    def some() -> tuple[float, list[Done]]:
        begun = time.perf_counter()
        done: list[Done] = []
        while not done or time.perf_counter() < until:
            with lock:
                block = next(source, None)
            if block is None:
                break
            done.append(work(block))
        return time.perf_counter() - begun, done

    with ThreadPoolExecutor(workers) as threads:
        results = [task.result() for task in [threads.submit(some) for _ in range(workers)]]
    busy = sum(spent for spent, done in results if done)
    done = [one for _, some_done in results for one in some_done]
    return workers * sum(one.voxels for one in done) / max(busy, 1e-9), done


def spread(grid: Grid) -> Iterator[Block]:
    """Blocks of a grid, each once, so that the first few are spread over all of it.

    >>> [block.index for block in spread(Grid((10,), (1,)))]
    [0, 6, 2, 8, 4, 7, 3, 9, 5, 1]
    """
    n = len(grid)
    seen: set[int] = set()
    for i in itertools.count():
        if len(seen) == n:
            return
        index = int(i * _GOLDEN % 1 * n)
        if i > 3 * n:  # what the sequence left out
            index = next(k for k in range(n) if k not in seen)
        if index not in seen:
            seen.add(index)
            yield grid[index]


def middle_plane(box: Sequence[slice], axes: str) -> tuple[slice, ...]:
    """The plane in the middle of a box along z.

    >>> middle_plane((slice(0, 9), slice(0, 5)), "zy")
    (slice(4, 5, None), slice(0, 5, None))
    """
    return tuple(
        slice((s.start + s.stop) // 2, (s.start + s.stop) // 2 + 1) if axis == "z" else s for s, axis in zip(box, axes)
    )


def is_one_value(array: NDArray[Any]) -> bool:
    """Whether all voxels are the same."""
    return bool((array == array.ravel()[:1]).all())


def compressed(array: NDArray[Any], chunks: Iterable[int] | None, module: str, compression: str | None) -> int:
    """Bytes of an array as a format stores it, chunk by chunk; a chunk of nothing but 0 has none."""
    if chunks is None or compression == "none" or module not in ("ome_zarr", "hdf5"):
        return array.nbytes
    import numcodecs

    squeeze = _zlib if module == "hdf5" or compression == "gzip" else numcodecs.Zstd(level=3).encode
    total = 0
    for block in Grid(array.shape, tuple(min(n, edge) for n, edge in zip(array.shape, chunks))):
        piece = np.ascontiguousarray(array[block.core])
        if piece.any():
            total += len(squeeze(piece.tobytes()))
    return total


def _zlib(content: bytes) -> bytes:
    return zlib.compress(content, 1)
