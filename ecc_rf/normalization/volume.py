"""A volume that is normalised as it is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.errors import SettingError
from ecc_rf.normalization.background import Box, LocalBackground, Window, bytes_needed
from ecc_rf.normalization.settings import Normalization, ScaledNormalization
from ecc_rf.volumes import AxisView, Volume
from ecc_rf.volumes.axes import transpose_to
from ecc_rf.volumes.base import BaseVolume, Slices

_CANONICAL = "tczyx"


class NormalizedVolume(BaseVolume):
    """(voxel - local median) / scale, float32; name, axes, extents and voxel size are the image's.

    It is read like any volume, from several threads at once, and the same voxel has the same value in whatever block
    it is read. The image's own voxels around a block are read for the medians as needed; medians once computed are
    kept for the blocks beside. Closing it closes the image.

    Parameters
    ----------
    image : Volume
    normalization : Normalization
    scales : tuple of float
        One per channel of the image; see `estimate_scales`.
    voxel_size : (z, y, x) in µm, optional
        By which the window is measured; default what the image says.

    Raises
    ------
    SettingError
        If no voxel size is known, or the number of scales is not that of the channels.
    """

    def __init__(
        self,
        image: Volume,
        normalization: Normalization,
        scales: tuple[float, ...],
        voxel_size: tuple[float, float, float] | None = None,
    ) -> None:
        size = voxel_size or image.voxel_size
        super().__init__(image.name, image.shape, np.float32, image.axes, voxel_size=size, chunks=image.chunks)
        self._image = image
        self._view = AxisView(image, _CANONICAL)
        self.cache = image.cache
        n_times, n_channels, *extents = self._view.shape
        if size is None:
            raise SettingError(
                "The voxel size is not known; the window of the background is in µm.",
                where=image.name,
                do="Give the voxel size as z, y, x in µm.",
            )
        if len(scales) != n_channels:
            raise SettingError(f"There are {len(scales)} scales for {n_channels} channels.", where=image.name)
        self.normalization = normalization
        self.scales = scales
        window = Window.of(normalization.window_um, size)
        self._backgrounds = {
            (t, c): LocalBackground(_reader(self._view, t, c), tuple(extents), window)
            for t in range(n_times)
            for c in range(n_channels)
        }

    @classmethod
    def of(cls, image: Volume, how: ScaledNormalization) -> NormalizedVolume:
        """A volume that is normalised as `how` says."""
        return cls(image, how.normalization, how.scales, how.voxel_size)

    @property
    def as_stored(self) -> dict[str, Any]:
        """How its voxels are normalised, as a file of them would say."""
        return {**self.normalization.as_dict(), "scales": list(self.scales)}

    @property
    def reading_bytes(self) -> int:
        return self._image.reading_bytes + bytes_needed(self._image.dtype.itemsize)

    def _read(self, slices: Slices) -> NDArray[Any]:
        wanted = dict(zip(self.axes, slices))
        t, c, *box = (wanted.get(axis, slice(0, 1)) for axis in _CANONICAL)
        voxels = self._view[(t, c, *box)]
        out = np.empty(voxels.shape, np.float32)
        for i, time in enumerate(range(t.start, t.stop)):
            for j, channel in enumerate(range(c.start, c.stop)):
                background = self._backgrounds[time, channel]
                out[i, j] = background.subtract(voxels[i, j], tuple(box), self.scales[channel])
        return transpose_to(out, _CANONICAL, self.axes)

    def _release(self) -> None:
        self._image.close()


def _reader(view: Volume, t: int, c: int) -> Callable[[Box], NDArray[Any]]:
    def read(box: Box) -> NDArray[Any]:
        return np.asarray(view[(slice(t, t + 1), slice(c, c + 1), *box)][0, 0])

    return read
