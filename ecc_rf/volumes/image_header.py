"""What flat images claim, read from their first bytes: decoders believe it and ask for the memory.

Sources: PNG, https://www.w3.org/TR/png-3/#11IHDR; JPEG, ITU-T T.81 B.2.2; JPEG 2000, ITU-T T.800 A.5.1; BMP,
https://learn.microsoft.com/windows/win32/api/wingdi/ns-wingdi-bitmapinfoheader.
"""

from __future__ import annotations

import math
import struct
from typing import NamedTuple

from ecc_rf.errors import FormatError
from ecc_rf.volumes.limits import LARGEST_COMPRESSION, MOST_DECODED, check_claim, check_whole

_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}  # of PNG's kinds of colour
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers of JPEG that say the size
_CONVERT = "save the image as .npy, .h5 or .tif, or cut it into smaller ones"


class Claim(NamedTuple):
    """What a header says."""

    height: int
    width: int
    samples: int
    bytes_of_sample: int
    scans: int = 1  # of a progressive JPEG, each of which goes over the whole image

    @property
    def size(self) -> int:
        """Bytes of the decoded image."""
        return math.prod(self[:4])


def claim_of(stored: bytes) -> Claim | None:
    """What the header claims; None if there is none that we know."""
    try:
        if stored.startswith(b"\x89PNG\r\n\x1a\n"):
            width, height, bits, colour = struct.unpack_from(">IIBB", stored, 16)
            return Claim(height, width, _CHANNELS.get(colour, 4), -(-bits // 8))
        if stored.startswith(b"\xff\xd8"):
            return _jpeg(stored)
        if stored.startswith(b"BM"):
            width, height, _, bits = struct.unpack_from("<iiHH", stored, 18)
            return Claim(abs(height), abs(width), max(3, bits // 8), 1)
        if b"\xff\x4f\xff\x51" in stored[:4096]:
            return _jpeg_2000(stored, stored.index(b"\xff\x4f\xff\x51") + 4)
    except struct.error:
        return None
    return None


def _jpeg(stored: bytes) -> Claim | None:
    at = 2
    while at + 4 <= len(stored):
        if stored[at] != 0xFF:
            return None
        marker = stored[at + 1]
        if marker == 0xFF or marker == 0x01 or 0xD0 <= marker <= 0xD8:
            at += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", stored, at + 2)
        if marker in _FRAMES:
            bits, height, width, samples = struct.unpack_from(">BHHB", stored, at + 4)
            # scans begin with a marker that the entropy-coded data cannot hold
            return Claim(height, width, samples, -(-bits // 8), stored.count(b"\xff\xda", at))
        at += 2 + length
    return None


def _jpeg_2000(stored: bytes, at: int) -> Claim:
    _, _, right, bottom, left, top = struct.unpack_from(">HHIIII", stored, at)
    (samples, bits) = struct.unpack_from(">HB", stored, at + 36)
    return Claim(bottom - top, right - left, samples, -(-((bits & 0x7F) + 1) // 8))


def check_image(stored: bytes, name: str, largest: int | None = None) -> None:
    """Refuse an image that claims more than can be decoded, or than it can hold.

    Parameters
    ----------
    stored : bytes
        The file, or a compressed strip or tile.
    name : str
        For messages.
    largest : int, optional
        Bytes that it may become; default what fits into memory.

    Raises
    ------
    FormatError
    """
    claim = claim_of(stored)
    if claim is None:
        raise FormatError("the header of the image is damaged", name, "copy the file anew from where it came")
    if largest is not None and claim.size > largest:
        raise FormatError(
            f"the compressed piece claims {claim.size:,} bytes; expected at most {largest:,}",
            name,
            "copy the file anew from where it came",
        )
    check_whole(name, claim.size, _CONVERT)
    if stored.startswith(b"\x89PNG"):
        check_claim(
            name, (claim.height, claim.width), claim.samples * claim.bytes_of_sample, len(stored), LARGEST_COMPRESSION
        )
    if claim.scans * claim.height * claim.width > MOST_DECODED:
        raise FormatError(
            f"it claims {claim.scans:,} scans of {claim.height:,} × {claim.width:,} voxels; "
            f"expected at most {MOST_DECODED:,} voxels in all",
            name,
            _CONVERT,
        )
