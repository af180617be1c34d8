"""How close to ilastik: real projects, real images, what ilastik computed, what we compute.

    python benchmarks/fidelity.py [FOLDER] [--write docs/fidelity.md]

FOLDER holds the reference results (a folder per project with ``case.json``, and ``features/``); the default is
``../shared/golden``.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from ecc_rf import FeatureSelection, PixelClassifier, open_volume  # noqa: E402
from ecc_rf.features import compute_features  # noqa: E402
from ecc_rf.volumes import transpose_to  # noqa: E402
from tests.cases import (  # noqa: E402
    LARGEST_DIFFERENCE,
    LARGEST_FLIPS,
    LARGEST_SHARE,
    RESTATEMENT,
    Agreement,
    golden_cases,
)

INTRODUCTION = """# How close to ilastik

Printed by `python benchmarks/fidelity.py`. Each case is a real project whose stored forest real ilastik 1.4 (with
fastfilters) applied to an image; nothing is retrained. *Differ* is the share of probabilities that differ by more than
1e-6, *largest* the largest difference, *other winner* the share of voxels whose winning label differs although the two
best labels are more than 0.02 apart. The last column is the share that a plain float64 restatement of the features
reaches with the same forests.
"""


def probabilities(golden: Path) -> list[str]:
    lines = [
        "## Probabilities",
        "",
        "| case | differ | largest | other winner | float64 restatement differs |",
        "|---|---|---|---|---|",
    ]
    for case in golden_cases(golden):
        classifier = PixelClassifier.from_project(case.project)
        with open_volume(case.image) as image:
            axes = image.axes
            ours = classifier.predict(image.read(), axes)
        ours = transpose_to(ours, axes.replace("c", "") + "c", case.probabilities_axes)
        lines.append(row(case.name, Agreement.of(ours, case.expected()), RESTATEMENT.get(case.name)))
    limits = Agreement(LARGEST_SHARE, LARGEST_DIFFERENCE, LARGEST_FLIPS)
    return [*lines, row("*limit*", limits, None), ""]


def patches(cfos: Path) -> list[str]:
    lines = ["## Votes on cFos patches that were not annotated", "", "| patch | differ | largest | other winner |"]
    lines.append("|---|---|---|---|")
    classifier = PixelClassifier.from_project(cfos / "cfos.ilp")
    for file in sorted((cfos / "golden").glob("*_*.npz")):
        with np.load(file) as npz:
            votes = npz[npz.files[0]]
        with open_volume(cfos / "patches" / f"{file.stem}.h5") as image:
            ours = classifier.predict(image.read(), image.axes)
        found = Agreement.of(ours, votes.astype(np.float32) / np.float32(100))
        lines.append(f"| {file.stem} | {found.share:.1e} | {found.largest:.2f} | {found.flips:.1e} |")
    return [*lines, ""]


def features(golden: Path) -> list[str]:
    lines = [
        "## Features",
        "",
        "Differences are relative to the largest absolute value of the feature; *equal bits* is the share of values"
        " that are the same float32.",
        "",
        "| file | filter | equal bits | largest | r.m.s. |",
        "|---|---|---|---|---|",
    ]
    for name, entry in json.loads((golden / "features/features.json").read_text()).items():
        with open_volume(golden / "features" / entry["image"]) as image:
            block = transpose_to(image.read(), image.axes, "czyx")
        selection = selection_of(entry["channels"])
        plan = selection.plan(block.shape[1:], block.shape[0])
        assert list(plan.names) == entry["channels"], f"{name}: names or their order differ"
        ours = compute_features(block, plan)
        by_filter: dict[str, list[tuple[float, float, float, int]]] = {}
        with np.load(golden / "features" / name) as npz:
            for window, bounds in entry["windows"].items():
                theirs = transpose_to(npz[window], entry["axes"], "czyx")
                at = tuple(slice(*b) for b in ([[0, 1]] * (3 - len(bounds)) + bounds))
                for channel, title in enumerate(entry["channels"]):
                    mine, stored = ours[channel][at], theirs[channel]
                    scale = float(np.abs(ours[channel]).max()) or 1.0
                    error = np.abs(mine.astype(float) - stored) / scale
                    kind = title.split(" (")[0] + (" in 2D" if "in 2D" in title else "")
                    by_filter.setdefault(kind, []).append(
                        (float((mine == stored).mean()), float(error.max()), float((error**2).mean()), mine.size)
                    )
        for kind, found in by_filter.items():
            weights = [size for *_, size in found]
            equal = np.average([f[0] for f in found], weights=weights)
            rms = np.sqrt(np.average([f[2] for f in found], weights=weights))
            lines.append(f"| {name} | {kind} | {equal:.5f} | {max(f[1] for f in found):.1e} | {rms:.1e} |")
    return [*lines, ""]


def selection_of(names: list[str]) -> FeatureSelection:
    """The selection that gives features of these names."""
    from ecc_rf.features.selection import FEATURE_IDS, NICE_NAMES

    ids = {nice: key for key, nice in NICE_NAMES.items()}
    wanted: set[tuple[str, float]] = set()
    flat: dict[float, bool] = {}
    for name in names:
        nice, rest = name.split(" (σ=")
        scale = float(rest.split(")")[0])
        wanted.add((ids[nice], scale))
        flat[scale] = "in 2D" in rest
    scales = tuple(sorted(flat))
    matrix = tuple(tuple((feature, scale) in wanted for scale in scales) for feature in FEATURE_IDS)
    return FeatureSelection(tuple(FEATURE_IDS), scales, matrix, tuple(flat[s] for s in scales))


def row(name: str, found: Agreement, restatement: float | None) -> str:
    reference = f"{restatement:.1e}" if restatement else ""
    return f"| {name} | {found.share:.1e} | {found.largest:.3f} | {found.flips:.1e} | {reference} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT.parent / "shared" / "golden")
    parser.add_argument("--write", type=Path, help="write the tables here too")
    arguments = parser.parse_args()
    lines = [INTRODUCTION, *probabilities(arguments.folder)]
    cfos = arguments.folder.parent / "data" / "cfos"
    if cfos.is_dir():
        lines += patches(cfos)
    lines += features(arguments.folder)
    text = "\n".join(lines)
    print(text)
    if arguments.write:
        arguments.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
