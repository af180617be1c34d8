"""``ecc-rf batch``: all markers of all brains, what is not done of it, whatever fails."""

from __future__ import annotations

import fnmatch
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ecc_rf.errors import Interrupted, OutputError, SettingError
from ecc_rf.studies.jobs import Job, make_jobs
from ecc_rf.studies.page import write_page
from ecc_rf.studies.parsing import read_study
from ecc_rf.studies.running import Machine, Outcome, run_jobs
from ecc_rf.studies.study import Study
from ecc_rf.studies.tables import write_tables


@dataclass(frozen=True)
class Plan:
    """A study that was read and checked.

    Attributes
    ----------
    study : Study
    jobs : list of Job
    output : Path
    only : tuple of str
        What was asked for, as ``MARKER/BRAIN``; empty: everything.
    """

    study: Study
    jobs: list[Job]
    output: Path
    only: tuple[str, ...] = ()

    def chosen(self, job: Job) -> bool:
        """Whether a run was asked for."""
        return not self.only or any(fnmatch.fnmatchcase(job.name, pattern) for pattern in self.only)

    def to_do(self) -> list[tuple[Job, str]]:
        """Every run that was asked for, and why it would be run; an empty reason: its result is there."""
        return [(job, job.to_do()) for job in self.jobs if self.chosen(job)]


def plan_study(path: str | Path, output: str | Path, *, only: Sequence[str] = ()) -> Plan:
    """Read a study and check all of it.

    Parameters
    ----------
    path : path
        Study file.
    output : path
        Folder of the results, one in it for each marker, and in that one for each brain.
    only : sequence of str
        ``MARKER/BRAIN``; ``*`` stands for anything.

    Raises
    ------
    EccError
        Everything that is wrong with the file, or a marker whose project or settings cannot be used.
    """
    study = read_study(path)
    folder = Path(output).expanduser()
    plan = Plan(study, make_jobs(study, folder), folder, tuple(only))
    for pattern in plan.only:
        if not any(fnmatch.fnmatchcase(job.name, pattern) for job in plan.jobs):
            raise SettingError(
                f"There is no run {pattern!r} in the study.",
                where="--only",
                do=f"Give MARKER/BRAIN, such as {plan.jobs[0].name}; * stands for anything.",
            )
    return plan


def run_study(plan: Plan, machine: Machine | None = None, tell: Callable[[str], None] | None = None) -> list[Outcome]:
    """Run what is not done, and write the tables and the page of the study.

    Parameters
    ----------
    plan : Plan
    machine : Machine, optional
    tell : callable, optional
        Called with a line before each run and after one that failed.

    Returns
    -------
    list of Outcome
        In the order of the study. What fails is among them; it does not end the study.

    Raises
    ------
    OutputError
        If the folder cannot be written to.
    Interrupted
        After Ctrl-C; the tables then hold what was done.
    """
    say = tell or (lambda text: None)
    _prepare(plan.output)
    outcomes: list[Outcome] = []
    try:
        for outcome in run_jobs(plan.jobs, machine or Machine(), plan.chosen, say):
            outcomes.append(outcome)
            if outcome.status == "failed":
                say(f"{outcome.job.name} failed: {outcome.error.splitlines()[0]}")
            if outcome.status != "not run":
                write_tables(plan.study, _all(plan, outcomes), plan.output)
    except KeyboardInterrupt as stop:
        _finish(plan, outcomes)
        raise Interrupted(
            f"{sum(outcome.status in ('done', 'kept') for outcome in outcomes)} of {len(plan.jobs)} results are there;"
            " run the same command again to go on."
        ) from stop
    _finish(plan, outcomes)
    return outcomes


def _finish(plan: Plan, outcomes: list[Outcome]) -> None:
    everything = _all(plan, outcomes)
    write_tables(plan.study, everything, plan.output)
    write_page(plan.study, everything, plan.output)


def _all(plan: Plan, outcomes: list[Outcome]) -> list[Outcome]:
    """With the runs whose turn has not come."""
    return [*outcomes, *(Outcome(job, "not run") for job in plan.jobs[len(outcomes) :])]


def _prepare(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(
            f"The output folder cannot be written to: {os.strerror(error.errno or 0)}.",
            where=str(folder),
            do="Give a folder in which you may write.",
        ) from error
