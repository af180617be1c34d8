"""How many cells are found with strokes of other brains: cross-validation on annotated patches of three brains.

    python benchmarks/accuracy.py [FOLDER] [--write docs/accuracy.md] [--cache FOLDER]

FOLDER holds ``patches/``, ``truth/`` and ``labels/`` (default ``../shared/data/cfos``). Every patch is classified
twice: by a forest that was trained on strokes of the other brains, and by one trained on strokes of the other patches.
Probabilities are kept in the cache and computed only once.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from ecc_rf import CellFinder, FeatureSelection, PixelClassifier, RandomForest, open_volume  # noqa: E402
from ecc_rf.evaluation import Case, Evaluation, Truth, evaluate, match  # noqa: E402
from ecc_rf.evaluation.picture import draw  # noqa: E402
from ecc_rf.features import compute_features  # noqa: E402
from ecc_rf.normalization import Normalization, NormalizedVolume, estimate_scales  # noqa: E402
from ecc_rf.objects import ObjectModel, train_object_model  # noqa: E402
from ecc_rf.volumes.array import ArrayVolume  # noqa: E402

VOXEL = (6.0, 1.62, 1.62)
TREES = 60
SEED = 0
LABELS = ("cell", "false signal", "background")


@dataclass(frozen=True)
class Patch:
    name: str
    raw: np.ndarray
    truth: Truth
    strokes: np.ndarray | None

    @property
    def brain(self) -> str:
        return self.name.split("_")[0]

    @property
    def volume(self) -> ArrayVolume:
        return ArrayVolume(self.name, self.raw, "zyx", voxel_size=VOXEL)


def read_patches(folder: Path) -> list[Patch]:
    patches = []
    for path in sorted((folder / "patches").glob("*.h5")):
        strokes = folder / "labels" / f"{path.stem}.nii.gz"
        with open_volume(path) as raw, open_volume(folder / "truth" / path.name) as truth:
            labels = np.asarray(nibabel.load(strokes).dataobj).T if strokes.exists() else None  # xyz
            patches.append(Patch(path.stem, raw.read(), Truth.from_mask(truth.read(), path.stem), labels))
    return patches


@dataclass(frozen=True)
class Fold:
    """One patch that is left out, alone or with its brain, and the forest that has not seen it."""

    scheme: str
    patch: str
    forest: str
    training: tuple[str, ...]


def folds(patches: list[Patch]) -> list[Fold]:
    annotated = [p for p in patches if p.strokes is not None]
    found = []
    for patch in patches:
        others = tuple(p.name for p in annotated if p.brain != patch.brain)
        found.append(Fold("brain", patch.name, f"without-{patch.brain}", others))
        others = tuple(p.name for p in annotated if p.name != patch.name)
        name = f"without-{patch.name}" if patch.strokes is not None else "all"
        found.append(Fold("patch", patch.name, name, others))
    return found


class Probabilities:
    """Probabilities of label 1, computed once and kept: of a patch by the forest that was grown from others."""

    def __init__(self, patches: list[Patch], kind: str, images: Mapping[str, np.ndarray], cache: Path) -> None:
        self._patches = {p.name: p for p in patches}
        self._kind, self._images, self._cache = kind, images, cache
        self._selection = FeatureSelection.recommended()
        self._forests: dict[str, PixelClassifier] = {}
        self._kept: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        cache.mkdir(parents=True, exist_ok=True)

    def get(self, fold: Fold, patch: str) -> np.ndarray:
        file = self._cache / f"{self._kind}-{fold.forest}-{patch}.npy"
        if not file.exists():
            if fold.forest not in self._forests:
                rows, labels = zip(*(self._rows(name) for name in fold.training))
                forest = grow(np.concatenate(rows), np.concatenate(labels))
                self._forests[fold.forest] = PixelClassifier(self._selection, forest, LABELS)
            p = self._forests[fold.forest].predict(self._images[patch], "zyx")[..., 0]
            np.save(file, np.rint(p * 255).astype(np.uint8))
        return np.load(file)

    def _rows(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        if name not in self._kept:
            strokes, image = self._patches[name].strokes, self._images[name]
            assert strokes is not None
            features = compute_features(image[np.newaxis], self._selection.plan(image.shape, 1))
            self._kept[name] = features[:, strokes > 0].T.copy(), strokes[strokes > 0]
        return self._kept[name]


def grow(rows: np.ndarray, labels: np.ndarray) -> RandomForest:
    """A forest as ilastik grows one."""
    forest = RandomForestClassifier(TREES, max_features=int(np.sqrt(rows.shape[1]) + 0.5), random_state=SEED, n_jobs=2)
    return RandomForest.from_sklearn(forest.fit(rows, labels), rows.shape[1])


INTRODUCTION = """# More cells from the same strokes

