"""The header of NPY, which is a piece of Python: read within limits, and without what it could stand for."""

from __future__ import annotations

from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy_format

from ecc_rf.errors import FormatError
from ecc_rf.volumes.base import check_voxels
from ecc_rf.volumes.limits import check_extents

_LONGEST = 10_000  # characters, numpy's own limit


def read_header(file: BinaryIO, name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether in Fortran order, and dtype; the file is at the voxels then.

    Raises
    ------
    FormatError
        If it is no such header, or not that of an image.
    """
    damaged = FormatError("the header of the array is damaged", name, "save the array anew with numpy.save")
    version = npy_format.read_magic(file)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise damaged
    width = 2 if version == (1, 0) else 4
    start = file.tell()
    length = int.from_bytes(file.read(width), "little")
    if length > _LONGEST:
        raise FormatError(
            f"the header of the array claims {length:,} characters; expected at most {_LONGEST:,}", name, damaged.do
        )
    file.seek(start)
    read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
    try:
        shape, fortran, dtype = read(file)
    except (MemoryError, RecursionError) as error:  # of Python's parser, for what is nested deeply
        raise damaged from error
    return shape, fortran, dtype


def check_header(shape: tuple[int, ...], dtype: np.dtype[Any], name: str) -> None:
    """Refuse what is no image; raises FormatError."""
    check_voxels(name, shape, dtype)
    check_extents(name, shape)
