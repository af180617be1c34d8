"""Growing an object model from candidates that were judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.errors import SettingError
from ecc_rf.forest import RandomForest
from ecc_rf.objects.model import FEATURES, ObjectModel, feature_rows

if TYPE_CHECKING:
    import pandas as pd

TREES = 150
LEAF = 5  # candidates in a leaf, at least: judgements at the limit of visibility are noisy
FEWEST = 5  # judged candidates of each kind: below, a leaf of each cannot be filled
DEFAULT_CUT = 0.25  # about the best of 0.15 to 0.35 with strokes of other brains or patches (docs/accuracy.md)


def train_object_model(
    candidates: pd.DataFrame,
    is_cell: NDArray[np.bool_],
    *,
    seed: int = 0,
    cut: float = DEFAULT_CUT,
    finder: Mapping[str, Any] | None = None,
) -> ObjectModel:
    """Grow a forest from judged candidates.

    Parameters
    ----------
    candidates : DataFrame
        As `CellFinder.find` gives it, with contrasts; of one or several brains.
    is_cell : ndarray of bool, shape (n,)
        What each was judged to be.
    seed : int
    cut : float
        Candidates of at least this probability will be cells.
    finder : mapping, optional
        Settings under which the candidates were found, to be kept with the model.

    Raises
    ------
    SettingError
        If there are too few of a kind.
    """
    from sklearn.ensemble import RandomForestClassifier  # late: only to train

    counts = {"cells": int(is_cell.sum()), "others": int((~is_cell).sum())}
    if min(counts.values()) < FEWEST:
        raise SettingError(
            f"{counts['cells']} candidates are judged cells and {counts['others']} are not.",
            do=f"Judge more: at least {FEWEST} of each, better 80 in all.",
        )
    rows = feature_rows(candidates)
    if not np.isfinite(rows).all():
        raise SettingError("A candidate has a feature that is no number.", do="Find the candidates again.")
    grown = RandomForestClassifier(
        TREES, min_samples_leaf=LEAF, max_features="sqrt", oob_score=True, random_state=seed, n_jobs=1
    )
    grown.fit(rows, np.where(is_cell, 2, 1))
    predicted = grown.oob_decision_function_[:, 1] >= cut
    found = int((predicted & is_cell).sum())
    training = {
        **counts,
        "seed": seed,
        "out_of_bag": {
            "precision": found / max(1, int(predicted.sum())),
            "recall": found / counts["cells"],
        },
        "importances": {name: round(float(value), 4) for name, value in zip(FEATURES, grown.feature_importances_)},
    }
    forest = RandomForest.from_sklearn(grown, len(FEATURES))
    return ObjectModel(forest, cut, dict(finder or {}), training)
