"""A small study on the fixtures: pieces of the fixtures' brain, two markers."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py

STUDY = """\
name = "Fixture study"
voxel_size = [5, 2, 2]

[[marker]]
name = "cFos"
project = "cells.ilp"
dataset = "cfos"

[[marker]]
name = "PV"
project = "cells.ilp"
dataset = "pv"
[marker.cells]
threshold = 0.6

[[brain]]
name = "m*"
group = "control"
image = "brains/c*.h5"

[[brain]]
name = "treated 3"
group = "treated"
[brain.images]
cFos = "brains/t3.h5/cfos"
PV = "brains/t3_pv.h5"
"""


def make_study(folder: Path, fixtures: Path) -> Path:
    """Two markers x three brains, which are pieces of the fixtures' brain; returns the study file."""
    shutil.copy(fixtures / "cells.ilp", folder / "cells.ilp")
    (folder / "brains").mkdir()
    with h5py.File(fixtures / "brain.h5") as file:
        voxels = file["data"][()]
    pieces = {
        "c1.h5": {"cfos": voxels[:, :48, :48], "pv": voxels[:, 48:, :48]},
        "c2.h5": {"cfos": voxels[:, :48, 48:], "pv": voxels[:, 48:, 48:]},
        "t3.h5": {"cfos": voxels[:, 24:72, 24:72]},
        "t3_pv.h5": {"pv": voxels[:, 20:68, 30:78]},
    }
    for name, datasets in pieces.items():
        with h5py.File(folder / "brains" / name, "w") as file:
            for key, piece in datasets.items():
                file.create_dataset(key, data=piece, chunks=(16, 24, 24), compression="gzip")
    path = folder / "study.toml"
    path.write_text(STUDY)
    return path


def break_image(path: Path) -> bytes:
    """Damage the voxels of an HDF5 file, not what says that they are there; returns what it was."""
    whole = path.read_bytes()
    with h5py.File(path, "r") as file:
        info = next(iter(file.values())).id.get_chunk_info(3)
    damaged = bytearray(whole)
    damaged[info.byte_offset : info.byte_offset + info.size] = b"\xff" * info.size
    path.write_bytes(damaged)
    return whole
