"""The candidates of some volumes, and what tells that a judgement belongs to them."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecc_rf.blocks import Progress
from ecc_rf.cells import CellFinder
from ecc_rf.errors import SettingError
from ecc_rf.evaluation.evaluate import assign_groups, unique_names
from ecc_rf.volumes import open_volume
from ecc_rf.volumes.base import VoxelSize

if TYPE_CHECKING:
    import pandas as pd

_BOX = ("z0", "z1", "y0", "y1", "x0", "x1", "voxels")


@dataclass(frozen=True, eq=False)
class CandidateVolume:
    """A volume and its candidates.

    Attributes
    ----------
    probability, raw : str or Path
    name, group : str
        The group is the brain; the name itself if none was said.
    voxel_size : (z, y, x) in µm
    table : DataFrame
        As `CellFinder.find` gives it, with contrasts.
    fingerprint : str
        Of where all candidates lie: judgements of other candidates do not fit.
    """

    probability: str | Path
    raw: str | Path
    name: str
    group: str
    voxel_size: VoxelSize
    table: pd.DataFrame
    fingerprint: str


def find_candidates(
    probabilities: Sequence[str | Path],
    raws: Sequence[str | Path],
    finder: CellFinder,
    *,
    groups: Mapping[str, str] | None = None,
    voxel_size: VoxelSize | None = None,
    workers: int | None = None,
    memory: str | int | None = None,
    progress: Progress | None = None,
) -> list[CandidateVolume]:
    """Find the candidates of volumes, each block by block.

    Parameters
    ----------
    probabilities, raws : sequences of paths
        As many of each, in the same order.
    finder : CellFinder
        Contrasts are measured whatever it says, and none is a limit.
    groups : mapping of str to str, optional
        Name of each group (brain) and a shell pattern of the names of its images; default: each volume is one.
    voxel_size, workers, memory, progress
        As everywhere.

    Raises
    ------
    EccError
        Bad input is found before the first candidate is looked for.
    """
    if len(probabilities) != len(raws):
        raise SettingError(
            f"There are {len(probabilities)} probability volumes and {len(raws)} raw images.",
            where="--raw",
            do="Give one --raw for each probability volume, in the same order.",
        )
    names = unique_names(raws)
    belongs = assign_groups(names, groups or {})
    sizes = [voxel_size_of(p, raw, voxel_size) for p, raw in zip(probabilities, raws)]
    finder = generous(finder)
    volumes = []
    for probability, raw, name, group, size in zip(probabilities, raws, names, belongs, sizes):
        with warnings.catch_warnings(), open_volume(probability) as p, open_volume(raw) as image:
            warnings.simplefilter("ignore", UserWarning)  # a volume without candidates is told below, among the others
            table = finder.find(p, image, voxel_size=size, workers=workers, memory=memory, progress=progress)
        volumes.append(CandidateVolume(probability, raw, name, group or name, size, table, fingerprint(table, size)))
    if not any(len(volume.table) for volume in volumes):
        raise SettingError(
            f"There are no candidates: no object has probabilities above {finder.threshold:g}.",
            where=", ".join(map(str, probabilities)),
            do="Give a lower --threshold, and check that label 1 of the project is cell.",
        )
    return volumes


def generous(finder: CellFinder) -> CellFinder:
    """The finder of candidates: contrasts are measured, and drop none."""
    return replace(finder, contrast=True, min_contrast=None, object_cut=None)


def told(finder: CellFinder) -> dict[str, Any]:
    """The settings that are not the usual ones: what has to be written down to find the same again."""
    usual = asdict(CellFinder())
    return {name: value for name, value in asdict(generous(finder)).items() if value != usual[name]}


def fingerprint(table: pd.DataFrame, voxel_size: VoxelSize) -> str:
    """Sixteen hexadecimal digits of where candidates lie and how large they are; whole numbers, so that no last bit
    decides."""
    digest = hashlib.sha256(",".join(f"{size:.6g}" for size in voxel_size).encode())
    digest.update(table[list(_BOX)].to_numpy("<i8").tobytes())
    return digest.hexdigest()[:16]


def voxel_size_of(probability: str | Path, raw: str | Path, given: VoxelSize | None) -> VoxelSize:
    """What was given, or one of the volumes says.

    Raises
    ------
    SettingError
        If it is not known.
    """
    with open_volume(probability) as p, open_volume(raw) as image:
        size = given or p.voxel_size or image.voxel_size
    if size is None:
        raise SettingError("The voxel size is not known.", where=str(probability), do="Give --voxel-size Z,Y,X.")
    z, y, x = (float(extent) for extent in np.asarray(size))
    return z, y, x
