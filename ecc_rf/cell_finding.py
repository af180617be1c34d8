"""Finding the cells of a volume of any size into a table: resumable, as a whole or in parts on many machines.

Beside the table ``cells.csv`` lies ``cells.csv.ledger`` while it is not complete: what the blocks gave, pass by pass.
At the end the names come one after the other, and a run that is cut off between them goes on there::

    table written ─► volume of objects noted, then named ─► table noted, then named ─► ledger removed
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecc_rf._version import __version__
from ecc_rf.blocks import Progress
from ecc_rf.blocks.checkpoint import Checkpoint, remove_tree, sweep
from ecc_rf.blocks.ledger import Journal
from ecc_rf.blocks.owner import WHOLE
from ecc_rf.cells import CellFinder, filter_cells
from ecc_rf.cells.inputs import mask_threshold
from ecc_rf.cells.search import Search
from ecc_rf.cells.writing import table_format, unfinished_table
from ecc_rf.errors import (
    EccError,
    ImageValueError,
    Interrupted,
    OutputBusyError,
    OutputExistsError,
    ResumeError,
    SettingError,
)
from ecc_rf.forest.digest import forest_digest
from ecc_rf.machine import Machine
from ecc_rf.notes import noted
from ecc_rf.volumes import Volume, WritableVolume, open_volume
from ecc_rf.volumes.identity import volume_identity
from ecc_rf.volumes.paths import split_path
from ecc_rf.volumes.user_paths import is_there

if TYPE_CHECKING:
    import pandas as pd

    from ecc_rf.objects import ObjectModel

WITHOUT_PROBABILITY = "Cells are those of a mask: peak_probability and mean_probability are empty."
UNKNOWN_VOXEL_SIZE = (
    "The voxel size is unknown: positions are in voxels, not in µm, and volumes in voxels, not in µm³."
    " Give --voxel-size Z,Y,X."
)
MODEL = "model.h5"
_OBJECTS = "objects_named"


@dataclass(frozen=True)
class CellOrder:
    """A table of cells that is to be made.

    Attributes
    ----------
    probability, output, raw, mask, objects, finder, model, limits, axes, voxel_size, overwrite
        As in `ecc_rf.cell_tables.find_cells`; `raw` may be open.
    block_shape : (z, y, x), optional
        As in `CellFinder.find`.
    """

    probability: str | Path
    output: str | Path
    raw: str | Path | Volume | None = None
    mask: str | Path | None = None
    objects: str | Path | None = None
    finder: CellFinder = field(default_factory=CellFinder)
    model: ObjectModel | None = None
    limits: Mapping[str, float | None] = field(default_factory=dict)
    axes: str | None = None
    voxel_size: tuple[float, float, float] | None = None
    block_shape: tuple[int, int, int] | None = None
    overwrite: bool = False

    def as_dict(self) -> dict[str, Any] | None:
        """JSON-able, with whole paths; None if a volume is open only here. The model is left out."""
        if self.raw is not None and not isinstance(self.raw, str | Path):
            return None
        paths = {name: getattr(self, name) for name in ("probability", "raw", "mask", "objects")}
        return {
            **{name: path and str(Path(path).expanduser().absolute()) for name, path in paths.items()},
            "finder": asdict(self.finder),
            "limits": dict(self.limits),
            "axes": self.axes,
            "voxel_size": self.voxel_size,
        }


@dataclass(frozen=True)
class CellTable:
    """What came of an order.

    Attributes
    ----------
    cells : DataFrame
        The table; without rows if blocks are missing.
    notes : list of str
        What the user should know.
    blocks : int
        Into how many the volume was cut.
    missing : int
        Blocks that other parts have still to do; -1 if all are there and another process makes the table.
    """

    cells: pd.DataFrame = field(repr=False)
    notes: list[str]
    blocks: int
    missing: int = 0


def make_cell_table(
    order: CellOrder,
    machine: Machine,
    progress: Progress | None = None,
    named: Callable[[CellTable], None] | None = None,
) -> CellTable:
    """Carry out an order, or go on with it where it was left.

    Parameters
    ----------
    order : CellOrder
    machine : Machine
        Without a backend: threads find cells.
    progress : Progress, optional
    named : callable, optional
        Called when the table has its name; a run that is cut off before it returns calls it again.

    Raises
    ------
    EccError
        If a ResumeError, what lies there is another job's.
    Interrupted
        After Ctrl-C; says how to go on.
    """
    output = Path(order.output)
    table_format(output)
    notes: list[str] = []
    with ExitStack() as stack:
        volume = stack.enter_context(open_volume(order.probability, axes=order.axes, voxel_size=order.voxel_size))
        image = stack.enter_context(open_volume(order.raw)) if isinstance(order.raw, str | Path) else order.raw
        size = volume.voxel_size or (image.voxel_size if image is not None else None)
        size = size or voxels_as_unit(order.finder, order.limits, notes)
        if mask_threshold(volume) is not None:
            notes.append(WITHOUT_PROBABILITY)
        if image is None:
            notes.append("Without --raw the intensities deltaI, BG and deltaI_total are empty.")
        search = stack.enter_context(
            Search(order.finder, volume, image, mask=order.mask, model=order.model, voxel_size=size)
        )
        search.plan(machine.workers, machine.memory, order.block_shape, drawn=order.objects is not None)
        fingerprint = _fingerprint(order, search, volume, image)
        point = Checkpoint.of_job(
            output, fingerprint, part=machine.part, restart=machine.restart, overwrite=order.overwrite
        )
        stack.enter_context(point)
        if machine.restart and order.objects is not None:
            remove_tree(_unfinished(order.objects))
        complete = point.complete
        if not is_there(point.folder):
            _check_part(machine, search)
        layout = point.open(
            fingerprint,
            {
                "block_shape": search.grid.block_shape,
                "blocks": len(search.grid),
                "shared": search.last_shared,
                "order": order.as_dict(),
            },
        )
        keep_model(point.folder, order.model)
        search.settle(tuple(layout["block_shape"]))
        _check_part(machine, search)
        run = _Run(order, machine, search, point, progress)
        point.own()
        with noted(notes), run.kept_if_cut_off():
            cells, missing = run.read_off() if complete else run.carry_out()
        result = CellTable(cells, notes, len(search.grid), missing)
        if not missing:
            if named is not None:
                named(result)
            if order.objects is not None:
                sweep(split_path(order.objects).file)
            point.end()
    return result


def _check_part(machine: Machine, search: Search) -> None:
    blocks, parts = len(search.grid), machine.part[1]
    if parts > blocks:
        raise SettingError(
            f"The volume is {blocks} block(s); {parts} parts cannot have one each.",
            where="part",
            do=f"Give at most {blocks} parts, or a smaller --block.",
        )


def _fingerprint(order: CellOrder, search: Search, volume: Volume, image: Volume | None) -> dict[str, Any]:
    """Everything that the table depends on."""
    return {
        "command": "cells",
        "version": __version__,
        "probability": volume_identity(volume),
        "range": [search.scale.low, search.scale.high],
        "raw": None if image is None else volume_identity(image),
        "mask": None if order.mask is None else mask_identity(order.mask),
        "voxel_size": search.voxel_size,
        "settings": asdict(order.finder),
        "model": None if order.model is None else model_digest(order.model),
        "limits": {name: limit for name, limit in order.limits.items() if limit is not None},
        "objects": order.objects is not None,
    }


def mask_identity(mask: str | Path) -> dict[str, Any]:
    """What tells one mask from another."""
    with open_volume(mask) as opened:
        return volume_identity(opened)


def model_digest(model: ObjectModel) -> dict[str, Any]:
    """What tells one object model from another."""
    return {"forest": forest_digest(model.forest), "cut": model.cut}


def keep_model(ledger: Path, model: ObjectModel | None) -> None:
    """Store an object model with the record of a run, so that ``ecc-rf finish`` has it."""
    if model is not None and not is_there(ledger / MODEL):
        model.save(ledger / MODEL, overwrite=True)


class _Run:
    """A search on its way to its table."""

    def __init__(
        self, order: CellOrder, machine: Machine, search: Search, point: Checkpoint, progress: Progress | None
    ) -> None:
        self._order = order
        self._machine = machine
        self._search = search
        self._point = point
        self._progress = progress
        self._drawing: WritableVolume | None = None

    def read_off(self) -> tuple[pd.DataFrame, int]:
        """The table that has its name already, from what was kept."""
        return self._limited(self._search.table(self._search.resources(self._progress, self._point))), 0

    def carry_out(self) -> tuple[pd.DataFrame, int]:
        """The table and how many blocks are missing."""
        search, point, part = self._search, self._point, self._machine.part
        self._drawing = self._create_objects()
        if part != WHOLE:
            search.part(search.resources(self._progress, point, part))
            missing = self._missing()
            if missing:
                return self._none(), missing
            try:
                point.own_end()
            except OutputBusyError:
                return self._none(), -1
        cells = self._limited(search.table(search.resources(self._progress, point), self._drawing))
        self._name(cells)
        return cells, 0

    def _limited(self, cells: pd.DataFrame) -> pd.DataFrame:
        return filter_cells(cells, **self._order.limits)

    def _missing(self) -> int:
        done = self._point.reopened().journal(self._search.last_shared).done
        return len(self._search.grid) - len(done)

    def _none(self) -> pd.DataFrame:
        import pandas as pd

        from ecc_rf.cells import COLUMNS

        if self._drawing is not None:
            self._drawing.suspend()
        return pd.DataFrame(columns=list(COLUMNS))

    def _create_objects(self) -> WritableVolume | None:
        """The volume of objects, made or found, before the work: what cannot be written is found out at once."""
        order, point = self._order, self._point
        if order.objects is None or point.is_named(_OBJECTS, split_path(order.objects).file):
            return None
        unfinished = _unfinished(order.objects)
        if is_there(split_path(order.objects).file) and not order.overwrite:
            raise OutputExistsError(
                "There is a volume of this name already.",
                where=str(order.objects),
                do="Give another name, or --overwrite to replace it.",
            )
        if self._machine.part == WHOLE and not point.ledger.journal("drawing").done:
            remove_tree(unfinished)  # left by a run that kept no record: none of it can be trusted
        elif point.ledger.journal("drawing").done and not is_there(unfinished):
            raise ResumeError(
                "What was drawn is gone; only the record of it is left.",
                where=str(unfinished),
                do="Give --restart to begin anew.",
            )
        return self._search.create_objects(order.objects, overwrite=order.overwrite, resume=True)

    def _name(self, cells: pd.DataFrame) -> None:
        """Give the outputs their names, the table's last."""
        order, point = self._order, self._point
        table = unfinished_table(cells, order.output, overwrite=order.overwrite)
        if self._drawing is not None and order.objects is not None:
            point.mark(_OBJECTS, split_path(order.objects).file)
            if order.overwrite:  # the older table has other labels
                Path(order.output).unlink(missing_ok=True)
            self._drawing.close()
        point.mark_complete()
        table.commit()

    @contextmanager
    def kept_if_cut_off(self) -> Iterator[None]:
        """What is done is kept whatever ends the run, unless nothing is done or it is worth nothing."""
        try:
            yield
        except BaseException as error:
            journal = None
            with suppress(EccError):  # the error that brought us here is the one to be seen
                journal = self._point.keep()
            begun = self._point.begun
            if self._machine.part == WHOLE and (isinstance(error, ImageValueError) or not begun):
                if self._drawing is not None:
                    self._drawing.discard()
                self._point.drop()
                raise
            if self._drawing is not None:
                with suppress(Exception):
                    self._drawing.suspend()
            if isinstance(error, KeyboardInterrupt):
                raise Interrupted(_kept(self._point, len(self._search.grid), journal)) from error
            raise


