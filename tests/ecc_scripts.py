"""The drop-in classes for the original ecc's scripts, ready to run on the project's own small data."""

from __future__ import annotations

from pathlib import Path

import ecc_rf
from ecc_rf.ecc import CellFinder, PixelClassifier

VOXEL = {"X": 2.0, "Y": 2.0, "Z": 5.0}


def own_probability(fixtures: Path, folder: Path) -> Path:
    """The fixture's probabilities by ecc_rf's own class."""
    path = folder / "probability.h5"
    own = ecc_rf.PixelClassifier.from_project(fixtures / "cells.ilp")
    own.predict_volume(fixtures / "brain.h5", path, labels=[1], dtype="uint8")
    return path


def classifier(project: Path, brain: Path, outdir: Path) -> PixelClassifier:
    pc = PixelClassifier()
    pc.set_project_file(project)
    pc.set_input_image(brain)
    pc.set_output_dir(outdir)
    return pc


def finder(brain: Path, probability: Path, outdir: Path) -> CellFinder:
    cf = CellFinder()
    cf.set_raw_image_path(brain)
    cf.set_prob_image_path(probability)
    cf.set_image_voxel_size(VOXEL)
    cf.set_outdir(outdir)
    return cf


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
