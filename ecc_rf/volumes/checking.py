"""Whether files are there, found out before anything that computes is imported."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ecc_rf.errors import EccError, FormatError, MissingFileError
from ecc_rf.near import missing_file
from ecc_rf.volumes.paths import split_path
from ecc_rf.volumes.user_paths import expanded, is_there
from ecc_rf.volumes.volume import open_volume


def check_files(paths: Iterable[str | Path]) -> None:
    """Refuse files, and datasets in them, that are not there. What else may be wrong is left to who reads them.

    Parameters
    ----------
    paths : iterable of path
        Projects, images, tables, settings: what a user may name as an input.

    Raises
    ------
    MissingFileError
    """
    for path in paths:
        try:
            parts = split_path(path)
        except FormatError:  # no volume
            if not is_there(expanded(path)):
                raise missing_file(path) from None
            continue
        if parts.format.module == "tiff_planes":
            continue  # perhaps a pattern, which is no file
        if not is_there(parts.file):
            raise missing_file(path)
        if parts.inner:
            try:
                open_volume(path).close()
            except MissingFileError:
                raise
            except EccError:
                pass
