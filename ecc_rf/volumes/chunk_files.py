"""The files in which a Zarr array keeps its chunks, on the local file system: which they are, and how they become safe.

Zarr writes a chunk under a name of its own (``….partial``) and then renames it: a chunk is there whole, or as it was
before, whenever a process is killed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zarr

from ecc_rf.volumes.base import Slices
from ecc_rf.volumes.unfinished import sync_path


def stored_chunks(array: zarr.Array[Any]) -> tuple[int, ...]:
    """Extents of what is one file: the shards if there are any, else the chunks."""
    return tuple(array.shards or array.chunks)


def chunk_files(array: zarr.Array[Any], slices: Slices) -> Iterator[tuple[tuple[int, ...], Path]]:
    """Where in the grid the chunks are that a region touches, and the file of each, in raster order."""
    root = Path(array.store.root) / array.path  # type: ignore[attr-defined]
    edges = stored_chunks(array)
    ranges = [range(part.start // edge, math.ceil(part.stop / edge)) for part, edge in zip(slices, edges)]
    for at in itertools.product(*ranges):
        yield at, root / array.metadata.encode_chunk_key(at)


def sync_chunks(array: zarr.Array[Any], slices: Slices) -> None:
    """Wait until the chunks that a region touches are safe on disk, and the names of the folders they are in."""
    root = Path(array.store.root) / array.path  # type: ignore[attr-defined]
    folders = {root}
    for _, file in chunk_files(array, slices):
        folders |= {parent for parent in file.parents if root in parent.parents}
        if file.exists():  # a chunk of nothing but 0 has no file
            sync_path(file)
    for folder in folders:
        if folder.exists():
            sync_path(folder)


def remove_partial(folder: Path) -> None:
    """Remove what a killed process left of chunks that it was writing."""
    for file in folder.rglob("*.partial"):
        file.unlink(missing_ok=True)
