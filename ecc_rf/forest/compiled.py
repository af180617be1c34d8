"""The decorator of this room's compiled functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from ecc_rf import compiling

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function at its first call, to run without the interpreter lock and with IEEE arithmetic."""
    return compiling.compiled(function, error_model="numpy")
