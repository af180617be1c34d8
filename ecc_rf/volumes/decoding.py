"""Decompression that ends where the claimed size does.

Decompressors go on for as long as their input does: a chunk of a megabyte can become gigabytes. Here each is told how
many bytes are expected; whatever holds more is refused before there is memory for it.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Any, Protocol

import imagecodecs

from ecc_rf.errors import FormatError

_SLACK = 64  # bytes that a checksum or padding may add


class _Streaming(Protocol):
    eof: bool
    unused_data: bytes

    def decompress(self, data: bytes, most: int, /) -> bytes: ...


def decompressed(kind: str, stored: bytes, size: int) -> bytes:
    """The content of a compressed piece, `size` bytes or a little more or less, which is for the caller to check.

    Parameters
    ----------
    kind : {'gzip', 'zlib', 'bzip2', 'lzma', 'zstd', 'blosc', 'lz4', 'lzf'}
        stored : bytes
    size : int
        Bytes that are expected.

    Raises
    ------
    FormatError
        If there is more in it, or it is damaged.

    >>> decompressed("zlib", zlib.compress(b"abc" * 5), 15)
    b'abcabcabcabcabc'
    """
    try:
        found = _DECODERS[kind](bytes(stored), size + _SLACK)
    except FormatError:
        raise
    except Exception as error:  # every library has its own
        if "INSUFFICIENT_SPACE" in str(error) or "buffer is too small" in str(error):
            raise _too_much(kind, size) from error
        raise FormatError(f"the {kind} data are damaged: {error}") from error
    if len(found) > size + _SLACK:
        raise _too_much(kind, size)
    return found


def _too_much(kind: str, size: int) -> FormatError:
    return FormatError(f"the {kind} data are more than the {size:,} bytes that are expected")


def _streamed(make: Callable[[], Any]) -> Callable[[bytes, int], bytes]:
    """One stream after the other, as programs write them that compress in parallel."""

    def decode(stored: bytes, most: int) -> bytes:
        found = b""
        while stored and len(found) <= most:
            stream: _Streaming = make()
            more = stream.decompress(stored, most + 1 - len(found))
            found = found + more if found else more
            if not stream.eof:
                if len(found) <= most:
                    raise FormatError("the compressed data are cut off")
                break
            if not found and len(stream.unused_data) == len(stored):
                break
            stored = stream.unused_data.lstrip(b"\0")
        return found

    return decode


def _zlib(stored: bytes, most: int) -> bytes:
    return bytes(imagecodecs.deflate_decode(stored, out=most))  # libdeflate: twice as fast as zlib


def _zstd(stored: bytes, most: int) -> bytes:
    # a frame says its size, or is decoded into no more than there is room for
    return bytes(imagecodecs.zstd_decode(stored, out=most))


def _blosc(stored: bytes, most: int) -> bytes:
    import numcodecs

    claimed = int.from_bytes(stored[4:8], "little")
    if claimed > most:
        raise _too_much("blosc", most - _SLACK)
    return bytes(numcodecs.Blosc().decode(stored))


def _lz4(stored: bytes, most: int) -> bytes:
    import numcodecs

    if int.from_bytes(stored[:4], "little") > most:
        raise _too_much("lz4", most - _SLACK)
    return bytes(numcodecs.LZ4().decode(stored))


def _lzf(stored: bytes, most: int) -> bytes:
    return bytes(imagecodecs.lzf_decode(stored, out=most))


_DECODERS: dict[str, Callable[[bytes, int], bytes]] = {
    "gzip": _streamed(lambda: zlib.decompressobj(47)),
    "zlib": _zlib,
    "bzip2": _streamed(bz2.BZ2Decompressor),
    "lzma": _streamed(lambda: lzma.LZMADecompressor(memlimit=1 << 28)),
    "zstd": _zstd,
    "blosc": _blosc,
    "lz4": _lz4,
    "lzf": _lzf,
}
