"""Which features pay: nested selections, the out-of-bag error of each, and what it costs to compute.

Backward elimination by filter and scale. Starting from all that are selected, a forest is trained; the ticked cell
whose shuffling raises its out-of-bag error least is left out; and so on. Cells whose rises differ by less than the
error's own standard error are told apart by their cost. Every selection is trained anew, so that its error is that of a
forest which never knew the features that were left out.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ecc_rf.blocks import Progress, parse_memory
from ecc_rf.errors import SettingError
from ecc_rf.features import FeaturePlan, FeatureSelection, compute_features
from ecc_rf.features.grammar import selection_text
from ecc_rf.features.selection import DIFFERENCE, GAUSSIAN, GRADIENT, HESSIAN, LAPLACIAN, STRUCTURE
from ecc_rf.forest import RandomForest
from ecc_rf.forest.out_of_bag import out_of_bag, permuted
from ecc_rf.forest.training import GrownForest, grow_forest
from ecc_rf.gathering import TrainingRows, gather
from ecc_rf.ilp import IlastikProject, ProjectChanges, edit_project
from ecc_rf.retraining import mended_links, refuse_existing
from ecc_rf.training import TrainingSettings, labelled_lanes
from ecc_rf.training_report import columns_of_cells

# One-dimensional filters per voxel in 3D, beside the presmoothing: what tells cells of like use apart.
_PASSES = {GAUSSIAN: 3, DIFFERENCE: 6, GRADIENT: 9, LAPLACIAN: 9, HESSIAN: 18, STRUCTURE: 27}

_MEASURED = (64, 64, 128)  # half a million voxels; a flat image has as many
_MEASURED_FLAT = (1, 512, 1024)


@dataclass(frozen=True)
class Choice:
    """A selection, what it achieves and what it costs.

    Attributes
    ----------
    cells : int
        Ticked cells.
    features : int
        Feature channels.
    words : str
        The selection, as ``--features`` takes it.
    left_out : str
        What the next larger selection has and this one has not; empty for the first.
    error : float
        Out-of-bag error of a forest trained on it.
    uncertainty : float
        Its standard error, were the voxels independent.
    seconds : float
        To compute the features of a million voxels with one thread, measured now.
    halo : tuple of int
        Voxels (z, y, x) that a block reads around itself.
    """

    cells: int
    features: int
    words: str
    left_out: str
    error: float
    uncertainty: float
    seconds: float
    halo: tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Suggestion:
    """Nested selections from the largest to the smallest.

    Attributes
    ----------
    choices : list of Choice
    suggested : int
        The smallest whose error is within one standard error of the best.
    selections : list of FeatureSelection
    forests : list of RandomForest
        Trained on the selections.
    names : list of tuple of str
        Names of the features.
    """

    choices: list[Choice]
    suggested: int
    selections: list[FeatureSelection]
    forests: list[RandomForest]
    names: list[tuple[str, ...]]

    def of_cells(self, cells: int | None) -> int:
        """Number of the choice with so many cells; that of the suggested one for None.

        Raises
        ------
        SettingError
            If there is none.
        """
        if cells is None:
            return self.suggested
        numbers = [number for number, choice in enumerate(self.choices) if choice.cells == cells]
        if not numbers:
            raise SettingError(f"no selection has {cells} cells", "cells", f"choose 1 to {self.choices[0].cells}")
        return numbers[0]

    def as_dict(self) -> dict[str, Any]:
        """In types of JSON."""
        return {
            "choices": [asdict(choice) for choice in self.choices],
            "suggested": self.suggested,
            "method": {
                "error": "out of bag, each selection trained anew; voxels of a stroke resemble each other, so on"
                " another brain errors are larger",
                "suggested": "the smallest selection within one standard error of the best",
                "seconds": "features of a million voxels, one thread, measured on this machine",
            },
        }


def suggest_features(
    rows: TrainingRows,
    selection: FeatureSelection,
    plan: FeaturePlan,
    n_labels: int,
    settings: TrainingSettings | None = None,
    *,
    progress: Progress | None = None,
) -> Suggestion:
    """Leave out one ticked cell after the other.

    Parameters
    ----------
    rows : TrainingRows
        Of all features of the selection.
    selection : FeatureSelection
        The largest to be considered.
    plan : FeaturePlan
        The selection fitted to an image.
    n_labels : int
        Labels of the project.
    settings : TrainingSettings, optional
    progress : Progress, optional

    Raises
    ------
    EccError
        As `grow_forest`.
    """
    settings = settings or TrainingSettings()
    left = columns_of_cells(selection, plan)
    found = Suggestion([], 0, [], [], [])
    left_out = ""
    while left:
        columns = [column for _, _, of_cell in left for column in of_cell]
        grown = grow_forest(
            rows.features[:, columns],
            rows.labels,
            n_labels=n_labels,
            trees=settings.trees,
            seed=settings.seed,
            workers=settings.workers,
            progress=progress,
        )
        smaller = _only(selection, [(name, scale) for name, scale, _ in left])
        fitted = smaller.plan(plan.shape, plan.n_channels)
        judgement = out_of_bag(grown, workers=settings.workers)
        error, judged = judgement.error or 0.0, int(judgement.judged.sum())
        uncertainty = math.sqrt(error * (1 - error) / max(judged, 1))
        found.choices.append(
            Choice(
                cells=len(left),
                features=len(columns),
                words=selection_text(smaller),
                left_out=left_out,
                error=error,
                uncertainty=uncertainty,
                seconds=measured_seconds(fitted),
                halo=fitted.halo,
            )
        )
        found.selections.append(smaller)
        found.forests.append(grown.forest)
        found.names.append(fitted.names)
        dropped = _least_useful(grown, left, uncertainty, settings)
        left_out = f"{left[dropped][0]} {left[dropped][1]:g}"
        left = left[:dropped] + left[dropped + 1 :]
    best = min(found.choices, key=lambda choice: choice.error)
    good = [k for k, choice in enumerate(found.choices) if choice.error <= best.error + best.uncertainty]
    return Suggestion(found.choices, good[-1], found.selections, found.forests, found.names)


def suggest_for_project(
    project: str | Path,
    output: str | Path | None = None,
    settings: TrainingSettings | None = None,
    *,
    features: FeatureSelection | None = None,
    cells: int | None = None,
    images: Mapping[int | str, str | Path] | None = None,
    search: Sequence[str | Path] = (),
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Suggestion:
    """`suggest_features` on the labels of a project.

    Parameters
    ----------
    project : str or Path
        The .ilp file.
    output : str or Path, optional
        The project with a smaller selection and its forest.
    settings : TrainingSettings, optional
    features : FeatureSelection, optional
        The largest selection to be considered, by default the project's.
    cells : int, optional
        Ticked cells of the selection to be written, by default the suggested one.
    images, search
        As `IlastikProject.open`.
    overwrite : bool
        Replace a file of the output's name, once the new one is complete.
    progress : Progress, optional

    Raises
    ------
    EccError
        As `train_project` and `edit_project`.
    """
    settings = settings or TrainingSettings()
    if output is not None:
        refuse_existing(output, overwrite)
    opened = IlastikProject.open(project, images=images, search=search)
    selection = features or opened.features
    with labelled_lanes(opened) as labelled:
        memory = parse_memory(settings.memory)
        rows = gather(labelled.images, selection, workers=settings.workers, memory=memory, progress=progress)
        plan, normalization = labelled.first.plan(selection), labelled.normalization
    found = suggest_features(rows, selection, plan, len(opened.label_names), settings, progress=progress)
    if output is not None:
        number = found.of_cells(cells)
        changes = ProjectChanges(
            forest=found.forests[number],
            feature_names=found.names[number],
            n_rows=len(rows.labels),
            features=found.selections[number],
            normalization=normalization,
            links=mended_links(opened),
        )
        edit_project(project, output, changes=changes, overwrite=overwrite)
    return found


def measured_seconds(plan: FeaturePlan) -> float:
    """Seconds to compute the features of a million voxels with one thread: the fastest of three."""
    shape = _MEASURED_FLAT if plan.shape[0] == 1 else _MEASURED
    fitted = FeaturePlan(shape, plan.n_channels, plan.names, plan.steps)
    block = np.random.default_rng(0).integers(0, 4096, (plan.n_channels, *shape)).astype(np.uint16)
    times = []
    for _ in range(3):
        started = time.perf_counter()
        compute_features(block, fitted)
        times.append(time.perf_counter() - started)
    return min(times) * 1e6 / math.prod(shape)


def _least_useful(
    grown: GrownForest, cells: Sequence[tuple[str, float, list[int]]], uncertainty: float, settings: TrainingSettings
) -> int:
    """The cell to leave out: the least rise when shuffled, of equal ones the costliest."""
    at, sets = 0, []
    for _, _, columns in cells:
        sets.append(list(range(at, at + len(columns))))
        at += len(columns)
    rises = [rise or 0.0 for _, rise in permuted(grown, sets, seed=settings.seed, workers=settings.workers)]
    equal = [number for number, rise in enumerate(rises) if rise <= min(rises) + uncertainty]
    return max(equal, key=lambda number: (_PASSES[cells[number][0]], cells[number][1], -rises[number]))


def _only(selection: FeatureSelection, ticked: Sequence[tuple[str, float]]) -> FeatureSelection:
    """The selection with these cells alone."""
    matrix = tuple(tuple((name, scale) in ticked for scale in selection.scales) for name in selection.feature_ids)
    return FeatureSelection(selection.feature_ids, selection.scales, matrix, selection.compute_in_2d)
