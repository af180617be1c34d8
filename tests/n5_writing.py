"""N5 as its specification has it, written the slow way: blocks in Python, bytes in big-endian order."""

from __future__ import annotations

import bz2
import gzip
import itertools
import json
import lzma
import struct
import zlib
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np

COMPRESSIONS: dict[str, tuple[dict[str, Any], Any]] = {
    "raw": ({"type": "raw"}, bytes),
    "gzip": ({"type": "gzip", "level": 1}, gzip.compress),
    "zlib": ({"type": "gzip", "useZlib": True}, zlib.compress),
    "bzip2": ({"type": "bzip2"}, bz2.compress),
    "xz": ({"type": "xz"}, lzma.compress),
    "zstd": ({"type": "zstd"}, lambda raw: bytes(numcodecs.Zstd().encode(raw))),
    "blosc": ({"type": "blosc", "cname": "lz4"}, lambda raw: bytes(numcodecs.Blosc(typesize=1).encode(raw))),
}


def write_n5(
    path: Path,
    array: np.ndarray[Any, Any],
    blocks: tuple[int, ...],
    compression: str = "gzip",
    *,
    whole: bool = False,
    **attributes: Any,
) -> None:
    """A dataset; `whole` stores blocks at the end in full, as some writers do."""
    described, compress = COMPRESSIONS[compression]
    path.mkdir(parents=True)
    stored = {
        "dimensions": array.shape[::-1],
        "blockSize": blocks[::-1],
        "dataType": array.dtype.newbyteorder("=").name,
        "compression": described,
        **attributes,
    }
    (path / "attributes.json").write_text(json.dumps(stored))
    for at in itertools.product(*(range(-(-n // edge)) for n, edge in zip(array.shape, blocks))):
        block = array[tuple(slice(i * edge, i * edge + edge) for i, edge in zip(at, blocks))]
        if not block.any():
            continue
        if whole:
            block = np.pad(block, [(0, edge - n) for edge, n in zip(blocks, block.shape)])
        header = struct.pack(f">HH{block.ndim}I", 0, block.ndim, *block.shape[::-1])
        file = path.joinpath(*map(str, at[::-1]))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(header + compress(block.astype(block.dtype.newbyteorder(">")).tobytes()))
