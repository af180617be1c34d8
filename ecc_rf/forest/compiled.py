"""numba's decorator with the settings of this room, and a cache that notices changes in any of its files.

numba stores what it compiled beside a function's file and compiles anew when that file has changed, but not when
another file has whose functions or constants were compiled into it. Old and new code would then work on each other's
memory. So here the stamp of a stored function is that of all files of the room.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from numba import njit

P = ParamSpec("P")
R = TypeVar("R")

_STAMP = tuple(
    (file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in sorted(Path(__file__).parent.glob("*.py"))
)


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function at its first call, to run without the interpreter lock and with IEEE arithmetic."""
    dispatcher: Callable[P, R] = njit(nogil=True, cache=True, error_model="numpy")(function)
    # No public way leads there; where numba has nothing of that name, its own stamp is all there is.
    index = getattr(getattr(dispatcher, "_cache", None), "_cache_file", None)
    if index is not None and hasattr(index, "_source_stamp"):
        index._source_stamp = (index._source_stamp, _STAMP)
    return dispatcher
