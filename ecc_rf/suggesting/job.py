"""Look for places, and write them as a list, as crops for ITK-SNAP and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from ecc_rf.blocks import Progress
from ecc_rf.cells import CellFinder
from ecc_rf.errors import SettingError
from ecc_rf.evaluation import MatchingRule, match, read_truth
from ecc_rf.evaluation.evaluate import unique_names
from ecc_rf.ilp import IlastikProject
from ecc_rf.judging.candidates import generous, voxel_size_of
from ecc_rf.notes import noted
from ecc_rf.objects import FEATURES, ObjectModel
from ecc_rf.suggesting.crops import lanes_of, stroke_voxels, write_crops
from ecc_rf.suggesting.picture import draw_places
from ecc_rf.suggesting.places import FALSE_ALARM, MISSED, UNCERTAIN, Place, Points, check_places, choose_places
from ecc_rf.volumes.base import VoxelSize, write_errors
from ecc_rf.volumes.unfinished import UnfinishedOutput

TABLE, PICTURE = "places.csv", "places.png"
_REACH = 0.3  # of probability: further from the decision nothing is uncertain
_DRAWN_UM = 10.0  # what lies nearer to a stroke is not asked for again


@dataclass(frozen=True, eq=False)
class Suggestions:
    """What is suggested and where it was written.

    Attributes
    ----------
    table : DataFrame
        A row per place, the best first.
    folder : Path
    notes : tuple of str
    """

    table: pd.DataFrame
    folder: Path
    notes: tuple[str, ...]


def suggest(
    probabilities: Sequence[str | Path],
    raws: Sequence[str | Path],
    output: str | Path,
    finder: CellFinder,
    *,
    truths: Sequence[str | Path] | None = None,
    model: ObjectModel | None = None,
    rule: MatchingRule | None = None,
    project: str | Path | None = None,
    count: int = 10,
    size_um: float = 100.0,
    voxel_size: VoxelSize | None = None,
    workers: int | None = None,
    memory: str | int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Suggestions:
    """Suggest places for strokes.

    With truth these are places of misses and false alarms, without it of objects whose probability is near the
    decision: those that a few more strokes would move to one side.

    Parameters
    ----------
    probabilities, raws : sequences of paths
        As many of each, in the same order.
    output : path
        The folder.
    finder : CellFinder
        How cells are found.
    truths : sequence of paths, optional
        One for each volume; see `read_truth`.
    model : ObjectModel, optional
    rule : MatchingRule, optional
    project : path, optional
        The project whose lanes the images are: crops of labels then hold its strokes, and what lies beside a stroke
        is not called uncertain.
    count, size_um
        See `choose_places`.
    voxel_size, workers, memory, overwrite, progress
        As everywhere.

    Raises
    ------
    EccError
    """
    check_places(count, size_um)
    for what, given, option in (("raw images", raws, "--raw"), ("truths", truths, "--truth")):
        if given is not None and len(given) != len(probabilities):
            raise SettingError(
                f"There are {len(probabilities)} probability volumes and {len(given)} {what}.",
                where=option,
                do=f"Give one {option} for each probability volume, in the same order.",
            )
    opened = None if project is None else IlastikProject.open(project)
    lanes = None if opened is None else lanes_of(opened, raws)
    sizes = [voxel_size_of(p, raw, voxel_size) for p, raw in zip(probabilities, raws)]
    folder = Path(output)
    target = UnfinishedOutput(folder / TABLE, str(folder / TABLE), overwrite)
    notes: list[str] = []
    volumes: list[tuple[Points, VoxelSize]] = []
    for number, (probability, raw, size) in enumerate(zip(probabilities, raws, sizes)):
        with noted(notes):
            if truths is not None:
                true = read_truth(truths[number], size)
                cells = finder.find(
                    probability, raw, model=model, voxel_size=size, workers=workers, memory=memory, progress=progress
                )
                at = cells[["z", "y", "x"]].to_numpy(np.float64)
                cell_of = match(at, true.centres, size, rule, true.cell_at(at))
                volumes.append((wrong_points(at, true.centres, cell_of), size))
                continue
            wide = generous(finder)
            if model is None:  # what is below the threshold may be a cell that was missed
                wide = replace(wide, threshold=max(finder.threshold - _REACH, finder.threshold / 2), low_threshold=None)
            objects = wide.find(probability, raw, voxel_size=size, workers=workers, memory=memory, progress=progress)
            known = objects["peak_probability"].to_numpy() if model is None else model.probabilities(objects)
            middle = finder.threshold if model is None else model.cut
            points = uncertain_points(objects, np.asarray(known, np.float64), middle)
            if opened is not None and lanes is not None:
                points = without_strokes(points, stroke_voxels(opened, lanes[number]), size)
            volumes.append((points, size))
    places = choose_places(volumes, count, size_um)
    names = unique_names(raws)
    table = _table(places, names, sizes)
    try:
        crops = write_crops(
            places,
            raws,
            sizes,
            folder,
            width_um=2 * size_um,
            project=opened,
            lanes=lanes,
            channel=finder.raw_channel,
            overwrite=overwrite,
        )
        table = pd.concat([table, crops], axis=1)
        if places:
            draw_places(
                places, raws, names, sizes, folder / PICTURE, 2 * size_um, finder.raw_channel, overwrite=overwrite
            )
        with write_errors(str(target.path)):
            table.to_csv(target.path, index=False, float_format="%.10g", lineterminator="\n")
        target.commit()
    except BaseException:
        target.discard()
        raise
    return Suggestions(table, folder, tuple(dict.fromkeys(notes)))


def wrong_points(
    at: np.ndarray[tuple[int, int], np.dtype[np.float64]],
    centres: np.ndarray[tuple[int, int], np.dtype[np.float64]],
    cell_of: np.ndarray[tuple[int], np.dtype[np.int64]],
) -> Points:
    """Misses and false alarms, all as grave as each other; see `match`."""
    missed = np.delete(centres, cell_of[cell_of >= 0], axis=0)
    alarms = at[cell_of < 0]
    kinds = (MISSED,) * len(missed) + (FALSE_ALARM,) * len(alarms)
    return Points(np.concatenate([missed, alarms]), kinds, np.ones(len(kinds)), np.empty((len(kinds), 0)))


def uncertain_points(
    objects: pd.DataFrame, probability: np.ndarray[tuple[int], np.dtype[np.float64]], middle: float
) -> Points:
    """Objects near the decision: of weight 1 at it, falling to 0 at `_REACH` from it."""
    weight = 1 - np.abs(probability - middle) / _REACH
    rows = np.flatnonzero(weight > 0)
    look = objects[list(FEATURES)].to_numpy(np.float64)[rows]
    at = objects[["z", "y", "x"]].to_numpy(np.float64)[rows]
    return Points(at, (UNCERTAIN,) * rows.size, weight[rows], look)


def without_strokes(
    points: Points, strokes: np.ndarray[tuple[int, int], np.dtype[np.int64]], voxel_size: VoxelSize
) -> Points:
    """The points that lie away from all strokes, voxels (n, 3)."""
    from scipy.spatial import KDTree

    if not len(points.at) or not len(strokes):
        return points
    size = np.array(voxel_size)
    distance, _ = KDTree(strokes * size).query(points.at * size)
    return points[np.flatnonzero(distance > _DRAWN_UM)]


def _table(places: Sequence[Place], names: Sequence[str], sizes: Sequence[VoxelSize]) -> pd.DataFrame:
    at = np.array([place.centre for place in places], np.int64).reshape(-1, 3)
    um = at * np.array([sizes[place.volume] for place in places]).reshape(-1, 3)
    return pd.DataFrame(
        {
            "place": np.arange(1, len(places) + 1),
            "name": [names[place.volume] for place in places],
            "volume": [place.volume for place in places],
            **dict(zip("XYZ", um.T[::-1])),
            **dict(zip("zyx", at.T)),
            "reason": [place.reason for place in places],
            "score": [round(place.score, 4) for place in places],
        }
    )
