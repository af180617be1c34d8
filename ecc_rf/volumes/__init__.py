"""Images of any format, read and written block by block."""

from ecc_rf.volumes.axes import (
    AxisView,
    axes_from_axistags,
    axistags_json,
    default_axes,
    internal_axes,
    transpose_to,
)
from ecc_rf.volumes.base import DamagedChunkError
from ecc_rf.volumes.metadata import shard_shape
from ecc_rf.volumes.pyramid import Level
from ecc_rf.volumes.volume import Volume, WritableVolume, create_volume, open_volume

__all__ = [
    "AxisView",
    "DamagedChunkError",
    "Level",
    "Volume",
    "WritableVolume",
    "axes_from_axistags",
    "axistags_json",
    "create_volume",
    "default_axes",
    "internal_axes",
    "open_volume",
    "shard_shape",
    "transpose_to",
]
