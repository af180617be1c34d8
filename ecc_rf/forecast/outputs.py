"""Whether an output could be written, without writing it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecc_rf.errors import OutputError, OutputExistsError
from ecc_rf.volumes import create_volume
from ecc_rf.volumes.paths import split_path
from ecc_rf.volumes.user_paths import is_there


def check_output(path: str | Path, volume: Mapping[str, Any], *, overwrite: bool, unfinished: bool = False) -> None:
    """Everything that `create_volume` would find wrong.

    Formats that claim their whole space at once are tried with a small one, elsewhere.

    Raises
    ------
    EccError
    """
    parts = split_path(path)
    if is_there(parts.file) and not overwrite and not unfinished:
        raise OutputExistsError(
            "There is an output of this name already.",
            where=str(parts.file),
            do="Give another name, or --overwrite to replace it.",
        )
    check_folder(parts.file.absolute().parent, str(path))
    options = dict(volume)
    if parts.format.module not in ("ome_zarr", "hdf5"):
        options |= {"shape": [1] * len(options["shape"]), "chunks": None, "shards": None}
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / parts.file.name
        create_volume(trial / parts.inner if parts.inner else trial, **options).discard()


def check_folder(folder: Path, name: str) -> None:
    """Refuse a folder that cannot be written or made.

    Raises
    ------
    OutputError
    """
    there = folder
    while not there.exists():
        there = there.parent
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        raise OutputError(
            f"The output folder cannot be written: {there}.", where=name, do="Choose a folder that you can write to."
        )
