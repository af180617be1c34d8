"""The real projects of shared/golden, as one list of cases, and the limits they are held to.

The limits are facts of ilastik itself (golden/README.md): it changes up to 6 values in 10,000 by at most 0.07 when it
only cuts its blocks otherwise, and its closed form for 3D eigenvalues errs by up to 1e-3 of the maximum. A voxel whose
feature lies on a threshold then changes one tree's vote.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

LARGEST_SHARE = 1.5e-3  # of the values may differ by more than 1e-6
LARGEST_DIFFERENCE = 0.15
LARGEST_FLIPS = 2e-5  # of the voxels may have another winner, where the two best are more than 0.02 apart

# A float64 restatement of the features with the stored forests gives these shares (golden/README.md); no case may
# be clearly worse.
RESTATEMENT = {
    "flat_label_without_annotation": 9.6e-6,
    "flat_3channel_allfeatures": 1.3e-5,
    "flat_1channel": 1.8e-4,
    "volume_2channel": 3.0e-4,
    "volume_seed_features": 3.7e-4,
    "time_series_2channel": 4.7e-4,
    "volume_2d3d_mix": 9.5e-4,
    "volume_ilastik_1_2": 1.3e-3,
}


@dataclass(frozen=True)
class Case:
    """One project, one image, and the probabilities that ilastik computed for it."""

    name: str
    project: Path
    image: str
    axes: str
    probabilities: Path
    probabilities_axes: str

    def expected(self) -> np.ndarray:
        """ilastik's probabilities, label channel last."""
        with np.load(self.probabilities) as file:
            stored: np.ndarray = file["p"]
        return stored


@dataclass(frozen=True)
class Agreement:
    """How far probabilities are from ilastik's."""

    share: float
    largest: float
    flips: float

    @classmethod
    def of(cls, ours: np.ndarray, theirs: np.ndarray) -> Agreement:
        difference = np.abs(ours.astype(np.float64) - theirs)
        two = np.sort(theirs, axis=-1)[..., -2:]
        clear = two[..., 1] - two[..., 0] > 0.02
        flips = clear & (ours.argmax(axis=-1) != theirs.argmax(axis=-1))
        return cls(float((difference > 1e-6).mean()), float(difference.max()), float(flips.mean()))


def golden_cases(golden: Path) -> Iterator[Case]:
    """All cases, the unseen image of one project among them."""
    for file in sorted(golden.glob("*/case.json")):
        case = json.loads(file.read_text())
        folder = file.parent
        variants = [(folder.name, case)]
        if "unseen" in case:
            variants.append((f"{folder.name} (unseen)", case["unseen"]))
        for name, part in variants:
            image = str(folder / part["image"]) + (f"/{part['dataset']}" if part["dataset"] else "")
            yield Case(
                name,
                folder / case["project"],
                image,
                case["image_axes"],
                folder / part["probabilities"],
                case["probabilities_axes"],
            )
