"""What the user should know, gathered while the work is done."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def noted(notes: list[str]) -> Iterator[None]:
    """Warnings become notes, so that they are kept in the record and shown once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    said = [str(warning.message) for warning in caught if issubclass(warning.category, UserWarning)]
    notes += dict.fromkeys(said)  # each once
