"""Strings of variable length in HDF5, read without the library.

HDF5 believes what such a string says of itself: a damaged length makes it allocate up to 4 GB, a damaged heap keeps it
in a loop for ever. So the few bytes that matter are read here, and each is checked before it is used::

    dataset or attribute    length | address | index      one descriptor per string
                                        |        |
    global heap           "GCOL" size   v        |
                          | 1 | size | bytes     |
                          | 2 | size | bytes   <-+
                          | 0 | free space

Source: HDF5 File Format Specification 3.0, "Disk Format: Level 1E - Global Heap" and "Level 2A - Data Object Headers",
https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html
"""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import h5py
import numpy as np

from ecc_rf.errors import FormatError
from ecc_rf.volumes.base import damage_reported

LONGEST_STRING = 1 << 20
"""Bytes of one string: a list of 10,000 files with paths of 100 letters has as many. All strings that are read
together have four times that at the most, for they may be one and the same in the file."""

_LARGEST_HEAP = 64 << 20  # bytes of one collection; HDF5 makes them of 4096, or a little more than one long string
_LARGEST_ATTRIBUTE = 64 << 10  # bytes: what fits into an object's header
_LARGEST_HEADER = 1 << 20  # bytes of the messages of one object; a message has up to 64 KiB
_ATTRIBUTE, _LAYOUT, _CONTINUATION = 0x0C, 0x08, 0x10  # kinds of messages
_GZIP = 1  # HDF5's number of the filter
_COPY_ANEW = "copy the file anew from where it came, or save it again with the program that wrote it"


def is_variable_string(dtype: np.dtype[np.generic]) -> bool:
    """Whether h5py's type is that of strings of variable length."""
    found = h5py.check_string_dtype(dtype)
    return found is not None and found.length is None


def dataset_strings(dataset: h5py.Dataset, where: str) -> list[bytes]:
    """The strings of a dataset of variable-length strings, of one dimension at the most.

    Raises
    ------
    FormatError
        If they are damaged, too long, or stored in a way that programs do not store names.
    """
    with damage_reported(where):
        if dataset.ndim > 1:
            raise FormatError(f"expected one string or a list of strings, found shape {dataset.shape}", where)
        count, layout = dataset.size, dataset.id.get_create_plist().get_layout()
        with _Bytes(dataset, where) as file:
            size = file.descriptor
            if layout == h5py.h5d.CONTIGUOUS:
                at = dataset.id.get_offset()
                stored = bytes(count * size) if at is None else file.read(at, count * size)
            elif layout == h5py.h5d.COMPACT:
                stored = _compact(file, dataset)
            else:
                stored = _chunks(dataset, size, where)
            return file.strings(stored, count)


def attribute_strings(node: h5py.Group | h5py.Dataset, name: str, where: str) -> list[bytes]:
    """The strings of an attribute of variable-length strings; raises as `dataset_strings`."""
    with damage_reported(where):
        attribute = h5py.h5a.open(node.id, name.encode())
        count = math.prod(attribute.shape)
        with _Bytes(node, where) as file:
            for kind, body in file.messages(node):
                if kind == _ATTRIBUTE:
                    found, stored = _attribute(body)
                    if found == name.encode():
                        return file.strings(stored, count)
    raise FormatError("a text is stored in a way that is not read", where, _COPY_ANEW)


def checked_attribute(node: h5py.Group | h5py.Dataset, name: str, where: str) -> Any:
    """What an attribute holds, None if there is none.

    Raises
    ------
    FormatError
        If it is a damaged string, a list of strings, or larger than an attribute usually can be.
    """
    with damage_reported(where):
        if not h5py.h5a.exists(node.id, name.encode()):
            return None
        attribute = h5py.h5a.open(node.id, name.encode())
        if is_variable_string(attribute.dtype) and math.prod(attribute.shape) == 1:
            return attribute_strings(node, name, where)[0].decode("utf-8", "replace")
        if attribute.dtype.kind == "O" or math.prod(attribute.shape) * attribute.dtype.itemsize > _LARGEST_ATTRIBUTE:
            raise FormatError(
                f"the attribute {name} is {attribute.dtype} of shape {attribute.shape}; "
                "expected a text or a few numbers",
                where,
                _COPY_ANEW,
            )
        return node.attrs[name]