Printed by `python benchmarks/accuracy.py`. Twelve human-annotated patches of three brains (DELiVR, cFos), strokes on
eight of them, forests of 60 trees. Every patch is classified by a forest that has not seen its *brain*, and by one that
has not seen the *patch*; F1 is pooled over all cells, one to one, and CV is the mean of the two. P, R and the figures
of each brain (1008, 1147, 753) are those of other brains' strokes: a dense brain hides a sparse one. Differences under
0.01 mean nothing. What else was tried: [accuracy_ideas.md](accuracy_ideas.md).
"""

PICTURES = """Normalised, smoothed, threshold 0.50, contrast 2.5; strokes of the other brains. Circles: found; squares:
missed; crosses: false alarms. In 1008 most misses are dim cells in bright tissue; in 753 some of what was found and
most false alarms are small bright spots; many false alarms look like cells."""

Tables = dict[tuple[str, str], pd.DataFrame]


def tables(patches: list[Patch], probabilities: Probabilities, finder: CellFinder) -> Tables:
    """The cells of every patch that is left out."""
    raw = {p.name: p.raw for p in patches}
    return {
        (fold.scheme, fold.patch): finder.find(
            probabilities.get(fold, fold.patch), raw[fold.patch], voxel_size=VOXEL, workers=2
        )
        for fold in folds(patches)
    }


def object_tables(
    patches: list[Patch], probabilities: Probabilities, finder: CellFinder, judgements: int | None = None
) -> Tables:
    """Candidates of every patch that is left out, with the probability of an object model.

    The model learns from the candidates of the other brains (or patches), found by the same forest: none of the two
    has seen the patch that is left out.
    """
    by_name = {p.name: p for p in patches}
    candidates: dict[tuple[str, str], tuple[pd.DataFrame, np.ndarray]] = {}
    models: dict[tuple[str, ...], ObjectModel] = {}
    result = {}

    def found(fold: Fold, name: str) -> tuple[pd.DataFrame, np.ndarray]:
        key = (fold.forest, name)
        if key not in candidates:
            patch = by_name[name]
            table = finder.find(probabilities.get(fold, name), patch.raw, voxel_size=VOXEL, workers=2)
            points = table[["z", "y", "x"]].to_numpy(float)
            candidates[key] = table, match(points, patch.truth.centres, VOXEL, inside=patch.truth.cell_at(points)) >= 0
        return candidates[key]

    for fold in folds(patches):
        own = by_name[fold.patch]
        others = [p.name for p in patches if (p.brain != own.brain if fold.scheme == "brain" else p.name != own.name)]
        key = (fold.forest, *others)
        if key not in models:
            several, labels = zip(*(found(fold, name) for name in others))
            rows, is_cell = pd.concat(several, ignore_index=True), np.concatenate(labels)
            if judgements is not None:
                drawn = np.random.default_rng(SEED).permutation(len(rows))[:judgements]
                rows, is_cell = rows.iloc[drawn], is_cell[drawn]
            models[key] = train_object_model(rows, is_cell, seed=SEED)
        table, _ = found(fold, fold.patch)
        result[fold.scheme, fold.patch] = table.assign(cell_probability=models[key].probabilities(table))
    return result


def cut(found: Tables, least: float) -> Tables:
    return {key: table[table.cell_probability >= least] for key, table in found.items()}


def scored(patches: list[Patch], found: Tables) -> dict[str, Evaluation]:
    return {
        scheme: evaluate(
            [
                Case(p.name, p.brain, found[scheme, p.name][["z", "y", "x"]].to_numpy(float), p.truth, VOXEL)
                for p in patches
            ]
        )
        for scheme in ("brain", "patch")
    }


def row(title: str, evaluations: Mapping[str, Evaluation]) -> str:
    """A line of the table: CV is the mean of the two pooled F1."""
    brain, patch = evaluations["brain"], evaluations["patch"]
    mean = (brain.pooled.f1 + patch.pooled.f1) / 2
    groups = " | ".join(f"{score.f1:.3f}" for score in brain.groups.values())
    figures = f"{brain.pooled.precision:.2f} | {brain.pooled.recall:.2f}"
    return f"| {title} | {mean:.3f} | {brain.pooled.f1:.3f} | {patch.pooled.f1:.3f} | {figures} | {groups} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT.parent / "shared/data/cfos")
    parser.add_argument("--write", type=Path, help="write the table and pictures beside it")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "ecc_rf_accuracy")
    a = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)  # a patch without cells
    patches = read_patches(a.folder)
    brains = {p.brain: [q.volume for q in patches if q.brain == p.brain] for p in patches}
    scales = {name: estimate_scales(volumes) for name, volumes in brains.items()}
    normalized = {p.name: NormalizedVolume(p.volume, Normalization(), scales[p.brain]).read() for p in patches}
    raw = Probabilities(patches, "raw", {p.name: p.raw for p in patches}, a.cache)
    normal = Probabilities(patches, "normalized", normalized, a.cache)
    best = CellFinder(threshold=0.5, min_volume=5, smoothing_um=1.62, min_contrast=2.5)
    lines = [
        "| step | CV | other brains | other patches | P | R | " + " | ".join(brains) + " |",
        "|" + "---|" * (6 + len(brains)),
    ]

    def show(title: str, found: Tables) -> dict[str, Evaluation]:
        evaluations = scored(patches, found)
        lines.append(row(title, evaluations))
        print(lines[-1], flush=True)
        return evaluations

    print("\n".join(lines))
    for title, probabilities, finder in (
        ("raw, threshold 0.70 (ilastik's means)", raw, CellFinder()),
        ("raw, 0.80, at least 12 voxels", raw, CellFinder(threshold=0.8, min_volume=11)),
        ("raw, smoothed, 0.60, at least 6", raw, CellFinder(threshold=0.6, min_volume=5, smoothing_um=1.62)),
        ("the same, contrast 3", raw, replace(best, threshold=0.6, min_contrast=3)),
        ("normalised, 0.80", normal, CellFinder(threshold=0.8)),
        ("normalised, smoothed, 0.60, at least 6", normal, replace(best, threshold=0.6, min_contrast=None)),
        ("the same, contrast 2.5", normal, replace(best, threshold=0.6)),
        ("the same, 0.55", normal, replace(best, threshold=0.55)),
        ("the same, 0.50", normal, best),
        ("the same, 0.45", normal, replace(best, threshold=0.45)),
        ("the same, 0.60 with hysteresis 0.50", normal, replace(best, threshold=0.6, low_threshold=0.5)),
    ):
        evaluations = show(title, tables(patches, probabilities, finder))
        if finder == best:
            chosen = evaluations
    for split in (None, 64):
        finder = CellFinder(threshold=0.35, min_volume=2, smoothing_um=1.62, contrast=True, max_volume=split)
        found = object_tables(patches, normal, finder)
        for least in (0.15, 0.20, 0.25, 0.30):
            show(f"object model, split above {split} voxels, cut {least:.2f}", cut(found, least))
    if a.write:
        write(a.write, lines, chosen["brain"], {p.name: a.folder / "patches" / f"{p.name}.h5" for p in patches})


def write(path: Path, lines: list[str], evaluation: Evaluation, images: Mapping[str, Path]) -> None:
    """The page and a picture of each brain's first patch."""
    text = [INTRODUCTION, *lines, "", "## Typical hits and errors", "", PICTURES, ""]
    folder = path.parent / "accuracy"
    for result in {r.case.group: r for r in reversed(evaluation.results)}.values():
        draw(result, folder / f"{result.case.name}.png", images[result.case.name], overwrite=True)
        text.append(f"![{result.case.name}](accuracy/{result.case.name}.png)")
    path.write_text("\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
