"""The voxels of single candidates, found again in their bounding boxes."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from ecc_rf.cells import CellFinder
from ecc_rf.cells.cache import BrickCache
from ecc_rf.cells.components import Foreground
from ecc_rf.cells.inputs import Channel, ProbabilityScale
from ecc_rf.cells.smoothing import SmoothedChannel
from ecc_rf.judging.candidates import CandidateVolume, generous
from ecc_rf.judging.sections import Mask, Outlines

_CACHE = 2**26  # bytes of bricks: candidates are looked up one by one, near ones after each other
_LARGEST = 2**22  # voxels of a bounding box that is looked at: what is larger is no cell, and takes memory
_AXES = ("z", "y", "x")


@contextmanager
def outlines(
    volume: CandidateVolume, finder: CellFinder, scratch: Path, *, workers: int | None, memory: str | int | None
) -> Iterator[Outlines]:
    """A function that gives the mask of a candidate by its row in the volume's table.

    Objects that may have been split are drawn once into a volume in the folder `scratch`, which is removed at the end;
    whole ones are found again in their bounding box.
    """
    finder = generous(finder)
    with ExitStack() as stack:
        if finder.max_volume is not None and finder.split != "none":
            folder = Path(tempfile.mkdtemp(prefix="candidates-", dir=scratch))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            finder.find(
                volume.probability,
                volume.raw,
                voxel_size=volume.voxel_size,
                workers=workers,
                memory=memory,
                objects=folder / "objects.ome.zarr",
            )
            drawn = Channel(folder / "objects.ome.zarr", "objects")
            stack.callback(drawn.close)
            yield lambda row: _drawn(drawn, volume.table, row)
            return
        probability = Channel(volume.probability, "probability", finder.label - 1)
        stack.callback(probability.close)
        scale, cache = ProbabilityScale.of(probability), BrickCache(_CACHE)
        if finder.smoothing_um > 0:
            probability = SmoothedChannel(probability, scale, None, finder.smoothing_um, volume.voxel_size, cache)
            scale = ProbabilityScale.of(probability)
        threshold = finder.threshold if finder.low_threshold is None else finder.low_threshold
        foreground = Foreground(probability, None, None, scale, threshold, finder.connectivity, finder.min_volume)
        yield lambda row: _found_again(foreground, cache, volume.table, row)


def _box(table: pd.DataFrame, row: int) -> tuple[slice, ...] | None:
    """The bounding box; None if it is that of a vessel or an edge through half the brain, which is not outlined."""
    box = tuple(slice(int(table[f"{axis}0"].iloc[row]), int(table[f"{axis}1"].iloc[row])) for axis in _AXES)
    return box if math.prod(s.stop - s.start for s in box) <= _LARGEST else None


def _drawn(objects: Channel, table: pd.DataFrame, row: int) -> Mask | None:
    box = _box(table, row)
    if box is None:
        return None
    z, y, x = (s.start for s in box)
    return objects[box] == int(table["label"].iloc[row]), (z, y, x)


def _found_again(foreground: Foreground, cache: BrickCache, table: pd.DataFrame, row: int) -> Mask | None:
    """An object lies within its bounding box, and hangs together there: of those that have as many voxels, the one
    with its centre."""
    from scipy.ndimage import generate_binary_structure, label

    box = _box(table, row)
    if box is None:
        return None
    steps = {6: 1, 18: 2, 26: 3}[foreground.connectivity]
    labels, _ = label(foreground.above(box, cache.read), generate_binary_structure(3, steps))
    z, y, x = (s.start for s in box)
    sizes = np.bincount(labels.ravel())
    fitting = [n for n in np.flatnonzero(sizes == int(table["voxels"].iloc[row])).tolist() if n]
    centre = table[list(_AXES)].iloc[row].to_numpy(np.float64) - np.array([z, y, x])
    if not fitting:
        return None
    nearest = min(fitting, key=lambda n: float(np.abs(np.argwhere(labels == n).mean(axis=0) - centre).sum()))
    return labels == nearest, (z, y, x)
