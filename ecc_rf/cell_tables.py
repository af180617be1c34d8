"""Tables of cells from a stored probability volume, and from other tables."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ecc_rf.blocks import Progress
from ecc_rf.cells import CellFinder, filter_cells, write_cells
from ecc_rf.cells.inputs import mask_threshold
from ecc_rf.cells.writing import read_cells
from ecc_rf.errors import OutputExistsError, SettingError
from ecc_rf.volumes import open_volume

if TYPE_CHECKING:
    import pandas as pd

    from ecc_rf.objects import ObjectModel

WITHOUT_PROBABILITY = "Cells are those of a mask: peak_probability and mean_probability are empty."
UNKNOWN_VOXEL_SIZE = (
    "The voxel size is unknown: positions are in voxels, not in µm, and volumes in voxels, not in µm³."
    " Give --voxel-size Z,Y,X."
)


def find_cells(
    probability: str | Path,
    output: str | Path,
    *,
    raw: str | Path | None = None,
    mask: str | Path | None = None,
    objects: str | Path | None = None,
    finder: CellFinder | None = None,
    model: ObjectModel | None = None,
    limits: Mapping[str, float | None] | None = None,
    axes: str | None = None,
    voxel_size: tuple[float, float, float] | None = None,
    workers: int | None = None,
    memory: str | int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> tuple[pd.DataFrame, list[str]]:
    """Find the cells of a stored probability volume and write their table.

    Parameters
    ----------
    probability, raw : path
        What `open_volume` reads. Without `raw` the intensities are empty. The first may be a mask, exported at the
        finder's threshold; see `CellFinder.find`.
    mask : path, optional
        Where it is not 0 no cell is looked for.
    objects : path, optional
        Volume to write, in which each voxel bears its cell's label.
    output : path
        ``.csv`` or ``.parquet``; see `write_cells`.
    finder, model, limits, voxel_size, workers, memory, overwrite, progress
        As in `run`. `axes` are those of the probability volume.

    Returns
    -------
    cells : DataFrame
    notes : list of str
        What the user should know.

    Raises
    ------
    EccError
    """
    finder = finder or CellFinder()
    output = Path(output)
    if output.exists() and not overwrite:
        raise OutputExistsError(
            "The table is there already.", where=str(output), do="Give another name, or --overwrite to replace it."
        )
    notes: list[str] = []
    with ExitStack() as stack:
        volume = stack.enter_context(open_volume(probability, axes=axes, voxel_size=voxel_size))
        image = stack.enter_context(open_volume(raw)) if raw is not None else None
        size = volume.voxel_size or (image.voxel_size if image else None)
        size = size or voxels_as_unit(finder, limits or {}, notes)
        if mask_threshold(volume) is not None:
            notes.append(WITHOUT_PROBABILITY)
        if image is None:
            notes.append("Without --raw the intensities deltaI, BG and deltaI_total are empty.")
        with noted(notes):
            cells = finder.find(
                volume,
                raw=image,
                model=model,
                mask=mask,
                voxel_size=size,
                workers=workers,
                memory=memory,
                progress=progress,
                objects=objects,
                overwrite=overwrite,
            )
            cells = filter_cells(cells, **(limits or {}))
    write_cells(cells, output, overwrite=overwrite)
    return cells, notes


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


def filter_table(
    table: str | Path, output: str | Path, limits: Mapping[str, float | None], *, overwrite: bool = False
) -> tuple[int, int]:
    """Write the cells of a table that reach the limits of `filter_cells`; returns their number before and after."""
    cells = read_cells(table)
    kept = filter_cells(cells, **limits)
    write_cells(kept, output, overwrite=overwrite)
    return len(cells), len(kept)


@contextmanager
def noted(notes: list[str]) -> Iterator[None]:
    """Warnings become notes, so that they are kept in the record and shown once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    said = [str(warning.message) for warning in caught if issubclass(warning.category, UserWarning)]
    notes += dict.fromkeys(said)  # each once
