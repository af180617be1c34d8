"""How far a long job is: voxels per second and time left, on a terminal or in a log."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Advance = Callable[[int], None]


class Progress(Protocol):
    """Told what is being done and how much of it is finished."""

    def stage(self, name: str, total: int, done: int = 0) -> AbstractContextManager[Advance]:
        """Enter a stage of `total` voxels, of which `done` were found finished.

        The returned function is called with newly finished voxels.
        """

    def message(self, text: str) -> None:
        """What is about to be done, for those who want to know."""


class SilentProgress:
    """Shows nothing."""

    @contextmanager
    def stage(self, name: str, total: int, done: int = 0) -> Iterator[Advance]:
        yield lambda voxels: None

    def message(self, text: str) -> None:
        pass


class TerminalProgress:
    """A bar with the rate and the time left on a terminal's standard error; elsewhere a line per minute.

    Parameters
    ----------
    verbose : bool
        Whether messages are shown, wherever standard error leads.
    interval : float
        Seconds between two lines where there is no terminal. Stages that take less say nothing.
    """

    def __init__(self, *, verbose: bool = False, interval: float = 60.0) -> None:
        self._verbose = verbose
        self._interval = interval

    def message(self, text: str) -> None:
        if self._verbose:
            print(text, file=sys.stderr, flush=True)

    def stage(self, name: str, total: int, done: int = 0) -> AbstractContextManager[Advance]:
        if sys.stderr is not None and sys.stderr.isatty():
            return _bar(Pace(name, total, done))
        return _lines(Pace(name, total, done), self._interval)


RECENT_SECONDS, RECENT_SHARE = 60.0, 0.25
"""How far back it is looked for the pace: so long, or this share of all the time if that is longer."""

FEWEST_VOXELS = 10_000
"""A stage of less is not one of voxels but, say, of settings that are tried: the rate is left out."""


class Pace:
    """How fast a stage goes; what was found done counts for how much is left, not for how fast it goes.

    The pace is that of late. Blocks outside of the sample cost next to nothing: a mean from the start would promise the
    end of a whole brain by the speed of the empty space before it.
    """

    def __init__(self, name: str, total: int, done: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self.total = total
        self.done = done
        self._clock = clock
        self._started = clock()
        self._marks = deque([(self._started, done)])  # when how much was done; the first is as old as is looked back

    def advance(self, voxels: int) -> None:
        self.done += voxels
        now = self._clock()
        self._marks.append((now, self.done))
        back = now - max(RECENT_SECONDS, RECENT_SHARE * (now - self._started))
        while self._marks[1][0] <= back:
            self._marks.popleft()

    def _recent(self) -> tuple[int, float]:
        """Voxels of late, and the seconds that they took until now."""
        since, before = self._marks[0]
        return self.done - before, self._clock() - since

    @property
    def rate(self) -> str:
        return voxel_rate(*self._recent()) if self.total >= FEWEST_VOXELS else ""

    @property
    def seconds_left(self) -> float | None:
        """None while nothing is known."""
        new, seconds = self._recent()
        return seconds / new * max(0, self.total - self.done) if new else None

    def line(self) -> str:
        """Stage, percent, rate and time left.

        >>> clock = iter([0.0, 10.0, 10.0, 10.0]).__next__
        >>> pace = Pace("classify", 4_000_000, 1_000_000, clock)
        >>> pace.advance(2_000_000)
        >>> pace.line()
        'classify: 75 %, 200.0 kvoxel/s, 0:00:05 left'
        """
        parts = [f"{100 * self.done // max(1, self.total)} %", self.rate]
        left = self.seconds_left
        if left is not None:
            parts.append(f"{show_seconds(left)} left")
        return f"{self.name}: {', '.join(part for part in parts if part)}"


@contextmanager
def _lines(pace: Pace, interval: float) -> Iterator[Advance]:
    """A line of text now and then; also while nothing is finished, or a job that hangs would look like a slow one."""
    stop = threading.Event()

    def tell() -> None:
        while not stop.wait(interval):
            print(f"ecc-rf: {pace.line()}", file=sys.stderr, flush=True)

    thread = threading.Thread(target=tell, name="progress", daemon=True)
    thread.start()
    try:
        yield pace.advance
    finally:
        stop.set()
        thread.join()


@contextmanager
def _bar(pace: Pace) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description:<12}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]:>16}"),
        TextColumn("{task.fields[left]:>8}"),
    )
    with Bar(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(pace.name, total=pace.total, completed=pace.done, rate="", left="")

        def advance(voxels: int) -> None:
            pace.advance(voxels)
            left = pace.seconds_left
            bar.update(task, completed=pace.done, rate=pace.rate, left="" if left is None else show_seconds(left))

        yield advance


def show_seconds(seconds: float) -> str:
    """A time as people read it.

    >>> show_seconds(3661.4), show_seconds(100_000)
    ('1:01:01', '27:46:40')
    """
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


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
