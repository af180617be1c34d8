"""Where the voxels of a NIfTI file lie, and the headers of files that are written.

World coordinates of NIfTI grow to the right, to the front (anterior) and upwards (superior): RAS. Images that know no
anatomy are written with x to the left and y to the back, which is the identity of ITK (LPS)::

    voxel x, y, z  ->  world (-x * size_x, -y * size_y, z * size_z)

so that ITK-SNAP shows a plane as every image viewer does: x from left to right, y from top to bottom.
Lengths are written in mm, NIfTI's own unit: of images in µm, ITK before 5.4 scales the voxel size and forgets the
origin (ITK pull request 4595).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from ecc_rf.errors import FormatError
from ecc_rf.volumes.base import VoxelSize, damage_reported

LPS = np.diag([-1.0, -1.0, 1.0])
"""Directions of the voxel axes x, y, z in the world, of images that know no anatomy."""

_MILLIMETRES = {"meter": 1e3, "mm": 1.0, "micron": 1e-3}
_LARGEST_EXTENT = 2**15 - 1  # of NIfTI-1; longer axes need NIfTI-2
_INSTEAD = {"bool": "uint8", "float16": "float32"}  # of the types that NIfTI does not have
_SCANNER = 1  # code of both transforms, as ITK writes it


@dataclass(frozen=True, eq=False)
class NiftiGeometry:
    """What a header says about the place of the voxels.

    Attributes
    ----------
    shape : (x, y, z)
    transforms : dict of str to (4, 4) ndarray
        From voxel x, y, z to the world, in mm: "sform", "qform", neither, or both.
    unit : str or None
        Of the header; None if it does not say. Lengths are then taken for mm.
    """

    shape: tuple[int, int, int]
    transforms: dict[str, NDArray[np.float64]]
    unit: str | None


def read_geometry(path: str | Path) -> NiftiGeometry:
    """The geometry of a NIfTI file.

    Raises
    ------
    FormatError
        If it is no NIfTI file, or damaged.
    """
    with damage_reported(str(path)):
        image = nibabel.load(path)
        if not isinstance(image, nibabel.Nifti1Image):
            raise FormatError(f"the file is {type(image).__name__}, not NIfTI", str(path))
        header: Any = image.header
        unit = header.get_xyzt_units()[0]
        scale = np.diag([_MILLIMETRES.get(unit, 1.0)] * 3 + [1.0])
        transforms = {}
        for name, get in (("sform", header.get_sform), ("qform", header.get_qform)):
            affine, _ = get(coded=True)
            if affine is not None and np.isfinite(affine).all() and abs(np.linalg.det(affine[:3, :3])) > 0:
                transforms[name] = scale @ affine
    x, y, z = (*image.shape, 1, 1)[:3]
    return NiftiGeometry((int(x), int(y), int(z)), transforms, unit if unit in _MILLIMETRES else None)


def plain_affine(voxel_size: VoxelSize | None, start: Sequence[int] = (0, 0, 0)) -> NDArray[np.float64]:
    """From voxel x, y, z to the world in mm, for an image that knows no anatomy.

    Parameters
    ----------
    voxel_size : (z, y, x) or None
        In µm; voxels of unknown size count 1.
    start : (z, y, x)
        Where in the image the first voxel lies.

    >>> plain_affine((5.0, 2.0, 2.0), (0, 0, 10)).round(3).tolist()[0]
    [-0.002, 0.0, 0.0, -0.02]
    """
    size = np.array((1e3, 1e3, 1e3) if voxel_size is None else voxel_size)[::-1] / 1e3
    affine = np.eye(4)
    affine[:3, :3] = LPS * size
    affine[:3, 3] = affine[:3, :3] @ np.array(start, float)[::-1]
    return affine


def header_bytes(
    shape: Sequence[int], dtype: np.dtype[Any], affine: NDArray[np.float64], *, sized: bool, name: str
) -> bytes:
    """The header of a file of one piece, up to the first voxel.

    Parameters
    ----------
    shape : sequence of int
        x, y, z, t, channel; as many as are needed.
    dtype : dtype
    affine : (4, 4) ndarray
        From voxel x, y, z to the world in mm.
    sized : bool
        Whether the voxel size is known; the unit is left open if not.
    name : str
        The file, for messages.

    Raises
    ------
    FormatError
        If NIfTI has no such type of voxels.
    """
    kind: Any = nibabel.Nifti1Header if max(shape) <= _LARGEST_EXTENT else nibabel.Nifti2Header
    header = kind(endianness="<")
    if dtype.name in _INSTEAD:
        instead = _INSTEAD[dtype.name]
        raise FormatError(f"NIfTI holds no {dtype} voxels", name, f"write them as {instead}")
    header.set_data_dtype(dtype.newbyteorder("<"))
    header.set_data_shape(tuple(shape))
    header.set_sform(affine, _SCANNER)
    header.set_qform(affine, _SCANNER)
    header.set_xyzt_units("mm" if sized else "unknown", "unknown")
    header.set_slope_inter(1, 0)
    header.set_data_offset(kind.single_vox_offset)
    block: bytes = header.binaryblock
    return block.ljust(kind.single_vox_offset, b"\0")  # no extensions
