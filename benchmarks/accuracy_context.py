"""What is around a candidate, as a further feature of the object model: which, how wide, and what it brings.

    python benchmarks/accuracy_context.py [FOLDER] [--cache FOLDER]

The candidates, brains and scores are those of `accuracy.py`, whose cache is used. Every row adds columns to the eleven
features of a candidate alone, and is shown at the cut that suits it best.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from accuracy import ROOT, VOXEL, Fold, Patch, Probabilities, folds, read_patches
from scipy import ndimage
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

from ecc_rf import CellFinder
from ecc_rf.evaluation import match
from ecc_rf.normalization import Normalization, NormalizedVolume, estimate_scales
from ecc_rf.objects import FEATURES

ALONE = [name for name in FEATURES if name != "local_probability"]
CUTS = np.round(np.arange(0.15, 0.45, 0.025), 3)
CUBES_UM = (36, 50, 75, 100, 150)
GAUSSIANS_UM = (1.6, 3, 6, 10, 15, 25)

Candidates = Mapping[tuple[str, str], tuple[pd.DataFrame, np.ndarray, np.ndarray]]  # by forest and patch


def find(patches: list[Patch], normalized: Mapping[str, np.ndarray], probabilities: Probabilities) -> Candidates:
    """Candidates of each patch by each forest that is asked for: table, which are cells, within which cell they lie."""
    finder = CellFinder(threshold=0.35, min_volume=2, smoothing_um=1.62, contrast=True)
    by_name = {patch.name: patch for patch in patches}
    scales = {p.brain: estimate_scales([q.volume for q in patches if q.brain == p.brain])[0] for p in patches}
    found = {}
    for fold in folds(patches):
        for name in (fold.patch, *others(patches, fold)):
            if (fold.forest, name) in found:
                continue
            patch, probability = by_name[name], probabilities.get(fold, name)
            table = finder.find(probability, patch.raw, voxel_size=VOXEL, workers=2)
            points = table[["z", "y", "x"]].to_numpy(float)
            at = tuple(np.clip(np.rint(points).astype(int), 0, np.array(patch.raw.shape) - 1).T)
            values = probability.astype(np.float32) / 255
            columns = {
                f"gaussian {um}": ndimage.gaussian_filter(values, [um / size for size in VOXEL])[at]
                for um in GAUSSIANS_UM
            }
            for um in CUBES_UM:
                extents = [max(1, round(um / size)) for size in VOXEL]
                columns[f"cube {um}"] = ndimage.uniform_filter(values, extents, mode="reflect")[at]
            columns["patch"] = np.full(len(table), values.mean())
            columns["background"] = (patch.raw / scales[patch.brain] - normalized[name])[at]
            inside = patch.truth.cell_at(points)
            is_cell = match(points, patch.truth.centres, VOXEL, inside=inside) >= 0
            found[fold.forest, name] = table.assign(**columns), is_cell, inside
    return found


def others(patches: list[Patch], fold: Fold) -> list[str]:
    """The patches that a model of a fold learns from."""
    own = next(patch for patch in patches if patch.name == fold.patch)
    return [p.name for p in patches if (p.brain != own.brain if fold.scheme == "brain" else p.name != own.name)]


def scores(
    patches: list[Patch], found: Candidates, columns: list[str], model: Callable[[], RandomForestClassifier]
) -> tuple[float, float, float, float]:
    """CV, its two halves and the cut, at the best of `CUTS`."""
    by_name = {patch.name: patch for patch in patches}
    grown: dict[tuple[str, ...], RandomForestClassifier] = {}
    pooled = {scheme: np.zeros((len(CUTS), 3)) for scheme in ("brain", "patch")}
    for fold in folds(patches):
        names = others(patches, fold)
        key = (fold.forest, *names)
        if key not in grown:
            seen = [found[fold.forest, name] for name in names]
            rows = np.concatenate([table[columns].to_numpy(np.float32) for table, _, _ in seen])
            grown[key] = model().fit(rows, np.concatenate([is_cell for _, is_cell, _ in seen]))
        table, _, inside = found[fold.forest, fold.patch]
        truth = by_name[fold.patch].truth
        probability = grown[key].predict_proba(table[columns].to_numpy(np.float32))[:, 1]
        for row, cut in zip(pooled[fold.scheme], CUTS):
            kept = probability >= cut
            points = table[["z", "y", "x"]].to_numpy(float)[kept]
            matched = (match(points, truth.centres, VOXEL, inside=inside[kept]) >= 0).sum()
            row += matched, len(points), len(truth.centres)
    brain, patch = (2 * counts[:, 0] / (counts[:, 1] + counts[:, 2]) for counts in pooled.values())
    best = int((brain + patch).argmax())
    return (brain[best] + patch[best]) / 2, brain[best], patch[best], CUTS[best]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT.parent / "shared/data/cfos")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "ecc_rf_accuracy")
    a = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    patches = read_patches(a.folder)
    brains = {p.brain: estimate_scales([q.volume for q in patches if q.brain == p.brain]) for p in patches}
    normalized = {p.name: NormalizedVolume(p.volume, Normalization(), brains[p.brain]).read() for p in patches}
    found = find(patches, normalized, Probabilities(patches, "normalized", normalized, a.cache))

    def forest(kind: type = RandomForestClassifier, leaf: int = 20) -> Callable[[], RandomForestClassifier]:
        return lambda: kind(150, min_samples_leaf=leaf, max_features="sqrt", random_state=0, n_jobs=2)

    rows: list[tuple[str, list[str], Callable[[], RandomForestClassifier]]] = [
        ("nothing", [], forest()),
        *((f"mean probability in a cube of {um} µm", [f"cube {um}"], forest()) for um in CUBES_UM),
        *((f"probability smoothed by {um} µm", [f"gaussian {um}"], forest()) for um in GAUSSIANS_UM),
        ("mean probability of the patch", ["patch"], forest()),
        ("background, in units of the brain's median", ["background"], forest()),
        ("background and cube of 75 µm", ["background", "cube 75"], forest()),
        ("smoothed by 1.6 and 3 µm, and cube of 75 µm", ["gaussian 1.6", "gaussian 3", "cube 75"], forest()),
        ("local_probability (what is in the program)", ["local_probability"], forest()),
        ("local_probability, leaves of 5", ["local_probability"], forest(leaf=5)),
        ("local_probability, extra trees", ["local_probability"], forest(ExtraTreesClassifier, 10)),
    ]
    print("| added | CV | other brains | other patches | cut |", "|---" * 5 + "|", sep="\n")
    for title, columns, model in rows:
        cv, brain, patch, cut = scores(patches, found, ALONE + columns, model)
        print(f"| {title} | {cv:.3f} | {brain:.3f} | {patch:.3f} | {cut:.3f} |", flush=True)


if __name__ == "__main__":
    main()