def _kept(point: Checkpoint, blocks: int, journal: Journal | None) -> str:
    done = f"{len(journal.done)} of {blocks} blocks" if journal is not None else "what is done"
    stage = f" ({journal.stage})" if journal is not None else ""
    return f"{done} of {point.final}{stage} are kept; run the same command again to go on."


def _unfinished(objects: str | Path) -> Path:
    final = split_path(objects).file
    return final.with_name(f"{final.name}.unfinished")


def voxels_as_unit(
    finder: CellFinder, limits: Mapping[str, float | None], notes: list[str]
) -> tuple[float, float, float]:
    """A voxel of 1 where its size in µm is not known, with a note.

    Raises
    ------
    SettingError
        If a setting is in µm: it would silently mean something else.
    """
    in_um = [("cell_diameter_um", finder.cell_diameter_um), ("smoothing_um", finder.smoothing_um or None)]
    if finder.contrast or finder.min_contrast is not None:
        in_um.append(("background_window_um", finder.background_window_um))
    for name, value in (*in_um, *limits.items()):
        if name.endswith("_um") and value is not None:
            raise SettingError(
                f"The voxel size is unknown, so that {value} µm cannot be told in voxels.",
                where=name,
                do="Give --voxel-size Z,Y,X.",
            )
    notes.append(UNKNOWN_VOXEL_SIZE)
    return 1.0, 1.0, 1.0
