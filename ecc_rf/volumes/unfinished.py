"""Outputs get their name when they are finished."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from ecc_rf.errors import OutputError, OutputExistsError


class UnfinishedOutput:
    """A file or folder that is written beside its final name, as ``NAME.unfinished``.

    A stale unfinished output (of a run that was killed) is removed at the start.

    Parameters
    ----------
    final : Path
        Where the output will be.
    name : str
        What the user called it, for messages.
    overwrite : bool
        Whether an output of that name may be replaced; it stays until the new one is complete.

    Raises
    ------
    OutputExistsError
        If there is an output of that name, now or on `commit`, and `overwrite` is False.
    OutputError
        If the folder cannot be written.
    """

    def __init__(self, final: Path, name: str, overwrite: bool) -> None:
        self.final = final
        self.name = name
        self.path = final.with_name(final.name + ".unfinished")
        self._overwrite = overwrite
        self._refuse_existing("give another name, or ask for overwriting")
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            _remove(self.path)
            # some formats would find out only after the first block that nothing can be written here
            self.path.touch()
            self.path.unlink()
        except OSError as error:
            raise OutputError(
                f"the output folder cannot be written: {error}", name, "choose a folder that you can write to"
            ) from error

    def _refuse_existing(self, do: str) -> None:
        if self.final.exists() and not self._overwrite:
            raise OutputExistsError("there is an output of this name already", str(self.final), do)

    def commit(self) -> None:
        """Give the output its final name."""
        self._refuse_existing(f"the new result is complete: rename {self.path} yourself")
        replaced = self.final.with_name(self.final.name + ".replaced")
        try:
            if self.final.is_dir() or (self.final.exists() and self.path.is_dir()):
                # a folder cannot be replaced in one step: the old one makes room, and goes when the new one is there
                _remove(replaced)
                self.final.rename(replaced)
            self.path.replace(self.final)
            _remove(replaced)
        except OSError as error:
            raise OutputError(
                f"the result is complete but cannot get its name: {error}", self.name, f"rename {self.path} yourself"
            ) from error

    def discard(self) -> None:
        """Remove what was written."""
        with contextlib.suppress(OSError):
            _remove(self.path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
