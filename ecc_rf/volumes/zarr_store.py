"""A Zarr hierarchy from a stranger: which files are read, and how much of them.

Nothing outside of the folder is read, whatever its links and metadata say; metadata are looked at before Zarr makes
codecs of them, for a codec that is named may be a plug-in, which would be imported; and a chunk is decompressed to the
size that its array says, no further.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numcodecs.abc
import numpy as np
import zarr
from zarr.abc.codec import Codec
from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.codecs import BloscCodec, GzipCodec, ShardingCodec, ZstdCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer, BufferPrototype, default_buffer_prototype
from zarr.storage import LocalStore

from ecc_rf.errors import FormatError
from ecc_rf.volumes.base import damage_reported
from ecc_rf.volumes.checked_folder import CheckedFolder
from ecc_rf.volumes.decoding import decompressed
from ecc_rf.volumes.limits import (
    LARGEST_EXTENT,
    LARGEST_PIECE,
    MOST_CHUNKS,
    MOST_MEMBERS,
    check_metadata,
)

_METADATA = ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata")
_CODECS = {"blosc", "bytes", "crc32c", "endian", "gzip", "sharding_indexed", "transpose", "zstd"}
"""Codecs of Zarr 3 itself."""

# of Zarr 2: how they are decompressed here; of the others the result is about as large as what goes in
_COMPRESSORS = {"blosc": "blosc", "bz2": "bzip2", "gzip": "gzip", "lz4": "lz4", "lzma": "lzma"}
_COMPRESSORS |= {"zlib": "zlib", "zstd": "zstd"}
_FILTERS = {
    *("adler32", "astype", "bitround", "crc32", "crc32c", "delta", "fixedscaleoffset", "fletcher32", "packbits"),
    *("quantize", "shuffle"),
}
_MOST_GROWTH = 8  # of a filter: bits to bytes


class CheckedStore(LocalStore):
    """A folder that is only read, and of which only regular files inside it are.

    Attributes
    ----------
    largest : int
        Bytes of a chunk's file that are read at once.
    """

    def __init__(self, root: Path | str, *, read_only: bool = True) -> None:
        super().__init__(root, read_only=True)
        self.largest = LARGEST_PIECE
        self._files = CheckedFolder(self.root)

    def _read(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None) -> Buffer | None:
        path = self.root / key
        if (size := self._files.size(path)) is None:
            return None
        metadata = path.name in _METADATA
        if metadata:
            check_metadata(str(path), size)
        start, stop = _bounds(byte_range, size)
        if stop - start > self.largest and not metadata:
            raise FormatError(
                f"a chunk is stored in {stop - start:,} bytes; expected at most {self.largest:,}",
                str(path),
                "copy the image anew from where it came",
            )
        with path.open("rb") as file:
            file.seek(start)
            content = file.read(stop - start)
        if metadata:
            _check_metadata(content, str(path))
        return prototype.buffer.from_bytes(content)

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        return await asyncio.to_thread(self._read, key, prototype or default_buffer_prototype(), byte_range)

    def get_sync(
        self, key: str, *, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        return self._read(key, prototype or default_buffer_prototype(), byte_range)

    async def exists(self, key: str) -> bool:
        return await asyncio.to_thread(self._files.size, self.root / key) is not None

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        self._files.refuse_outside(str(self.root / prefix))
        number = 0
        async for name in super().list_dir(prefix):
            number += 1
            if number > 20 * MOST_MEMBERS:  # the chunks of an array may lie beside it
                raise FormatError(
                    f"the folder has more than {20 * MOST_MEMBERS:,} members",
                    str(self.root / prefix),
                    "name the array that is meant",
                )
            yield name


def _bounds(byte_range: ByteRequest | None, size: int) -> tuple[int, int]:
    if isinstance(byte_range, RangeByteRequest):
        start, stop = byte_range.start, byte_range.end
    elif isinstance(byte_range, OffsetByteRequest):
        start, stop = byte_range.offset, size
    elif isinstance(byte_range, SuffixByteRequest):
        start, stop = size - byte_range.suffix, size
    else:
        start, stop = 0, size
    start = min(max(start, 0), size)
    return start, min(max(stop, start), size)


def open_node(folder: Path, inner: str = "") -> zarr.Group | zarr.Array[Any] | None:
    """The group or array at a path inside a hierarchy, for reading; None if there is none.

    Raises
    ------
    FormatError
        If the metadata are too long, damaged, or name a codec that is not read.
    """
    if not folder.is_dir():
        return None
    try:
        return zarr.open(CheckedStore(folder), path=inner, mode="r")
    except FileNotFoundError:  # zarr's own errors for what is not there derive from it
        return None


def _check_metadata(content: bytes, where: str) -> None:
    """Refuse metadata that name what would be imported."""
    with damage_reported(where):
        text = json.loads(content)
    for document in _documents(text):
        codecs = [*_named(document.get("codecs"), "name")]
        codecs += _named(document.get("filters"), "id") + _named([document.get("compressor")], "id")
        known = _CODECS if "codecs" in document else {*_COMPRESSORS, *_FILTERS}
        if foreign := [codec for codec in codecs if codec not in known]:
            raise FormatError(
                f"the image is compressed with the codec {foreign[0][:80]!r}, which is not read",
                where,
                "store it anew with blosc, zstd, gzip or not at all",
            )
        keys = document.get("chunk_key_encoding")
        if keys is not None and not {*_named([keys], "name")} <= {"default", "v2"}:
            raise FormatError("the names of the chunks are of an unknown kind", where, "store the image anew")
        for item in document.get("filters") or ():
            types = [item.get(key) for key in ("dtype", "astype", "encode_dtype", "decode_dtype")]
            if any(kind is not None and np.dtype(str(kind)).kind not in "biuf" for kind in types):
                raise FormatError("a filter of the image is for what is no number", where, "store it anew without")
        extents = [
            extent for key in ("shape", "chunks", "chunk_shape") for extent in document.get(key) or () if extent != -1
        ]
        if any(not isinstance(extent, int) or not 0 <= extent <= LARGEST_EXTENT for extent in extents):
            largest = max(extents, key=lambda extent: extent if isinstance(extent, int) else 0)
            raise FormatError(
                f"it claims {str(largest)[:40]} voxels along an axis; expected 0 to {LARGEST_EXTENT:,}",
                where,
                "copy the image anew from where it came",
            )


def _documents(text: Any) -> Iterator[dict[str, Any]]:
    """All that metadata say of arrays, those that are gathered in one file and configurations of codecs included."""
    todo = [text]
    while todo:
        node = todo.pop()
        if isinstance(node, dict):
            if node.keys() & {"codecs", "compressor", "filters", "shape", "chunk_shape"}:
                yield node
            todo += [value for key, value in node.items() if key != "attributes"]
        elif isinstance(node, list):
            todo += node


def _named(codecs: Any, key: str) -> list[str]:
    if not isinstance(codecs, list | tuple):
        return []
    return [str(codec.get(key) if isinstance(codec, dict) else codec) for codec in codecs if codec is not None]


def bounded(array: zarr.Array[Any], name: str) -> zarr.Array[Any]:
    """The array with codecs that make no more of a chunk than it has.

    Raises
    ------
    FormatError
        If there are too many chunks in a shard.
    """
    metadata = array.metadata
    itemsize = array.dtype.itemsize
    size = int(np.prod(array.chunks, dtype=float)) * itemsize
    if metadata.zarr_format == 2:
        kind = metadata.compressor and _COMPRESSORS.get(metadata.compressor.codec_id)
        if kind:
            room = size * (_MOST_GROWTH if metadata.filters else 1)
            object.__setattr__(metadata, "compressor", _BoundedCompressor(kind, min(room, LARGEST_PIECE)))
    else:
        if array.shards:
            inner = [shard // chunk for shard, chunk in zip(array.shards, array.chunks)]
            if np.prod(inner, dtype=float) > MOST_CHUNKS:
                raise FormatError(
                    f"it has {np.prod(inner, dtype=float):,.0f} chunks in a shard; expected at most {MOST_CHUNKS:,}",
                    name,
                    "store the image anew with fewer",
                )
        metadata = replace_codecs(metadata)
    store: Any = array.store
    if isinstance(store, CheckedStore) and not array.shards:
        store.largest = min(LARGEST_PIECE, 2 * size + (1 << 20))  # what does not become smaller grows a little
    return zarr.Array(zarr.AsyncArray(metadata=metadata, store_path=array.store_path))


def replace_codecs(metadata: Any) -> Any:
    """Zarr 3's metadata with bounded codecs."""
    codecs = tuple(map(_bounded_codec, metadata.codecs))
    object.__setattr__(metadata, "codecs", codecs)
    return metadata


