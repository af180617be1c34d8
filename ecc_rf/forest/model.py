"""A random forest as flat arrays: what is stored in a project, and what predictions are made from."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ecc_rf.errors import FormatError, LabelError
from ecc_rf.forest.tree import FloatArray, IntArray, Tree, checked_tree

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier

    from ecc_rf.forest.traversal import Predictor

_LARGEST_LABEL = 255  # annotations are uint8
_MOST_FEATURES = 2**23  # addresses in a tile have 32 bits
_MOST_TREES = 2**16 - 1  # votes are counted in 16 bits


@dataclass(frozen=True, eq=False)
class RandomForest:
    """A random forest in the sense of an ilastik project: several vigra forests whose votes are merged.

    Made by :meth:`from_trees` or :meth:`from_sklearn`, which check everything; the arrays are read-only.
    All trees stand one behind the other, node numbers are positions in the flat arrays::

        feature, threshold, left, right   | tree 0 | tree 1      | tree 2 | ...      one entry a node
        tree_start                        0        5             12       17 ...     root of each tree
        leaf_probability, leaf_weight     one row a leaf, leaves in node order
        trees_per_forest                  |    forest 0          |  forest 1 ...

    Attributes
    ----------
    feature : (nodes,) int32
        Feature column a node looks at, -1 at leaves.
    threshold : (nodes,) float64
        As in the file; a sample goes left where ``float64(x) < threshold``. 0 at leaves.
    left, right : (nodes,) int32
        Flat node numbers of the children, -1 at leaves.
    leaf_probability : (leaves, classes) float64
    leaf_weight : (leaves,) float64
        Number of bagged training samples in each leaf.
    tree_start : (trees + 1,) int64
        Number of each tree's root, and the number of nodes at the end.
    trees_per_forest : tuple of int
    weighted : tuple of bool
        Per forest: leaves vote with their weight (vigra's ``predict_weighted_``; never in ilastik).
    classes : tuple of int
        Label values the forest knows, ascending: class column c belongs to label ``classes[c]``.
    n_labels : int
        Channels of a prediction: label v is channel v - 1; labels that were never annotated stay 0.
    n_features : int
    """

    feature: IntArray
    threshold: FloatArray
    left: IntArray
    right: IntArray
    leaf_probability: FloatArray
    leaf_weight: FloatArray
    tree_start: npt.NDArray[np.int64]
    trees_per_forest: tuple[int, ...]
    weighted: tuple[bool, ...]
    classes: tuple[int, ...]
    n_labels: int
    n_features: int

    @classmethod
    def from_trees(
        cls,
        forests: Sequence[Sequence[Tree]],
        n_features: int,
        classes: Sequence[int],
        n_labels: int | None = None,
        *,
        weighted: bool | Sequence[bool] = False,
        where: str = "",
    ) -> RandomForest:
        """Build a forest from single trees.

        Parameters
        ----------
        forests : sequence of sequences of Tree
            One sequence per (vigra) forest. The order of forests and of trees is the order of summation.
        n_features : int
            Number of feature columns.
        classes : sequence of int
            Label values 1 to 255 of the class columns, ascending.
        n_labels : int, optional
            Number of labels of the project, at least the last class (the default).
        weighted : bool or sequence of bool
            Whether leaves vote with their weight, for all forests or one by one.
        where : str
            File and group the trees come from, for messages.

        Raises
        ------
        FormatError
            A forest that cannot be walked, with the forest and tree it is about; see `checked_tree`.
        """
        names = tuple(int(value) for value in classes)
        labels = _checked_labels(names, n_labels, where)
        if not 1 <= n_features <= _MOST_FEATURES:
            raise FormatError(f"The forest has {n_features} feature columns; expected 1 to {_MOST_FEATURES}.", where)
        counts = tuple(len(trees) for trees in forests)
        if not counts or min(counts) < 1 or sum(counts) > _MOST_TREES:
            raise FormatError(
                f"The forests have {list(counts)} trees; expected at least one each, and {_MOST_TREES} at the most.",
                where,
            )
        flags = (weighted,) * len(counts) if isinstance(weighted, bool) else tuple(bool(flag) for flag in weighted)
        if len(flags) != len(counts):
            raise FormatError(f"{len(flags)} weighting flags for {len(counts)} forests.", where)

        prefix = f"{where}, " if where else ""
        checked = [
            checked_tree(tree, n_features, len(names), weighted=flags[k], where=f"{prefix}forest {k}, tree {t}")
            for k, trees in enumerate(forests)
            for t, tree in enumerate(trees)
        ]
        start = np.cumsum([0, *(tree.n_nodes for tree in checked)], dtype=np.int64)
        if start[-1] > np.iinfo(np.int32).max:
            raise FormatError(f"The forest has {start[-1]} nodes; at most 2147483647 can be addressed.", where)
        return cls(
            feature=_joined([tree.feature for tree in checked]),
            threshold=_joined([tree.threshold for tree in checked]),
            left=_joined([_shifted(tree.left, at) for tree, at in zip(checked, start)]),
            right=_joined([_shifted(tree.right, at) for tree, at in zip(checked, start)]),
            leaf_probability=_joined([tree.leaf_probability for tree in checked]),
            leaf_weight=_joined([tree.leaf_weight for tree in checked]),
            tree_start=_frozen(start),
            trees_per_forest=counts,
            weighted=flags,
            classes=names,
            n_labels=labels,
            n_features=int(n_features),
        )

    @classmethod
    def from_sklearn(
        cls,
        classifier: RandomForestClassifier,
        n_features: int,
        labels: Sequence[int] | None = None,
        n_labels: int | None = None,
        *,
        n_forests: int = 1,
    ) -> RandomForest:
        """Take over the trees of a fitted scikit-learn classifier; every float32 sample walks the same way.

        Parameters
        ----------
        classifier : sklearn.ensemble.RandomForestClassifier
            Fitted, with one output.
        n_features : int
            Number of feature columns it must have been fitted on.
        labels : sequence of int, optional
            Label values of the classifier's columns, ascending; default ``classifier.classes_``.
        n_labels : int, optional
            Number of labels of the project, at least the last of `labels` (the default).
        n_forests : int
            Forests to spread the trees over, as evenly as ilastik does (which predicts them in parallel).

        Raises
        ------
        ShapeError
            A classifier for another number of features or with several outputs.
        SettingError
            More forests than trees.
        FormatError
            See :meth:`from_trees`.
        """
        from ecc_rf.forest.from_sklearn import spread, trees_from_sklearn  # not needed to predict from a file

        forests = spread(trees_from_sklearn(classifier, n_features), n_forests)
        values = classifier.classes_ if labels is None else labels
        return cls.from_trees(forests, n_features, values, n_labels, where="scikit-learn classifier")

    @property
    def n_trees(self) -> int:
        """Number of trees of all forests together."""
        return sum(self.trees_per_forest)

    @property
    def n_classes(self) -> int:
        """Number of labels that were annotated, at most `n_labels`."""
        return len(self.classes)

    def tree(self, number: int) -> Tree:
        """Tree `number` in flat order, as it was given to :meth:`from_trees`."""
        begin, end = (int(at) for at in self.tree_start[number : number + 2])
        leaves = slice(*(int(at) for at in self._leaf_start[number : number + 2]))
        return Tree(
            feature=self.feature[begin:end],
            threshold=self.threshold[begin:end],
            left=_shifted(self.left[begin:end], -begin),
            right=_shifted(self.right[begin:end], -begin),
            leaf_probability=self.leaf_probability[leaves],
            leaf_weight=self.leaf_weight[leaves],
        )

    def forests(self) -> Iterator[list[Tree]]:
        """The trees of one forest after the other: the inverse of :meth:`from_trees`, for writing."""
        number = 0
        for count in self.trees_per_forest:
            yield [self.tree(t) for t in range(number, number + count)]
            number += count

    def predict_proba(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Class probabilities of samples, bit for bit as ilastik merges vigra's forests (in ascending order).

        Parameters
        ----------
        rows : (n, features) float32
            Other real types are cast as ilastik casts features. A row with a NaN gives zeros; infinities are fine.

        Returns
        -------
        (n, n_labels) float32

        Raises
        ------
        ShapeError
            Another number of features.
        """
        return self._predictor(None).probabilities_of_rows(rows)

    def predict_features(
        self,
        features: npt.NDArray[np.float32],
        out: npt.NDArray[np.float32] | None = None,
        *,
        labels: Sequence[int] | None = None,
    ) -> npt.NDArray[np.float32]:
        """The same from features that lie one behind the other, as they are computed.

        Single-threaded, without the interpreter lock; fastest from about 10,000 voxels on.

        Parameters
        ----------
        features : (features, n) float32
        out : (n, channels) float32, optional
            Filled and returned.
        labels : sequence of int, optional
            Labels to predict, one channel each; all by default. Few are faster than all, and have the same values.

        Returns
        -------
        (n, channels) float32

        Raises
        ------
        ShapeError
            Another number of features, or an `out` of another shape or type.
        LabelError
            A label that the project does not have.
        """
        return self._predictor(labels).probabilities(features, out)

    def count_votes(
        self, features: npt.NDArray[np.float32], *, labels: Sequence[int] | None = None
    ) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
        """How many trees vote for each label: what probabilities of a forest with pure leaves are made of.

        Parameters
        ----------
        features : (features, n) float32
        labels : sequence of int, optional
            As in :meth:`predict_features`.

        Returns
        -------
        (n, channels) uint8, or uint16 for more than 255 trees
            A voxel with a NaN has no votes.

        Raises
        ------
        ShapeError
            Another number of features.
        LabelError
            A label that the project does not have.
        SettingError
            A forest whose trees divide their votes (see `is_pure`).
        """
        return self._predictor(labels).votes(features)

    def decide_features(self, features: npt.NDArray[np.float32], label: int, threshold: float) -> npt.NDArray[np.bool_]:
        """Where the probability of one label is above a threshold: two to three times faster than to predict it.

        The same, voxel for voxel, as ``predict_features(features, labels=[label])[:, 0] > np.float32(threshold)``.

        Parameters
        ----------
        features : (features, n) float32
        label : int
        threshold : float

        Returns
        -------
        (n,) bool

        Raises
        ------
        ShapeError
            Another number of features.
        LabelError
            A label that the project does not have.
        """
        return self._predictor([label]).above(features, threshold)

    def _predictor(self, labels: Sequence[int] | None) -> Predictor:
        from ecc_rf.forest.traversal import Predictor  # brings in numba, which loading a project does not need

        wanted = tuple(range(1, self.n_labels + 1) if labels is None else map(int, labels))
        for label in wanted:
            if not 1 <= label <= self.n_labels:
                raise LabelError(f"There is no label {label}; the project has the labels 1 to {self.n_labels}.")
        if wanted not in self._predictors:
            self._predictors[wanted] = Predictor(self, wanted)
        return self._predictors[wanted]

    @cached_property
    def _predictors(self) -> dict[tuple[int, ...], Predictor]:
        return {}

    @cached_property
    def is_pure(self) -> bool:
        """Whether every leaf gives one whole vote to one class, so that votes can be counted in integers."""
        table = self.leaf_probability
        return not any(self.weighted) and bool(((table == 0) | (table == 1)).all() and (table.sum(axis=1) == 1).all())

    def __getstate__(self) -> dict[str, Any]:
        """Only the fields: what was derived from them is made again where the forest arrives."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def _leaf_start(self) -> npt.NDArray[np.int64]:
        leaves_before = np.concatenate([[0], np.cumsum(self.feature < 0)])
        return leaves_before[self.tree_start].astype(np.int64)


def _checked_labels(classes: tuple[int, ...], n_labels: int | None, where: str) -> int:
    ascending = all(a < b for a, b in itertools.pairwise(classes))
    if not classes or not ascending or classes[0] < 1 or classes[-1] > _LARGEST_LABEL:
        raise FormatError(f"The class labels are {list(classes)}; expected ascending values of 1 to 255.", where)
    count = classes[-1] if n_labels is None else int(n_labels)
    if count < classes[-1]:
        raise FormatError(f"The forest knows label {classes[-1]}, but the project has only {count} labels.", where)
    return count


def _shifted(children: IntArray, by: int | np.int64) -> IntArray:
    return np.where(children < 0, -1, children + by).astype(np.int32)


def _joined(parts: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    return _frozen(np.concatenate(parts))


def _frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    array.flags.writeable = False
    return array
