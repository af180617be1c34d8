"""What a cell finder reads: one channel of a volume as zyx, and what a stored probability means."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.errors import AxesError, FormatError, ImageValueError, LabelError, ShapeError

if TYPE_CHECKING:
    from ecc_rf.volumes.volume import Volume

    VolumeLike = str | Path | Volume | NDArray[Any]

Box = tuple[slice, ...]

# Axes of an array that comes without letters, by its number of dimensions.
_ARRAY_AXES = {2: "yx", 3: "zyx", 4: "zyxc", 5: "tzyxc"}

# Float probabilities may be sums of float32 shares: the last digits may leave 0..1.
_SLACK = 1e-4


def array_volume(array: NDArray[Any], name: str) -> Volume:
    """An array as a volume without voxel size: ``yx``, ``zyx``, ``zyxc`` or ``tzyxc`` by its number of dimensions.

    Raises
    ------
    AxesError
        If there are fewer than 2 or more than 5 dimensions.
    """
    from ecc_rf.volumes.array import ArrayVolume

    if array.ndim not in _ARRAY_AXES:
        raise AxesError(
            f"An array of {array.ndim} dimensions is no volume.",
            where=name,
            do="Give an array with the axes yx, zyx, zyxc or tzyxc.",
        )
    return ArrayVolume(name, array, _ARRAY_AXES[array.ndim])


def mask_threshold(volume: Volume) -> float | None:
    """The threshold of a mask that was exported in place of a probability; None for any other volume.

    Raises
    ------
    FormatError
        If it is recorded as something else than a number.
    """
    record = volume.attributes.get("ecc_rf")
    if not isinstance(record, dict) or record.get("export") != "mask":
        return None
    threshold = record.get("threshold")
    if not isinstance(threshold, int | float):
        raise FormatError("The mask does not say at which threshold it was made.", volume.name, "Export it anew.")
    return float(threshold)


class Channel:
    """One channel of a volume, seen as zyx; an image without z has one plane.

    Parameters
    ----------
    source : path, Volume or ndarray
    role : str
        What it is for, for messages: ``'probability'``, ``'raw'``, ``'mask'``.
    channel : int, optional
        Number of the channel from 0; None means the only one there may be.

    Raises
    ------
    AxesError
        If there are several time points.
    ShapeError
        If there are several channels and none is chosen.
    LabelError
        If the chosen channel is not there.
    """

    def __init__(self, source: VolumeLike, role: str, channel: int | None = None) -> None:
        self._opened_here = isinstance(source, str | Path)
        if isinstance(source, str | Path):
            from ecc_rf.volumes import open_volume  # late: the formats' libraries are heavy

            self._volume: Volume = open_volume(source)
        elif isinstance(source, np.ndarray):
            self._volume = array_volume(source, f"{role} array")
        else:
            self._volume = source
        volume = self._volume
        if volume.cache is not None:
            volume.cache.limit = 0  # bricks are kept instead, within the memory budget
        self.reading_bytes = volume.reading_bytes
        self.name = volume.name
        self.role = role
        extents = dict(zip(volume.axes, volume.shape))
        if extents.get("t", 1) != 1:
            raise AxesError(
                f"The {role} volume has {extents['t']} time points; cells are found in one at a time.",
                where=volume.name,
                do="Give one time point.",
            )
        n_channels = extents.get("c", 1)
        if channel is None and n_channels > 1:
            raise ShapeError(
                f"The {role} volume has {n_channels} channels.", where=volume.name, do="Choose one of its channels."
            )
        if not 0 <= (channel or 0) < n_channels:
            raise LabelError(
                f"There is no channel {(channel or 0) + 1} in the {role} volume; it has {n_channels}.",
                where=volume.name,
                do=f"Choose from 1 to {n_channels}.",
            )
        self._fixed = {"t": slice(0, 1), "c": slice(channel or 0, (channel or 0) + 1)}
        self.shape = tuple(extents.get(axis, 1) for axis in "zyx")
        self.dtype = np.dtype(volume.dtype).newbyteorder("=")
        self.voxel_size = volume.voxel_size
        self.drange = volume.drange
        self.mask_threshold = mask_threshold(volume)
        chunks = None if volume.chunks is None else dict(zip(volume.axes, volume.chunks))
        self.chunks = None if chunks is None else tuple(chunks.get(axis, 1) for axis in "zyx")

    def __getitem__(self, box: Box) -> NDArray[Any]:
        """Voxels of a box of three slices (z, y, x), C order."""
        wanted = {**dict(zip("zyx", box)), **self._fixed}
        axes = self._volume.axes
        block = self._volume[tuple(wanted[axis] for axis in axes)]
        block = block.squeeze(tuple(i for i, axis in enumerate(axes) if axis in "tc"))
        spatial = [axis for axis in axes if axis in "zyx"]
        block = block.transpose([spatial.index(axis) for axis in "zyx" if axis in spatial])
        return np.ascontiguousarray(block.reshape(tuple(s.stop - s.start for s in box)), self.dtype)

    def close(self) -> None:
        """Close the volume if it was opened here."""
        if self._opened_here:
            self._volume.close()


def check_same_shape(channel: Channel, probability: Channel) -> None:
    """Refuse a raw volume or mask that does not lie on the probability volume.

    Raises
    ------
    ShapeError
    """
    if channel.shape != probability.shape:
        raise ShapeError(
            f"The {channel.role} volume has the shape {channel.shape} (z, y, x), the probability volume "
            f"{probability.shape}.",
            where=f"{channel.name} and {probability.name}",
            do="Give volumes of the same brain with the same extents.",
        )


@dataclass(frozen=True)
class ProbabilityScale:
    """What stored values mean: `low` is probability 0 and `high` is probability 1.

    Attributes
    ----------
    low, high : float
        Stored values.
    dtype : dtype
        Of the stored values.
    """

    low: float
    high: float
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, channel: Channel) -> ProbabilityScale:
        """The scale by the volume's data range, else by its type: 0..1 for floats, 0..255 for uint8 and so on.

        Raises
        ------
        FormatError
            If the values are integers of a type too wide to be meant as a whole, and no range is recorded.
        """
        dtype = channel.dtype
        if channel.drange is not None and channel.drange[1] > channel.drange[0]:
            return cls(float(channel.drange[0]), float(channel.drange[1]), dtype)
        if dtype.kind == "b" or dtype.kind == "f":
            return cls(0.0, 1.0, dtype)
        if dtype in (np.uint8, np.uint16):
            return cls(0.0, float(np.iinfo(dtype).max), dtype)
        raise FormatError(
            f"Probabilities stored as {dtype} without a data range have no meaning.",
            where=channel.name,
            do="Export them as float32, uint8 or uint16, or record their range in the attribute drange.",
        )

    def limit(self, threshold: float) -> Any:
        """The stored value that a cell's voxels must exceed, in the stored precision.

        >>> ProbabilityScale(0, 255, np.dtype("uint8")).limit(0.7)    # 178.5: from 179 on
        np.uint8(178)
        >>> np.float32(0.7) > ProbabilityScale(0, 1, np.dtype("float32")).limit(0.7)
        np.False_
        """
        limit = self.low + threshold * (self.high - self.low)
        return self.dtype.type(limit if self.dtype.kind == "f" else math.floor(limit))

    @property
    def factor(self) -> float:
        """What stored values are multiplied by to be summed as integers: floats keep 32 binary places of `high`.

        >>> ProbabilityScale(0, 1, np.dtype("float32")).factor == 2.0**32
        True
        """
        if self.dtype.kind != "f":
            return 1.0
        return float(2.0 ** (32 - math.ceil(math.log2(max(abs(self.low), abs(self.high))))))

    def to_probability(self, stored: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probabilities of stored values."""
        return (stored - self.low) / (self.high - self.low)

    def check(self, block: NDArray[Any], name: str) -> None:
        """Refuse values that are no probabilities.

        Raises
        ------
        ImageValueError
            If a value is NaN or outside the range.
        """
        if not block.size or block.dtype.kind == "b" or self._is_whole_type:
            return
        slack = _SLACK * (self.high - self.low) if block.dtype.kind == "f" else 0.0
        smallest, largest = float(block.min()), float(block.max())  # NaN passes through both
        if not (smallest >= self.low - slack and largest <= self.high + slack):
            found = "NaN" if math.isnan(smallest) else f"{smallest:g} to {largest:g}"
            raise ImageValueError(
                f"Probabilities must lie in {self.low:g} to {self.high:g}; there is {found}.",
                where=name,
                do="Check that this is a probability volume and not the image itself.",
            )

    @property
    def _is_whole_type(self) -> bool:
        """Whether the type holds nothing outside the range."""
        if self.dtype.kind == "f":
            return False
        whole = np.iinfo(self.dtype)
        return self.low <= whole.min and self.high >= whole.max
