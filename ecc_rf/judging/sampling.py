"""A random sample of candidates, by strata: some of every brain and of every probability.

Every brain gives the same number of candidates, and within a brain so does every band of probability; the bands hold
equally many candidates. What is drawn of a stratum stands for all of it: its weight is their number divided by how many
were drawn, and sums with these weights are unbiased estimates for all candidates, whatever was drawn how often [1]_.

.. [1] Horvitz and Thompson, J. Am. Stat. Assoc. 47 (1952), 663.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecc_rf.errors import SettingError

BANDS = 4
UNCERTAIN_SHARES = (0.55, 0.25, 0.12, 0.08)
"""Of the sample, from the most uncertain quarter of the candidates to the surest: mostly what teaches most, and so
much of the rest that an estimate for all stays possible."""


@dataclass(frozen=True)
class Sample:
    """What was drawn, in random order: what is judged first is a random sample, too.

    Attributes
    ----------
    rows : ndarray of int64, shape (n,)
        Of all candidates, from 0.
    strata : tuple of str
        Of each drawn candidate.
    sizes : ndarray of int64, shape (n,)
        Candidates in its stratum.
    weights : ndarray of float64, shape (n,)
        How many candidates each stands for.
    """

    rows: NDArray[np.int64]
    strata: tuple[str, ...]
    sizes: NDArray[np.int64]
    weights: NDArray[np.float64]


def check_sample(count: int, seed: int) -> None:
    """Refuse settings of `draw_sample`, before the candidates are looked for."""
    if count < 1:
        raise SettingError(f"{count} candidates cannot be drawn.", where="--count", do="Give 1 or more, better 80.")
    if seed < 0:
        raise SettingError(f"The seed is {seed}; it must be 0 or more.", where="--seed")


def draw_sample(
    groups: Sequence[str],
    probability: NDArray[np.float64],
    count: int,
    *,
    seed: int = 0,
    cut: float | None = None,
) -> Sample:
    """Draw candidates.

    Parameters
    ----------
    groups : sequence of str, length n
        The brain of each candidate.
    probability : ndarray, shape (n,)
    count : int
        How many; all, if there are fewer.
    seed : int
    cut : float, optional
        Prefer candidates whose probability is near this one: bands of uncertainty instead of probability.

    Raises
    ------
    SettingError
        If the count is not positive.

    Examples
    --------
    >>> sample = draw_sample(["a"] * 90 + ["b"] * 10, np.linspace(0, 1, 100), 16)
    >>> sorted(set(zip(sample.strata, sample.weights.tolist())))[3:5]
    [('a, probability 4 of 4', 11.0), ('b, probability 1 of 4', 1.5)]
    """
    check_sample(count, seed)
    order = probability if cut is None else -np.abs(probability - cut)
    what = "probability" if cut is None else "certainty"
    names = list(dict.fromkeys(groups))
    members = [np.flatnonzero(np.asarray(groups, object) == name) for name in names]
    per_group = allocate(count, [len(rows) for rows in members], [1.0] * len(names))
    rows, strata, sizes, weights = [], [], [], []
    for number, (name, own, share) in enumerate(zip(names, members, per_group)):
        ranked = own[np.argsort(order[own], kind="stable")]
        bands = np.array_split(ranked if cut is None else ranked[::-1], BANDS)
        shares = [1.0] * BANDS if cut is None else list(UNCERTAIN_SHARES)
        for band, (all_rows, n) in enumerate(zip(bands, allocate(share, [len(b) for b in bands], shares))):
            if not n:
                continue
            # a generator of its own: what is drawn of a stratum does not depend on the others
            drawn = np.random.default_rng([seed, number, band]).permutation(np.sort(all_rows))[:n]
            rows.append(drawn)
            strata += [f"{name}, {what} {band + 1} of {BANDS}"] * n
            sizes.append(np.full(n, len(all_rows)))
            weights.append(np.full(n, len(all_rows) / n))
    shuffled = np.random.default_rng([seed, len(names)]).permutation(len(strata))
    return Sample(
        np.concatenate(rows).astype(np.int64)[shuffled],
        tuple(strata[i] for i in shuffled.tolist()),
        np.concatenate(sizes).astype(np.int64)[shuffled],
        np.concatenate(weights)[shuffled],
    )


def allocate(count: int, sizes: Sequence[int], shares: Sequence[float]) -> list[int]:
    """How many to draw of each of some strata: by their shares, never more than there are, one of each if possible.

    >>> allocate(10, [100, 100, 2], [1, 1, 1]), allocate(9, [5, 5], [1, 1]), allocate(4, [9, 9, 9], [8, 1, 1])
    ([4, 4, 2], [5, 4], [2, 1, 1])
    """
    given = [0] * len(sizes)
    left = min(count, sum(sizes))
    for i in sorted(range(len(sizes)), key=lambda i: (-shares[i], i)):
        if left and sizes[i]:
            given[i], left = 1, left - 1
    while left:  # one at a time to whoever is furthest behind its share: counts are small
        open_ones = [i for i in range(len(sizes)) if given[i] < sizes[i]]
        behind = min(open_ones, key=lambda i: ((given[i] + 1) / shares[i], i))
        given[behind] += 1
        left -= 1
    return given
