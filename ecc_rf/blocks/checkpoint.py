"""An output that may be cut off at any moment, its ledger, and how it gets its name.

Beside the output ``OUT`` lie ``OUT.unfinished`` (what is written) and ``OUT.ledger`` (what of it is done)::

    ledger made ─► output made ─► blocks: written, on the disk, noted ─► "complete" noted ─► renamed ─► ledger removed
        a              b                         c                              d              e

Cut off at a, b or c a run goes on with the blocks that are not noted; at d it renames; at e only the ledger is left to
be removed.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from glob import escape
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ecc_rf.blocks.ledger import Journal, Ledger, ledger_error
from ecc_rf.blocks.owner import WHOLE, Owner, Part, live_owners
from ecc_rf.errors import OutputBusyError, OutputExistsError, SettingError
from ecc_rf.volumes.user_paths import is_there

COMMIT_SECONDS = 1.0
"""Finished blocks are noted this often: so much work a kill costs, beside the blocks that are under way."""

_COMPLETE = "complete"
_PARTS = "parts"


class Checkpoint:
    """The unfinished output of one run, or of one part of it; a context manager.

    Parameters
    ----------
    final : Path
        Name of the output when it is complete.
    part : (int, int)
        Number from 1 and how many parts there are.
    restart : bool
        Whether what an earlier run left is removed first.
    overwrite : bool
        Whether a complete output of that name may be replaced.

    Attributes
    ----------
    ledger : Ledger
        After `open`.
    """

    def __init__(self, final: Path, *, part: Part = WHOLE, restart: bool = False, overwrite: bool = False) -> None:
        self.final = final
        self.folder = ledger_folder(final)
        self.unfinished = final.with_name(f"{final.name}.unfinished")
        self.part = part
        self.ledger: Ledger
        self._stack = ExitStack()
        self._journals: list[Journal] = []
        self._watched: os.stat_result | None = None
        self._committed = time.monotonic()
        if restart and part != WHOLE:
            raise SettingError(
                "One part cannot begin all parts anew.",
                where="restart",
                do=f"Stop all parts, remove {self.unfinished} and {self.folder}, and start them again.",
            )
        if restart:
            self._remove_all()
        if is_there(final) and not overwrite and not is_there(self.folder):
            self._sweep()  # the last run may have been cut off behind its last step
            raise OutputExistsError(
                "There is an output of this name already.",
                where=str(final),
                do="Give another name, or --overwrite to replace it.",
            )

    @classmethod
    def of_job(
        cls,
        final: Path,
        fingerprint: Mapping[str, Any],
        *,
        part: Part = WHOLE,
        restart: bool = False,
        overwrite: bool = False,
    ) -> Checkpoint:
        """As the constructor, unless all but the ledger of another job is complete: that is removed first.

        The output of that job, cut off behind its last step, then counts as any other that is there.
        """
        point = cls(final, part=part, restart=restart, overwrite=overwrite)
        if point.complete and Ledger(point.folder).is_other(fingerprint):
            point.end()
            return cls(final, part=part, overwrite=overwrite)
        return point

    def _remove_all(self) -> None:
        if is_there(self.folder) and live_owners(self.folder):
            raise OutputBusyError(
                "Another run is at work on this output.", where=str(self.final), do="Stop it, or wait for it."
            )
        for path in (self.folder, self.unfinished):
            remove_tree(path)

    @property
    def complete(self) -> bool:
        """Whether the output has its name, and only the ledger was left to be removed."""
        return self.is_named(_COMPLETE, self.final)

    def mark(self, name: str, final: Path) -> None:
        """An output is all there; what remains is its name."""
        with self.ledger.journal(name) as journal:
            journal.append(0, _number(final))
            self.commit(journal)

    def is_named(self, name: str, final: Path) -> bool:
        """Whether an output that was marked has got its name."""
        if not (is_there(self.folder) and is_there(final)):
            return False
        mark = Ledger(self.folder).journal(name)
        # What bore the name before, if anything did, is not what bears it now.
        return bool(mark.done) and mark.payload(0) != _number(final)

    def open(self, fingerprint: Mapping[str, Any], layout: Mapping[str, Any]) -> dict[str, Any]:
        """Begin, or go on with what was begun.

        Returns
        -------
        dict
            The layout of the run that was begun: what is given, unless one is there.

        Raises
        ------
        ResumeError
            If what was begun is another job, or its output is gone.
        OutputBusyError
            If another run is at work on it.
        """
        if not is_there(self.folder):
            self._create(fingerprint, layout)
        self.ledger = Ledger(self.folder)
        self.ledger.refuse_other(fingerprint)
        return self.ledger.layout

    def _create(self, fingerprint: Mapping[str, Any], layout: Mapping[str, Any]) -> None:
        """Make the ledger under a name of its own and rename it: of several parts, one is the first."""
        private = self.folder.with_name(f"{self.folder.name}-{uuid.uuid4().hex[:8]}")
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            Ledger.create(private, fingerprint, layout)
            with suppress(OSError):  # another part was first
                private.rename(self.folder)
        except OSError as error:
            raise ledger_error(self.folder, error) from error
        finally:
            remove_tree(private)

    def own(self) -> None:
        """Claim the part: nobody else works on it until the end of the with-block."""
        self._stack.enter_context(Owner(self.folder, self.part))
        if self.part != WHOLE:
            note_part(self.ledger, self.part)

    def own_end(self) -> None:
        """Claim the last work on the output, when all parts are done: only one may do it.

        Raises
        ------
        OutputBusyError
            If another is doing it.
        """
        self._journals.clear()
        self._stack.close()
        self._stack.enter_context(Owner(self.folder, (0, self.part[1])))

    def reopened(self) -> Ledger:
        """The ledger as it is now, with what other processes added."""
        return Ledger(self.folder)

    def journal(self, stage: str) -> Journal:
        """What is done of a stage."""
        journal = self._stack.enter_context(self.ledger.journal(stage))
        self._journals.append(journal)
        return journal

    @property
    def begun(self) -> bool:
        """Whether there is anything that a run could go on with."""
        return any(self.folder.glob("*.journal"))

    def keep(self) -> Journal | None:
        """Store all that was noted, before an error or Ctrl-C ends the run; returns the journal that was last at work.

        Raises
        ------
        OutputError
            If it cannot be stored.
        """
        for journal in self._journals:
            self.commit(journal)
        return self._journals[-1] if self._journals else None

    def watch(self) -> None:
        """From now on the unfinished output must stay where it is."""
        self._watched = self.unfinished.stat()

    def note(self, journal: Journal, index: int, payload: bytes = b"") -> None:
        """A block's bytes are on the disk."""
        journal.append(index, payload)
        if time.monotonic() - self._committed >= COMMIT_SECONDS:
            self.commit(journal)

    def commit(self, journal: Journal) -> None:
        """Store what was noted.

        Raises
        ------
        OutputError
            If it cannot be stored, or the output has been removed.
        """
        if self._watched is not None:
            try:
                if not os.path.samestat(self._watched, self.unfinished.stat()):
                    raise FileNotFoundError(f"{self.unfinished} was replaced")
            except OSError as error:
                raise ledger_error(self.unfinished, error) from error
        journal.commit()
        self._committed = time.monotonic()

    def mark_complete(self) -> None:
        """All is there; what remains is the name."""
        self.mark(_COMPLETE, self.final)

    def end(self) -> None:
        """The output has its name: the ledger goes."""
        self._stack.close()
        remove_tree(self.unfinished)
        remove_tree(self.folder)
        self._sweep()

    def _sweep(self) -> None:
        sweep(self.final)

    def drop(self) -> None:
        """Nothing is worth keeping: remove the ledger, unless another part is at work."""
        self._stack.close()
        if not live_owners(self.folder):
            remove_tree(self.folder)
            self._sweep()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def sweep(final: Path) -> None:
    """Remove what processes left that were killed at the start or end of their work on an output."""
    for stale in ("replaced", "unfinished-*", "ledger-*"):
        for path in final.parent.glob(f"{escape(final.name)}.{stale}"):
            remove_tree(path)


