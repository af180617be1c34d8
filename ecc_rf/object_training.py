"""An object model from probability volumes and cells that a person marked in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd

from ecc_rf.blocks import Progress
from ecc_rf.cells import CellFinder
from ecc_rf.errors import OutputExistsError, SettingError
from ecc_rf.evaluation import MatchingRule, match, read_truth
from ecc_rf.objects import ObjectModel, train_object_model
from ecc_rf.objects.training import DEFAULT_CUT
from ecc_rf.volumes import open_volume

CANDIDATES = CellFinder(threshold=0.35, min_volume=2, smoothing_um=1.62, contrast=True)
"""Generous: what is no candidate can never become a cell."""


def train_from_volumes(
    probabilities: Sequence[str | Path],
    raws: Sequence[str | Path],
    truths: Sequence[str | Path],
    output: str | Path,
    *,
    finder: CellFinder = CANDIDATES,
    rule: MatchingRule | None = None,
    seed: int = 0,
    cut: float = DEFAULT_CUT,
    voxel_size: tuple[float, float, float] | None = None,
    workers: int | None = None,
    memory: str | int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
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
    voxel_size, workers, memory, overwrite, progress
        As everywhere.

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
    if Path(output).exists() and not overwrite:
        raise OutputExistsError(
            "The model is there already.", where=str(output), do="Give another name, or --overwrite."
        )
    finder = replace(finder, contrast=True, min_contrast=None, object_cut=None)
    tables: list[pd.DataFrame] = []
    labels = []
    for probability, raw, truth in zip(probabilities, raws, truths):
        with open_volume(probability, voxel_size=voxel_size) as p, open_volume(raw) as image:
            size = p.voxel_size or image.voxel_size
            if size is None:
                raise SettingError(
                    "The voxel size is not known.", where=str(probability), do="Give --voxel-size Z,Y,X."
                )
            true = read_truth(truth, size)
            table = finder.find(p, image, voxel_size=size, workers=workers, memory=memory, progress=progress)
        points = table[["z", "y", "x"]].to_numpy(np.float64)
        labels.append(match(points, true.centres, size, rule, true.cell_at(points)) >= 0)
        tables.append(table)
    usual = asdict(CellFinder())
    settings = {name: value for name, value in asdict(finder).items() if value != usual[name]}
    model = train_object_model(
        pd.concat(tables, ignore_index=True), np.concatenate(labels), seed=seed, cut=cut, finder=settings
    )
    model.save(output, overwrite=overwrite)
    return model
