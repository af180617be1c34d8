"""What libraries log about a file becomes a note to the user: once, and fit for a terminal."""

from __future__ import annotations

import logging
import sys

from ecc_rf.printable import printable

_LOGGERS = ("tifffile", "nibabel.global", "zarr")


class _Noted(logging.Filter):
    """Prints what passes, and lets nothing pass: the loggers' own handlers would print it as it is."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        text = printable(" ".join(record.getMessage().split()))[:500]
        if record.levelno >= logging.WARNING and text not in self._seen:
            self._seen.add(text)
            print(f"note: {text}", file=sys.stderr)
        return False


def note_what_libraries_log() -> None:
    """For the command line; whoever imports the package decides on logging alone."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        for old in [known for known in logger.filters if isinstance(known, _Noted)]:
            logger.removeFilter(old)
        logger.addFilter(_Noted())
