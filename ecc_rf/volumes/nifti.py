"""NIfTI, read only: x, y, z, t in the file are handed out as tzyx.

Blocks of a compressed file are found by decompressing all that is before them: read such a file from its start, in few
large pieces. Threads may share a volume; nibabel locks the file.
"""

from __future__ import annotations

import math
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from ecc_rf.errors import FormatError
from ecc_rf.volumes.axes import check_axes
from ecc_rf.volumes.base import BaseVolume, Slices, Source, VoxelSize, check_voxels, damage_reported
from ecc_rf.volumes.units import voxel_size_from

# the fifth dimension of NIfTI holds several values per voxel
_AXES = {2: "yx", 3: "zyx", 4: "tzyx", 5: "ctzyx"}


class NiftiVolume(BaseVolume):
    """The data of an image; scaled by the header's slope and intercept only if these do something."""

    def __init__(self, source: Source, image: nibabel.Nifti1Image) -> None:
        data: Any = image.dataobj
        shape = data.shape[::-1]
        check_voxels(source.name, shape, data.dtype)
        axes = check_axes(source.axes or _AXES[len(shape)], len(shape), source.name)
        scaled = (data.slope, data.inter) != (1, 0)
        super().__init__(
            source.name,
            shape,
            np.float64 if scaled else data.dtype,
            axes,
            voxel_size=source.voxel_size or _voxel_size(image.header, axes),
        )
        self._data = data

    def _read(self, slices: Slices) -> NDArray[Any]:
        return np.asarray(self._data[slices[::-1]]).T


def open_source(source: Source) -> NiftiVolume:
    with damage_reported(source.name):
        image = nibabel.load(source.path)
        if not isinstance(image, nibabel.Nifti1Image):
            raise FormatError(f"the file is {type(image).__name__}, not NIfTI", source.name)
        data: Any = image.dataobj
        needed = data.offset + data.dtype.itemsize * math.prod(data.shape)
        size = source.path.stat().st_size
        if source.path.suffix.lower() == ".nii" and size < needed:
            raise FormatError(f"the file is truncated: {size} bytes of {needed}", source.name, "copy it anew")
        return NiftiVolume(source, image)


def _voxel_size(header: Any, axes: str) -> VoxelSize | None:
    unit = header.get_xyzt_units()[0]
    sizes = dict(zip("xyz", map(float, header.get_zooms())))
    return voxel_size_from(axes, _AXES[len(axes)], sizes, dict.fromkeys("zyx", unit))