def _bounded_codec(codec: Codec) -> Codec:
    if isinstance(codec, ShardingCodec):
        return replace(
            codec,
            codecs=tuple(map(_bounded_codec, codec.codecs)),
            index_codecs=tuple(map(_bounded_codec, codec.index_codecs)),
        )
    for kind, ours in ((GzipCodec, _Gzip), (ZstdCodec, _Zstd), (BloscCodec, _Blosc)):
        if type(codec) is kind:
            new = object.__new__(ours)
            new.__dict__.update(codec.__dict__)
            return new
    return codec


class _Bounded:
    _kind = ""

    def _decode_sync(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> Buffer:
        size = int(np.prod(chunk_spec.shape, dtype=float)) * chunk_spec.dtype.to_native_dtype().itemsize
        found = decompressed(self._kind, chunk_bytes.to_bytes(), size)
        return chunk_spec.prototype.buffer.from_bytes(found)

    async def _decode_single(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> Buffer:
        return await asyncio.to_thread(self._decode_sync, chunk_bytes, chunk_spec)


class _Gzip(_Bounded, GzipCodec):
    _kind = "gzip"


class _Zstd(_Bounded, ZstdCodec):
    _kind = "zstd"


class _Blosc(_Bounded, BloscCodec):
    _kind = "blosc"


@dataclass
class _BoundedCompressor(numcodecs.abc.Codec):  # type: ignore[misc]
    """Of Zarr 2; only decodes."""

    kind: str
    size: int
    codec_id = "ecc_rf_bounded"

    def encode(self, buf: Any) -> Any:
        raise NotImplementedError

    def decode(self, buf: Any, out: Any = None) -> Any:
        return decompressed(self.kind, bytes(buf), self.size)
