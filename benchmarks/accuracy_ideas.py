"""Ideas for the object model that were tried, beside what `accuracy.py` shows: the same brains, fewer trees.

    python benchmarks/accuracy_ideas.py [FOLDER] [--cache FOLDER]

What learns from candidates here sees them as an unseen brain's are seen: found by a forest that has not been trained on
the strokes of their own patch (`accuracy.py` takes the forest of the brain that is left out for all of them). Forests
predict where the forest of all strokes finds more than 0.2, or beside; elsewhere the probability counts as 0.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

sys.path.insert(0, str(Path(__file__).resolve().parent))
from accuracy import ROOT, VOXEL, Patch, grow, read_patches

from ecc_rf import CellFinder, FeatureSelection
from ecc_rf.evaluation import MatchingRule, match
from ecc_rf.features import compute_features
from ecc_rf.normalization import Normalization, NormalizedVolume, estimate_scales
from ecc_rf.objects import FEATURES
from ecc_rf.tuning.scoring import Pairing

CUTS = np.round(np.arange(0.05, 0.8, 0.025), 3)
CANDIDATES = CellFinder(threshold=0.35, min_volume=2, smoothing_um=1.62, contrast=True)
TREES = 40
RANKED = ("mean_probability", "contrast", "dog_coarse", "ring_contrast", "ring_relative", "ring_peak", "dog_fine")

Rows = Callable[[str, str, str], np.ndarray]  # scheme, patch that is left out, patch: features of its candidates
Fit = Callable[[np.ndarray, np.ndarray], Callable[[np.ndarray], np.ndarray]]


class Laboratory:
    """Features, forests and candidates, each computed once and kept."""

    def __init__(self, patches: list[Patch], cache: Path) -> None:
        cache.mkdir(parents=True, exist_ok=True)
        self.patches = {patch.name: patch for patch in patches}
        self.annotated = frozenset(patch.name for patch in patches if patch.strokes is not None)
        self._cache = cache
        self._tables: dict[tuple[frozenset[str], str], pd.DataFrame] = {}
        self._pairings: dict[int, Pairing] = {}
        self._regions: dict[str, np.ndarray] = {}

    def others(self, scheme: str, left_out: str) -> list[str]:
        brain = self.patches[left_out].brain
        return [n for n, p in self.patches.items() if (p.brain != brain if scheme == "brain" else n != left_out)]

    def table(self, scheme: str, left_out: str, name: str) -> pd.DataFrame:
        """Candidates of a patch, as seen while another one, or itself, is left out."""
        strokes = self.annotated & frozenset(self.others(scheme, left_out))
        if name != left_out:  # of patches, one alone: strokes of the other hardly matter for its candidates
            strokes = strokes - {name} if scheme == "brain" else self.annotated - {name}
        key = (strokes, name)
        if key not in self._tables:
            patch = self.patches[name]
            found = CANDIDATES.find(self._probability(strokes, name), patch.raw, voxel_size=VOXEL, workers=2)
            points = found[["z", "y", "x"]].to_numpy(float)
            inside = patch.truth.cell_at(points)
            is_cell = match(points, patch.truth.centres, VOXEL, inside=inside) >= 0
            self._tables[key] = found.assign(is_cell=is_cell)
            rule = MatchingRule()
            self._pairings[id(self._tables[key])] = Pairing(points, patch.truth.centres, VOXEL, rule, inside)
        return self._tables[key]

    def evaluate(self, scores: dict[tuple[str, str], np.ndarray]) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
        """F1 by cut for each scheme, and the best of each brain for other brains' strokes."""
        f1, best = [], {}
        for scheme in ("brain", "patch"):
            counts: dict[str, np.ndarray] = {}
            for name, patch in self.patches.items():
                table, score = self.table(scheme, name, name), scores[scheme, name]
                pairing, cells = self._pairings[id(table)], len(patch.truth.centres)
                kept = [score >= cut for cut in CUTS]
                rows = [(pairing.matched(one), np.count_nonzero(one), cells) for one in kept]
                counts[patch.brain] = counts.get(patch.brain, 0) + np.array(rows)
            total = sum(counts.values())
            f1.append(2 * total[:, 0] / (total[:, 1] + total[:, 2]))
            if scheme == "brain":
                best = {brain: float((2 * c[:, 0] / (c[:, 1] + c[:, 2])).max()) for brain, c in counts.items()}
        return f1[0], f1[1], best

    def learn(self, fit: Fit, rows: Rows) -> dict[tuple[str, str], np.ndarray]:
        scores, models = {}, {}
        for scheme in ("brain", "patch"):
            for name in self.patches:
                others = self.others(scheme, name)
                key = (scheme, *others)
                if key not in models:
                    is_cell = np.concatenate([self.table(scheme, name, other).is_cell for other in others])
                    models[key] = fit(np.concatenate([rows(scheme, name, other) for other in others]), is_cell)
                scores[scheme, name] = models[key](rows(scheme, name, name))
        return scores

    def features(self, name: str) -> np.ndarray:
        file = self._cache / f"features-{name}.npy"
        if not file.exists():
            patch = self.patches[name]
            brain = [p.volume for p in self.patches.values() if p.brain == patch.brain]
            image = NormalizedVolume(patch.volume, Normalization(), estimate_scales(brain)).read()
            computed = compute_features(image[np.newaxis], FeatureSelection.recommended().plan(image.shape, 1))
            np.save(file, computed.reshape(len(computed), -1).T)
        return np.asarray(np.load(file, mmap_mode="r"))

    def _forest(self, strokes: frozenset[str]) -> Callable[[np.ndarray], np.ndarray]:
        rows, labels = [], []
        for name in sorted(strokes):
            drawn = self.patches[name].strokes
            assert drawn is not None
            at = np.flatnonzero(drawn)
            rows.append(self.features(name)[at])
            labels.append(drawn.ravel()[at])
        forest = grow(np.concatenate(rows), np.concatenate(labels))
        return lambda values: forest.predict_proba(np.ascontiguousarray(values))[:, 0]

    def _probability(self, strokes: frozenset[str], name: str) -> np.ndarray:
        digest = hashlib.sha256("+".join(sorted(strokes)).encode()).hexdigest()[:16]
        file = self._cache / f"probability-{digest}-{name}.npy"
        shape = self.patches[name].raw.shape
        if not file.exists():
            region = None if strokes == self.annotated else self._region(name)
            at = np.arange(np.prod(shape)) if region is None else np.flatnonzero(region)
            values = np.zeros(int(np.prod(shape)), np.uint8)
            values[at] = np.rint(self._forest(strokes)(self.features(name)[at]) * 255)
            np.save(file, values.reshape(shape))
        return np.load(file)

    def _region(self, name: str) -> np.ndarray:
        if name not in self._regions:
            likely = self._probability(self.annotated, name) > 0.2 * 255
            self._regions[name] = ndimage.binary_dilation(likely, ndimage.generate_binary_structure(3, 2))
        return self._regions[name]


