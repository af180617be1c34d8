"""``ecc-rf report DIR``: a report drawn again from what lies in the folder of a run."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ecc_rf.cells.writing import read_cells
from ecc_rf.errors import EccError, FormatError, MissingFileError
from ecc_rf.reporting.report import write_report
from ecc_rf.small_files import parsed, read_small
from ecc_rf.volumes import Volume, open_volume

_TABLES = ("cells.csv", "cells.parquet")
_PROBABILITIES = tuple(f"{kind}.{format}" for kind in ("probability", "mask") for format in ("ome.zarr", "h5"))


def redraw(
    folder: str | Path, *, image: str | Path | None = None, workers: int | None = None
) -> tuple[Path, list[str]]:
    """Draw the report of a run again.

    Parameters
    ----------
    folder : path
        Of `run`, with ``run.json`` and ``cells.csv``.
    image : path, optional
        The image, if it is no longer where ``run.json`` says.
    workers : int, optional
        Threads; default one per core.

    Returns
    -------
    path : Path
    notes : list of str
        What is missing from it, and why.

    Raises
    ------
    MissingFileError
        If there is no such folder or no run in it.
    FormatError
        If ``run.json`` is none.
    EccError
        If the image was named and cannot be opened.
    """
    directory = Path(folder).expanduser()
    record = read_record(directory)
    table = next((directory / name for name in _TABLES if (directory / name).is_file()), None)
    if table is None:
        raise MissingFileError("There is no table of cells.", where=str(directory), do="Give the folder of a run.")
    cells = read_cells(table)
    notes: list[str] = []
    with ExitStack() as stack:
        raw: Volume | None = None
        run = record["settings"].get("run", {})
        try:
            raw = stack.enter_context(
                open_volume(image or record["image"]["path"], axes=run.get("axes"), voxel_size=run.get("voxel_size"))
            )
            if list(raw.shape) != list(record["image"]["shape"]):
                raise FormatError(
                    f"The image's shape is {raw.shape}, that of the run was {tuple(record['image']['shape'])}.",
                    where=raw.name,
                    do="Give the image of the run with --image.",
                )
        except EccError as error:
            if image is not None:
                raise
            raw = None
            notes.append(f"The image is not shown: {error.what} ({error.where}). Say where it is with --image PATH.")
        probability = next((directory / name for name in _PROBABILITIES if (directory / name).exists()), None)
        if probability is None:
            notes.append("Outlines are not shown: there is no probability in the folder.")
        write_report(directory / "report.html", record, cells, raw=raw, probability=probability, workers=workers)
    return directory / "report.html", notes


def read_record(directory: Path) -> dict[str, Any]:
    """What ``run.json`` in the folder of a run holds.

    Raises
    ------
    MissingFileError, FormatError
        If there is none, or it is none.
    """
    path = directory / "run.json"
    if not path.is_file():
        raise MissingFileError(
            "There is no run.json.", where=str(directory), do="Give the folder that `ecc-rf run -o` wrote."
        )
    try:
        record = parsed(read_small(path))
        for name in ("image", "project", "settings", "notes", "prediction", "versions", "seconds", "voxel_size_um_zyx"):
            record[name]
        record["settings"]["cells"]["threshold"]
        return dict(record)
    except (ValueError, TypeError, KeyError) as error:
        raise FormatError(f"This is no record of a run: {error}", where=str(path)) from error
