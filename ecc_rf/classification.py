"""Predicting a volume of any size into a file: resumable, in threads, processes, or parts on many machines."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from ecc_rf.blocks import Progress, SilentProgress, parse_memory, resolve_workers
from ecc_rf.blocks.checkpoint import Checkpoint, remove_tree
from ecc_rf.blocks.ledger import Journal
from ecc_rf.blocks.owner import WHOLE
from ecc_rf.blocks.remote import run_remotely
from ecc_rf.blocks.runner import read_compute_write
from ecc_rf.errors import EccError, ImageValueError, Interrupted, OutputBusyError, ResumeError, SettingError
from ecc_rf.machine import Machine
from ecc_rf.order import OpenOrder, Order, portable
from ecc_rf.prediction import CANONICAL, PredictionRecord
from ecc_rf.volumes import WritableVolume, create_volume
from ecc_rf.volumes.chunk_files import remove_partial
from ecc_rf.volumes.paths import split_path
from ecc_rf.volumes.unreadable import describe_bounds

STAGE = "classify"


def classify_volume(
    order: Order,
    machine: Machine,
    progress: Progress | None = None,
    named: Callable[[PredictionRecord], None] | None = None,
) -> PredictionRecord:
    """Carry out an order, or go on with it where it was left.

    Parameters
    ----------
    order : Order
    machine : Machine
    progress : Progress, optional
    named : callable, optional
        Called when the output has its name; a run that is cut off before it returns calls it again.

    Raises
    ------
    EccError
        If a ResumeError, what lies there is another job's.
    Interrupted
        After Ctrl-C; says how to go on.
    """
    started = time.perf_counter()
    progress = progress or SilentProgress()
    workers, budget = resolve_workers(machine.workers), parse_memory(machine.memory)
    name, final = str(order.output), split_path(order.output).file
    if machine.backend is not None:
        order = portable(order)
    with ExitStack() as stack:
        opened = stack.enter_context(OpenOrder(order))
        layout = opened.layout(budget, workers)
        fingerprint = opened.fingerprint()
        point = Checkpoint.of_job(
            final, fingerprint, part=machine.part, restart=machine.restart, overwrite=order.overwrite
        )
        stack.enter_context(point)
        there = point.complete
        if not there:
            opened.settle(_block(order, layout, final), layout["volume"])
            check_writers(opened, machine)
        layout = point.open(fingerprint, layout)
        opened.settle(_block(order, layout, final), layout["volume"])
        elsewhere = machine.backend is not None and machine.backend.elsewhere  # each has its own memory
        fit = opened.fit(budget, 1 if elsewhere else workers, processes=machine.backend is not None)
        workers = workers if elsewhere else fit.workers
        run = Classification(opened, point, machine, workers)
        if there:
            run.count()
        else:
            progress.message(opened.job.describe(opened.grid, workers, budget, fit.need))
            run.carry_out(progress)
        record = PredictionRecord(
            output=name,
            shape=tuple(layout["volume"]["shape"]),
            axes=layout["volume"]["axes"],
            dtype=layout["volume"]["dtype"],
            block_shape=_block(order, layout, final),
            halo=opened.job.plan.halo,
            workers=workers,
            blocks=len(opened.grid),
            voxels=opened.grid.voxels,
            memory=budget,
            seconds=time.perf_counter() - started,
            computed=run.computed,
            missing=run.missing,
            unreadable=tuple(run.unreadable),
        )
        if not record.missing:
            if named is not None:
                named(record)
            point.end()
        return record


def _block(order: Order, layout: Mapping[str, Any], final: Path) -> tuple[int, int, int]:
    z, y, x = layout["block_shape"]
    if order.block_shape is not None and tuple(order.block_shape) != (z, y, x):
        raise ResumeError(
            f"The unfinished run has blocks of {z},{y},{x}, not of {','.join(map(str, order.block_shape))}.",
            where=str(final),
            do="Leave --block out to go on, or give --restart to begin anew.",
        )
    return z, y, x


def check_writers(opened: OpenOrder, machine: Machine) -> None:
    """Refuse what would have two writers of one file.

    Processes that write into one file, without knowing of each other, would lose what the other wrote.
    """
    if machine.backend is not None and opened.blocks_per_file != (1, 1, 1, 1):
        raise SettingError(
            f"Blocks of {opened.grid.block_shape[1:]} are not whole files of the output.",
            where="block",
            do="Give --block 128 (and --memory for it) with --restart, or use threads.",
        )
    files = 1 + opened.file_of(len(opened.grid) - 1)
    if machine.part[1] > files:
        raise SettingError(
            f"The output is {files} file(s); {machine.part[1]} parts cannot have one each.",
            where="part",
            do=f"Give at most {files} parts, or a smaller --block.",
        )


class Classification:
    """The blocks of an order: computed, noted, and given their name when all are there.

    Attributes
    ----------
    computed : int
        Voxels that were computed here, and not found done.
    missing : int
        Blocks that other parts have still to compute.
    unreadable : list of str
        Pieces of the image that were taken for 0.
    """

    def __init__(self, opened: OpenOrder, point: Checkpoint, machine: Machine, workers: int) -> None:
        self._opened = opened
        self._point = point
        self._machine = machine
        self._workers = workers
        self.computed = 0
        self.missing = 0
        self.unreadable: list[str] = []

    def carry_out(self, progress: Progress) -> None:
        """Compute what is not done."""
        point = self._point
        point.own()
        journal = point.journal(STAGE)
        if journal.done and not point.unfinished.exists():
            raise _gone(point)
        try:
            sink = self._sink(fresh=not journal.done)
            point.watch()
        except BaseException:
            if not journal.done and point.part == WHOLE:
                with suppress(OSError):  # it may have been made when the interrupt came
                    remove_tree(point.unfinished)
                point.drop()
            raise
        try:
            self._compute(journal, progress)
            point.commit(journal)
        except BaseException as error:
            self._leave(sink, journal, error)
            raise
        self._finish(sink)

    def _sink(self, *, fresh: bool) -> WritableVolume:
        try:
            return self._opened.create()
        except ResumeError:
            # Left by a run that kept no record: none of it can be trusted.
            if not fresh or self._point.part != WHOLE:
                raise
            remove_tree(self._point.unfinished)
            return self._opened.create()

    def _compute(self, journal: Journal, progress: Progress) -> None:
        grid, opened = self._opened.grid, self._opened
        number, count = self._machine.part
        part = [i for i in range(len(grid)) if count == 1 or opened.file_of(i) % count == number - 1]
        mine = [i for i in part if i not in journal.done]
        part_voxels, left = (sum(grid[i].voxels for i in blocks) for blocks in (part, mine))
        results: Iterator[tuple[int, bytes]]
        if self._machine.backend is not None:
            results = run_remotely(opened.order, self._machine.backend, mine, self._workers)
        else:
            steps = read_compute_write(
                (grid[i] for i in mine), opened.job.read, opened.job.compute, opened.write, workers=self._workers
            )
            results = ((block.index, payload) for block, payload in steps)
        with progress.stage(STAGE, part_voxels, part_voxels - left) as advance:
            for index, payload in results:
                self._point.note(journal, index, payload)
                self.computed += grid[index].voxels
                advance(grid[index].voxels)

    def _leave(self, sink: WritableVolume, journal: Journal, error: BaseException) -> None:
        """Keep what is done, and say so."""
        with suppress(EccError):
            self._point.commit(journal)
        worthless = isinstance(error, ImageValueError) or not journal.done
        if worthless and self._point.part == WHOLE:
            sink.discard()
            self._point.drop()
            return
        with suppress(Exception):  # the error that brought us here is the one to be seen
            sink.suspend()
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted(
                f"{len(journal.done)} of {len(self._opened.grid)} blocks of {self._point.final} are kept;"
                " run the same command again to go on."
            ) from error

    def _finish(self, sink: WritableVolume) -> None:
        """Give the output its name, if all parts are done and nobody else is just doing it."""
        point = self._point
        self.count()
        if self.missing:
            sink.suspend()
            return
        try:
            point.own_end()
        except OutputBusyError:
            self.missing = -1
            sink.suspend()
            return
        name_output(point, sink)

    def count(self) -> None:
        """How many blocks are not done, and what could not be read."""
        with self._point.reopened().journal(STAGE) as journal:
            self.missing = len(self._opened.grid) - len(journal.done)
            self.unreadable = _unreadable(journal)


def finish_classification(output: str | Path, *, overwrite: bool = False) -> list[str]:
    """Give an output its name of which all blocks are done, whoever did them; the image is not needed.

    Returns
    -------
    list of str
        What could not be read and was taken for 0.

    Raises
    ------
    OutputBusyError
        If a part is still at work.
    ResumeError
        If what was computed is gone.
    """
    with Checkpoint(split_path(output).file, overwrite=overwrite) as point:
        point.ledger = point.reopened()
        with point.ledger.journal(STAGE) as journal:
            skipped = _unreadable(journal)
        if not point.complete:
            point.own()
            if not point.unfinished.exists():
                raise _gone(point)
            volume = point.ledger.layout["volume"]
            name_output(point, create_volume(output, **volume, overwrite=overwrite, resume=True))
        point.end()
    return [f"could not be read and was taken for 0: {piece}" for piece in skipped]


def name_output(point: Checkpoint, sink: WritableVolume) -> None:
    """Give an output its name; nobody else may be at work on it."""
    # Halves of chunks, of a process that was killed: whoever made the output does not expect any.
    if point.unfinished.is_dir():
        remove_partial(point.unfinished)
    point.mark_complete()
    sink.close()


def _gone(point: Checkpoint) -> ResumeError:
    return ResumeError(
        "What was computed is gone; only the record of it is left.",
        where=str(point.unfinished),
        do="Give --restart to begin anew.",
    )


def _unreadable(journal: Journal) -> list[str]:
    pieces = {tuple(map(tuple, box)) for box in journal.payloads(json.loads)}
    return [describe_bounds(box, CANONICAL) for box in sorted(pieces)]
