"""A TIFF file from a stranger: its directories of pages are walked before a library makes objects of them.

::

    header    "II" or "MM" | 42 or 43 | offset of the first page ---+
                                                                    v
    page      number of tags | tag type count value-or-offset | ... | offset of the next page, or 0

A few bytes here can claim a million pages, pages in a circle, tags of gigabytes, or planes without end; a description
in XML can expand without end, and names other files. Sources: TIFF 6.0, https://www.itu.int/itudoc/itu-t/com16/tiff-fx/;
BigTIFF, https://www.awaresystems.be/imaging/tiff/bigtiff.html; OME-TIFF, https://docs.openmicroscopy.org/ome-model/.
"""

from __future__ import annotations

import math
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from xml.etree import ElementTree

from ecc_rf.errors import FormatError
from ecc_rf.volumes.base import damage_reported
from ecc_rf.volumes.image_header import check_image
from ecc_rf.volumes.limits import (
    BYTES_PER_TAG_NUMBER,
    LARGEST_COMPRESSION,
    LARGEST_SPARSITY,
    MOST_MEMBERS,
    MOST_PAGES,
    MOST_TAG_NUMBERS,
    check_claim,
    check_metadata,
    check_piece,
)

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_TEXTS = (1, 2, 6, 7)  # kinds of tags that are read as bytes
_CODES = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_MOST_TAGS = 4096  # of a page

_WIDTH, _LENGTH, _BITS, _COMPRESSION, _DESCRIPTION, _SAMPLES = 256, 257, 258, 259, 270, 277
_ROWS, _STRIP_COUNTS, _TILE_WIDTH, _TILE_LENGTH, _TILE_COUNTS = 278, 279, 322, 323, 325
_DEPTH, _TILE_DEPTH, _PLANAR = 32997, 32998, 284

_NONE = 1
_DEFLATED = {1: 1.0, 5: 2048.0, 7: 4096.0, 8: LARGEST_COMPRESSION, 32773: 64.0, 32946: LARGEST_COMPRESSION}
"""Compressions, and how many times they shrink at the most: none, LZW, JPEG, Deflate, PackBits, Deflate."""
_JPEG, _JPEG_2000, _LZMA, _ZSTANDARD = 7, (34712, 33003, 33005), 34925, 50000
_OTHERS = {*_JPEG_2000, _LZMA, _ZSTANDARD}
"""Others that are read; they shrink almost without limit."""

_COPY_ANEW = "copy the file anew from where it came"


@dataclass(frozen=True)
class _Tag:
    kind: int
    count: int
    value: bytes  # as much as fits into the directory
    offset: int


