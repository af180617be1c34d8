"""How far a long job is: voxels per second and time left, quiet when nobody watches a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Advance = Callable[[int], None]


class Progress(Protocol):
    """Told what is being done and how much of it is finished."""

    def stage(self, name: str, total: int) -> AbstractContextManager[Advance]:
        """Enter a stage of `total` voxels; the returned function is called with newly finished voxels."""

    def message(self, text: str) -> None:
        """What is about to be done, for those who want to know."""


class SilentProgress:
    """Shows nothing."""

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Advance]:
        yield lambda voxels: None

    def message(self, text: str) -> None:
        pass


class TerminalProgress:
    """A bar with the rate and the time left on a terminal's standard error; elsewhere nothing.

    Parameters
    ----------
    verbose : bool
        Whether messages are shown, wherever standard error leads.
    """

    def __init__(self, *, verbose: bool = False) -> None:
        self._verbose = verbose

    def message(self, text: str) -> None:
        if self._verbose:
            print(text, file=sys.stderr, flush=True)

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Advance]:
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        console = Console(stderr=True)
        if not console.is_terminal:
            yield lambda voxels: None
            return
        columns = (
            TextColumn("{task.description:<12}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[rate]:>16}"),
            TimeRemainingColumn(elapsed_when_finished=True),
        )
        started = time.monotonic()
        done = 0
        with Bar(*columns, console=console) as bar:
            task = bar.add_task(name, total=total, rate="")

            def advance(voxels: int) -> None:
                nonlocal done
                done += voxels
                rate = voxel_rate(done, time.monotonic() - started)
                bar.update(task, completed=done, rate=rate)

            yield advance


def voxel_rate(voxels: int, seconds: float) -> str:
    """A rate as people read it.

    >>> voxel_rate(30_000_000, 2.0)
    '15.0 Mvoxel/s'
    >>> voxel_rate(600, 2.0)
    '0.3 kvoxel/s'
    """
    if seconds <= 0:
        return ""
    rate = voxels / seconds
    return f"{rate / 1e6:.1f} Mvoxel/s" if rate >= 1e6 else f"{rate / 1e3:.1f} kvoxel/s"