class _Bytes:
    """The bytes of the file that holds an object. Addresses count from its superblock, offsets from its beginning."""

    def __init__(self, node: h5py.Group | h5py.Dataset, where: str) -> None:
        file = h5py.h5i.get_file_id(node.id)
        if file.get_intent() != h5py.h5f.ACC_RDONLY:
            h5py.h5f.flush(file)  # a file that is being written here
        plist = file.get_create_plist()
        self._base = plist.get_userblock()
        self._address, self._length = plist.get_sizes()
        self.descriptor = 4 + self._address + 4  # bytes of one: length, address, index
        self._where = where
        self._file: BinaryIO = Path(os.fsdecode(h5py.h5f.get_name(file))).open("rb")  # noqa: SIM115 (closed by __exit__)
        self._end = self._file.seek(0, 2)
        self._heaps: dict[int, dict[int, bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def _damage(self, what: str) -> FormatError:
        return FormatError(f"a text is damaged: {what}", self._where, _COPY_ANEW)

    def read(self, at: int, count: int) -> bytes:
        if at < 0 or count < 0 or at + count > self._end:
            raise self._damage(f"it claims {count} bytes at {at}, the file has {self._end}")
        self._file.seek(at)
        return self._file.read(count)

    def strings(self, stored: bytes, count: int) -> list[bytes]:
        """The strings that so many descriptors point to."""
        size = self.descriptor
        if len(stored) < count * size:
            raise self._damage(f"{len(stored)} bytes for {count} descriptors")
        found, total = [], 0
        for begin in range(0, count * size, size):
            length = _number(stored, begin, 4)
            address = _number(stored, begin + 4, self._address)
            index = _number(stored, begin + 4 + self._address, 4)
            total += length
            if length > LONGEST_STRING or total > 4 * LONGEST_STRING:
                raise self._damage(f"it claims {max(length, total):,} bytes; expected at most {LONGEST_STRING:,}")
            if length == 0:  # never written, or empty: no heap has it
                found.append(b"")
                continue
            if address not in self._heaps:
                self._heaps[address] = dict(self._objects(address))
            text = self._heaps[address].get(index)
            if text is None or len(text) != length:
                kept = "nothing" if text is None else f"{len(text)} bytes"
                raise self._damage(f"it claims {length} bytes, the heap at {address} has {kept} of it")
            found.append(text)
        return found

    def _objects(self, address: int) -> Iterator[tuple[int, bytes]]:
        """Number and bytes of the objects of a collection of the global heap."""
        header = self.read(self._base + address, 8 + self._length)
        size = _number(header, 8, self._length)
        if header[:4] != b"GCOL" or header[4] != 1 or not len(header) <= size <= _LARGEST_HEAP:
            raise self._damage(f"there is no heap of strings at {address}")
        heap = self.read(self._base + address, size)
        at, head = -(-len(header) // 8) * 8, -(-(8 + self._length) // 8) * 8
        while at + head <= size:
            index, length = _number(heap, at, 2), _number(heap, at + 8, self._length)
            if index == 0:  # free space, to the end
                return
            end = at + head + length
            if end > size:
                raise self._damage(f"the heap at {address} has an object beyond its end")
            yield index, heap[at + head : end]
            at = -(-end // 8) * 8

    def messages(self, node: h5py.Group | h5py.Dataset) -> Iterator[tuple[int, bytes]]:
        """Kind and body of the messages in an object's header."""
        address = int(h5py.h5o.get_info(node.id).addr)
        start = self.read(self._base + address, 16)
        if start[:4] == b"OHDR":
            flags = start[5]
            at = address + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
            width = 1 << (flags & 3)
            size = _number(self.read(self._base + at, width), 0, width)
            head, first = (6 if flags & 0x04 else 4), at + width
        elif start[0] == 1:
            size, head, first = _number(start, 8, 4), 8, address + 16
        else:
            raise self._damage(f"there is no object at {address}")
        modern = start[:4] == b"OHDR"
        blocks, total = [(first, size)], 0
        while blocks:
            at, size = blocks.pop(0)
            total += size
            if size == 0 or total > _LARGEST_HEADER:  # a loop, at the latest
                raise self._damage(f"the object at {address} has a header of {total} bytes or more")
            block = self.read(self._base + at, size)
            place = 0
            while place + head <= len(block):
                kind = block[place] if modern else _number(block, place, 2)
                length = _number(block, place + (1 if modern else 2), 2)
                shared = block[place + (3 if modern else 4)] & 0x02
                body = block[place + head : place + head + length]
                place += head + length
                if (shared and kind == _ATTRIBUTE) or len(body) < length:
                    continue
                if kind == _CONTINUATION and len(body) >= self._address + self._length:
                    more, size = _number(body, 0, self._address), _number(body, self._address, self._length)
                    # of the newer kind has a signature before its messages and a checksum behind
                    blocks.append((more + 4, max(0, size - 8)) if modern else (more, size))
                yield kind, body


def _number(stored: bytes, at: int, width: int) -> int:
    return int.from_bytes(stored[at : at + width], "little")


def _attribute(body: bytes) -> tuple[bytes, bytes]:
    """Name and stored value of an attribute's message: the parts before are padded in the oldest version."""
    version = body[0] if body else 0
    at = 9 if version == 3 else 8
    sizes = [_number(body, place, 2) for place in (2, 4, 6)]
    name = body[at : at + sizes[0]].rstrip(b"\0")
    for size in sizes:
        at += -(-size // 8) * 8 if version == 1 else size
    return name, body[at:]


def _compact(file: _Bytes, dataset: h5py.Dataset) -> bytes:
    """The value of a dataset that lies in the object's header."""
    for kind, body in file.messages(dataset):
        if kind == _LAYOUT and len(body) >= 4 and body[0] >= 3 and body[1] == 0:
            return body[4 : 4 + _number(body, 2, 2)]
    return b""


def _chunks(dataset: h5py.Dataset, size: int, where: str) -> bytes:
    """The descriptors of a list in chunks, uncompressed or gzipped; of chunks that were never written they are 0."""
    plist = dataset.id.get_create_plist()
    filters = [plist.get_filter(k)[0] for k in range(plist.get_nfilters())]
    if not set(filters) <= {_GZIP} or dataset.ndim != 1:
        raise FormatError(f"a list of texts is compressed with the HDF5 filters {filters}", where, _COPY_ANEW)
    length = dataset.chunks[0] * size
    if length > LONGEST_STRING:
        raise FormatError(f"a list of texts is stored in chunks of {length:,} bytes", where, _COPY_ANEW)
    stored = bytearray(-(-dataset.size // dataset.chunks[0]) * length)
    for k in range(dataset.id.get_num_chunks()):
        info = dataset.id.get_chunk_info(k)
        if info.size > LONGEST_STRING:
            raise FormatError(f"a list of texts has a chunk of {info.size:,} bytes", where, _COPY_ANEW)
        skipped, chunk = dataset.id.read_direct_chunk(info.chunk_offset)
        if filters and not skipped:
            chunk = zlib.decompressobj().decompress(chunk, length)
        begin = info.chunk_offset[0] * size
        stored[begin : begin + length] = chunk[:length].ljust(length, b"\0")
    return bytes(stored[: dataset.size * size])
