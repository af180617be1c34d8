"""What a block gave, as bytes for the ledger: arrays of numbers and nothing else, so that reading them runs no code.

::

    | length of the head | head: JSON, type and shape of each array | the arrays' bytes, one after the other |
              4                                                        \\____ first bytes of all numbers, then the
                                                                             second ones, ... : zeros lie together

and all of it compressed. Sums and places are large types that hold small numbers: what is stored is a quarter of it.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.errors import FormatError

_LENGTH = struct.Struct("<I")
_KINDS = "biuf"  # booleans, integers, floats
_LEVEL = 1  # measured on the objects of a block: higher levels take three times as long for a twentieth less


def pack(arrays: Sequence[NDArray[Any]]) -> bytes:
    """Arrays as bytes; the same arrays give the same bytes. None at all are no bytes at all.

    Examples
    --------
    >>> some = [np.arange(6).reshape(2, 3), np.float32([0.5])]
    >>> [array.tolist() for array in unpack(pack(some))]
    [[[0, 1, 2], [3, 4, 5]], [0.5]]
    >>> pack([]), unpack(b"")
    (b'', [])
    """
    if not arrays:
        return b""
    plain = [np.ascontiguousarray(array, array.dtype.newbyteorder("<")) for array in arrays]
    head = json.dumps([[array.dtype.str, list(array.shape)] for array in plain]).encode()
    bodies = [array.reshape(-1).view(np.uint8).reshape(-1, array.itemsize).T.tobytes() for array in plain]
    return zlib.compress(b"".join([_LENGTH.pack(len(head)), head, *bodies]), _LEVEL)


def unpack(payload: bytes) -> list[NDArray[Any]]:
    """The arrays of `pack`.

    Raises
    ------
    FormatError
        If it is something else.
    """
    if not payload:
        return []
    try:
        content = zlib.decompress(payload)
        (length,) = _LENGTH.unpack_from(content)
        at = _LENGTH.size + length
        arrays = []
        for name, shape in json.loads(content[_LENGTH.size : at]):
            dtype = np.dtype(str(name))
            if dtype.kind not in _KINDS:
                raise ValueError(f"{dtype} are no numbers")
            size = math.prod(shape) * dtype.itemsize
            stored = np.frombuffer(content, np.uint8, size, at).reshape(dtype.itemsize, -1)
            arrays.append(np.ascontiguousarray(stored.T).reshape(-1).view(dtype).reshape(shape))
            at += size
        if at != len(content):
            raise ValueError(f"{len(content) - at} bytes are left over")
    except (zlib.error, struct.error, ValueError, TypeError) as error:
        raise FormatError(f"This is not what a block gave: {error}") from error
    return arrays
