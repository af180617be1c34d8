"""What a project notes of the normalisation of its images, in a group of our own that ilastik leaves alone.

ilastik may train a new forest in such a project, on the images as their files are. The note therefore names the forest
that was trained here, by a digest: another one is not taken for it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import h5py
import numpy as np

from ecc_rf.errors import FormatError
from ecc_rf.forest.model import RandomForest
from ecc_rf.ilp.encoding import group_in, place, read_attribute_text
from ecc_rf.ilp.limits import MOST_LANES
from ecc_rf.normalization.settings import Normalization
from ecc_rf.small_files import parsed

GROUP = "ecc_rf/normalization"
_ATTRIBUTE = "settings"


@dataclass(frozen=True)
class LaneNote:
    """How the image of a lane is normalised.

    Attributes
    ----------
    stored : bool
        Its file holds normalised voxels; otherwise they are normalised as they are read.
    scales : tuple of float
        One per channel.
    group : str
        Lanes of a group are pieces of one brain and share its scale; empty: a brain of its own.
    given : bool
        Whether the scale was given, not estimated.
    voxel_size : (z, y, x) in µm, optional
        By which the window was measured.
    """

    stored: bool
    scales: tuple[float, ...]
    group: str = ""
    given: bool = False
    voxel_size: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class NormalizationNote:
    """What a project notes.

    Attributes
    ----------
    normalization : Normalization
    lanes : mapping of int to LaneNote
    forest : str
        Digest of the forest that was trained on such images; empty if none was.
    """

    normalization: Normalization
    lanes: Mapping[int, LaneNote] = field(default_factory=dict)
    forest: str = ""

    @property
    def all_stored(self) -> bool:
        """Whether the files themselves are normalised, so that whoever trains does so on normalised voxels."""
        return bool(self.lanes) and all(lane.stored for lane in self.lanes.values())

    def as_dict(self) -> dict[str, Any]:
        lanes = {
            str(index): {
                "stored": lane.stored,
                "scales": list(lane.scales),
                "group": lane.group,
                "given": lane.given,
                "voxel_size": None if lane.voxel_size is None else list(lane.voxel_size),
            }
            for index, lane in sorted(self.lanes.items())
        }
        return {**self.normalization.as_dict(), "lanes": lanes, "forest": self.forest}


def write_note(project: h5py.File, note: NormalizationNote) -> None:
    """Note in a project, open for writing, how its images are normalised."""
    project.require_group(GROUP).attrs[_ATTRIBUTE] = json.dumps(note.as_dict())


def read_note(project: h5py.File) -> NormalizationNote | None:
    """What a project notes, None if its images are as they are.

    Raises
    ------
    FormatError
        If it is not understood.
    """
    own: h5py.Group = project
    for name in GROUP.split("/"):
        if not isinstance(own.get(name, getlink=True), h5py.HardLink):
            return None
        found = group_in(own, name)
        if found is None:
            return None
        own = found
    where = place(own)
    text = read_attribute_text(own, _ATTRIBUTE)
    try:
        if text is None:
            raise ValueError("it is gone")
        stored = dict(parsed(text))
        normalization = Normalization.from_dict(stored, where)
        lanes = {int(index): _lane(lane) for index, lane in stored.get("lanes", {}).items()}
        if len(lanes) > MOST_LANES:
            raise ValueError("too many lanes")
    except FormatError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise FormatError(
            f"The stored normalisation is damaged: {str(error)[:80]}.", where=where, do="Train the project anew."
        ) from error
    return NormalizationNote(normalization, lanes, str(stored.get("forest", "")))


def _lane(stored: Mapping[str, Any]) -> LaneNote:
    scales = tuple(float(scale) for scale in stored["scales"])
    size = stored.get("voxel_size")
    if size is not None:
        z, y, x = (float(extent) for extent in size)
        size = (z, y, x)
    if not all(0 < value < math.inf for value in (*scales, *(size or ()))):
        raise ValueError("no scale")
    return LaneNote(bool(stored["stored"]), scales, str(stored.get("group", "")), bool(stored.get("given")), size)


def forest_digest(forest: RandomForest) -> str:
    """SHA-256 of a forest as it is read from a project."""
    digest = hashlib.sha256()
    for one in fields(forest):
        value = getattr(forest, one.name)
        digest.update(value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
    return digest.hexdigest()
