"""Formats that are folders of files: only regular files inside the folder are read."""

from __future__ import annotations

import contextlib
import os
import stat
from functools import lru_cache
from pathlib import Path

from ecc_rf.errors import FormatError
from ecc_rf.volumes.limits import HARMLESS_CLAIM, LARGEST_SPARSITY


class CheckedFolder:
    """The folder of an image.

    Parameters
    ----------
    root : Path
        It may be a link itself.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._real = os.path.realpath(root)
        self._inside = lru_cache(4096)(self.refuse_outside)  # of the folders of chunks, each of which has many

    def refuse_outside(self, path: str) -> None:
        """Raise FormatError if the path leads out of the folder."""
        real = os.path.realpath(path)
        if real != self._real and not real.startswith(self._real + os.sep):
            raise FormatError(
                "a link leads out of the image's folder, which is not followed",
                path,
                "open what it leads to, or copy it into the folder",
            )

    def size(self, file: Path) -> int | None:
        """Bytes of a file, None if there is none.

        Raises
        ------
        FormatError
            If it is somewhere else, or a pipe or device: to open these would wait for ever.
        """
        self._inside(str(file.parent))
        try:
            found = file.stat(follow_symlinks=False)
            if stat.S_ISLNK(found.st_mode):
                self.refuse_outside(str(file))
                found = file.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        if stat.S_ISDIR(found.st_mode):
            return None
        if not stat.S_ISREG(found.st_mode):
            raise FormatError("it is a pipe or a device, no file", str(file), "copy the image anew from where it came")
        return found.st_size


def stored_bytes(folder: Path, claimed: int) -> int:
    """Bytes of the files below a folder, counted until there are enough of them for what an image claims."""
    found = 0
    if claimed <= HARMLESS_CLAIM:
        return found
    for parent, _, files in os.walk(folder):
        for file in files:
            with contextlib.suppress(OSError):
                found += (Path(parent) / file).stat().st_size
            if found * LARGEST_SPARSITY >= claimed:
                return found
    return found
