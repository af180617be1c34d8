"""Tables of cells against what a person marked: per volume, per group, and all together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.errors import SettingError
from ecc_rf.evaluation.matching import MatchingRule, Score, VoxelSize, match
from ecc_rf.evaluation.truth import Truth, is_point_list, positions, read_points, read_truth
from ecc_rf.volumes import open_volume
from ecc_rf.volumes.paths import split_path

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Case:
    """One volume.

    Attributes
    ----------
    name, group : str
        The group, a brain for example, is empty if there are none.
    detections : ndarray of float64, shape (n, 3)
        z, y, x in voxels.
    truth : Truth
    voxel_size : (z, y, x) in µm
    """

    name: str
    group: str
    detections: NDArray[np.float64]
    truth: Truth
    voxel_size: VoxelSize


@dataclass(frozen=True)
class Result:
    """One volume's score and which detection is which cell.

    Attributes
    ----------
    case : Case
    cell_of : ndarray of int64
        The true cell of each detection, -1 for a false alarm.
    score : Score
    """

    case: Case
    cell_of: NDArray[np.int64]
    score: Score

    @property
    def missed(self) -> NDArray[np.int64]:
        """The true cells that no detection is."""
        return np.setdiff1d(np.arange(len(self.case.truth.centres)), self.cell_of)


@dataclass(frozen=True)
class Evaluation:
    """Scores of several volumes."""

    rule: MatchingRule
    results: tuple[Result, ...]

    @property
    def pooled(self) -> Score:
        """All cells of all volumes."""
        return Score.pool(result.score for result in self.results)

    @property
    def groups(self) -> dict[str, Score]:
        """All cells of each group, in the order of the volumes; empty without groups."""
        names = dict.fromkeys(result.case.group for result in self.results if result.case.group)
        return {
            name: Score.pool(result.score for result in self.results if result.case.group == name) for name in names
        }

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "rule": {**asdict(self.rule), "description": self.rule.describe()},
            "volumes": [
                {"name": result.case.name, "group": result.case.group, **result.score.as_dict()}
                for result in self.results
            ],
            "groups": {name: score.as_dict() for name, score in self.groups.items()},
            "pooled": self.pooled.as_dict(),
        }


def evaluate(cases: Sequence[Case], rule: MatchingRule | None = None) -> Evaluation:
    """Score volumes.

    Parameters
    ----------
    cases : sequence of Case
    rule : MatchingRule, optional
    """
    rule = rule or MatchingRule()
    results = []
    for case in cases:
        inside = case.truth.cell_at(case.detections)
        cell_of = match(case.detections, case.truth.centres, case.voxel_size, rule, inside)
        score = Score(int((cell_of >= 0).sum()), len(case.detections), len(case.truth.centres))
        results.append(Result(case, cell_of, score))
    return Evaluation(rule, tuple(results))


def cases_of(
    tables: Sequence[str | Path],
    truths: Sequence[str | Path],
    *,
    groups: Mapping[str, str] | None = None,
    voxel_size: VoxelSize | None = None,
) -> list[Case]:
    """Read tables of cells and the truth of each.

    Parameters
    ----------
    tables : sequence of paths
        Tables of cells, or any list of points that `read_truth` takes.
    truths : sequence of paths
        As many, in the same order.
    groups : mapping of str to str, optional
        Name of each group and a shell pattern of its volumes' names: ``{"brain 1": "1008_*"}``.
    voxel_size : (z, y, x) in µm, optional
        Default: what the masks say, or the tables, if they have positions in voxels and in µm.

    Raises
    ------
    EccError
    """
    if len(tables) != len(truths):
        raise SettingError(
            f"There are {len(tables)} tables of cells and {len(truths)} truths.",
            where="--truth",
            do="Give one truth for each table, in the same order.",
        )
    names = unique_names(truths)
    cases = []
    for table, path, name, group in zip(tables, truths, names, assign_groups(names, groups or {})):
        points = read_points(Path(table))
        size = voxel_size or recorded_voxel_size(path) or table_voxel_size(points)
        if size is None:
            raise SettingError("The voxel size is not known.", where=str(path), do="Give --voxel-size Z,Y,X.")
        detections = positions(points, size, str(table))
        cases.append(Case(name, group, detections, read_truth(path, size), size))
    return cases


def unique_names(paths: Sequence[str | Path]) -> list[str]:
    """Names of files without folders and extensions; the folder before them where names are equal.

    >>> unique_names(["a/truth.csv", "b/truth.csv", "c.h5/data"])
    ['a/truth', 'b/truth', 'c']
    """
    files = [Path(path) if is_point_list(path) else split_path(path).file for path in paths]
    plain = [file.name.split(".")[0] for file in files]
    return [
        name if plain.count(name) == 1 or not file.parent.name else f"{file.parent.name}/{name}"
        for file, name in zip(files, plain)
    ]


def assign_groups(names: Sequence[str], patterns: Mapping[str, str]) -> list[str]:
    """The group of each volume by its name.

    >>> assign_groups(["1008_0", "753_1"], {"A": "1008*", "B": "753*"})
    ['A', 'B']

    Raises
    ------
    SettingError
        If a volume belongs to no group, though there are groups, or to several.
    """
    if not patterns:
        return [""] * len(names)
    groups = []
    for name in names:
        fitting = [group for group, pattern in patterns.items() if fnmatchcase(name, pattern)]
        if len(fitting) != 1:
            raise SettingError(
                f"The volume {name} fits {len(fitting)} groups.",
                where="--group",
                do="Give patterns NAME=PATTERN so that each volume's name fits exactly one.",
            )
        groups += fitting
    return groups


def table_voxel_size(table: pd.DataFrame) -> VoxelSize | None:
    """What a table says of the voxels, that has positions in voxels (z, y, x) and in µm (Z, Y, X).

    >>> import pandas as pd
    >>> table_voxel_size(pd.DataFrame([[0, 1, 2, 0, 2, 4], [3, 5, 2.5, 15, 10, 5]], columns=[*"zyxZYX"]))
    (5.0, 2.0, 2.0)
    """
    import pandas as pd

    if not {*"zyx", *"ZYX"} <= set(table.columns):
        return None
    found = []
    for axis in "zyx":
        voxels, lengths = (np.asarray(pd.to_numeric(table[name], errors="coerce")) for name in (axis, axis.upper()))
        away = voxels > 0
        if not away.any():
            return None
        size = float(np.median(lengths[away] / voxels[away]))
        # the table is written with 14 digits; columns that mean something else differ by far more
        if not (size > 0 and np.allclose(lengths, voxels * size, rtol=1e-6, atol=1e-6)):
            return None
        found.append(round(size, 9))
    if found == [1.0, 1.0, 1.0]:  # the voxel size was not known when the table was written: Z, Y, X are voxels, too
        return None
    return found[0], found[1], found[2]


def recorded_voxel_size(path: str | Path) -> VoxelSize | None:
    """What a volume says of its voxels; None for a list of points."""
    if is_point_list(path):
        return None
    with open_volume(path) as volume:
        return volume.voxel_size