def _number(final: Path) -> bytes:
    """The number of what bears a name, which stays the same on all machines that see the file system."""
    return str(final.stat().st_ino).encode() if is_there(final) else b""


def note_part(ledger: Ledger, part: Part) -> None:
    """Note that a part was begun."""
    with ledger.journal(_PARTS) as journal:
        number = part[1] << 32 | part[0]
        if number not in journal.done:
            journal.append(number)
            journal.commit()


def number_of_parts(ledger: Ledger) -> int:
    """How many parts there are: the number that most of those that were begun were told; 1 if none was."""
    told = [number >> 32 for number in sorted(ledger.journal(_PARTS).done)]
    return max(told, key=told.count, default=1)


def ledger_folder(final: Path) -> Path:
    """Where the ledger of an output lies.

    >>> ledger_folder(Path("a/b.ome.zarr")).name
    'b.ome.zarr.ledger'
    """
    return final.with_name(f"{final.name}.ledger")


def check_part(part: Part) -> Part:
    """A part's number must be one of them.

    Raises
    ------
    SettingError
    """
    number, count = part
    if not 1 <= number <= count:
        raise SettingError(
            f"There is no part {number} of {count}.", where="part", do="Give I/N with I from 1 to N, such as 2/8."
        )
    return part


def remove_tree(path: Path) -> None:
    """Remove a file or a folder if it is there.

    A folder is renamed first, so that nobody takes a half-removed one for a whole one.
    """
    if not os.path.lexists(path):
        return
    if path.is_dir() and not path.is_symlink():
        doomed = path.with_name(f"{path.name}-{uuid.uuid4().hex[:8]}")
        with suppress(FileNotFoundError):
            path.rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)
    else:
        with suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()
