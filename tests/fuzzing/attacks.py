"""What the images that attack their reader are collected in, and made of: see `tests.fuzzing.hostile_images`."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

Attack = Callable[[Path], Path]
ATTACKS: dict[str, Attack] = {}

SHAPE = (32, 32, 32)
GIGABYTES = 3 << 30
NOISE = np.random.default_rng(0).integers(0, 255, SHAPE, np.uint8)


def attack(make: Attack) -> Attack:
    ATTACKS[make.__name__] = make
    return make


def zeros_deflated(size: int, wbits: int = 15) -> bytes:
    """So many zeros, multiples of 16 MiB, in a thousandth of the bytes; with a wrong checksum, which nobody reaches."""
    stream = zlib.compressobj(9, wbits=wbits)
    head = stream.compress(b"") + stream.flush(zlib.Z_FULL_FLUSH)
    piece = stream.compress(bytes(1 << 24)) + stream.flush(zlib.Z_FULL_FLUSH)
    return head + piece * (size >> 24) + stream.flush()


DEFLATED = zeros_deflated(GIGABYTES)
