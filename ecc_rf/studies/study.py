"""What a study is: markers, each with its own classifier and settings, and brains."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

VoxelSize = tuple[float, float, float]


@dataclass(frozen=True)
class Marker:
    """One antibody or reporter, and how its cells are found.

    Attributes
    ----------
    name : str
    project : Path
        ilastik project with a trained classifier.
    settings, objects_model : Path, optional
        Settings of the search for cells as ``ecc-rf tune`` writes them; object classifier.
    cells, limits : mapping
        Settings of `CellFinder` that go before those of the file; limits of `filter_cells`.
    dataset : str
        Inside the brains' files, where one file holds all markers.
    normalize, any_normalization : bool
    scale : float, optional
        As the options of ``ecc-rf run``.
    probability, objects : bool
        Whether the probability and the volume of objects are stored.
    skip_unreadable : bool
        Whether pieces of an image that cannot be read are taken for 0, and named.
    """

    name: str
    project: Path
    settings: Path | None = None
    objects_model: Path | None = None
    cells: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, float | None] = field(default_factory=dict)
    dataset: str = ""
    normalize: bool = False
    any_normalization: bool = False
    scale: float | None = None
    probability: bool = True
    objects: bool = False
    skip_unreadable: bool = False


@dataclass(frozen=True)
class Brain:
    """One animal.

    Attributes
    ----------
    name : str
    images : mapping of str to str
        The image of each marker, by the marker's name.
    group : str
        Genotype, treatment or whatever is compared.
    voxel_size : (z, y, x) in µm, optional
    axes : str, optional
        If the files do not say, or say it wrongly.
    mask : Path, optional
        Where it is not 0 no cell is looked for.
    """

    name: str
    images: Mapping[str, str]
    group: str = ""
    voxel_size: VoxelSize | None = None
    axes: str | None = None
    mask: Path | None = None


@dataclass(frozen=True)
class Study:
    """Markers x brains.

    Attributes
    ----------
    name : str
    path : Path
        The study file.
    markers : tuple of Marker
    brains : tuple of Brain
    """

    name: str
    path: Path
    markers: tuple[Marker, ...]
    brains: tuple[Brain, ...]

    def pairs(self) -> list[tuple[Marker, Brain]]:
        """What is to be run, marker by marker; brains without an image of a marker are left out."""
        return [(marker, brain) for marker in self.markers for brain in self.brains if marker.name in brain.images]


def safe_name(name: str) -> str:
    """A name as that of a folder, which lies in the folder where it is made, on every system.

    >>> safe_name("m 12/left"), safe_name("../.."), safe_name("c-Fos"), safe_name("NUL"), safe_name("β")
    ('m 12_left', '_', 'c-Fos', 'NUL_', 'β')
    """
    safe = re.sub(r'[\x00-\x1f\x7f<>:"/\\|?*]+', "_", name).strip(" ")
    safe = re.sub(r"^\.+", "", safe).rstrip(". ").encode("utf-8")[:100].decode("utf-8", "ignore")
    safe = safe.replace("..", "_")
    if re.fullmatch(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?", safe):
        safe += "_"
    return safe or "_"
