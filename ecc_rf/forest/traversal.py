"""Predicting with a forest: chunks of voxels, sorted, in tiles, counted or summed.

::

    features (F, n)
        │  chunks of 65536 voxels, as keys, sorted by the guide, cut into tiles
        ▼
    leaves give whole votes?
        all     ──► masks and lists: votes are counted
        most    ──► the same, and voxels that came to another leaf once more as below
        none    ──► lists: votes are summed, one tree after the other
        │
        ▼
    probabilities (n, channels), each voxel back in its place

No step depends on which voxels share a tile, so every grouping gives the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ecc_rf.errors import SettingError, ShapeError
from ecc_rf.forest.bits import LANES
from ecc_rf.forest.compiled import compiled
from ecc_rf.forest.deciding import decide_chunk, first_trees, vote_bounds
from ecc_rf.forest.guide import guide_of, sort_voxels
from ecc_rf.forest.model import RandomForest
from ecc_rf.forest.packed import PackedForest, pack
from ecc_rf.forest.tile import Keys, Voxels, fill_chunk, fill_tile
from ecc_rf.forest.voting import (
    Segments,
    TileSpace,
    segments_of,
    sum_leaf_votes,
    sum_whole_votes,
    tile_space,
    whole_votes,
)

Floats = npt.NDArray[np.float32]

# Long enough for the order to bring many alike together, short enough for the chunk to stay in cache.
CHUNK = 65536
_PADDING = 16  # rows a power of two apart would compete for the same places in the cache


class Predictor:
    """A forest made ready for predictions; safe to use from several threads at once."""

    def __init__(self, forest: RandomForest, labels: tuple[int, ...]) -> None:
        self._packed = pack(forest, labels)
        self._n_features = forest.n_features
        self._n_channels = len(labels)
        self._guide = guide_of(forest)
        self._n_trees = forest.n_trees
        self._as_probabilities = segments_of(forest.trees_per_forest)
        self._as_votes = whole_votes(forest.n_trees) if forest.is_pure else None

    def probabilities(self, features: Floats, out: Floats | None = None) -> Floats:
        """See :meth:`RandomForest.predict_features`."""
        features = self._checked(features, axis=0)
        shape = (features.shape[1], self._n_channels)
        if out is None:
            out = np.empty(shape, np.float32)
        elif out.shape != shape or out.dtype != np.float32 or not out.flags.carray:
            raise ShapeError(f"out is {out.dtype} of shape {out.shape}; expected float32 of {shape} in C order.")
        self._fill(out, self._as_probabilities, np.ascontiguousarray(features))
        return out

    def probabilities_of_rows(self, rows: Floats) -> Floats:
        """See :meth:`RandomForest.predict_proba`."""
        rows = self._checked(rows, axis=1)
        out = np.empty((len(rows), self._n_channels), np.float32)
        for first in range(0, len(out), CHUNK):
            chunk = slice(first, first + CHUNK)
            self._fill(out[chunk], self._as_probabilities, np.ascontiguousarray(rows[chunk].T))
        return out

    def votes(self, features: Floats) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
        """See :meth:`RandomForest.count_votes`."""
        if self._as_votes is None:
            raise SettingError(
                "The forest has leaves that divide their vote among classes: its votes are no whole numbers.",
                do="Use probabilities.",
            )
        features = self._checked(features, axis=0)
        counted = np.empty((features.shape[1], self._n_channels), np.float32)
        self._fill(counted, self._as_votes, np.ascontiguousarray(features))
        if self._n_trees <= 255:
            return counted.astype(np.uint8)
        return counted.astype(np.uint16)

    def above(self, features: Floats, threshold: float) -> npt.NDArray[np.bool_]:
        """See :meth:`RandomForest.decide_features`."""
        limit = np.float32(threshold)
        # Fractions of votes have no bounds that are exact; a label never annotated has no votes, a single one has all.
        if self._as_votes is None or self._packed.group_of_channel[0] in (-1, self._packed.uncounted):
            return self.probabilities(features)[:, 0] > limit
        features = np.ascontiguousarray(self._checked(features, axis=0))
        above = np.empty(features.shape[1], np.bool_)
        bounds = vote_bounds(self._as_probabilities, limit)
        n_first = first_trees(self._n_trees, bounds[0])
        votes = np.empty(min(CHUNK, above.size), np.uint16)
        for chunk, keys, order, has_nan, space in self._chunks(features):
            out = above[chunk]
            n_left = decide_chunk(self._packed, keys, order, space, n_first, bounds, votes[: out.size], out)
            if n_left:
                left, found = order[:n_left], np.empty((out.size, 1), np.float32)
                _predict_chunk(self._packed, self._as_probabilities, keys, left, has_nan, space, found)
                out[left] = found[left, 0] > limit
            out[has_nan[: out.size]] = limit < 0  # their probability is 0
        return above

    def _fill(self, out: Floats, segments: Segments, features: Floats) -> None:
        """Fill `out` (n, labels) from `features` (features, n)."""
        for chunk, keys, order, has_nan, space in self._chunks(features):
            _predict_chunk(self._packed, segments, keys, order, has_nan, space, out[chunk])

    def _chunks(self, features: Floats) -> Iterator[tuple[slice, Keys, Voxels, npt.NDArray[np.bool_], TileSpace]]:
        """Which voxels, their keys, their order, whether they have a NaN, and memory to work in."""
        n_features, n = features.shape
        length = min(CHUNK, n)
        keys = np.empty((n_features, length + _PADDING), np.int32)
        has_nan = np.empty(length, np.bool_)
        order = np.empty(length, np.uint32)
        space = tile_space(n_features, self._packed.leaf_vote.shape[1])
        rows = self._guide.feature * np.uint64(keys.shape[1])
        for first in range(0, n, CHUNK):
            count = min(CHUNK, n - first)
            fill_chunk(features, first, keys, has_nan[:count])
            sort_voxels(keys.ravel(), rows, self._guide.threshold, order[:count])
            yield slice(first, first + count), keys, order[:count], has_nan, space

    def _checked(self, features: Floats, axis: int) -> Floats:
        features = np.asarray(features)
        if features.ndim != 2 or features.shape[axis] != self._n_features:
            raise ShapeError(
                f"The features have shape {features.shape}; expected two axes, "
                f"of which axis {axis} has {self._n_features} features as the forest was trained on."
            )
        if features.dtype.kind not in "fiub":
            raise ShapeError(f"The features are {features.dtype}; expected real numbers.")
        return features.astype(np.float32, copy=False)


@compiled
def _predict_chunk(
    forest: PackedForest,
    segments: Segments,
    keys: Keys,
    order: Voxels,
    has_nan: npt.NDArray[np.bool_],
    space: TileSpace,
    out: npt.NDArray[np.float32],
) -> None:
    """Fill `out` (voxels, channels) of one chunk."""
    n_again = 0
    if forest.vote_roots.size > 0:
        again = np.empty(order.size + 1, np.uint32)
        for start in range(0, order.size, LANES):
            voxels = order[start : start + LANES]
            fill_tile(keys, voxels, space.keys, space.at)
            sum_whole_votes(forest, segments, space)
            _write(space.sums, forest.group_of_channel, segments, voxels, has_nan, out)
            for lane in range(voxels.size):
                again[n_again] = voxels[lane]
                n_again += space.impure[lane]
    else:
        again, n_again = order, order.size
    for start in range(0, n_again, LANES):
        voxels = again[start : min(start + LANES, n_again)]
        fill_tile(keys, voxels, space.keys, space.at)
        sum_leaf_votes(forest, space)
        _write(space.sums, forest.class_of_channel, segments, voxels, has_nan, out)


@compiled
def _write(
    sums: npt.NDArray[np.float32],
    row_of_channel: npt.NDArray[np.int64],
    segments: Segments,
    voxels: Voxels,
    has_nan: npt.NDArray[np.bool_],
    out: npt.NDArray[np.float32],
) -> None:
    """Divide a tile's sums and put them where the voxels are; zeros for a label or a voxel without."""
    divisor = np.float32(segments.divisor)
    for channel in range(row_of_channel.size):
        row = row_of_channel[channel]
        for lane in range(voxels.size):
            voxel = np.uint64(voxels[lane])
            known = row >= 0 and not has_nan[voxel]
            out[voxel, np.uint64(channel)] = sums[row, lane] / divisor if known else np.float32(0)