class _Reader:
    """The structure of one file."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.file, self.name = file, name
        self.size = file.seek(0, os.SEEK_END)
        head = self.read(0, 16)
        self.order = {b"II": "<", b"MM": ">"}.get(head[:2], "")
        version = struct.unpack_from((self.order or "<") + "H", head, 2)[0] if len(head) >= 8 else 0
        if not self.order or version not in (42, 43):
            raise self.error("is no TIFF file")
        self.big = version == 43
        if self.big and len(head) < 16:
            raise self.error("is cut off after its header")
        self.word = self.order + ("Q" if self.big else "I")  # of offsets and counts
        self.width = 8 if self.big else 4
        self.first: int = struct.unpack_from(self.word, head, 8 if self.big else 4)[0]
        self.numbers = 0

    def error(self, what: str) -> FormatError:
        return FormatError(what, self.name, _COPY_ANEW)

    def read(self, at: int, count: int) -> bytes:
        self.file.seek(at)
        return self.file.read(count)

    def page(self, at: int) -> tuple[dict[int, _Tag], int]:
        """Tags of the page at an offset, and the offset of the next."""
        number, entry = ("Q", 20) if self.big else ("H", 12)
        head = self.read(at, struct.calcsize(number))
        if len(head) < struct.calcsize(number):
            raise self.error(f"is truncated: it names a page at {at}, beyond its end at byte {self.size}")
        count = struct.unpack(self.order + number, head)[0]
        if count > _MOST_TAGS:
            raise self.error(f"has a page of {count:,} tags; expected at most {_MOST_TAGS:,}")
        stored = self.read(at + len(head), count * entry + self.width)
        if len(stored) < count * entry + self.width:
            raise self.error(f"is truncated: a page at {at} goes on beyond its end at byte {self.size}")
        tags = {}
        for k in range(count):
            code, kind, values = struct.unpack_from(self.order + ("HHQ" if self.big else "HHI"), stored, k * entry)
            value = stored[k * entry + entry - self.width : (k + 1) * entry]
            offset = struct.unpack(self.word, value)[0]
            length = values * _SIZES.get(kind, 1)
            inside = length <= self.width
            if kind in _SIZES and not inside and offset + length > self.size and code != _DESCRIPTION:
                raise self.error(
                    f"is truncated: the tag {code} claims {length:,} bytes at {offset:,}, the file has {self.size:,}"
                )
            self._count(code, kind, values)
            tags[code] = _Tag(kind, values, value if inside else b"", -1 if inside else offset)
        return tags, struct.unpack_from(self.word, stored, count * entry)[0]

    def _count(self, code: int, kind: int, values: int) -> None:
        """All tags together, as often as they are named."""
        if kind in _TEXTS:
            check_metadata(self.name, values)
            return
        self.numbers += values
        most = max(MOST_TAG_NUMBERS, self.size // BYTES_PER_TAG_NUMBER)
        if self.numbers > most:
            raise self.error(
                f"has {self.numbers:,} numbers or more in its tags (such as {code}); expected at most {most:,}"
            )

    def values(self, tag: _Tag | None) -> list[int]:
        if tag is None or tag.kind not in _CODES:
            return []
        code = _CODES[tag.kind]
        stored = tag.value if tag.offset < 0 else self.read(tag.offset, tag.count * struct.calcsize(code))
        return list(
            struct.unpack_from(f"{self.order}{min(tag.count, len(stored) // struct.calcsize(code))}{code}", stored)
        )

    def text(self, tag: _Tag) -> bytes:
        return tag.value[: tag.count] if tag.offset < 0 else self.read(tag.offset, tag.count)


def check_tiff(path: Path, name: str, *, alone: bool = False) -> None:
    """Refuse what a library would not survive: see the module.

    Parameters
    ----------
    path : Path
    name : str
        For messages.
    alone : bool
        Whether files that an OME description names are not looked at.

    Raises
    ------
    FormatError
    """
    with damage_reported(name), path.open("rb") as file:
        reader = _Reader(file, name)
        pages, at, first = 0, reader.first, b""
        seen: set[int] = set()
        while at:
            if at in seen:
                raise reader.error(f"names its pages in a circle: page {pages} is the one at {at} again")
            if pages == MOST_PAGES:
                raise reader.error(f"has more than {MOST_PAGES:,} pages")
            seen.add(at)
            pages += 1
            tags, at = reader.page(at)
            _check_page(reader, tags)
            if _DESCRIPTION in tags:
                text = reader.text(tags[_DESCRIPTION])
                _refuse_entities(text, name)
                first = first or (text if pages == 1 else b"")
    if first.rstrip(b"\0 \n\r\t").endswith((b"OME>", b"ome>")):
        _check_ome(first.rstrip(b"\0"), path, name, alone)


def _check_page(reader: _Reader, tags: dict[int, _Tag]) -> None:
    """Its claims against what it holds."""

    def one(code: int, default: int) -> int:
        return (reader.values(tags.get(code)) or [default])[0]

    compression = one(_COMPRESSION, _NONE)
    if compression not in _DEFLATED and compression not in _OTHERS:
        raise FormatError(
            f"it is compressed in the way {compression} of TIFF, which is not read",
            reader.name,
            "store it anew with LZW, Deflate, Zstandard or not compressed",
        )
    width, length, depth, samples = one(_WIDTH, 0), one(_LENGTH, 0), one(_DEPTH, 1), one(_SAMPLES, 1)
    bits = max(reader.values(tags.get(_BITS)) or [1])
    if bits > 128:
        raise reader.error(f"claims voxels of {bits:,} bits")
    row = samples * bits / 8
    tiled = _TILE_WIDTH in tags
    counts = reader.values(tags.get(_TILE_COUNTS if tiled else _STRIP_COUNTS))
    largest = _DEFLATED.get(compression, LARGEST_SPARSITY)
    check_claim(reader.name, (depth, length, math.ceil(width * row)), 1, sum(counts), largest)
    if tiled:
        piece = (one(_TILE_DEPTH, 1), one(_TILE_LENGTH, 0), math.ceil(one(_TILE_WIDTH, 0) * row))
    elif compression == _NONE:
        return  # mapped, or read row by row
    else:
        piece = (1, min(one(_ROWS, length), length), math.ceil(width * row))
    check_piece(reader.name, piece, 1, "tiles" if tiled else "strips")
    if largest := max(counts, default=0):
        check_piece(reader.name, (largest,), 1, "compressed tiles" if tiled else "compressed strips")


def _refuse_entities(text: bytes, name: str) -> None:
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise FormatError(
            "the description in the file defines entities, with which a short text claims a long one",
            name,
            "store the image anew; descriptions of images need none",
        )


def _check_ome(text: bytes, path: Path, name: str, alone: bool) -> None:
    """Refuse planes without end, and files that are elsewhere."""
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return  # it is read as a TIFF file of another kind
    planes, files = 0, set()
    for node in root.iter():
        kind = node.tag.rpartition("}")[2]
        if kind == "Pixels":
            sizes = [int(node.get(f"Size{axis}", 1)) for axis in "XYZCT"]
            if min(sizes) < 1:
                raise FormatError(f"the OME description claims the extents {sizes}", name, _COPY_ANEW)
            planes += math.prod(sizes[2:])
        elif kind == "TiffData":
            planes += max(0, *(int(node.get(key, 0)) for key in ("NumPlanes", "PlaneCount")))
        elif kind == "UUID" and node.get("FileName"):
            files.add(node.get("FileName", ""))
        elif kind.startswith("Modulo") and "Start" in node.attrib:
            step = abs(float(node.get("Step", 1))) or 1e-300
            planes += math.ceil(min(1e18, abs(float(node.get("End", 0)) - float(node.get("Start", 0))) / step))
        if planes > 4 * MOST_PAGES:
            raise FormatError(
                f"the OME description claims {planes:,} planes; expected at most {4 * MOST_PAGES:,}", name, _COPY_ANEW
            )
    if len(files) > MOST_MEMBERS:
        raise FormatError(f"the OME description names {len(files):,} files", name, _COPY_ANEW)
    for file in files - {path.name}:
        place = path.parent / file
        outside = (
            Path(file).name != file or "\\" in file or os.path.realpath(place.parent) != os.path.realpath(path.parent)
        )
        if outside or (place.is_symlink() and not place.resolve().is_relative_to(path.parent.resolve())):
            raise FormatError(
                f"the OME description names a file that is elsewhere, {file[:80]!r}, which is not followed",
                name,
                "keep all files of the image in one folder",
            )
        if not alone and place.exists():
            if not place.is_file():
                raise FormatError(f"the OME description names {file[:80]!r}, which is no file", name, _COPY_ANEW)
            check_tiff(place, str(place), alone=True)


def guard_decoding(series: Any, name: str) -> None:
    """Compare what a compressed strip or tile says of its own size with the page's, before it is decoded.

    Strips of JPEG and JPEG 2000 are whole images, and their decoders believe them rather than the page; those of the
    other compressions end where the page's do.
    """
    page = series.keyframe
    if page.compression != _JPEG and page.compression not in _JPEG_2000:
        return
    decode = page.decode
    rows = page.tilelength if page.is_tiled else min(page.rowsperstrip or page.imagelength, page.imagelength)
    columns = page.tilewidth if page.is_tiled else page.imagewidth
    # four times: pixels of fewer samples are spread, and edges padded
    largest = 4 * rows * columns * page.samplesperpixel * page.dtype.itemsize + (1 << 16)

    def guarded(data: bytes | None, index: int, /, **options: Any) -> Any:
        if data is not None:
            check_image(bytes(data), name, largest)
        return decode(data, index, **options)

    page.__dict__["decode"] = guarded  # where the library caches what it made for this page
