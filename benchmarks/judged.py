"""How many judged candidates it takes: object models from samples, tried on brains that nobody judged.

    python benchmarks/judged.py [FOLDER] [--seeds N] [--cache FOLDER]

FOLDER is that of `accuracy.py`. Each brain is left out in turn: the pixel forest is grown from strokes of the other
brains, candidates of the other brains are drawn as ``ecc-rf candidates`` draws them, judged by the truth, and the
object model of these finds the cells of the brain that was left out. In the last rows the candidates that are judged
are drawn from the brains in which cells are then found, whose strokes the pixel forest has not seen. F1 is pooled
over the three brains; given are the mean over the seeds, the least and the most.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from accuracy import VOXEL, Patch, Probabilities, folds, read_patches  # noqa: E402

from ecc_rf import CellFinder  # noqa: E402
from ecc_rf.evaluation import Case, evaluate, match  # noqa: E402
from ecc_rf.judging import draw_sample  # noqa: E402
from ecc_rf.normalization import Normalization, NormalizedVolume, estimate_scales  # noqa: E402
from ecc_rf.object_training import CANDIDATES  # noqa: E402
from ecc_rf.objects import ObjectModel, train_object_model  # noqa: E402


@dataclass(frozen=True)
class Fold:
    """A brain that is left out: candidates of the others with their truth, and its own."""

    brain: str
    others: pd.DataFrame
    is_cell: np.ndarray
    groups: list[str]
    own: dict[str, pd.DataFrame]


def brain_folds(
    patches: list[Patch], probabilities: Probabilities, finder: CellFinder
) -> tuple[list[Fold], list[Fold]]:
    """All three; and one in which candidates of every brain are judged. Candidates of a patch are found by the forest
    of the fold."""
    result = []
    seen: list[tuple[Patch, pd.DataFrame, np.ndarray]] = []
    for brain in dict.fromkeys(p.brain for p in patches):
        fold = next(f for f in folds(patches) if f.scheme == "brain" and f.forest == f"without-{brain}")
        found = []
        for p in patches:
            table = finder.find(probabilities.get(fold, p.name), p.raw, voxel_size=VOXEL, workers=2)
            points = table[["z", "y", "x"]].to_numpy(float)
            is_cell = match(points, p.truth.centres, VOXEL, inside=p.truth.cell_at(points)) >= 0
            found.append((p, table, is_cell))
        own = [one for one in found if one[0].brain == brain]
        seen += own
        result.append(_fold(brain, [one for one in found if one[0].brain != brain], own))
    return result, [_fold("all", seen, seen)]


def _fold(
    brain: str, judged: list[tuple[Patch, pd.DataFrame, np.ndarray]], own: list[tuple[Patch, pd.DataFrame, np.ndarray]]
) -> Fold:
    return Fold(
        brain,
        pd.concat([table for _, table, _ in judged], ignore_index=True),
        np.concatenate([is_cell for *_, is_cell in judged]),
        [p.brain for p, table, _ in judged for _ in range(len(table))],
        {p.name: table for p, table, _ in own},
    )


Train = Callable[[Fold, int], ObjectModel]


def everything(cut: float | None) -> Train:
    return lambda fold, seed: train_object_model(fold.others, fold.is_cell, seed=seed, cut=cut)


def at_random(count: int, cut: float | None) -> Train:
    def train(fold: Fold, seed: int) -> ObjectModel:
        rows = np.random.default_rng(seed).permutation(len(fold.others))[:count]
        return train_object_model(fold.others.iloc[rows], fold.is_cell[rows], seed=seed, cut=cut)

    return train


def by_strata(count: int, cut: float | None, *, weigh_trees: bool = False) -> Train:
    def train(fold: Fold, seed: int) -> ObjectModel:
        sample = draw_sample(fold.groups, fold.others["mean_probability"].to_numpy(float), count, seed=seed)
        table, is_cell = fold.others.iloc[sample.rows], fold.is_cell[sample.rows]
        return train_object_model(table, is_cell, weights=sample.weights, weigh_trees=weigh_trees, seed=seed, cut=cut)

    return train


def then_uncertain(first: int, second: int, cut: float | None) -> Train:
    """Judge some, then those of which the model of these is least sure."""

    def train(fold: Fold, seed: int) -> ObjectModel:
        one = draw_sample(fold.groups, fold.others["mean_probability"].to_numpy(float), first, seed=seed)
        model = train_object_model(
            fold.others.iloc[one.rows], fold.is_cell[one.rows], weights=one.weights, seed=seed, cut=cut
        )
        known = model.probabilities(fold.others).astype(float)
        two = draw_sample(fold.groups, known, second, seed=seed, cut=model.cut)
        weights = np.zeros(len(fold.others))  # as `collect` puts tables together
        for sample in (one, two):
            weights[sample.rows] += sample.weights * len(sample.rows) / (len(one.rows) + len(two.rows))
        rows = np.flatnonzero(weights)
        return train_object_model(fold.others.iloc[rows], fold.is_cell[rows], weights=weights[rows], seed=seed, cut=cut)

    return train


def score(patches: list[Patch], every: list[Fold], train: Train, seed: int) -> list[float]:
    """F1 of all cells, and of each brain's."""
    by_name = {p.name: p for p in patches}
    cases = []
    for fold in every:
        model = train(fold, seed)
        for name, table in fold.own.items():
            taken = table[model.probabilities(table) >= model.cut][["z", "y", "x"]].to_numpy(float)
            cases.append(Case(name, by_name[name].brain, taken, by_name[name].truth, VOXEL))
    found = evaluate(cases)
    return [found.pooled.f1, *(one.f1 for one in found.groups.values())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT.parent / "shared/data/cfos")
    parser.add_argument("--seeds", type=int, default=10, metavar="N")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "ecc_rf_accuracy")
    a = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)  # a patch without cells
    patches = read_patches(a.folder)
    brains = {p.brain: [q.volume for q in patches if q.brain == p.brain] for p in patches}
    scales = {name: estimate_scales(volumes) for name, volumes in brains.items()}
    images = {p.name: NormalizedVolume(p.volume, Normalization(), scales[p.brain]).read() for p in patches}
    probabilities = Probabilities(patches, "normalized", images, a.cache)
    apart, own = brain_folds(patches, probabilities, CANDIDATES)
    print("| judged | cut | F1 | least to most | " + " | ".join(brains) + " |")
    print("|" + "---|" * (4 + len(brains)))
    for title, cut, every, train in (
        ("all of other brains", "0.20", apart, everything(0.20)),
        ("80 at random", "0.20", apart, at_random(80, 0.20)),
        ("80 by strata", "0.20", apart, by_strata(80, 0.20)),
        ("80 by strata", "suggested", apart, by_strata(80, None)),
        ("80 by strata, trees weighted", "0.20", apart, by_strata(80, 0.20, weigh_trees=True)),
        ("40 by strata, 40 uncertain", "0.20", apart, then_uncertain(40, 40, 0.20)),
        ("200 at random", "0.20", apart, at_random(200, 0.20)),
        ("200 by strata", "0.20", apart, by_strata(200, 0.20)),
        ("200 by strata, trees weighted", "0.20", apart, by_strata(200, 0.20, weigh_trees=True)),
        ("80 by strata, 120 uncertain", "0.20", apart, then_uncertain(80, 120, 0.20)),
        ("80 by strata, of these brains", "0.20", own, by_strata(80, 0.20)),
        ("80 by strata, of these brains", "suggested", own, by_strata(80, None)),
        ("200 by strata, of these brains", "0.20", own, by_strata(200, 0.20)),
        ("200 by strata, of these brains", "suggested", own, by_strata(200, None)),
        ("all of other brains", "suggested", apart, everything(None)),
    ):
        seeds = a.seeds if not title.startswith("all") else 1
        scores = np.array([score(patches, every, train, seed) for seed in range(seeds)])
        pooled, *each = scores.mean(axis=0)
        span = f"{scores[:, 0].min():.3f} to {scores[:, 0].max():.3f}"
        print(f"| {title} | {cut} | {pooled:.3f} | {span} | " + " | ".join(f"{f:.3f}" for f in each) + " |", flush=True)


if __name__ == "__main__":
    main()
