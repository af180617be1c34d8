"""The folder of one image's results: finished, unfinished, or somebody else's.

``run.json`` is written last: a folder that has it is finished. Until then ``run.json.ledger`` lies there, with the
fingerprint of the run and which of its steps are done; each step has a ledger of its own while it is at work::

    ledger made ─► older results removed ─► probability ─► cells, objects ─► report ─► run.json ─► ledger removed
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecc_rf.blocks.checkpoint import Checkpoint, ledger_folder, remove_tree
from ecc_rf.blocks.ledger import Journal, Ledger, differences
from ecc_rf.blocks.owner import WHOLE, Part, live_owners
from ecc_rf.cell_finding import keep_model
from ecc_rf.errors import OutputBusyError, OutputError, OutputExistsError, ResumeError
from ecc_rf.volumes.user_paths import is_there

if TYPE_CHECKING:
    from ecc_rf.objects import ObjectModel

FORMATS = ("ome.zarr", "h5")
OBJECTS = "objects.ome.zarr"
CELLS = "cells.csv"
REPORT = "report.html"
RECORD = "run.json"
RESULTS = (
    RECORD,  # the first that is removed: what is left is no finished result
    CELLS,
    REPORT,
    OBJECTS,
    *(f"{kind}.{format}" for kind in ("probability", "mask") for format in FORMATS),
)

CLEARED, CLASSIFIED, FOUND = range(3)
STEPS = "steps"


def results_in(folder: Path) -> list[str]:
    """Names of the results that are in a folder."""
    return [name for name in RESULTS if is_there(folder / name)]


class RunFolder:
    """Where the results of one image belong.

    Parameters
    ----------
    path : Path
    fingerprint : mapping
        Everything that the results depend on, JSON-able.
    """

    def __init__(self, path: Path, fingerprint: Mapping[str, Any]) -> None:
        self.path = path
        self.fingerprint: dict[str, Any] = json.loads(json.dumps(fingerprint))
        self.point: Checkpoint
        self._final = path / RECORD
        self._new = False
        self._ledger = ledger_folder(self._final)

    @property
    def begun(self) -> bool:
        """Whether an unfinished run lies there."""
        return is_there(self._ledger)

    def end_complete(self) -> None:
        """Remove the ledger of a run that was cut off behind its last step."""
        if not self.begun:
            return
        with suppress(ResumeError):  # of a damaged ledger, which is told when it is to be gone on with
            point = Checkpoint(self._final, overwrite=True)
            if point.complete:
                point.end()

    @property
    def finished(self) -> bool:
        """Whether the results of this very run are there."""
        return self.record is not None and not list(self._changes())

    def _changes(self) -> list[str]:
        then = (self.record or {}).get("fingerprint")
        return list(differences(then, self.fingerprint)) if then else ["it does not say what it was made of"]

    @property
    def record(self) -> dict[str, Any] | None:
        """What is recorded of a finished run; None if there is none."""
        if self.begun:
            return None
        try:
            stored = json.loads(self._final.read_bytes())
        except (OSError, ValueError):
            return None
        return stored if isinstance(stored, dict) else None

    def results(self) -> list[str]:
        """Names of what is there."""
        return results_in(self.path)

    def refuse_results(self) -> None:
        """Refuse a folder with results that are not those of an unfinished run.

        Raises
        ------
        OutputExistsError
        """
        if self.begun or not self.results():
            return
        changes = self._changes() if self.record is not None else []
        other = f" They are of another run: {'; '.join(changes)}." if changes else ""
        raise OutputExistsError(
            f"The folder holds results already: {', '.join(self.results())}.{other}",
            where=str(self.path),
            do="Give another folder, or --overwrite to replace them.",
        )

    def refuse_other(self) -> None:
        """Refuse to go on with another run than the one that was begun; one that did nothing yet is forgotten.

        Raises
        ------
        ResumeError
            The message says what differs.
        """
        if not self.begun:
            return
        ledger = Ledger(self._ledger)
        if ledger.is_other(self.fingerprint) and self._untouched(ledger) and not live_owners(self._ledger):
            remove_tree(self._ledger)
        else:
            ledger.refuse_other(self.fingerprint)

    def _untouched(self, ledger: Ledger) -> bool:
        return not ledger.journal(STEPS).done - {CLEARED} and not list(self.path.glob("*.unfinished"))

    def remove_unfinished(self) -> None:
        """Remove all that an unfinished run left.

        Raises
        ------
        OutputBusyError
            If a run is at work on it.
        """
        if not self.begun:
            return
        if live_owners(self._ledger):
            raise OutputBusyError(
                "Another run is at work on this output.", where=str(self.path), do="Stop it, or wait for it."
            )
        for name in RESULTS:
            for left in ("", ".unfinished", ".ledger"):
                if name + left != self._ledger.name:
                    remove_tree(self.path / (name + left))
        remove_tree(self._ledger)

    def begin(self, order: Mapping[str, Any], part: Part, model: ObjectModel | None = None) -> None:
        """Begin, or go on with what was begun: from now on the folder holds an unfinished run.

        Older results are removed now, so that at no time some are of one run and some of another.

        Parameters
        ----------
        order : mapping
            What ``ecc-rf finish`` needs, JSON-able.
        part : (int, int)
        model : ObjectModel, optional
            Also for that.

        Raises
        ------
        OutputError
            If the folder cannot be made or written to.
        """
        self._new = not is_there(self.path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path):
                pass
        except OSError as error:
            raise OutputError(
                f"The output folder cannot be written to: {error.strerror}.",
                where=str(self.path),
                do="Give a folder in which you may write.",
            ) from error
        self.point = Checkpoint(self._final, part=part, overwrite=True)
        self.point.open(self.fingerprint, {"order": order})
        keep_model(self.point.folder, model)
        with self.point.ledger.journal(STEPS) as steps:
            if CLEARED not in steps.done:
                for name in RESULTS:
                    remove_tree(self.path / name)
                steps.append(CLEARED)
                steps.commit()

    def steps(self) -> Steps:
        """The steps that are done, as they are now."""
        return Steps(self.path, self.point.reopened().journal(STEPS))

    def drop_if_untouched(self) -> None:
        """Leave nothing behind of a run that came to nothing."""
        if self.point.part == WHOLE and self.begun and self._untouched(self.point.reopened()):
            self.point.drop()
            if self._new:
                with suppress(OSError):  # somebody else has put something there
                    self.path.rmdir()


class Steps:
    """Steps of a run that are done, each with what is to be recorded of it."""

    def __init__(self, folder: Path, journal: Journal) -> None:
        self._folder = folder
        self._journal = journal

    def note(self, step: int, record: Mapping[str, Any]) -> None:
        """A step's result has its name."""
        with self._journal as journal:
            journal.append(step, json.dumps(record).encode())
            journal.commit()

    def record(self, step: int, result: str) -> dict[str, Any] | None:
        """What was noted of a step; None if it is not done.

        Raises
        ------
        ResumeError
            If its result is not there any more.
        """
        if step not in self._journal.done:
            return None
        if not is_there(self._folder / result):
            raise ResumeError(
                f"{result} is gone; only the record of it is left.",
                where=str(self._folder),
                do="Give --restart to begin anew.",
            )
        noted: dict[str, Any] = json.loads(self._journal.payload(step))
        return noted
