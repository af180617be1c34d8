"""Run work over blocks in threads: what is read, computed and written overlaps; the first error ends it.

A block goes through three steps, each with threads of its own::

    read  ──►  compute  ──►  write  ──►  the caller
     2         workers        2

The caller's thread hands blocks on from step to step and takes in a new one when one has come out, so that the blocks
under way are counted, whatever is slow.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

import numpy as np

from ecc_rf.blocks.grid import Block, Grid
from ecc_rf.blocks.memory import blocks_waiting
from ecc_rf.blocks.progress import Progress, SilentProgress
from ecc_rf.errors import SettingError

T = TypeVar("T")

Step = Callable[[Block, Any], Any]

READERS = _WRITERS = 2


def available_cores() -> int:
    """Number of cores this process may use (a container or a scheduler may allow fewer than there are)."""
    import joblib  # late: `ecc-rf --help` must not pay for it

    return max(1, int(joblib.cpu_count()))


def resolve_workers(workers: int | None) -> int:
    """The number of threads to use; None means one per available core.

    Raises
    ------
    SettingError
        If the number is not positive.
    """
    if workers is None:
        return available_cores()
    if workers < 1:
        raise SettingError(f"The number of workers must be at least 1, not {workers}.", where="workers")
    return workers


def run_steps(blocks: Iterable[Block], steps: list[tuple[Step, int]], limit: int) -> Iterator[tuple[Block, Any]]:
    """Yield every block with what the last step gave for it, each as soon as it is ready.

    Parameters
    ----------
    blocks : iterable of Block
    steps : list of (function, int)
        Called with the block and what the step before gave (None at first), in as many threads.
    limit : int
        Largest number of blocks under way.

    Notes
    -----
    An error in a step, Ctrl-C, and a caller that stops all end it in the same way: nothing new is begun, and what runs
    in a thread is waited for, so that nobody writes behind the back of who cleans up.
    """
    source = iter(blocks)
    pools = [ThreadPoolExecutor(threads, thread_name_prefix=f"step{i}") for i, (_, threads) in enumerate(steps)]
    running: dict[Future[Any], tuple[Block, int]] = {}

    def submit(block: Block, number: int, given: Any) -> None:
        running[pools[number].submit(steps[number][0], block, given)] = (block, number)

    try:
        for block in itertools.islice(source, limit):
            submit(block, 0, None)
        while running:
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                block, number = running.pop(future)
                result = future.result()
                if number + 1 < len(steps):
                    submit(block, number + 1, result)
                    continue
                following = next(source, None)
                if following is not None:
                    submit(following, 0, None)
                yield block, result
    finally:
        for pool in pools:
            pool.shutdown(wait=False, cancel_futures=True)
        for pool in pools:
            pool.shutdown(wait=True)


def read_compute_write(
    blocks: Iterable[Block],
    read: Callable[[Block], Any],
    compute: Callable[[Block, Any], Any],
    write: Callable[[Block, Any], T],
    *,
    workers: int,
) -> Iterator[tuple[Block, T]]:
    """Read, compute and write blocks at once; yields each block when it is written.

    At most ``workers + blocks_waiting(workers)`` blocks are under way.
    """
    steps: list[tuple[Step, int]] = [
        (lambda block, _: read(block), READERS),
        (compute, workers),
        (write, _WRITERS),
    ]
    return run_steps(blocks, steps, workers + blocks_waiting(workers))


def run_blocks(
    function: Callable[[Block], T],
    grid: Grid,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
    stage: str = "blocks",
    blocks: Iterable[Block] | None = None,
) -> Iterator[tuple[Block, T]]:
    """Yield ``(block, function(block))`` for all blocks, each as soon as it is ready.

    The order of the results depends on the threads; whoever merges them must not. At most two blocks
    per worker are under way or waiting, so the memory does not grow with the volume.

    Parameters
    ----------
    function : callable
        Called in worker threads. It should spend its time in code that releases the GIL.
    grid : Grid
        The blocks.
    workers : int, optional
        Number of threads; default one per core.
    progress : Progress, optional
        Told of every finished block; it counts voxels of the cores.
    stage : str
        What is being done, for the progress.
    blocks : iterable of Block, optional
        Only these blocks of the grid; the others count as done.
    """
    workers = resolve_workers(workers)
    progress = progress or SilentProgress()
    chosen = grid if blocks is None else list(blocks)
    results: Iterator[tuple[Block, T]]
    if workers == 1 or len(chosen) <= 1:
        results = ((block, function(block)) for block in chosen)
    else:
        results = run_steps(chosen, [(lambda block, _: function(block), workers)], 2 * workers)
    found = 0 if blocks is None else grid.voxels - sum(block.voxels for block in chosen)
    with progress.stage(stage, grid.voxels, found) as advance:
        for block, result in results:
            advance(block.voxels)
            yield block, result


def count_not_finite(values: np.ndarray) -> int:
    """Number of NaN and infinite values; integers have none.

    >>> count_not_finite(np.array([1.0, np.nan, np.inf]))
    2
    """
    if values.dtype.kind != "f":
        return 0
    return int(values.size - np.count_nonzero(np.isfinite(values)))
