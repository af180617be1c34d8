"""Code that must never run, planted wherever a careless reader would run it.

Every canary does the same when it runs: it makes one file, whose absence is the proof that none did.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np

PLACES = (
    "PixelClassification/Bookmarks/0000",
    "PixelClassification/ClassifierFactory",
    "PixelClassification/ClassifierForests/pickled_type",
    "PixelClassification/ClassifierForests/pickled_classifier",
)
"""Where ilastik keeps pickles."""


class _Call:
    """Pickles as a call of `open(path, "w")`."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.path, "w")


def pickles(canary: Path) -> list[bytes]:
    """The call in the text form that ilastik writes, in newer protocols, and behind the name of a class it knows."""
    known = b"clazyflow.classifiers.parallelVigraRfLazyflowClassifier\nParallelVigraRfLazyflowClassifier\np0\n"
    text = pickle.dumps(_Call(str(canary)), protocol=0)
    return [text, known + b"0" + text, *(pickle.dumps(_Call(str(canary)), protocol=number) for number in (2, 4, 5))]


def texts(canary: Path) -> list[bytes]:
    """The call for a reader that evaluates a text, or gives it to a shell."""
    return [
        f"__import__('pathlib').Path({str(canary)!r}).touch()".encode(),
        f"$(touch '{canary}')".encode(),
        f"; touch '{canary}' #".encode(),
        f"`touch '{canary}'`.h5/data".encode(),
        f"| touch '{canary}'".encode(),
        f"%(touch '{canary}')s{{__class__.__mro__}}".encode(),
    ]


def plant(file: h5py.File, place: str, code: bytes, *, opaque: bool) -> None:
    """Put code at a place of a project, as ilastik stores it: opaque bytes, or a string."""
    if place in file:
        del file[place]
    if opaque or b"\0" in code:
        file[place] = np.void(code)
    else:
        file[place] = code
