"""The runs of a study, one after the other, whatever becomes of each."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from ecc_rf.blocks import Progress, SilentProgress, TerminalProgress
from ecc_rf.blocks.checkpoint import remove_tree
from ecc_rf.compiling import announce
from ecc_rf.errors import EccError
from ecc_rf.messages import told
from ecc_rf.pipeline import run
from ecc_rf.record import write_json
from ecc_rf.reporting.redraw import read_record
from ecc_rf.studies.jobs import Job, with_machine

Status = Literal["done", "kept", "failed", "not run"]
STARTED = "job.started.json"  # in a folder of results: of what there may be unfinished work


@dataclass(frozen=True)
class Machine:
    """How the runs are carried out; no result depends on it.

    Attributes
    ----------
    workers, memory
        As in `RunSettings`.
    quiet, verbose : bool
        Of the progress.
    isolated : bool
        Whether the runs are in a process of their own, so that one that crashes, or is killed for the memory it takes,
        does not end the study.
    """

    workers: int | None = None
    memory: str | None = None
    quiet: bool = True
    verbose: bool = False
    isolated: bool = False

    def progress(self) -> Progress:
        return SilentProgress() if self.quiet else TerminalProgress(verbose=self.verbose)


@dataclass(frozen=True)
class Outcome:
    """What became of a run.

    Attributes
    ----------
    job : Job
    status : 'done', 'kept', 'failed' or 'not run'
        Kept is a result that was there; not run is one that was not asked for.
    record : dict
        What ``run.json`` holds; empty if there is no result.
    error : str
        Why it failed, as the command line would tell it.
    details : str
        Of an error that is nobody's mistake but ours: where in the program it was.
    seconds : float
        That it took now.
    """

    job: Job
    status: Status
    record: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    details: str = ""
    seconds: float = 0.0


def run_jobs(
    jobs: list[Job], machine: Machine, chosen: Callable[[Job], bool], tell: Callable[[str], None]
) -> Iterator[Outcome]:
    """Run what is not done, in order; yields what became of each.

    Parameters
    ----------
    jobs : list of Job
    machine : Machine
    chosen : callable
        Whether a job was asked for; others are only looked at.
    tell : callable
        Called with a line before each run.
    """
    with _executor(machine) as execute:
        for number, job in enumerate(jobs, start=1):
            reason = job.to_do()
            if not reason:
                yield Outcome(job, "kept", read_record(job.folder))
            elif not chosen(job):
                yield Outcome(job, "not run")
            else:
                tell(f"{number} of {len(jobs)}: {job.name} ({reason})")
                yield _attempt(job, machine, execute)


def carry_out(job: Job, machine: Machine) -> None:
    """One run, from image to report; its folder says of what it is the result.

    Raises
    ------
    EccError
    """
    fingerprint = job.fingerprint()
    job.folder.mkdir(parents=True, exist_ok=True)
    _clear_other(job, fingerprint)
    write_json(job.folder / STARTED, fingerprint)
    settings = with_machine(job.settings(), machine.workers, machine.memory)
    run(
        job.marker.project,
        job.image,
        job.folder,
        finder=job.finder,
        model=job.loaded_model(),
        limits=dict(job.marker.limits),
        settings=settings,
        progress=machine.progress(),
    )
    job.mark_done(fingerprint)
    (job.folder / STARTED).unlink(missing_ok=True)


def _clear_other(job: Job, fingerprint: dict[str, Any]) -> None:
    """Remove unfinished work of other inputs or settings: a run would refuse to go on with it."""
    import json

    started = job.folder / STARTED
    with suppress(OSError, ValueError):
        if json.loads(started.read_text(encoding="utf-8")) == fingerprint:
            return
    for unfinished in job.folder.glob("*.unfinished"):
        remove_tree(unfinished)
    for ledger in job.folder.glob("*.ledger"):
        remove_tree(ledger)


def _attempt(job: Job, machine: Machine, execute: Callable[[Job, Machine], None]) -> Outcome:
    clock = time.perf_counter()
    error = details = ""
    try:
        execute(job, machine)
        return Outcome(job, "done", read_record(job.folder), seconds=time.perf_counter() - clock)
    except EccError as failure:
        error = told(failure)
    except BrokenProcessPool:
        error = (
            "The process that computed it ended without a word: it was killed, most often because the memory was full,"
            " or it crashed.\n  what to do: Give less --memory or fewer --workers, and run the study again."
        )
    except Exception as failure:  # of one brain; the others are not to suffer from it
        error = f"{type(failure).__name__}: {failure}"
        details = "".join(traceback.format_exception(failure))
    return Outcome(job, "failed", error=error, details=details, seconds=time.perf_counter() - clock)


@contextmanager
def _inherited_deafness() -> Iterator[None]:
    """Processes that are started meanwhile never hear Ctrl-C: this one does, when they are started, and tells them."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "pthread_sigmask"):
        yield  # only the main thread hears it; Windows
        return
    heard: list[int] = []
    # the mask is what they inherit; it is that of this thread alone, and others may be given the signal
    handler = signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, handler)
    if heard:
        raise KeyboardInterrupt


def _carry_out_alone(job: Job, machine: Machine) -> None:
    """A run in a process of its own, which is stopped by the signal to terminate as by Ctrl-C."""

    def stop(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    announce(None if machine.quiet else lambda text: print(f"ecc-rf: {text}", file=sys.stderr, flush=True))
    try:
        carry_out(job, machine)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def _executor(machine: Machine) -> Iterator[Callable[[Job, Machine], None]]:
    """Runs jobs here, or in another process, which is replaced if it dies."""
    if not machine.isolated:
        yield carry_out
        return
    pool: list[ProcessPoolExecutor] = []
    others = set(multiprocessing.active_children())

    def execute(job: Job, machine: Machine) -> None:
        if not pool:
            pool.append(ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")))
        future = None
        try:
            with _inherited_deafness():  # Ctrl-C that came meanwhile is heard on leaving it
                future = pool[0].submit(_carry_out_alone, job, machine)
            future.result()
        except BrokenProcessPool:
            pool.pop().shutdown()
            raise
        except KeyboardInterrupt:
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            if future is not None:
                wait([future])  # until what is done of the run is safe
            raise

    try:
        yield execute
    finally:
        for one in pool:
            one.shutdown(wait=True, cancel_futures=True)
