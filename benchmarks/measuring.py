"""What is measured, and how: peers and ours take turns, and what counts are medians over the rounds.

A machine that is shared, warm or throttled slows all of them alike within a round, so ratios are taken round by round.
"""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

SYSTEM_PYTHON = "/usr/bin/python3"
PEER = Path(__file__).with_name("vigra_peer.py")


@dataclass(frozen=True)
class Measurement:
    """One line of the table.

    Attributes
    ----------
    part, name : str
        What it belongs to, and what was measured.
    values : tuple of float
        One for each round.
    unit : str
    floor, goal : float, optional
        What must and what should be reached.
    at_most : bool
        Whether floor and goal are upper bounds.
    remark : str
    """

    part: str
    name: str
    values: tuple[float, ...]
    unit: str
    floor: float | None = None
    goal: float | None = None
    at_most: bool = False
    remark: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def verdict(self) -> str:
        """What was reached: goal, floor, or neither; empty where nothing is asked for."""
        sign = -1 if self.at_most else 1
        if self.floor is None or self.goal is None:
            return ""
        if sign * self.median >= sign * self.goal:
            return "goal"
        return "floor" if sign * self.median >= sign * self.floor else "**not reached**"


def take_turns(tasks: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Run all tasks once a round; what they return, by name."""
    found: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, task in tasks.items():
            found[name].append(task())
    return found


def ratios(numerator: Sequence[float], denominator: Sequence[float]) -> tuple[float, ...]:
    """Round by round."""
    return tuple(a / b for a, b in zip(numerator, denominator, strict=True))


def rates(n: int, seconds: Iterable[float]) -> tuple[float, ...]:
    """Millions a second."""
    return tuple(n / s / 1e6 for s in seconds)


def timed(action: Callable[[], object], repeats: int = 1) -> float:
    """Seconds that it takes, the mean of some repeats: what is short would be lost in the clock's noise."""
    start = time.perf_counter()
    for _ in range(repeats):
        action()
    return (time.perf_counter() - start) / repeats


def has_vigra() -> bool:
    """Whether the system's Python has vigra (Debian: python3-vigra)."""
    try:
        return subprocess.run([SYSTEM_PYTHON, "-c", "import vigra"], capture_output=True).returncode == 0
    except OSError:
        return False


class VigraPeer:
    """vigra in the interpreter that has it, as a process that waits for its turn; see vigra_peer.py."""

    def __init__(self, task: str, *arguments: str | Path) -> None:
        command = [SYSTEM_PYTHON, str(PEER), task, *map(str, arguments)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def seconds(self, threads: int = 1) -> float:
        """Have it do its work once."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{threads}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
