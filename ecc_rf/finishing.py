"""The last steps of an output whose parts are all done: what ``ecc-rf finish`` does."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecc_rf.blocks import Grid, Progress
from ecc_rf.blocks.checkpoint import ledger_folder, number_of_parts
from ecc_rf.blocks.ledger import Ledger
from ecc_rf.blocks.remote import Backend
from ecc_rf.cell_finding import MODEL, CellOrder, make_cell_table
from ecc_rf.cells import CellFinder
from ecc_rf.cells.passes import blocks_of_part
from ecc_rf.classification import STAGE, finish_classification
from ecc_rf.errors import FormatError, MissingFileError, ResumeError
from ecc_rf.image_normalization import NormalizationChoice
from ecc_rf.machine import Machine
from ecc_rf.objects import ObjectModel
from ecc_rf.order import files_of_blocks
from ecc_rf.pipeline import RunSettings, run
from ecc_rf.run_folder import CELLS, CLASSIFIED, RECORD, STEPS
from ecc_rf.volumes.paths import split_path
from ecc_rf.volumes.user_paths import is_there

_AGAIN = "Run the same command again; it goes on where it was."


@dataclass(frozen=True)
class Finished:
    """What was finished.

    Attributes
    ----------
    outputs : list of Path
        That now have their names.
    notes : list of str
        What the user should know.
    """

    outputs: list[Path]
    notes: list[str]


def finish(
    output: str | Path,
    *,
    workers: int | None = None,
    memory: str | int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Finished:
    """Finish an output, or the results of a run, of which all parts are done.

    Parameters
    ----------
    output : path
        A volume of ``classify``, a table of ``cells``, or a folder of ``run``.
    workers, memory
        As everywhere.
    overwrite : bool
        Whether an older output of that name may be replaced.
    progress : Progress, optional

    Raises
    ------
    MissingFileError
        If there is nothing unfinished of that name.
    ResumeError
        If blocks are missing; the message says which parts, if it was shared. Or if it is a job without parts.
    EccError
        As the command that began it.
    """
    machine = Machine(workers, memory)
    path = Path(output).expanduser()
    runs = _runs_in(path)
    if runs:
        return _finish_run(runs, machine, progress)
    final = path
    if not is_there(ledger_folder(path)) and not is_there(path):
        with suppress(FormatError):
            final = split_path(path).file  # the name may go on inside the file
    if not is_there(ledger_folder(final)):
        if is_there(final / RECORD) or (is_there(final) and not final.is_dir()) or final.suffix == ".zarr":
            return Finished([], [f"{final} is complete already; nothing was to be done."])
        raise MissingFileError(
            "There is nothing unfinished of this name.", where=str(path), do="Give the output as its command names it."
        )
    ledger = Ledger(ledger_folder(final))
    command = ledger.fingerprint.get("command")
    if command == "classify":
        _refuse_missing_classification(ledger, final)
        return Finished([final], finish_classification(path, overwrite=overwrite))
    if command == "cells":
        return _finish_cells(ledger, final, machine, overwrite, progress)
    raise ResumeError(f"This was begun by {command!r}, which has no parts.", where=str(final), do=_AGAIN)


def _runs_in(path: Path) -> list[Path]:
    """Ledgers of unfinished runs: of the folder itself, or of the images in it."""
    found = [ledger_folder(path / RECORD)]
    with suppress(OSError):
        found += [ledger_folder(inner / RECORD) for inner in sorted(path.iterdir()) if inner.is_dir()]
    return [folder for folder in found if is_there(folder)]


def _finish_run(ledgers: list[Path], machine: Machine, progress: Progress | None) -> Finished:
    for folder in ledgers:
        ledger = Ledger(folder)
        if CLASSIFIED in ledger.journal(STEPS).done:
            continue
        name = "probability" if ledger.fingerprint["probability"] else "mask"
        probability = folder.parent / f"{name}.{ledger.fingerprint['format']}"
        if not is_there(ledger_folder(probability)):
            raise ResumeError("Nothing is classified yet.", where=str(folder.parent), do=_AGAIN)
        _refuse_missing_classification(Ledger(ledger_folder(probability)), probability)
    ledger, place = Ledger(ledgers[0]), ledgers[0].parent
    order = ledger.layout["order"]
    told: dict[str, Any] = order["settings"]
    choice = told["normalization"]
    settings = RunSettings(
        **{
            **told,
            "voxel_size": _tuple(told["voxel_size"]),
            "block_shape": _tuple(told["block_shape"]),
            "normalization": NormalizationChoice(**{**choice, "scales": _tuple(choice["scales"])}),
            "processes": told["processes"] and Backend(**told["processes"]),
            "part": (1, 1),
            "restart": False,
            "workers": machine.workers or told["workers"],
            "memory": machine.memory or told["memory"],
        }
    )
    results = run(
        order["project"],
        order["images"],
        place if len(order["images"]) == 1 else place.parent,
        finder=CellFinder(**order["finder"]),
        model=_model(ledger),
        limits=order["limits"],
        settings=settings,
        progress=progress,
    )
    notes = [note for result in results if not result.skipped for note in result.record["notes"]]
    return Finished([result.directory / CELLS for result in results if not result.skipped], notes)


def _finish_cells(
    ledger: Ledger, final: Path, machine: Machine, overwrite: bool, progress: Progress | None
) -> Finished:
    layout = ledger.layout
    order = layout["order"]
    if order is None:
        raise ResumeError("It was begun with a volume that is open elsewhere.", where=str(final), do=_AGAIN)

    def missing(part: int, count: int) -> bool:
        return bool(set(blocks_of_part((part, count), layout["blocks"])) - done)

    done = ledger.journal(layout["shared"]).done
    _refuse_missing(ledger, final, layout["blocks"], done, missing)
    table = make_cell_table(
        CellOrder(
            **{
                **order,
                "output": final,
                "finder": CellFinder(**order["finder"]),
                "voxel_size": _tuple(order["voxel_size"]),
                "model": _model(ledger),
                "overwrite": overwrite,
            }
        ),
        machine,
        progress,
    )
    return Finished([final], table.notes)


def _refuse_missing_classification(ledger: Ledger, final: Path) -> None:
    layout = ledger.layout
    volume, blocks = layout["volume"], layout["blocks"]
    extents = dict(zip(volume["axes"], volume["shape"]))
    grid = Grid(tuple(extents.get(axis, 1) for axis in "tzyx"), (1, *layout["block_shape"]))
    file_of = files_of_blocks(volume, grid)
    done = ledger.journal(STAGE).done

    def missing(part: int, count: int) -> bool:
        return any(file_of(i) % count == part - 1 for i in range(blocks) if i not in done)

    _refuse_missing(ledger, final, blocks, done, missing)


def _refuse_missing(
    ledger: Ledger, final: Path, blocks: int, done: set[int], missing: Callable[[int, int], bool]
) -> None:
    left = blocks - len(done)
    if not left:
        return
    count = number_of_parts(ledger)
    parts = [part for part in range(1, count + 1) if missing(part, count)]
    raise ResumeError(
        f"{left} of {blocks} blocks are not done{_named(parts, count)}.",
        where=str(final),
        do=_AGAIN if count == 1 else "Run these parts again, or wait for them; then finish.",
    )


def _named(parts: list[int], count: int) -> str:
    """
    >>> _named([1, 3], 8), _named([1], 1)
    (': parts 1, 3 of 8', '')
    """
    return "" if count == 1 else f": part{'s' * (len(parts) > 1)} {', '.join(map(str, parts))} of {count}"


def _model(ledger: Ledger) -> ObjectModel | None:
    return ObjectModel.load(ledger.folder / MODEL) if ledger.fingerprint["model"] is not None else None


def _tuple(values: Any) -> Any:
    return None if values is None else tuple(values)
