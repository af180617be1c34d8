"""Growing an object model from candidates that were judged, and what is to be expected of it."""

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
CUTS = tuple(round(0.05 * step, 2) for step in range(1, 20))
_AS_GOOD = 0.01  # of F1: less is chance


def train_object_model(
    candidates: pd.DataFrame,
    is_cell: NDArray[np.bool_],
    *,
    weights: NDArray[np.float64] | None = None,
    weigh_trees: bool = False,
    seed: int = 0,
    cut: float | None = DEFAULT_CUT,
    finder: Mapping[str, Any] | None = None,
) -> ObjectModel:
    """Grow a forest from judged candidates.

    Parameters
    ----------
    candidates : DataFrame
        As `CellFinder.find` gives it, with contrasts; of one or several brains.
    is_cell : ndarray of bool, shape (n,)
        What each was judged to be.
    weights : ndarray of float64, shape (n,), optional
        How many candidates each stands for in the figures; default: one.
    weigh_trees : bool
        Whether the trees are grown with these weights, too. It changes nothing where weights are alike, brought nothing
        with three brains (docs/judging.md), and where one candidate outweighs all others little is left to learn from.
    seed : int
    cut : float, optional
        Candidates of at least this probability will be cells. None: what `suggest_cut` finds.
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
    if cut is not None and not 0 <= cut <= 1:
        raise SettingError(f"The cut is {cut}; it must be between 0 and 1.", where="--cut")
    rows = feature_rows(candidates)
    if not np.isfinite(rows).all():
        raise SettingError("A candidate has a feature that is no number.", do="Find the candidates again.")
    grown = RandomForestClassifier(
        TREES, min_samples_leaf=LEAF, max_features="sqrt", oob_score=True, random_state=seed, n_jobs=1
    )
    grown.fit(rows, np.where(is_cell, 2, 1), sample_weight=weights if weigh_trees else None)
    unseen = grown.oob_decision_function_[:, 1]
    curve = cut_curve(unseen, is_cell, weights)
    suggested = suggest_cut(curve)
    chosen = suggested if cut is None else cut
    training = {
        **counts,
        "seed": seed,
        "weighted": weights is not None,
        "out_of_bag": figures(unseen >= chosen, is_cell, weights),
        "suggested_cut": suggested,
        "curve": curve,
        "importances": {name: round(float(value), 4) for name, value in zip(FEATURES, grown.feature_importances_)},
    }
    forest = RandomForest.from_sklearn(grown, len(FEATURES))
    return ObjectModel(forest, chosen, dict(finder or {}), training)


def figures(
    taken: NDArray[np.bool_], is_cell: NDArray[np.bool_], weights: NDArray[np.float64] | None = None
) -> dict[str, float]:
    """Accuracy, precision, recall and F1 of a decision about candidates; cells that are no candidates do not count.

    >>> figures(np.array([True, True, False]), np.array([True, False, False]))
    {'accuracy': 0.6667, 'precision': 0.5, 'recall': 1.0, 'f1': 0.6667}
    """
    w = np.ones(len(is_cell)) if weights is None else weights
    both, found, cells = (float(w[of].sum()) for of in (taken & is_cell, taken, is_cell))
    right = float(w[taken == is_cell].sum()) / max(float(w.sum()), 1e-12)
    ratios = (right, both / max(found, 1e-12), both / max(cells, 1e-12), 2 * both / max(found + cells, 1e-12))
    return {name: round(ratio, 4) for name, ratio in zip(("accuracy", "precision", "recall", "f1"), ratios)}


def cut_curve(
    probability: NDArray[np.float64], is_cell: NDArray[np.bool_], weights: NDArray[np.float64] | None = None
) -> list[dict[str, float]]:
    """The figures at every cut, of probabilities by trees that have not seen the candidate."""
    return [{"cut": cut, **figures(probability >= cut, is_cell, weights)} for cut in CUTS]


def suggest_cut(curve: list[dict[str, float]]) -> float:
    """The middle of the cuts around the best that are about as good: a single best cut is mostly chance.

    >>> suggest_cut([{"cut": c, "f1": f} for c, f in [(0.1, 0.5), (0.2, 0.70), (0.3, 0.705), (0.4, 0.70), (0.5, 0.4)]])
    0.3
    """
    scores = np.array([point["f1"] for point in curve])
    good = scores >= scores.max() - _AS_GOOD
    first = last = int(np.argmax(scores))
    while first > 0 and good[first - 1]:
        first -= 1
    while last + 1 < len(curve) and good[last + 1]:
        last += 1
    return curve[(first + last) // 2]["cut"]
