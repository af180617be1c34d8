"""Paths as people write them."""

from __future__ import annotations

from pathlib import Path


def expanded(path: str | Path) -> Path:
    """With the home directory in place of ``~``; as it is where there is no such home.

    >>> str(expanded("~nobody-of-this-name/a.h5"))
    '~nobody-of-this-name/a.h5'
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:  # no home directory, or nobody of that name
        return Path(path)


def is_there(path: Path) -> bool:
    """Whether there is something; also for names that are too long, or of folders that may not be looked into."""
    try:
        return path.exists()
    except OSError:
        return False
