"""The good projects that mutants are made from."""

from __future__ import annotations

import contextlib
import functools
import gc
import io
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import h5py

from ecc_rf import IlastikProject
from ecc_rf.cli import main
from ecc_rf.ilp.encoding import write_text
from ecc_rf.ilp.normalization_note import LaneNote, NormalizationNote, forest_digest, write_note
from ecc_rf.image_statistics import ImageStatistics
from ecc_rf.normalization import Normalization
from ecc_rf.trained_on import TrainedOn
from tests.conftest import ROOT, SHARED
from tests.fuzzing.campaign import COMMANDS, Base

# region of the image, small: what is fuzzed is the project
_GOLDEN = {
    "flat_1channel": ("image.png", "y=0:24,x=0:24"),
    "flat_label_without_annotation": ("img2d_u8.h5/data", "y=0:24,x=0:24"),
    "time_series_2channel": ("image.h5/data", "t=0:1,y=0:24,x=0:24"),
    "volume_2channel": ("vol3d_2c_u8.h5/data", "z=0:2,y=0:16,x=0:16"),
    "volume_2d3d_mix": ("Data_3D.npy", "z=0:2,y=0:16,x=0:16"),
    "volume_seed_features": ("vol3d_hard_u8.h5/data", "z=0:2,y=0:16,x=0:16"),
}
# trained on an image that was in another folder
_LOST = ("flat_1channel", "time_series_2channel")


def fixture() -> Base:
    """The project that every clone has."""
    folder = ROOT / "data" / "fixtures"
    return Base("cells", folder / "cells.ilp", str(folder / "brain.h5"), "z=0:2,y=0:16,x=0:16", (folder / "brain.h5",))


def noted(folder: Path) -> Base:
    """The same with all that is noted when a project is trained here: of its images, and how they are normalised."""
    good = fixture()
    path = folder / "noted.ilp"
    path.write_bytes(good.project.read_bytes())
    lanes = {0: LaneNote(stored=False, scales=(239.0,), group="brain", voxel_size=(5.0, 2.0, 2.0))}
    digest = forest_digest(IlastikProject.open(path).forest())
    image = ImageStatistics("brain.h5/data", "uint16", (5.0, 2.0, 2.0), False, ((),))
    with h5py.File(path, "r+") as file:
        write_note(file, NormalizationNote(Normalization(75.0), lanes, digest))
        write_text(file["ecc_rf"], "training", TrainedOn((image,), "NeuN", 780, 0.04).text())
    return replace(good, name="noted", project=path, commands=("info",))  # others would normalise, which takes seconds


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """For what is made here; gone when this process ends."""
    return tempfile.TemporaryDirectory(prefix="fuzz-")


def bases() -> list[Base]:
    """All there are; the real ones only where the folder of shared data is."""
    found = [fixture(), noted(Path(_folder().name))]
    for name, (image, roi) in _GOLDEN.items():
        folder = SHARED / "golden" / name
        if folder.is_dir():
            others = tuple(path for path in sorted(folder.iterdir()) if path.name != "project.ilp")
            found.append(Base(name, folder / "project.ilp", str(folder / image), roi, others, lost=name in _LOST))
    return found


def warmed(base: Base, commands: Sequence[str] = ()) -> None:
    """Run the commands once in this process: what is imported and compiled is there in every child."""
    with tempfile.TemporaryDirectory() as out, contextlib.redirect_stdout(io.StringIO()):
        for name in base.commands:
            if name not in (commands or COMMANDS):
                continue
            main(COMMANDS[name](base, base.project, Path(out)))
    gc.collect()
    gc.freeze()  # or every child would look through all that was imported, and so copy it
