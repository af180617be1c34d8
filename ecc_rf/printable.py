"""Texts of files, made fit for a terminal."""

from __future__ import annotations

import re

_COMMANDS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    r"""Without the control characters by which a text from a file could command the terminal.

    >>> printable("a\x1b[2Jb\n")
    'a?[2Jb\n'
    """
    return _COMMANDS.sub("?", text)
