"""Growing a random forest from labelled voxels, as ilastik does.

Every tree sees a bootstrap of the rows and is grown until its leaves are pure; at each node floor(sqrt(F) + 0.5)
columns are tried. The trees are scikit-learn's, whose splits follow the same rule as vigra's: smallest Gini impurity,
thresholds half way between neighbouring values. A forest of one differs from one of the other no more than two of one.

The bootstraps come from numpy's generator and a seed for each tree, so that the same seed gives the same forest however
many threads grow it, and the first 50 trees of 100 are the forest of 50.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ecc_rf.blocks import Progress, SilentProgress, resolve_workers
from ecc_rf.errors import ImageValueError, LabelError, SettingError, ShapeError
from ecc_rf.forest.from_sklearn import spread, tree_from_sklearn
from ecc_rf.forest.model import RandomForest
from ecc_rf.forest.tree import IntArray

FORESTS = 8
"""vigra forests over which trees are spread, as ilastik does on a computer of eight cores."""

# scikit-learn takes values for equal that are less than 1e-7 apart. Columns are scaled, exactly, to reach up to 2**60:
# then no two float32 values of one order of magnitude are so close.
_REACH = 60
_LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True, eq=False)
class GrownForest:
    """A forest, and what is needed to ask its trees about the rows that they have not seen.

    Attributes
    ----------
    forest : RandomForest
    rows : (n, features) float32
        What it was grown on, scaled by `exponents`.
    classes : (n,) int
        Class column of each row.
    exponents : (features,) int
        Powers of two by which the columns were scaled.
    trees : list
        scikit-learn's trees, on the scaled rows.
    in_bag : (trees, ceil(n / 8)) uint8
        Bits: which rows a tree has seen.
    gini : (features,) float64
        Mean decrease of impurity, sums to 1.
    """

    forest: RandomForest
    rows: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int64]
    exponents: IntArray
    trees: list[Any]
    in_bag: npt.NDArray[np.uint8]
    gini: npt.NDArray[np.float64]

    def unseen(self, tree: int) -> npt.NDArray[np.intp]:
        """Rows that a tree has not seen."""
        return np.flatnonzero(np.unpackbits(self.in_bag[tree], count=len(self.rows)) == 0)


def features_tried(n_features: int) -> int:
    """Columns that are tried at each node.

    >>> features_tried(16), features_tried(35)
    (4, 6)
    """
    return math.floor(math.sqrt(n_features) + 0.5)


def grow_forest(
    rows: npt.NDArray[np.float32],
    labels: npt.NDArray[Any],
    *,
    n_labels: int | None = None,
    trees: int = 100,
    seed: int = 0,
    workers: int | None = None,
    progress: Progress | None = None,
) -> GrownForest:
    """Grow a forest.

    Parameters
    ----------
    rows : (n, features) float32
        Features of labelled voxels. Their order matters for the result.
    labels : (n,) int
        Labels 1 to 255.
    n_labels : int, optional
        Labels of the project; default the largest that occurs.
    trees : int
        Number of trees; they are spread over up to `FORESTS` forests.
    seed : int
        0 to 2**32 - 1.
    workers : int, optional
        Threads; default one per core. The result does not depend on it.
    progress : Progress, optional
        Told of every finished tree, as so many rows.

    Raises
    ------
    ShapeError
        If rows and labels do not fit together.
    ImageValueError
        If a feature is NaN or infinite.
    LabelError
        If there is only one label, or there are fewer rows than labels.
    SettingError
        If trees or seed are out of range.
    """
    import joblib
    from sklearn.tree import DecisionTreeClassifier

    rows = np.ascontiguousarray(rows, np.float32)
    _check(rows, labels, n_labels, trees, seed)
    known, classes = np.unique(np.asarray(labels), return_inverse=True)
    exponents = _exponents(rows)
    scaled = np.ldexp(rows, exponents)
    progress = progress or SilentProgress()
    seeds = np.random.SeedSequence(seed).spawn(trees)

    def grow(source: np.random.SeedSequence) -> tuple[Any, npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
        rng = np.random.default_rng(source)
        counts = np.bincount(rng.integers(0, len(rows), len(rows)), minlength=len(rows))
        tree = DecisionTreeClassifier(max_features=features_tried(rows.shape[1]), random_state=int(rng.integers(2**31)))
        # rows of weight 0 are not looked at: this is the bootstrap, without a copy of the rows
        tree.fit(scaled, classes, sample_weight=counts.astype(np.float64), check_input=False)
        return tree.tree_, np.packbits(counts > 0), tree.tree_.compute_feature_importances(normalize=True)

    grown = []
    with progress.stage("train", trees * len(rows)) as advance:
        parallel = joblib.Parallel(n_jobs=resolve_workers(workers), backend="threading", return_as="generator")
        for result in parallel(joblib.delayed(grow)(source) for source in seeds):
            grown.append(result)
            advance(len(rows))
    gini = np.sum([importance for _, _, importance in grown], axis=0)
    return GrownForest(
        forest=RandomForest.from_trees(
            spread([tree_from_sklearn(tree, exponents) for tree, _, _ in grown], min(FORESTS, trees)),
            rows.shape[1],
            known.tolist(),
            n_labels,
            where="the new forest",
        ),
        rows=scaled,
        classes=classes.astype(np.int64).ravel(),
        exponents=exponents,
        trees=[tree for tree, _, _ in grown],
        in_bag=np.stack([bag for _, bag, _ in grown]),
        gini=gini / max(gini.sum(), 1e-300),
    )


def _exponents(rows: npt.NDArray[np.float32]) -> IntArray:
    """Powers of two that bring each column's largest value to 2**60; 0 for columns of zeros."""
    largest = np.abs(rows).max(axis=0)
    _, exponent = np.frexp(largest)
    return np.where(largest > 0, _REACH - exponent, 0).astype(np.int32)


def _check(
    rows: npt.NDArray[np.float32], labels: npt.NDArray[Any], n_labels: int | None, trees: int, seed: int
) -> None:
    if rows.ndim != 2 or labels.shape != (len(rows),) or not rows.shape[1]:
        raise ShapeError(f"features of shape {rows.shape} and labels of shape {labels.shape} do not fit together")
    if trees < 1:
        raise SettingError(f"a forest of {trees} trees; expected at least 1", "trees")
    if not 0 <= seed <= _LARGEST_SEED:
        raise SettingError(f"seed {seed}; expected 0 to {_LARGEST_SEED}", "seed")
    known = np.unique(labels).tolist()
    if len(known) < 2:
        found = f"only label {known[0]} is annotated" if known else "no voxel is annotated"
        raise LabelError(f"{found}; a classifier needs at least two labels", do="annotate another label")
    if known[0] < 1 or known[-1] > 255:
        raise LabelError(f"labels {known[0]} to {known[-1]}; expected 1 to 255")
    if n_labels is not None and known[-1] > n_labels:
        raise LabelError(f"label {known[-1]} is annotated, there are {n_labels} labels", do="name all labels")
    if len(rows) < (n_labels or 0):
        raise LabelError(
            f"{len(rows)} voxels are annotated for {n_labels} labels; from so few ilastik trains nothing",
            do="annotate more voxels of each label",
        )
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(bad):
        raise ImageValueError(
            f"features of {len(bad)} annotated voxels are NaN or infinite",
            do="take these values out of the image, or the annotations near them away",
        )
