"""An object model from probability volumes, and cells that a person marked in them or candidates that were judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ecc_rf.blocks import Progress
from ecc_rf.cells import CellFinder
from ecc_rf.errors import OutputExistsError, SettingError
from ecc_rf.evaluation import MatchingRule, match, read_truth
from ecc_rf.judging import CandidateVolume, collect, find_candidates
from ecc_rf.judging.candidates import told, voxel_size_of
from ecc_rf.judging.judgements import Judgement
from ecc_rf.objects import ObjectModel, train_object_model
from ecc_rf.objects.training import DEFAULT_CUT
from ecc_rf.volumes.base import VoxelSize
from ecc_rf.volumes.user_paths import is_there

CANDIDATES = CellFinder(threshold=0.35, min_volume=2, smoothing_um=1.62, contrast=True)
"""Generous: what is no candidate can never become a cell."""


@dataclass(frozen=True)
class Machine:
    """What the search for candidates may use; see `find_candidates`."""

    voxel_size: VoxelSize | None = None
    workers: int | None = None
    memory: str | int | None = None
    progress: Progress | None = None

    def find(
        self, probabilities: Sequence[str | Path], raws: Sequence[str | Path], finder: CellFinder
    ) -> list[CandidateVolume]:
        return find_candidates(
            probabilities,
            raws,
            finder,
            voxel_size=self.voxel_size,
            workers=self.workers,
            memory=self.memory,
            progress=self.progress,
        )


def train_from_volumes(
    probabilities: Sequence[str | Path],
    raws: Sequence[str | Path],
    truths: Sequence[str | Path],
    output: str | Path,
    *,
    finder: CellFinder = CANDIDATES,
    rule: MatchingRule | None = None,
    seed: int = 0,
    cut: float | None = DEFAULT_CUT,
    machine: Machine | None = None,
    overwrite: bool = False,
) -> ObjectModel:
    """Find candidates, look up which of them are true cells, and write the model that was learned from them.

    Parameters
    ----------
    probabilities, raws, truths : sequences of paths
        As many of each, in the same order; for truths see `read_truth`.
    output : path
        The model, ``.h5``.
    finder : CellFinder
        How candidates are found, now and wherever the model is used.
    rule : MatchingRule, optional
    seed, cut
        As for `train_object_model`.
    machine : Machine, optional
    overwrite : bool

    Raises
    ------
    EccError
        Bad input is found before the first candidate is looked for.
    """
    if not len(probabilities) == len(raws) == len(truths):
        raise SettingError(
            f"There are {len(probabilities)} probability volumes, {len(raws)} raw images and {len(truths)} truths.",
            do="Give one --raw and one --truth for each probability volume, in the same order.",
        )
    _refuse_existing(output, overwrite)
    machine = machine or Machine()
    marked = [
        read_truth(truth, voxel_size_of(p, raw, machine.voxel_size))
        for p, raw, truth in zip(probabilities, raws, truths)
    ]
    volumes = machine.find(probabilities, raws, finder)
    labels = []
    for volume, true in zip(volumes, marked):
        points = volume.table[["z", "y", "x"]].to_numpy(np.float64)
        labels.append(match(points, true.centres, volume.voxel_size, rule, true.cell_at(points)) >= 0)
    tables = pd.concat([volume.table for volume in volumes], ignore_index=True)
    model = train_object_model(tables, np.concatenate(labels), seed=seed, cut=cut, finder=told(finder))
    model.save(output, overwrite=overwrite)
    return model


def train_from_judgements(
    probabilities: Sequence[str | Path],
    raws: Sequence[str | Path],
    judgements: Sequence[Judgement],
    output: str | Path,
    *,
    finder: CellFinder = CANDIDATES,
    seed: int = 0,
    cut: float | None = DEFAULT_CUT,
    machine: Machine | None = None,
    overwrite: bool = False,
) -> tuple[ObjectModel, Mapping[str, int], tuple[str, ...]]:
    """Find the candidates again that were judged, and write the model that was learned from them.

    Parameters
    ----------
    probabilities, raws : sequences of paths
        The volumes that the candidates were drawn from, in any order.
    judgements : sequence of Judgement
        As `read_judgements` gives them.
    output, finder, seed, cut, machine, overwrite
        As for `train_from_volumes`; the finder must be the one that found the candidates.

    Returns
    -------
    model : ObjectModel
    counts : mapping of str to int
        Of the judgements; see `Judged`.
    notes : tuple of str

    Raises
    ------
    EccError
    """
    _refuse_existing(output, overwrite)
    sure = {one.judgement for one in judgements} & {"cell", "not"}
    if len(sure) < 2:
        raise SettingError(
            f"All that was judged is {sure.pop()!r}." if sure else "Nothing was judged a cell or not.",
            where="--judged",
            do="Judge on: cells and others are needed, at least 5 of each, better 80 in all.",
        )
    judged = collect(judgements, (machine or Machine()).find(probabilities, raws, finder))
    model = train_object_model(
        judged.table, judged.is_cell, weights=judged.weights, seed=seed, cut=cut, finder=told(finder)
    )
    model.save(output, overwrite=overwrite)
    return model, judged.counts, judged.notes


def _refuse_existing(output: str | Path, overwrite: bool) -> None:
    if is_there(Path(output)) and not overwrite:
        raise OutputExistsError(
            "The model is there already.", where=str(output), do="Give another name, or --overwrite."
        )
