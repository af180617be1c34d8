"""Predicting with a forest: chunks of voxels, sorted, in tiles, counted or summed.

::

    features (F, n)
        │  chunks of 65536 voxels, as keys, sorted by the guide, cut into tiles
        ▼
    leaves give whole votes?  yes ──► masks and lists: votes are counted ────────────────────► probabilities
        │                    mostly ─► the same; voxels that met another leaf once more by lists ──►  │
        └───────────────────  no  ──► lists: votes are summed, one tree after the other ─────────►  │

No step depends on which voxels share a tile, so every grouping gives the same bits.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from ecc_rf.errors import SettingError, ShapeError
from ecc_rf.forest.bits import LANES
from ecc_rf.forest.guide import guide_of, sort_voxels
from ecc_rf.forest.model import RandomForest
from ecc_rf.forest.packed import PackedForest, pack
from ecc_rf.forest.tile import Keys, Voxels, fill_chunk, fill_tile
from ecc_rf.forest.voting import (
    Segments,
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

    def __init__(self, forest: RandomForest) -> None:
        self._packed = pack(forest)
        self._guide = guide_of(forest)
        self._n_trees = forest.n_trees
        self._as_probabilities = segments_of(forest.trees_per_forest)
        self._as_votes = whole_votes(forest.n_trees) if forest.is_pure else None

    def probabilities(self, features: Floats, out: Floats | None = None) -> Floats:
        """See :meth:`RandomForest.predict_features`."""
        features = self._checked(features, axis=0)
        shape = (features.shape[1], self._packed.n_labels)
        if out is None:
            out = np.empty(shape, np.float32)
        elif out.shape != shape or out.dtype != np.float32 or not out.flags.carray:
            raise ShapeError(f"out is {out.dtype} of shape {out.shape}; expected float32 of {shape} in C order.")
        for first in range(0, len(out), CHUNK):
            chunk = np.ascontiguousarray(features[:, first : first + CHUNK])
            self._predict(chunk, self._as_probabilities, out[first : first + CHUNK])
        return out

    def probabilities_of_rows(self, rows: Floats) -> Floats:
        """See :meth:`RandomForest.predict_proba`."""
        rows = self._checked(rows, axis=1)
        out = np.empty((len(rows), self._packed.n_labels), np.float32)
        for first in range(0, len(out), CHUNK):
            chunk = np.ascontiguousarray(rows[first : first + CHUNK].T)
            self._predict(chunk, self._as_probabilities, out[first : first + CHUNK])
        return out

    def votes(self, features: Floats) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
        """See :meth:`RandomForest.count_votes`."""
        if self._as_votes is None:
            raise SettingError(
                "The forest has leaves that divide their vote among classes: its votes are no whole numbers.",
                do="Use probabilities.",
            )
        features = self._checked(features, axis=0)
        dtype = np.uint8 if self._n_trees <= 255 else np.uint16
        out = np.empty((features.shape[1], self._packed.n_labels), dtype)
        for first in range(0, len(out), CHUNK):
            chunk = np.ascontiguousarray(features[:, first : first + CHUNK])
            counted = np.empty((chunk.shape[1], self._packed.n_labels), np.float32)
            self._predict(chunk, self._as_votes, counted)
            out[first : first + CHUNK] = counted
        return out

    def _predict(self, features: Floats, segments: Segments, out: Floats) -> None:
        n_features, n = features.shape
        keys = np.empty((n_features, n + _PADDING), np.int32)
        has_nan = np.empty(n, np.bool_)
        order = np.empty(n, np.uint32)
        fill_chunk(features, keys, has_nan)
        sort_voxels(keys, self._guide, order)
        _predict_chunk(self._packed, segments, keys, order, has_nan, out)

    def _checked(self, features: Floats, axis: int) -> Floats:
        features = np.asarray(features)
        if features.ndim != 2 or features.shape[axis] != self._packed.n_features:
            raise ShapeError(
                f"The features have shape {features.shape}; expected two axes, "
                f"of which axis {axis} has {self._packed.n_features} features as the forest was trained on."
            )
        if features.dtype.kind not in "fiub":
            raise ShapeError(f"The features are {features.dtype}; expected real numbers.")
        return features.astype(np.float32, copy=False)


@njit(nogil=True, cache=True, error_model="numpy")
def _predict_chunk(
    forest: PackedForest,
    segments: Segments,
    keys: Keys,
    order: Voxels,
    has_nan: npt.NDArray[np.bool_],
    out: npt.NDArray[np.float32],
) -> None:
    tile = np.empty(forest.n_features * LANES, np.int32)
    at = np.empty(LANES, np.uint32)
    space = tile_space(forest.channel.size)
    n_again = 0
    if forest.vote_roots.size > 0:
        again = np.empty(order.size + 1, np.uint32)
        for start in range(0, order.size, LANES):
            voxels = order[start : start + LANES]
            fill_tile(keys, voxels, tile, at)
            sum_whole_votes(forest, segments, tile, space)
            _write(forest, segments, space.sums, voxels, has_nan, out)
            for lane in range(voxels.size):
                again[n_again] = voxels[lane]
                n_again += space.impure[lane]
    else:
        again, n_again = order, order.size
    for start in range(0, n_again, LANES):
        voxels = again[start : min(start + LANES, n_again)]
        fill_tile(keys, voxels, tile, at)
        sum_leaf_votes(forest, tile, space)
        _write(forest, segments, space.sums, voxels, has_nan, out)


@njit(nogil=True, cache=True, error_model="numpy")
def _write(
    forest: PackedForest,
    segments: Segments,
    sums: npt.NDArray[np.float32],
    voxels: Voxels,
    has_nan: npt.NDArray[np.bool_],
    out: npt.NDArray[np.float32],
) -> None:
    divisor = np.float32(segments.divisor)
    for lane in range(voxels.size):
        row = out[np.uint64(voxels[lane])]
        row[:] = 0
        if not has_nan[np.uint64(voxels[lane])]:
            for c in range(forest.channel.size):
                row[forest.channel[c]] = sums[c, lane] / divisor
