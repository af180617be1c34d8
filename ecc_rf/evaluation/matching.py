"""Which detection is which true cell, one to one, and what is counted from it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.errors import SettingError

VoxelSize = tuple[float, float, float]

# A distance on the border counts, whatever the last bit of its µm.
_ROUNDING = 1 + 1e-12


@dataclass(frozen=True)
class MatchingRule:
    """When a detection may be a true cell.

    It may if its centre voxel lies inside the true object (where the truth is a mask), or if the centres are at most
    `radius_um` apart within a plane and at most `depth_um` across planes. The pairs are then taken greedily, each
    detection and each true cell once: first those that lie inside, then the nearest.

    Parameters
    ----------
    radius_um, depth_um : float
        The defaults are 4 voxels of 1.62 µm and 2 planes of 6 µm: about a cell's radius in light-sheet images.

    Raises
    ------
    SettingError
        If one is not a positive length.
    """

    radius_um: float = 6.48
    depth_um: float = 12.0

    def __post_init__(self) -> None:
        for name, value in (("radius_um", self.radius_um), ("depth_um", self.depth_um)):
            if not 0 < value < math.inf:
                raise SettingError(f"{name} is {value}; it must be more than 0 µm.", where=name)

    def describe(self) -> str:
        """The rule in a sentence."""
        return (
            f"a detection is a true cell if its centre voxel lies inside the cell's mask, or within {self.radius_um:g}"
            f" µm of its centre in the plane and {self.depth_um:g} µm across planes; one to one, inside first, then the"
            " nearest"
        )


def match(
    detections: NDArray[np.float64],
    centres: NDArray[np.float64],
    voxel_size: VoxelSize,
    rule: MatchingRule | None = None,
    inside: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Pair detections and true cells.

    Parameters
    ----------
    detections : ndarray, shape (n, 3)
        z, y, x in voxels.
    centres : ndarray, shape (m, 3)
        Of the true cells.
    voxel_size : (z, y, x) in µm
    rule : MatchingRule, optional
    inside : ndarray of int64, shape (n,), optional
        The true cell, from 0, in whose mask each detection lies; -1 for none.

    Returns
    -------
    ndarray of int64, shape (n,)
        The true cell of each detection; -1 for a false alarm.

    Examples
    --------
    >>> match(np.array([[5.0, 5, 5], [5, 5, 6], [0, 0, 0]]), np.array([[5.0, 5, 6]]), (6, 1.62, 1.62))
    array([-1,  0, -1])
    """
    rule = rule or MatchingRule()
    found = np.full(len(detections), -1, np.int64)
    if not len(detections) or not len(centres):
        return found
    d, o = candidate_pairs(detections, centres, voxel_size, rule, inside)
    taken = np.zeros(len(centres), bool)
    for detection, cell in zip(d.tolist(), o.tolist()):
        if found[detection] < 0 and not taken[cell]:
            found[detection] = cell
            taken[cell] = True
    return found


def candidate_pairs(
    detections: NDArray[np.float64],
    centres: NDArray[np.float64],
    voxel_size: VoxelSize,
    rule: MatchingRule,
    inside: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All pairs that may be one, in the order in which they are taken; parameters as for `match`.

    Returns
    -------
    detections, cells : ndarray of int64, shape (n,)
    """
    if not len(detections) or not len(centres):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    d, o = _near_pairs(detections, centres, voxel_size, rule)
    lies_inside = np.zeros(d.size, bool)
    if inside is not None:
        own = np.flatnonzero(inside >= 0)
        lies_inside = inside[d] == o
        d, o = np.append(d[~lies_inside], own), np.append(o[~lies_inside], inside[own])
        lies_inside = np.arange(d.size) >= d.size - own.size
    squared = (((centres[o] - detections[d]) * np.array(voxel_size)) ** 2).sum(axis=1)
    order = np.lexsort((o, d, squared, ~lies_inside))
    return d[order], o[order]


def _near_pairs(
    detections: NDArray[np.float64], centres: NDArray[np.float64], voxel_size: VoxelSize, rule: MatchingRule
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All pairs within reach of each other: detections and true cells."""
    from scipy.spatial import KDTree  # late: scoring is all that needs it

    size = np.array(voxel_size)
    # Reach becomes a cube of edge 2 for the tree, with room for rounding; the exact test follows.
    scale = np.array([rule.depth_um, rule.radius_um, rule.radius_um]) * (1 + 1e-9)
    near: Any = KDTree(centres * size / scale).query_ball_point(detections * size / scale, 1.0, p=np.inf)
    counts = np.fromiter(map(len, near), np.int64, len(near))
    d = np.repeat(np.arange(len(detections)), counts)
    o = np.fromiter((i for several in near for i in several), np.int64, int(counts.sum()))
    apart = np.abs(centres[o] - detections[d]) * size
    reached = (np.hypot(apart[:, 1], apart[:, 2]) <= rule.radius_um * _ROUNDING) & (
        apart[:, 0] <= rule.depth_um * _ROUNDING
    )
    return d[reached], o[reached]


@dataclass(frozen=True)
class Score:
    """Counts, and what follows from them; NaN where nothing can be said.

    Attributes
    ----------
    matched, detections, cells : int
        Detections that are true cells, all detections, all true cells.

    Examples
    --------
    >>> Score(3, 4, 6).f1, Score(0, 0, 0).f1
    (0.6, nan)
    """

    matched: int
    detections: int
    cells: int

    @property
    def precision(self) -> float:
        """Share of the detections that are true cells."""
        return self.matched / self.detections if self.detections else math.nan

    @property
    def recall(self) -> float:
        """Share of the true cells that were found."""
        return self.matched / self.cells if self.cells else math.nan

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        both = self.detections + self.cells
        return 2 * self.matched / both if both else math.nan

    @staticmethod
    def pool(scores: Iterable[Score]) -> Score:
        """The counts of several volumes added: every cell weighs the same."""
        several = list(scores)
        return Score(sum(s.matched for s in several), sum(s.detections for s in several), sum(s.cells for s in several))

    def as_dict(self) -> dict[str, float]:
        """Counts and ratios by their names."""
        return {
            "matched": self.matched,
            "detections": self.detections,
            "cells": self.cells,
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
        }
