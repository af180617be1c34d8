"""Choosing places: each covers much that is wrong or uncertain, and looks different from those before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecc_rf.errors import SettingError
from ecc_rf.volumes.base import VoxelSize

MISSED, FALSE_ALARM, UNCERTAIN = "missed", "false alarm", "uncertain"
_MOST = 20_000  # points of a volume that are weighed: the gravest; more would not change a dozen places
_APART = 0.41  # mean distance of two points of uniform ranks, per square root of dimension: sqrt(1 / 6)


@dataclass(frozen=True, eq=False)
class Points:
    """What is wrong or uncertain in a volume.

    Attributes
    ----------
    at : ndarray of float64, shape (n, 3)
        z, y, x in voxels.
    kind : tuple of str, length n
        `MISSED`, `FALSE_ALARM` or `UNCERTAIN`.
    weight : ndarray of float64, shape (n,)
        How grave it is, 0 to 1.
    look : ndarray of float64, shape (n, k)
        How it looks; any units. No columns: looks do not matter.
    """

    at: NDArray[np.float64]
    kind: tuple[str, ...]
    weight: NDArray[np.float64]
    look: NDArray[np.float64]

    def __getitem__(self, rows: NDArray[np.int64]) -> Points:
        return Points(self.at[rows], tuple(self.kind[i] for i in rows.tolist()), self.weight[rows], self.look[rows])


@dataclass(frozen=True, eq=False)
class Place:
    """A place to draw strokes at.

    Attributes
    ----------
    volume : int
        From 0.
    centre : (z, y, x)
        Voxel.
    score : float
        Sum of the weights of what it covers and no earlier place does.
    covered : Points
        All of that.
    """

    volume: int
    centre: tuple[int, int, int]
    score: float
    covered: Points

    @property
    def reason(self) -> str:
        """
        >>> points = Points(np.zeros((3, 3)), (MISSED, FALSE_ALARM, MISSED), np.ones(3), np.empty((3, 0)))
        >>> Place(0, (0, 0, 0), 3.0, points).reason
        '2 missed, 1 false alarm'
        """
        counts = {kind: self.covered.kind.count(kind) for kind in (MISSED, FALSE_ALARM, UNCERTAIN)}
        words = {FALSE_ALARM: "false alarms", UNCERTAIN: "uncertain"}
        return ", ".join(
            f"{count} {words.get(kind, kind) if count > 1 else kind}" for kind, count in counts.items() if count
        )


def check_places(count: int, size_um: float) -> None:
    """Refuse settings of `choose_places` that are not positive, before the points are looked for."""
    if count < 1:
        raise SettingError(f"{count} places cannot be suggested.", where="--count", do="Give 1 or more.")
    if not 0 < size_um < np.inf:
        raise SettingError(f"A place of {size_um:g} µm is none.", where="--size-um", do="Give more than 0 µm.")


def choose_places(volumes: Sequence[tuple[Points, VoxelSize]], count: int, size_um: float) -> list[Place]:
    """Choose places, the best first.

    A place is a cube around one of the points. Again and again the one is taken whose points weigh most that no earlier
    place covers, times how much its middle looks unlike those of the earlier places (0 to 1).

    Parameters
    ----------
    volumes : sequence of (Points, voxel size in µm as z, y, x)
    count : int
        At most so many.
    size_um : float
        Edge of the cube.

    Raises
    ------
    SettingError
        If a setting is not positive.
    """
    check_places(count, size_um)
    kept = [np.sort(np.argsort(-points.weight, kind="stable")[:_MOST]) for points, _ in volumes]
    several = [points[rows] for (points, _), rows in zip(volumes, kept)]
    near = [_neighbours(points.at, size, size_um) for points, (_, size) in zip(several, volumes)]
    looks = _ranks([points.look for points in several])
    open_weight = [points.weight.copy() for points in several]
    novelty = [np.ones(len(points.weight)) for points in several]
    places: list[Place] = []
    while len(places) < count:
        sums = [np.array([weight[list(mine)].sum() for mine in lists]) for weight, lists in zip(open_weight, near)]
        best = [float((s * n).max()) if s.size else 0.0 for s, n in zip(sums, novelty)]
        v = int(np.argmax(best))
        if best[v] <= 0:
            break
        i = int(np.argmax(sums[v] * novelty[v]))
        mine = np.array(sorted(near[v][i]), np.int64)
        mine = mine[open_weight[v][mine] > 0]
        z, y, x = np.rint(several[v].at[i]).astype(int).tolist()
        places.append(Place(v, (z, y, x), float(sums[v][i]), several[v][mine]))
        open_weight[v][mine] = 0
        for own, look in zip(novelty, looks):
            if look.shape[1]:
                distance = np.sqrt(((look - looks[v][i]) ** 2).mean(axis=1)) / _APART
                np.minimum(own, np.clip(distance, 0.05, 1), out=own)
    return places


def _neighbours(at: NDArray[np.float64], size: VoxelSize, size_um: float) -> list[list[int]]:
    """The points in the cube around each point."""
    from scipy.spatial import KDTree

    if not len(at):
        return []
    um = at * np.array(size)
    lists: list[list[int]] = KDTree(um).query_ball_point(um, size_um / 2, p=np.inf).tolist()
    return lists


def _ranks(looks: Sequence[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """Each column as ranks from 0 to 1 over all volumes: no unit and no outlier decides."""
    pooled = np.concatenate(looks)
    ranks = np.empty_like(pooled)
    for column in range(pooled.shape[1]):
        _, place = np.unique(pooled[:, column], return_inverse=True)
        ranks[:, column] = place / max(1, place.max(initial=0))
    return np.split(ranks, np.cumsum([len(look) for look in looks])[:-1])