def trees(kind: type = RandomForestClassifier, leaf: int = 5) -> Fit:
    def fit(rows: np.ndarray, is_cell: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        model = kind(TREES, min_samples_leaf=leaf, max_features="sqrt", random_state=0).fit(rows, is_cell)
        return lambda values: model.predict_proba(values)[:, 1]

    return fit


def logistic(rows: np.ndarray, is_cell: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    def logarithms(values: np.ndarray) -> np.ndarray:
        return np.sign(values) * np.log1p(np.abs(values))

    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(logarithms(rows), is_cell)
    return lambda values: model.predict_proba(logarithms(values))[:, 1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT.parent / "shared/data/cfos")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "ecc_rf_accuracy_ideas")
    a = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    lab = Laboratory(read_patches(a.folder), a.cache)

    def columns(*names: str) -> Rows:
        return lambda scheme, left_out, name: lab.table(scheme, left_out, name)[list(names)].to_numpy(np.float32)

    def ranked(scheme: str, left_out: str, name: str) -> np.ndarray:
        """The features, and for some the share of the brain's candidates that have less."""
        table, brain = lab.table(scheme, left_out, name), lab.patches[name].brain
        mine = [other for other in lab.patches if lab.patches[other].brain == brain]
        if name == left_out:
            peers = [lab.table(scheme, other, other) for other in mine]
        else:
            peers = [lab.table(scheme, left_out, other) for other in mine if other != left_out]
        shares = []
        for column in RANKED:
            every = np.sort(np.concatenate([peer[column] for peer in peers]))
            shares.append(np.searchsorted(every, table[column]) / len(every))
        return np.column_stack([table[list(FEATURES)], *shares]).astype(np.float32)

    plain = columns(*FEATURES)
    relative = columns(*(name for name in FEATURES if not name.endswith("probability")))
    print("| idea | CV | other brains | other patches | cut | own best |", "|---" * 6 + "|", sep="\n")
    for title, fit, rows in (
        ("mean probability alone", None, columns("mean_probability")),
        ("all features, forest", trees(), plain),
        ("and ranks within the brain", trees(), ranked),
        ("without probability", trees(), relative),
        ("extremely randomised trees", trees(ExtraTreesClassifier), plain),
        ("logistic regression of logarithms", logistic, plain),
        ("leaves of 20", trees(leaf=20), plain),
    ):
        if fit is None:
            scores = {(s, n): rows(s, n, n)[:, 0] for s in ("brain", "patch") for n in lab.patches}
        else:
            scores = lab.learn(fit, rows)
        brain, patch, best = lab.evaluate(scores)
        at = int((brain + patch).argmax())
        of_brains = ", ".join(f"{name} {value:.3f}" for name, value in best.items())
        figures = f"{(brain[at] + patch[at]) / 2:.3f} | {brain[at]:.3f} | {patch[at]:.3f} | {CUTS[at]:.3f}"
        print(f"| {title} | {figures} | {of_brains} |", flush=True)


if __name__ == "__main__":
    main()
