"""The good projects that mutants are made from."""

from __future__ import annotations

import contextlib
import gc
import io
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ecc_rf.cli import main
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


def bases() -> list[Base]:
    """All there are; the real ones only where the folder of shared data is."""
    found = [fixture()]
    for name, (image, roi) in _GOLDEN.items():
        folder = SHARED / "golden" / name
        if folder.is_dir():
            others = tuple(path for path in sorted(folder.iterdir()) if path.name != "project.ilp")
            found.append(Base(name, folder / "project.ilp", str(folder / image), roi, others, name in _LOST))
    return found


def warmed(base: Base, commands: Sequence[str] = ()) -> None:
    """Run the commands once in this process: what is imported and compiled is there in every child."""
    with tempfile.TemporaryDirectory() as out, contextlib.redirect_stdout(io.StringIO()):
        for name in commands or COMMANDS:
            main(COMMANDS[name](base, base.project, Path(out)))
    gc.collect()
    gc.freeze()  # or every child would look through all that was imported, and so copy it
