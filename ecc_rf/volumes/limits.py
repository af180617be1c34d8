"""How much of everything an image may claim, and why; the counterpart for projects is `ecc_rf.ilp.limits`.

A header claims any size in a few bytes. What it claims is compared with what the file can hold before a voxel is read,
and what is decoded at once must fit into memory, whoever wrote the file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ecc_rf.errors import FormatError

LARGEST_EXTENT = 2**31
"""Voxels along an axis; the largest images have a hundred thousand."""

LARGEST_PIECE = 512 << 20
"""Bytes that are decoded at once: a chunk, strip or tile, or the whole of a format that has none (PNG, JPEG, BMP, NPZ).
A quarter of the default memory budget; a plane of 16,000 x 16,000 voxels of 16 bits, a chunk of 512 x 512 x 512."""

LONGEST_METADATA = 16 << 20
"""Bytes of one text of metadata (JSON, XML); those of a hierarchy of 10,000 arrays have as many."""

SMALLEST_CHUNK = 512
"""Bytes of a chunk where there are `MOST_CHUNKS` or more: every chunk costs some hundred bytes while it is looked up,
and a block has millions of voxels."""

MOST_CHUNKS = 1 << 20
"""Chunks of fewer bytes than that; and chunks of one shard, whose index is read as a whole."""

MOST_MEMBERS = 5_000
"""Arrays, groups or files that are looked through for an image that was not named."""

MOST_PAGES = 100_000
"""Pages of a TIFF file: each is read when the file is opened, some tens of microseconds. The longest stacks have some
ten thousand."""

MOST_TAG_NUMBERS = 4_000_000
"""Numbers in the tags of all pages of a TIFF file, mostly the places of strips, which are kept as Python objects."""

BYTES_PER_TAG_NUMBER = 4096
"""A larger file may have more strips than that, if they have so many bytes on average."""

HARMLESS_CLAIM = 1 << 30
"""Bytes that an image may claim without holding them: a few blocks of fill values."""

LARGEST_COMPRESSION = 1032
"""Deflate shrinks to no less than 1/1032."""

LARGEST_SPARSITY = 100_000
"""How many times larger than its files an image may be otherwise: Zstandard and Blosc shrink a chunk of one value ten
thousandfold, and chunks of background are often not stored at all."""

LARGEST_HEADER = 16 << 20
"""Bytes before the voxels of a NIfTI file: header and extensions."""

MOST_DECODED = 1 << 31
"""Voxels that a progressive JPEG has us decode, all its scans taken together: some ten seconds."""


def check_extents(name: str, shape: Sequence[int]) -> None:
    """Refuse extents that no image has.

    Raises
    ------
    FormatError
    """
    if any(not 0 <= extent <= LARGEST_EXTENT for extent in shape):
        raise FormatError(
            f"it claims the shape {_listed(shape)}; expected at most {LARGEST_EXTENT:,} voxels along an axis",
            name,
            "copy the file anew from where it came",
        )


def check_claim(name: str, shape: Sequence[int], itemsize: int, stored: int, largest: float = LARGEST_SPARSITY) -> None:
    """Refuse an image that is larger than what is stored of it can be.

    Parameters
    ----------
    name : str
        The image, for messages.
    shape : sequence of int
    itemsize : int
        Bytes of a voxel.
    stored : int
        Bytes that hold its voxels.
    largest : float
        How many times they may grow.

    Raises
    ------
    FormatError
    """
    check_extents(name, shape)
    size = math.prod(shape) * itemsize
    if size > HARMLESS_CLAIM and size > stored * largest:
        raise FormatError(
            f"it claims {size:,} bytes by its shape {_listed(shape)}, of which {stored:,} are stored; "
            f"so few can be at most {max(HARMLESS_CLAIM, round(stored * largest)):,}",
            name,
            "copy the image anew from where it came, or write the part of it that there is as an image of its own",
        )


def check_piece(name: str, shape: Sequence[int], itemsize: int, what: str = "chunks") -> None:
    """Refuse an image of which one piece would need too much memory.

    Raises
    ------
    FormatError
    """
    size = math.prod(shape) * itemsize
    if size > LARGEST_PIECE:
        raise FormatError(
            f"it is stored in {what} of {size:,} bytes ({_listed(shape)}), each decoded as a whole; "
            f"expected at most {LARGEST_PIECE:,}",
            name,
            "store it anew in smaller pieces, such as chunks of 64 voxels a side",
        )


def check_number_of_chunks(name: str, shape: Sequence[int], chunks: Sequence[int], itemsize: int) -> None:
    """Refuse very many very small chunks.

    Raises
    ------
    FormatError
    """
    number = math.prod(-(-extent // chunk) for extent, chunk in zip(shape, chunks))
    size = math.prod(chunks) * itemsize
    if number > MOST_CHUNKS and size < SMALLEST_CHUNK:
        raise FormatError(
            f"it is stored in {number:,} chunks of {size:,} bytes; expected at most {MOST_CHUNKS:,} of less than "
            f"{SMALLEST_CHUNK:,}",
            name,
            "store it anew in larger pieces, such as chunks of 64 voxels a side",
        )


def check_whole(name: str, size: int, advice: str) -> None:
    """Refuse an image that is decoded as a whole and would need too much memory.

    Raises
    ------
    FormatError
    """
    if size > LARGEST_PIECE:
        raise FormatError(
            f"it claims {size:,} bytes, and its format is decoded as a whole; expected at most {LARGEST_PIECE:,}",
            name,
            advice,
        )


def check_metadata(name: str, size: int) -> None:
    """Refuse a text of metadata that is longer than such texts are.

    Raises
    ------
    FormatError
    """
    if size > LONGEST_METADATA:
        raise FormatError(
            f"it has {size:,} bytes of metadata; expected at most {LONGEST_METADATA:,}",
            name,
            "copy the image anew from where it came",
        )


def _listed(shape: Sequence[int]) -> str:
    """A shape whose numbers may have thousands of digits.

    >>> _listed((3, 10**400))
    '3 × 1.0e+400'
    """
    return " × ".join(
        str(n) if abs(n) < 10**15 else f"{n / 10 ** (len(str(n)) - 1):.1f}e+{len(str(n)) - 1}" for n in shape
    )
