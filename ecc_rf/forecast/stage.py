"""What is known of a stage before it is begun."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ecc_rf.blocks.checkpoint import ledger_folder
from ecc_rf.blocks.ledger import Ledger
from ecc_rf.forecast.probe import Probe
from ecc_rf.volumes.paths import split_path
from ecc_rf.volumes.pyramid import pyramid_steps


@dataclass(frozen=True)
class Storage:
    """A volume that would be written.

    Attributes
    ----------
    path : str
    axes, shape, dtype
        Of it.
    chunks, shards : tuple of int, optional
        Extents of what is compressed as one, and of a file of several such.
    files : int
        How many files it is.
    most : int
        Bytes if nothing could be compressed.
    likely : int or None
        Bytes, from what the probe's blocks came to; None if nothing is compressed or was probed.
    free : int
        Bytes free on its disk.
    """

    path: str
    axes: str
    shape: tuple[int, ...]
    dtype: str
    chunks: tuple[int, ...] | None
    shards: tuple[int, ...] | None
    files: int
    most: int
    likely: int | None
    free: int

    @property
    def too_large(self) -> bool:
        """Whether it would hardly fit the disk. HDF5 is assembled beside its chunks: there it needs room for both."""
        twice = 2 if split_path(self.path).format.module == "hdf5" else 1
        return twice * (self.most if self.likely is None else self.likely) > self.free


@dataclass(frozen=True)
class Forecast:
    """One stage.

    Attributes
    ----------
    stage, source : str
        What would be done, and with what.
    voxels, blocks : int
        All of them.
    done : int
        Blocks that an unfinished run of the same settings has left.
    block_shape, halo : tuple of int
    workers, budget : int
    planned : int or None
        Bytes at the peak; None: as much as the budget allows.
    probe : Probe
        What a few blocks took.
    storage : Storage, optional
    seconds : float or None
        For all that is not done; None if nothing could be probed.
    """

    stage: str
    source: str
    voxels: int
    blocks: int
    done: int
    block_shape: tuple[int, ...]
    halo: tuple[int, ...] | None
    workers: int
    budget: int
    planned: int | None
    probe: Probe
    storage: Storage | None
    seconds: float | None


def storage(path: str | Path, volume: Mapping[str, Any], probe: Probe, compression: str | None = None) -> Storage:
    """What an output of these extents comes to; `volume` is as `create_volume` is told."""
    shape, axes = tuple(volume["shape"]), str(volume["axes"])
    dtype = np.dtype(volume["dtype"])
    module = split_path(path).format.module
    chunks = tuple(volume["chunks"]) if module in ("ome_zarr", "hdf5") else None
    shards = tuple(volume.get("shards") or ()) if module == "ome_zarr" else None
    levels = [shape]
    if volume.get("pyramid"):
        for step in pyramid_steps(axes, shape, volume.get("voxel_size")):
            levels.append(tuple(-(-n // by) for n, by in zip(levels[-1], step)))
    most = sum(math.prod(level) for level in levels) * dtype.itemsize
    files = 1
    if module == "ome_zarr":
        files = sum(_pieces(level, shards or chunks or shape) + 1 for level in levels) + 1
    squeezed = probe.stored if chunks is not None and compression != "none" else None
    folder = split_path(path).file.absolute().parent
    while not folder.exists():
        folder = folder.parent
    return Storage(
        str(path),
        axes,
        shape,
        str(dtype),
        chunks,
        shards or None,
        files,
        most,
        None if squeezed is None else int(squeezed * most),
        shutil.disk_usage(folder).free,
    )


def _pieces(shape: Sequence[int], edges: Sequence[int]) -> int:
    return math.prod(-(-n // edge) for n, edge in zip(shape, edges))


def blocks_done(final: Path, fingerprint: Mapping[str, Any], stage: str) -> tuple[dict[str, Any] | None, set[int]]:
    """How an unfinished run of the same settings is cut, and its blocks that are done; nothing if there is none.

    Raises
    ------
    ResumeError
        If one of other settings lies there.
    """
    folder = ledger_folder(final)
    if not folder.exists():
        return None, set()
    ledger = Ledger(folder)
    ledger.refuse_other(fingerprint)
    with ledger.journal(stage) as journal:
        return ledger.layout, journal.done
