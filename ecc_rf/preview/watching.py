"""Doing something again whenever files change."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from ecc_rf.errors import EccError, SettingError
from ecc_rf.messages import told

INTERVAL = 0.5
"""Seconds between two looks at the files."""

State = tuple[tuple[int, int] | None, ...]


def file_state(files: Sequence[Path]) -> State:
    """Time of change and size of each file, None where there is none."""
    states: list[tuple[int, int] | None] = []
    for file in files:
        try:
            status = file.stat()
        except OSError:
            states.append(None)
        else:
            states.append((status.st_mtime_ns, status.st_size))
    return tuple(states)


def watch(
    work: Callable[[], None],
    files: Sequence[Path],
    report: Callable[[str], None],
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> NoReturn:
    """Do some work now and whenever a file has changed, until Ctrl-C.

    A file that is being saved is waited for: work begins when nothing has changed for `INTERVAL`. What fails all the
    same is tried once more before the error is reported; then watching goes on.

    Parameters
    ----------
    work : callable
    files : sequence of Path
        They need not be there yet.
    report : callable
        Told of an error.
    sleep : callable
        Waits so many seconds.

    Raises
    ------
    SettingError
        If the work does: no file that is saved anew mends an option.
    """
    done: State | None = None
    tried = 0
    while True:
        state = file_state(files)
        if state != done:
            if done is not None:
                sleep(INTERVAL)
                if file_state(files) != state:
                    continue  # it is still being written
            try:
                work()
            except SettingError:
                raise
            except (EccError, OSError) as error:
                tried += 1
                if tried == 1:
                    sleep(INTERVAL)
                    done = ()  # a state that no files have: it counts as a change
                    continue
                report(told(error) if isinstance(error, EccError) else str(error))
            tried, done = 0, state
        sleep(INTERVAL)
