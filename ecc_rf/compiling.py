"""numba's decorator for the whole package: where compiled code is kept, when it is stale, and who is told.

numba keeps what it compiled beside a function's file, or, where that folder cannot be written to, in the user's own
cache folder. This module adds three things:

* Where neither can be written to (no home directory), the function is compiled for this process alone. numba itself
  would raise.
* Compiled code is stale when *any* file of its room has changed: functions and constants of other files are compiled
  into it. numba itself looks at the function's own file only, and old and new code would then work on each other's
  memory.
* Somebody may be told that compiling has begun, once (`announce`): it takes some seconds, at the first use only.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

KEPT = "compiling what is used for the first time; it takes up to a minute and is kept for later"
NOT_KEPT = (
    "compiling, up to a minute at every start: neither the installation nor a cache folder can be"
    " written to (NUMBA_CACHE_DIR names another one)"
)

_tell: Callable[[str], None] | None = None
_kept = True


def announce(tell: Callable[[str], None] | None) -> None:
    """Have somebody told, once, as soon as something is compiled that was not kept; None: nobody."""
    global _tell
    _tell = tell


def compiled(function: Callable[P, R], **options: Any) -> Callable[P, R]:
    """Compile a function at its first call, to run without the interpreter lock.

    Parameters
    ----------
    function : callable
    **options
        Of numba's ``njit``.
    """
    from numba import njit  # late: the command line imports this module to be told

    global _kept
    _listen()
    try:
        dispatcher: Callable[P, R] = njit(nogil=True, cache=True, **options)(function)
    except RuntimeError:  # "no locator available": nowhere to keep it
        _kept = False
        uncached: Callable[P, R] = njit(nogil=True, **options)(function)
        return uncached
    # No public way leads there; where numba has nothing of that name, its own stamp is all there is.
    index = getattr(getattr(dispatcher, "_cache", None), "_cache_file", None)
    if index is not None and hasattr(index, "_source_stamp"):
        index._source_stamp = (index._source_stamp, _stamp(Path(inspect.getfile(function)).parent))
    return dispatcher


@cache
def _stamp(room: Path) -> tuple[tuple[str, int, int], ...]:
    """Name, size and time of every file of a room, and of this one."""
    files = [*sorted(room.glob("*.py")), Path(__file__)]
    return tuple((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files)


@cache
def _listen() -> None:
    """Be told by numba whenever it compiles; what it loads from disk is no such event."""
    from numba.core import event

    class Listener(event.Listener):
        def on_start(self, event: Any) -> None:
            global _tell
            module = str(getattr(event.data["dispatcher"].py_func, "__module__", ""))
            if _tell is not None and module.startswith("ecc_rf."):
                tell, _tell = _tell, None
                tell(KEPT if _kept else NOT_KEPT)

        def on_end(self, event: Any) -> None:
            pass

    event.register("numba:compile", Listener())  # type: ignore[no-untyped-call]
