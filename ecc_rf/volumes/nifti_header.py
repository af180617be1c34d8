"""The header of NIfTI, looked at before the library follows it: extensions and voxels may claim to be anywhere.

Source: NIfTI-1 and NIfTI-2, https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h and .../nifti2/nifti2.h.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, cast

from ecc_rf.errors import FormatError
from ecc_rf.volumes.limits import LARGEST_HEADER

_SIZES = {348: ("h", 40, "f", 108, 352), 540: ("q", 16, "q", 168, 544)}
"""By the size of the header: extents' type and place, type and place of the offset of the voxels, smallest offset."""
_SLOPE = {348: ("f", 112), 540: ("d", 176)}
_COPY_ANEW = "copy the file anew from where it came"


def check_header(path: Path, name: str) -> bool:
    """Refuse a header that claims what no image has; returns whether the file is compressed.

    Raises
    ------
    FormatError
    """
    with path.open("rb") as plain:
        compressed = plain.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path, "rb") if compressed else path.open("rb") as file:
            _check(cast("BinaryIO", file), name, None if compressed else path.stat().st_size)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FormatError(f"the gzip data are damaged: {error}", name, _COPY_ANEW) from error
    return compressed


def _check(file: BinaryIO, name: str, size: int | None) -> None:
    block = file.read(540)
    orders = [order for order in "<>" if len(block) >= 4 and struct.unpack_from(order + "i", block)[0] in _SIZES]
    if not orders:
        return  # of another kind, which the library names
    order = orders[0]
    length = struct.unpack_from(order + "i", block)[0]
    kind, at, offset_kind, offset_at, smallest = _SIZES[length]
    if len(block) < length:
        raise FormatError(f"the file is truncated: {len(block)} bytes of a header of {length}", name, _COPY_ANEW)
    number, *extents = struct.unpack_from(f"{order}8{kind}", block, at)
    if not 1 <= number <= 7 or min(extents[:number]) < 1:
        raise FormatError(f"the header claims {number} axes of {extents} voxels", name, _COPY_ANEW)
    (offset,) = struct.unpack_from(order + offset_kind, block, offset_at)
    if not math.isfinite(offset) or not 0 <= offset <= LARGEST_HEADER:
        raise FormatError(
            f"the header claims that the voxels begin at byte {offset:,.0f}; expected at most {LARGEST_HEADER:,}",
            name,
            _COPY_ANEW,
        )
    slopes = struct.unpack_from(f"{order}2{_SLOPE[length][0]}", block, _SLOPE[length][1])
    if slopes[0] != 0 and not math.isnan(slopes[0]) and not all(map(math.isfinite, slopes)):
        raise FormatError(f"the voxels are scaled by {slopes[0]} and {slopes[1]}", name, "mend the header")
    _check_extensions(file, name, order, length, max(int(offset), smallest), size)


def _check_extensions(file: BinaryIO, name: str, order: str, length: int, stop: int, size: int | None) -> None:
    """They lie between header and voxels, and the library reads each whole, as long as it says that it is."""
    file.seek(length)
    flag = file.read(4)
    if len(flag) < 4 or flag[0] == 0:
        return
    at = length + 4
    while at + 8 <= stop:
        head = file.read(8)
        if len(head) < 8:
            return
        claimed = struct.unpack_from(order + "i", head)[0]
        if claimed < 8 or at + claimed > stop or (size is not None and at + claimed > size):
            raise FormatError(
                f"an extension of the header claims {claimed:,} bytes at {at}, the voxels begin at {stop:,}",
                name,
                _COPY_ANEW,
            )
        at += claimed
        file.seek(at)
