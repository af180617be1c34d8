"""What the trees of a forest say about the rows that they have not seen.

A tree's bootstrap leaves out about a third of the rows (37 %). The votes of these trees alone on a row are those of a
smaller forest that never saw it. Voxels of one brush stroke resemble each other, though, and mostly some of them were
seen: on another brain the error is larger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ecc_rf.blocks import resolve_workers
from ecc_rf.forest.training import GrownForest

Votes = npt.NDArray[np.float64]

LARGEST_SAMPLE = 10_000  # rows on which features are tried out: the error of a share of 10 % is then 0.3 %


@dataclass(frozen=True, eq=False)
class OutOfBag:
    """Out-of-bag votes.

    Attributes
    ----------
    votes : (n, classes) float64
        Sum of the leaf probabilities of the trees that have not seen the row.
    classes : (n,) int
        True class column of each row.
    """

    votes: Votes
    classes: npt.NDArray[np.int64]

    @property
    def judged(self) -> npt.NDArray[np.bool_]:
        """Rows that some tree has not seen: nearly all, unless there are few trees."""
        return np.asarray(self.votes.sum(axis=1) > 0)

    def confusion(self, among: npt.NDArray[np.bool_] | None = None) -> npt.NDArray[np.int64]:
        """Number of judged rows by true class (row) and winning class (column; the first of equal ones)."""
        chosen = self.judged if among is None else self.judged & among
        n = self.votes.shape[1]
        pairs = self.classes[chosen] * n + self.votes[chosen].argmax(axis=1)
        return np.bincount(pairs, minlength=n * n).reshape(n, n)

    @property
    def error(self) -> float | None:
        """Share of judged rows whose winning class is wrong; None if none was judged."""
        return error_of(self.confusion())


def error_of(confusion: npt.NDArray[np.int64]) -> float | None:
    """Share of what is off the diagonal; None of nothing.

    >>> error_of(np.array([[8, 1], [1, 10]]))
    0.1
    """
    total = int(confusion.sum())
    return (total - int(np.trace(confusion))) / total if total else None


def out_of_bag(grown: GrownForest, *, workers: int | None = None) -> OutOfBag:
    """Ask every tree about the rows that it has not seen."""
    (votes,) = _votes(grown, [()], np.arange(len(grown.rows)), 0, workers)
    return OutOfBag(votes, grown.classes)


def permuted(
    grown: GrownForest, columns: Sequence[Sequence[int]], *, seed: int = 0, workers: int | None = None
) -> list[tuple[float | None, float | None]]:
    """The out-of-bag error when some columns are shuffled among the rows: what a forest loses without knowing them.

    What the trees would learn from other columns instead, had they never seen these, is not regarded: it is an upper
    bound of what is lost by leaving them out.

    Parameters
    ----------
    grown : GrownForest
    columns : sequence of sequences of int
        Sets of columns; those of a set are shuffled together.
    seed : int
        Of the order of the rows.
    workers : int, optional
        Threads.

    Returns
    -------
    list of (error, rise)
        For each set; the rise is over the error of the same rows unshuffled. On at most `LARGEST_SAMPLE` rows.
    """
    n = len(grown.rows)
    rng = np.random.default_rng(seed)
    sample = np.arange(n) if n <= LARGEST_SAMPLE else np.sort(rng.choice(n, LARGEST_SAMPLE, replace=False))
    results = _votes(grown, [(), *columns], sample, seed, workers)
    plain, *errors = [OutOfBag(votes, grown.classes[sample]).error for votes in results]
    return [(error, None if error is None or plain is None else error - plain) for error in errors]


def _votes(
    grown: GrownForest,
    columns: Sequence[Sequence[int]],
    sample: npt.NDArray[np.intp],
    seed: int,
    workers: int | None,
) -> list[Votes]:
    """Votes on a sample of rows, once for each set of columns that are shuffled."""
    import joblib

    order = np.random.default_rng([seed, 1]).permutation(sample)
    position = np.full(len(grown.rows), -1)
    position[sample] = np.arange(len(sample))

    def ask(number: int) -> tuple[npt.NDArray[np.intp], list[Votes]]:
        at = position[grown.unseen(number)]
        at = at[at >= 0]
        rows, others = grown.rows[sample[at]], grown.rows[order[at]]
        tree, answers = grown.trees[number], []
        for chosen in columns:
            shuffled = rows
            if len(chosen):
                shuffled = rows.copy()
                shuffled[:, list(chosen)] = others[:, list(chosen)]
            value = tree.value[tree.apply(shuffled), 0, :]
            answers.append(value / value.sum(axis=1, keepdims=True))
        return at, answers

    totals = [np.zeros((len(sample), grown.forest.n_classes)) for _ in columns]
    parallel = joblib.Parallel(n_jobs=resolve_workers(workers), backend="threading", return_as="generator")
    # in the order of the trees: sums of shares do not depend on the threads then
    for at, answers in parallel(joblib.delayed(ask)(number) for number in range(len(grown.trees))):
        for total, answer in zip(totals, answers):
            total[at] += answer
    return totals
