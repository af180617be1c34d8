"""Outputs get their name when they are finished, and unfinished ones can be gone on with."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ecc_rf.errors import OutputError, OutputExistsError, ResumeError
from ecc_rf.volumes.user_paths import is_there


class UnfinishedOutput:
    """A file or folder that is written beside its final name, as ``NAME.unfinished``.

    Parameters
    ----------
    final : Path
        Where the output will be.
    name : str
        What the user called it, for messages.
    overwrite : bool
        Whether an output of that name may be replaced; it stays until the new one is complete.
    resume : bool
        Whether to go on with what an earlier run, or another process of this one, left unfinished; otherwise it is
        removed.

    Attributes
    ----------
    path : Path
        Where it is written.
    resumed : bool
        Whether it was there before; known after `begin`.

    Raises
    ------
    OutputExistsError
        If there is an output of that name, now or on `commit`, and `overwrite` is False.
    OutputError
        If the folder cannot be written.
    """

    def __init__(self, final: Path, name: str, overwrite: bool, resume: bool = False) -> None:
        self.final = final
        self.name = name
        self.path = final.with_name(final.name + ".unfinished")
        self.resume = resume
        self.resumed = False
        self.check: Callable[[Path], None] | None = None  # of the finished output, before it gets its name
        self._overwrite = overwrite
        self._refuse_existing("give another name, or --overwrite to replace it")
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            if not resume:
                for stale in (self.path, *final.parent.glob(f"{glob_escaped(self.path.name)}-*")):
                    remove(stale)
            # some formats would find out only after the first block that nothing can be written here
            private = self._private()
            private.touch()
            private.unlink()
        except OSError as error:
            raise OutputError(
                f"the output folder cannot be written: {error.strerror or error}",
                name,
                "choose a folder that you can write to",
            ) from error

    def begin(self, write: Callable[[Path], None], describe: Callable[[Path], dict[str, Any]]) -> None:
        """Make the empty output, or see that the one that is there is the same.

        It is made under a name of its own and then gets the name `path` in one step, so that of several processes
        that start at once one makes it and the others find it whole.

        Parameters
        ----------
        write : callable
            Writes an empty output to a path.
        describe : callable
            What makes two outputs the same, by what a user would call it.

        Raises
        ------
        ResumeError
            If an output is to be gone on with that is another one.
        """
        private = self._private()
        try:
            write(private)
            sync_tree(private)
            self.resumed = not self._claim(private)
            if self.resumed:
                self._compare(describe(private), describe)
        finally:
            remove(private)

    def _private(self) -> Path:
        return self.path.with_name(f"{self.path.name}-{uuid.uuid4().hex[:8]}")

    def _claim(self, private: Path) -> bool:
        """Give it the name `path` unless there is something of that name."""
        if self.path.exists():
            return False
        try:
            if private.is_dir():
                private.rename(self.path)  # fails if there is a folder with something in it
            else:
                try:
                    self.path.hardlink_to(private)  # fails if there is a file
                except PermissionError:  # a file system without links
                    private.rename(self.path)
        except OSError:
            if not self.path.exists():
                raise
            return False
        return True

    def _compare(self, expected: dict[str, Any], describe: Callable[[Path], dict[str, Any]]) -> None:
        where, do = str(self.path), "start anew, which removes it, or give another output name"
        try:
            found = describe(self.path)
        except Exception as error:  # libraries raise nearly every class there is on a damaged file
            raise ResumeError(
                f"the unfinished output is damaged: {type(error).__name__}: {error}", where, do
            ) from error
        for key in (*expected, *found):
            if found.get(key) != expected.get(key):
                raise ResumeError(
                    f"the unfinished output is another one: its {key} is {_short(found.get(key))},"
                    f" this run's is {_short(expected.get(key))}",
                    where,
                    do,
                )

    def _refuse_existing(self, do: str) -> None:
        if is_there(self.final) and not self._overwrite:
            raise OutputExistsError("there is an output of this name already", str(self.final), do)

    def commit(self, result: Path | None = None) -> None:
        """Give the output its final name.

        Parameters
        ----------
        result : Path, optional
            The finished output, if that is only a part of the unfinished one; the rest is removed.
        """
        result = result or self.path
        if self.check is not None:
            try:
                self.check(result)
            except BaseException:
                if not self.resume:
                    self.discard()
                raise
        self._refuse_existing(f"the new result is complete: rename {result} yourself")
        replaced = self.final.with_name(self.final.name + ".replaced")
        try:
            if self.final.is_dir() or (self.final.exists() and result.is_dir()):
                # a folder cannot be replaced in one step: the old one makes room, and goes when the new one is there
                remove(replaced)
                self.final.rename(replaced)
            result.replace(self.final)
            sync_path(self.final.parent)
            remove(replaced)
            remove(self.path)
        except OSError as error:
            raise OutputError(
                f"the result is complete but cannot get its name: {error}", self.name, f"rename {result} yourself"
            ) from error

    def discard(self) -> None:
        """Remove what was written."""
        with contextlib.suppress(OSError):
            remove(self.path)


def remove(path: Path) -> None:
    """Remove a file or folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sync_path(path: Path) -> None:
    """Wait until a file's bytes, or the names in a folder, are safe on disk.

    Raises
    ------
    OSError
        If the file is not there or cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:  # Windows opens no folders, and keeps their names safe itself
        if path.is_dir():
            return
        raise
    try:
        os.fsync(descriptor)
    except OSError:
        if not path.is_dir():  # some network file systems refuse it for folders
            raise
    finally:
        os.close(descriptor)


def sync_tree(path: Path) -> None:
    """`sync_path` for a file, or for a folder and all that is in it."""
    if path.is_dir():
        for inner in path.iterdir():
            sync_tree(inner)
    sync_path(path)


def glob_escaped(name: str) -> str:
    """
    >>> glob_escaped("a[1].h5")
    'a[[]1].h5'
    """
    return "".join(f"[{letter}]" if letter in "[*?" else letter for letter in name)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 120 else text[:117] + "..."
