"""Choosing settings by F1, and asking of every brain what settings of the others would have done to it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.blocks import Progress, SilentProgress
from ecc_rf.cells import CellFinder
from ecc_rf.errors import SettingError
from ecc_rf.evaluation import MatchingRule, Score, Truth
from ecc_rf.tuning.grid import SettingsGrid, kept_rows
from ecc_rf.tuning.scoring import Pairing

if TYPE_CHECKING:
    from ecc_rf.cells.inputs import VolumeLike
    from ecc_rf.evaluation.matching import VoxelSize
    from ecc_rf.objects import ObjectModel

TIE = 0.003
"""Settings whose F1 differ less are equal, and the nearest to the base is taken: far below what can be told apart."""

LOSS = 0.05
"""A brain loses less than this by settings of others as a rule: its own best ones are chosen in hindsight."""


@dataclass(frozen=True, eq=False)
class TruthVolume:
    """A volume in which all cells were marked.

    Attributes
    ----------
    name, group : str
        The group is the brain; volumes of one are never left out one by one.
    probability, raw : path, Volume or ndarray
        As `CellFinder.find` takes them.
    truth : Truth
    voxel_size : (z, y, x) in µm
    """

    name: str
    group: str
    probability: VolumeLike
    raw: VolumeLike | None
    truth: Truth
    voxel_size: VoxelSize


@dataclass(frozen=True)
class GroupResult:
    """One group.

    Attributes
    ----------
    chosen : Score
        With the settings chosen by all groups, this one too.
    left_out : Score or None
        With the settings chosen by the others; None if there are no others.
    settings : CellFinder or None
        Those.
    best : Score
        With the settings that suit this group best, which nobody can know beforehand.
    wishes : tuple of (str, Any, float)
        Settings that would be changed for it alone: name, value, and what F1 gains.
    """

    chosen: Score
    left_out: Score | None
    settings: CellFinder | None
    best: Score
    wishes: tuple[tuple[str, Any, float], ...]

    @property
    def loss(self) -> float:
        """How much F1 the group loses by settings of the others; NaN without others."""
        return math.nan if self.left_out is None else self.best.f1 - self.left_out.f1

    @property
    def uncertainty(self) -> float:
        """Standard error of F1, taken for a share of as many cells as were marked or found on average."""
        return standard_error(self.best)

    @property
    def transfers(self) -> bool:
        """Whether settings of the others do: it loses at most `LOSS`, or two standard errors."""
        return not self.loss > max(LOSS, 2 * self.uncertainty)


@dataclass(frozen=True, eq=False)
class Tuning:
    """What was tried, and how it scored.

    Attributes
    ----------
    grid : SettingsGrid
    rule : MatchingRule
    volumes, volume_groups : tuple of str
    finders : tuple of CellFinder
        All combinations.
    matched, detections : ndarray of int64, shape (volumes, combinations)
    cells : ndarray of int64, shape (volumes,)
    """

    grid: SettingsGrid
    rule: MatchingRule
    volumes: tuple[str, ...]
    volume_groups: tuple[str, ...]
    finders: tuple[CellFinder, ...]
    matched: NDArray[np.int64]
    detections: NDArray[np.int64]
    cells: NDArray[np.int64]

    @cached_property
    def chosen(self) -> CellFinder:
        """The settings with the best F1 of all volumes together."""
        return self.finders[self._chosen]

    @cached_property
    def _chosen(self) -> int:
        return self._choose(np.ones(len(self.volumes), bool))

    @cached_property
    def score(self) -> Score:
        """Of the chosen settings, on the volumes that chose them."""
        return self._score(np.ones(len(self.volumes), bool), self._chosen)

    @cached_property
    def left_out(self) -> Score | None:
        """Every group by the settings of the others, pooled: what another brain may expect; None of a single group."""
        several = [result.left_out for result in self.groups.values()]
        known = [score for score in several if score is not None]
        return Score.pool(known) if known else None

    @cached_property
    def groups(self) -> dict[str, GroupResult]:
        """By name, in the order of the volumes."""
        return {name: self._result(name) for name in dict.fromkeys(self.volume_groups)}

    def curve(self, name: str) -> dict[Any, dict[str, Score]]:
        """Scores along one setting, the others as chosen: by value and group, ``""`` for all."""
        found = {}
        for value, index in self._line(name).items():
            everyone = np.ones(len(self.volumes), bool)
            found[value] = {group: self._score(self._of(group), index) for group in self.groups}
            found[value][""] = self._score(everyone, index)
        return found

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "rule": {**asdict(self.rule), "description": self.rule.describe()},
            "combinations": len(self.finders),
            "chosen": self._told(self.chosen),
            "score": self.score.as_dict(),
            "left_out": None if self.left_out is None else self.left_out.as_dict(),
            "groups": {
                name: {
                    "volumes": [v for v, group in zip(self.volumes, self.volume_groups) if group == name],
                    "chosen": result.chosen.as_dict(),
                    "left_out": None if result.left_out is None else result.left_out.as_dict(),
                    "settings_of_the_others": None if result.settings is None else self._told(result.settings),
                    "best": result.best.as_dict(),
                    "loss": result.loss,
                    "uncertainty": result.uncertainty,
                    "transfers": result.transfers,
                    "wishes": [{"setting": s, "value": v, "gain": gain} for s, v, gain in result.wishes],
                }
                for name, result in self.groups.items()
            },
            "curves": {
                setting: [
                    {"value": value, "f1": {group or "all": score.f1 for group, score in scores.items()}}
                    for value, scores in self.curve(setting).items()
                ]
                for setting in self.grid.varied
            },
        }

    def _told(self, finder: CellFinder) -> dict[str, Any]:
        return {name: getattr(finder, name) for name in self.grid.varied}

    def _of(self, group: str) -> NDArray[np.bool_]:
        return np.array([name == group for name in self.volume_groups])

    def _score(self, volumes: NDArray[np.bool_], index: int) -> Score:
        return Score(
            int(self.matched[volumes, index].sum()),
            int(self.detections[volumes, index].sum()),
            int(self.cells[volumes].sum()),
        )

    def _f1(self, volumes: NDArray[np.bool_]) -> NDArray[np.float64]:
        both = self.detections[volumes].sum(axis=0) + self.cells[volumes].sum()
        return np.asarray(2 * self.matched[volumes].sum(axis=0) / np.maximum(both, 1))

    def _choose(self, volumes: NDArray[np.bool_]) -> int:
        """The best combination for some volumes; of equal ones the nearest to the base."""
        f1 = self._f1(volumes)
        equal = np.flatnonzero(f1 >= f1.max() - TIE)
        return int(min(equal, key=lambda k: (self._distances[k], -f1[k], k)))

    @cached_property
    def _distances(self) -> list[tuple[int, int]]:
        return [self.grid.distance(finder) for finder in self.finders]

    def _line(self, name: str) -> dict[Any, int]:
        """Combinations that differ from the chosen one in one setting only, by its value."""
        found = {}
        for index, finder in enumerate(self.finders):
            others = (other for other in self.grid.varied if other != name)
            if all(getattr(finder, other) == getattr(self.chosen, other) for other in others):
                found[getattr(finder, name)] = index
        return found

    def _result(self, name: str) -> GroupResult:
        mine = self._of(name)
        other = None if mine.all() else self._choose(~mine)
        now = self._score(mine, self._chosen).f1
        wishes = []
        for setting in self.grid.varied:
            value, f1 = max(
                ((value, self._score(mine, index).f1) for value, index in self._line(setting).items()),
                key=lambda pair: pair[1],
            )
            if f1 - now > 2 * TIE:
                wishes.append((setting, value, f1 - now))
        return GroupResult(
            chosen=self._score(mine, self._chosen),
            left_out=None if other is None else self._score(mine, other),
            settings=None if other is None else self.finders[other],
            best=self._score(mine, int(self._f1(mine).argmax())),
            wishes=tuple(sorted(wishes, key=lambda wish: -wish[2])),
        )


def standard_error(score: Score) -> float:
    """Of F1, taken for a share of as many cells as were marked or found on average.

    >>> round(standard_error(Score(50, 100, 100)), 3)
    0.05
    """
    n = (score.detections + score.cells) / 2
    return math.sqrt(score.f1 * (1 - score.f1) / n) if n else math.nan


def tune(
    volumes: Sequence[TruthVolume],
    grid: SettingsGrid,
    *,
    model: ObjectModel | None = None,
    rule: MatchingRule | None = None,
    workers: int | None = None,
    memory: str | int | None = None,
    progress: Progress | None = None,
) -> Tuning:
    """Try all combinations of settings on all volumes.

    Parameters
    ----------
    volumes : sequence of TruthVolume
    grid : SettingsGrid
    model : ObjectModel, optional
    rule : MatchingRule, optional
    workers, memory, progress
        As for `CellFinder.find`.

    Raises
    ------
    SettingError
        If there is no volume, or none has a cell.
    EccError
        As `CellFinder.find`.
    """
    if not volumes:
        raise SettingError("There is no volume to choose settings by.")
    cells = np.array([len(volume.truth.centres) for volume in volumes], np.int64)
    if not cells.any():
        raise SettingError("No cell is marked in any volume.", do="Give volumes in which cells were marked.")
    rule = rule or MatchingRule()
    searches = grid.searches()
    finders = tuple(grid.finder(search.finder, filtered) for search in searches for filtered in search.filters)
    matched, detections = np.zeros((2, len(volumes), len(finders)), np.int64)
    with (progress or SilentProgress()).stage("tune", len(volumes) * len(searches)) as advance:
        for row, volume in enumerate(volumes):
            column = 0
            for search in searches:
                columns, points = _found(search.finder, volume, model, workers, memory)
                inside = volume.truth.cell_at(points)
                pairing = Pairing(points, volume.truth.centres, volume.voxel_size, rule, inside)
                for filtered in search.filters:
                    kept = kept_rows(columns, filtered)
                    matched[row, column] = pairing.matched(kept)
                    detections[row, column] = np.count_nonzero(kept)
                    column += 1
                advance(1)
    names, groups = tuple(volume.name for volume in volumes), tuple(volume.group for volume in volumes)
    return Tuning(grid, rule, names, groups, finders, matched, detections, cells)


def _found(
    finder: CellFinder, volume: TruthVolume, model: ObjectModel | None, workers: int | None, memory: str | int | None
) -> tuple[dict[str, NDArray[Any]], NDArray[np.float64]]:
    """Columns that decide about cells, and their centres in voxels."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "No cell was found", UserWarning)
        table = finder.find(
            volume.probability,
            volume.raw,
            model=model,
            voxel_size=volume.voxel_size,
            workers=workers,
            memory=memory,
        )
    columns = {name: table[name].to_numpy() for name in ("voxels", "contrast", "cell_probability") if name in table}
    return columns, table[["z", "y", "x"]].to_numpy(np.float64)
