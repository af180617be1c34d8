"""From features to tiles: keys of a chunk of voxels, and of the few hundred that walk together.

A chunk is a piece of the input that stays in cache, with its float32 features turned into keys (see
:mod:`~ecc_rf.forest.packed`). A tile holds LANES of its voxels, feature by feature, in the places
where the comparisons of :mod:`~ecc_rf.forest.bits` want them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ecc_rf.forest.bits import LANES, POSITION_OF_LANE
from ecc_rf.forest.compiled import compiled
from ecc_rf.forest.packed import KEY_OF_INFINITY

Keys = npt.NDArray[np.int32]
Voxels = npt.NDArray[np.uint32]

_LEAST = np.int32(-(2**31))
_INFINITY = np.int32(KEY_OF_INFINITY)


@compiled
def fill_chunk(features: npt.NDArray[np.float32], first: int, keys: Keys, has_nan: npt.NDArray[np.bool_]) -> None:
    """Turn features into keys.

    Parameters
    ----------
    features : (features, n) float32
    first : int
        First voxel of the chunk.
    keys : (features, stride) int32
        One column for each voxel of the chunk is filled.
    has_nan : (voxels,) bool
        Filled: whether a voxel has a feature that is not a number.
    """
    has_nan[:] = False
    bits = features.view(np.int32)
    for f in range(features.shape[0]):
        row, key_row = bits[f, first : first + has_nan.size], keys[f]
        for i in range(has_nan.size):
            key = np.int32(_LEAST - row[i]) if row[i] < 0 else row[i]
            key_row[i] = key
            has_nan[i] |= (key > _INFINITY) | (key < -_INFINITY)


@compiled
def fill_tile(keys: Keys, voxels: Voxels, tile: Keys, at: Voxels) -> None:
    """Gather up to LANES voxels of a chunk; the last of them fills the lanes that are left over.

    Parameters
    ----------
    keys : (features, stride) int32
        The chunk.
    voxels : (1 to LANES,) uint32
        Lane i is to hold voxel ``voxels[i]``.
    tile : (features * LANES,) int32
        Filled.
    at : (LANES,) uint32
        Working memory: the voxel at each position of the tile.
    """
    for lane in range(LANES):
        at[POSITION_OF_LANE[lane]] = voxels[min(lane, voxels.size - 1)]
    for f in range(keys.shape[0]):
        row, tile_row = keys[f], tile[f * LANES : (f + 1) * LANES]
        for i in range(LANES):
            tile_row[i] = row[np.uint64(at[i])]
