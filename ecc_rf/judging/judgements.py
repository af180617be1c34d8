"""Tables of judgements, as the page saves them, and which candidates they are about."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.errors import FormatError, MissingFileError, SettingError
from ecc_rf.small_files import check_size, parsed

if TYPE_CHECKING:
    import pandas as pd

    from ecc_rf.judging.candidates import CandidateVolume

JUDGEMENT = "judgement"
CELL, NOT, UNSURE = "cell", "not", "unsure"
_KNOWN = (CELL, NOT, UNSURE, "")
_NEEDED = ("id", JUDGEMENT, "candidate", "z", "y", "x", "stratum", "stratum_size", "fingerprint", "settings")
_SAME_PLACE = 0.01  # voxels: positions are written with four digits, and spreadsheets round


@dataclass(frozen=True)
class Judgement:
    """A line of a table: a candidate and what it was judged to be; empty if it was not."""

    where: str
    judgement: str
    candidate: int
    place: tuple[float, float, float]
    stratum: str
    stratum_size: int
    fingerprint: str
    sheet: int


@dataclass(frozen=True, eq=False)
class Judged:
    """Candidates that are judged cells or not.

    Attributes
    ----------
    table : DataFrame
        The candidates, with their features.
    is_cell : ndarray of bool, shape (n,)
    weights : ndarray of float64, shape (n,)
        How many candidates each stands for.
    counts : mapping of str to int
        Lines judged ``cell``, ``not`` and ``unsure``, and ``open`` ones.
    notes : tuple of str
        What the user should know.
    """

    table: pd.DataFrame
    is_cell: NDArray[np.bool_]
    weights: NDArray[np.float64]
    counts: Mapping[str, int]
    notes: tuple[str, ...]


def read_judgements(paths: Sequence[str | Path]) -> tuple[list[Judgement], dict[str, Any]]:
    """Read tables of judgements; every line is checked.

    Returns
    -------
    judgements : list of Judgement
    settings : dict
        Of the `CellFinder` that found the candidates.

    Raises
    ------
    MissingFileError, FormatError
        If there is no such file, it is no such table, or a judgement is none; with the line.
    SettingError
        If the tables are of candidates that were found with different settings.
    """
    judgements: list[Judgement] = []
    settings: dict[str, str] = {}
    for sheet, path in enumerate(paths):
        found, text = _read(Path(path), sheet)
        judgements += found
        settings[text] = str(path)
    if len(settings) > 1:
        (one, first), (other, second), *_ = settings.items()
        raise SettingError(
            f"The candidates were found with different settings: {one} and {other}.",
            where=f"{first} and {second}",
            do="Train from tables of the same settings.",
        )
    text = next(iter(settings), "{}")
    try:
        stored = parsed(text)
    except ValueError:
        stored = None
    if not isinstance(stored, dict):
        raise FormatError(f"The settings of the candidates are damaged: {text!r}.", where=str(paths[0]))
    return judgements, stored


def _read(path: Path, sheet: int) -> tuple[list[Judgement], str]:
    if not path.is_file():
        raise MissingFileError("There is no such file.", where=str(path), do="Check the path.")
    check_size(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:  # spreadsheets put a byte order mark before it
            reader = csv.DictReader(file, strict=True)
            missing = [name for name in _NEEDED if name not in (reader.fieldnames or ())]
            if missing:
                raise FormatError(
                    f"There is no column {missing[0]}.",
                    where=str(path),
                    do="Give the table that the page of ecc-rf candidates saves (commas between columns).",
                )
            judgements, settings = [], ""
            for row in reader:
                where = f"{path}, line {reader.line_num}"
                judgements.append(_judgement(row, where, sheet))
                if settings and row["settings"] != settings:
                    raise FormatError("The settings differ from those of the lines above.", where=where)
                settings = row["settings"]
    except (UnicodeDecodeError, csv.Error) as error:
        raise FormatError(f"This is no table of judgements: {error}", where=str(path)) from error
    if not judgements:
        raise FormatError("The table has no lines.", where=str(path), do="Draw candidates: ecc-rf candidates.")
    return judgements, settings


def _judgement(row: Mapping[str, Any], where: str, sheet: int) -> Judgement:
    said = (row[JUDGEMENT] or "").strip().lower()
    if said not in _KNOWN:
        raise FormatError(
            f"{row[JUDGEMENT]!r} is no judgement.", where=where, do="Write cell, not or unsure, or leave it empty."
        )
    if any(row[name] is None for name in _NEEDED):
        raise FormatError("The line is too short.", where=where)
    try:
        z, y, x = (float(row[axis]) for axis in "zyx")
        candidate, size = int(float(row["candidate"])), int(float(row["stratum_size"]))
    except ValueError as error:
        raise FormatError(f"Expected a number: {error}", where=where) from error
    if not all(map(math.isfinite, (z, y, x))) or candidate < 1 or size < 1:
        raise FormatError("A number is outside its range.", where=where)
    return Judgement(where, said, candidate, (z, y, x), row["stratum"], size, row["fingerprint"], sheet)


def collect(judgements: Sequence[Judgement], volumes: Sequence[CandidateVolume]) -> Judged:
    """The candidates that were judged cells or not, with weights.

    What was judged in a stratum stands for all of it, also if some of it was left open or unsure. If there are
    several tables, each tells of all candidates, and their estimates are averaged by how many were judged in each.
    A candidate that was judged twice counts as it was judged last.

    Raises
    ------
    SettingError
        If a line is of a candidate that is not among those of the volumes.
    """
    import pandas as pd

    at = {volume.fingerprint: number for number, volume in enumerate(volumes)}
    starts = np.cumsum([0, *(len(volume.table) for volume in volumes)])
    sure: dict[int, Judgement] = {}
    weights: dict[int, float] = {}
    changed = 0
    of_stratum: dict[tuple[int, str], int] = {}
    for one in judgements:
        if one.judgement in (CELL, NOT):
            key = (one.sheet, one.stratum)
            of_stratum[key] = of_stratum.get(key, 0) + 1
    of_sheet: dict[int, int] = {}
    for (sheet, _), count in of_stratum.items():
        of_sheet[sheet] = of_sheet.get(sheet, 0) + count
    for one in judgements:
        row = _row(one, volumes, at, starts)
        if one.judgement not in (CELL, NOT):
            continue
        share = of_sheet[one.sheet] / sum(of_sheet.values())
        changed += row in sure and sure[row].judgement != one.judgement
        sure[row] = one
        weights[row] = weights.get(row, 0.0) + share * one.stratum_size / of_stratum[one.sheet, one.stratum]
    rows = sorted(sure)
    pooled = pd.concat([volume.table for volume in volumes], ignore_index=True)
    counts = {name: sum(one.judgement == said for one in judgements) for name, said in _COUNTED.items()}
    notes = _notes(judgements, changed, of_stratum)
    return Judged(
        pooled.iloc[rows].reset_index(drop=True),
        np.array([sure[row].judgement == CELL for row in rows], bool),
        np.array([weights[row] for row in rows], np.float64),
        counts,
        tuple(notes),
    )


_COUNTED = {CELL: CELL, NOT: NOT, UNSURE: UNSURE, "open": ""}


def _row(one: Judgement, volumes: Sequence[CandidateVolume], at: Mapping[str, int], starts: NDArray[np.int64]) -> int:
    number = at.get(one.fingerprint)
    table = None if number is None else volumes[number].table
    if (
        number is None
        or table is None
        or one.candidate > len(table)
        or any(
            abs(float(table[axis].iloc[one.candidate - 1]) - place) > _SAME_PLACE
            for axis, place in zip("zyx", one.place)
        )
    ):
        raise SettingError(
            "This candidate is not among those of the given volumes.",
            where=one.where,
            do="Give the probability volumes that the candidates were drawn from, unchanged, with the same voxel size.",
        )
    return int(starts[number]) + one.candidate - 1


def _notes(judgements: Sequence[Judgement], changed: int, of_stratum: Mapping[tuple[int, str], int]) -> list[str]:
    notes = []
    if changed:
        notes.append(f"{changed} candidates were judged differently in a later table, which counts.")
    silent = {(one.sheet, one.stratum): one.stratum for one in judgements if (one.sheet, one.stratum) not in of_stratum}
    if silent:
        notes.append(
            f"Nothing was judged a cell or not of {', '.join(silent.values())}: the estimates do not tell of it."
        )
    return notes
