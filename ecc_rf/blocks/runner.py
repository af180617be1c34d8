"""Run a function over blocks: in threads, with progress, stopping at the first error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np

from ecc_rf.blocks.grid import Block, Grid
from ecc_rf.blocks.progress import Progress, SilentProgress
from ecc_rf.errors import SettingError

T = TypeVar("T")


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


def run_blocks(
    function: Callable[[Block], T],
    grid: Grid,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
    stage: str = "blocks",
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
    """
    import joblib

    workers = resolve_workers(workers)
    progress = progress or SilentProgress()

    def call(block: Block) -> tuple[Block, T]:
        return block, function(block)

    with progress.stage(stage, grid.voxels) as advance:
        if workers == 1 or len(grid) == 1:
            results: Iterator[tuple[Block, T]] = map(call, grid)
        else:
            parallel = joblib.Parallel(
                n_jobs=workers,
                backend="threading",
                return_as="generator_unordered",
                pre_dispatch=2 * workers,
                batch_size=1,
            )
            results = parallel(joblib.delayed(call)(block) for block in grid)
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
