"""Running something in a process of its own, with limits, and what became of it."""

from __future__ import annotations

import faulthandler
import math
import os
import resource
import select
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

TRACEBACK = 70
"""Exit status of a child that ended with an exception that is no user's error."""

_PATIENCE = 20

_SPARE = 4 << 30  # address space beyond what the parent has: the machine must survive what is measured here


@dataclass(frozen=True)
class Ending:
    """How a child ended.

    Attributes
    ----------
    status : int or None
        Exit status, negative for the signal that killed it; None if it ran out of time.
    seconds : float
        Processor time.
    peak : int
        Most resident memory, bytes, what it shares with its parent included.
    """

    status: int | None
    seconds: float
    peak: int


def watched(work: Callable[[], int | None], output: Path, limit: float) -> Ending:
    """Fork, run `work` with stdout and stderr in a file, for no longer than `limit` seconds.

    They are seconds of a processor: how long a child takes else depends on what the machine does beside it. Whatever
    waits for something that does not come is ended after twenty times as long, for others may be at work beside it.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        _run(work, output, limit)
    handle = os.pidfd_open(child)
    try:
        in_time = bool(select.select([handle], [], [], _PATIENCE * limit)[0])
    finally:
        os.close(handle)
    if not in_time:
        os.kill(child, signal.SIGKILL)
    _, status, usage = os.wait4(child, 0)
    seconds = usage.ru_utime + usage.ru_stime
    code = os.waitstatus_to_exitcode(status)
    out_of_time = not in_time or code == -signal.SIGXCPU or (code == -signal.SIGKILL and seconds >= limit)
    return Ending(None if out_of_time else code, seconds, usage.ru_maxrss * 1024)


def _run(work: Callable[[], int | None], output: Path, seconds: float) -> None:
    """In the child; never returns."""
    status = TRACEBACK
    try:
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        faulthandler.enable(2)
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * os.sysconf("SC_PAGE_SIZE") + _SPARE
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(seconds), math.ceil(seconds)))
        status = work() or 0
    except SystemExit as error:  # argparse
        status = error.code if isinstance(error.code, int) else 2
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
