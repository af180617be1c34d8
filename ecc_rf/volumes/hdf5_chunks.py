"""Chunks of HDF5, decompressed to the size that they say and no further.

HDF5 inflates a chunk for as long as its bytes last: two megabytes become two gigabytes, of which it then takes the
first. So chunks that are gzipped, shuffled or not, are taken as they are stored and decoded here; of other filters the
chunks of a region are looked at before HDF5 reads them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ecc_rf.errors import FormatError
from ecc_rf.volumes.base import Slices, chunks_of, normalized_index
from ecc_rf.volumes.chunk_cache import assemble
from ecc_rf.volumes.decoding import decompressed

_GZIP, _SHUFFLE, _FLETCHER32, _SZIP, _NBIT, _SCALE_OFFSET, _LZF = 1, 2, 3, 4, 5, 6, 32000

_Filters = list[tuple[int, tuple[int, ...]]]


def read_region(dataset: h5py.Dataset, slices: Sequence[slice] = ()) -> NDArray[Any]:
    """Values of a region of a dataset, by default of all of it.

    Parameters
    ----------
    dataset : h5py.Dataset
        Of the filters that `refuse_foreign_storage` lets pass.
    slices : sequence of slice
        As `normalized_index` makes them.

    Raises
    ------
    FormatError
        If a chunk holds more than it should, or is damaged.
    """
    if not dataset.chunks or not dataset.size:
        return np.asarray(dataset[tuple(slices) if slices else ()])
    region, _ = normalized_index(tuple(slices), dataset.shape)
    filters = _filters(dataset)
    if [code for code, _ in filters] in ([_GZIP], [_SHUFFLE, _GZIP]) and _is_plain(dataset):
        return assemble(region, dataset.shape, dataset.chunks, dataset.dtype, _Decoder(dataset, filters).piece)
    if filters:
        for chunk in chunks_of(region, dataset.shape, dataset.chunks):
            _check_chunk(dataset, tuple(part.start for part in chunk), filters)
    return np.asarray(dataset[region])


def _filters(dataset: h5py.Dataset) -> _Filters:
    plist = dataset.id.get_create_plist()
    return [plist.get_filter(k)[:3:2] for k in range(plist.get_nfilters())]


def _is_plain(dataset: h5py.Dataset) -> bool:
    """Whether the values are stored as numpy has them: of other types HDF5 converts them."""
    dtype = dataset.dtype
    return dtype.kind in "biuf" and bool(h5py.h5t.py_create(dtype, logical=True) == dataset.id.get_type())


class _Decoder:
    def __init__(self, dataset: h5py.Dataset, filters: _Filters) -> None:
        self._dataset = dataset
        self._shuffled = len(filters) == 2
        self._chunks: tuple[int, ...] = dataset.chunks
        self._size = math.prod(self._chunks) * dataset.dtype.itemsize

    def piece(self, at: tuple[int, ...], region: Slices) -> NDArray[Any]:
        stored = _stored(self._dataset, tuple(part.start for part in region), self._size)
        if stored is None:  # never written, in some other way, or damaged: HDF5 knows
            return np.asarray(self._dataset[region])
        content = decompressed("zlib", stored, self._size)
        if len(content) != self._size:
            raise FormatError(f"the chunk holds {len(content):,} bytes of {self._size:,}")
        values = np.frombuffer(content, np.uint8)
        width = self._dataset.dtype.itemsize
        if self._shuffled and width > 1:
            values = np.ascontiguousarray(values.reshape(width, -1).T).ravel()
        whole = values.view(self._dataset.dtype).reshape(self._chunks)
        inside: NDArray[Any] = whole[tuple(slice(0, part.stop - part.start) for part in region)]
        return inside


def _stored(dataset: h5py.Dataset, corner: tuple[int, ...], size: int) -> bytes | None:
    """The bytes of a chunk; None if there are none, or a filter was left out."""
    found = _direct(dataset, corner)
    if found is None:
        return None
    skipped, stored = found
    if len(stored) > size + size // 8 + 4096:  # more than what does not become smaller
        raise FormatError(f"the chunk is stored in {len(stored):,} bytes; it holds {size:,}")
    return None if skipped else stored


def _direct(dataset: h5py.Dataset, corner: tuple[int, ...]) -> tuple[int, bytes] | None:
    """The filters that were left out for a chunk, and its bytes as they are in the file; None if there are none."""
    try:
        # Asked for first: of a chunk that was never written, HDF5 hands over a length that is none.
        if dataset.id.get_chunk_info_by_coord(corner).byte_offset is None:
            return None
        skipped, stored = dataset.id.read_direct_chunk(corner)
    except (OSError, RuntimeError, ValueError):
        return None
    return skipped, bytes(stored)


def _check_chunk(dataset: h5py.Dataset, corner: tuple[int, ...], filters: _Filters) -> None:
    """Refuse a chunk of which a filter would make more than the chunk has."""
    elements = math.prod(dataset.chunks or ())
    size = elements * dataset.dtype.itemsize
    found = _direct(dataset, corner)
    if found is None:
        return
    skipped, stored = found
    for k, (code, values) in reversed(list(enumerate(filters))):
        if skipped & (1 << k):
            continue
        if code == _FLETCHER32:
            stored = stored[:-4]
        elif code in (_GZIP, _LZF):
            stored = decompressed("zlib" if code == _GZIP else "lzf", stored, size)
        elif code == _SZIP:
            claimed = int.from_bytes(stored[:4], "little")
            if claimed > size:
                raise FormatError(f"the chunk claims {claimed:,} bytes; it holds {size:,}")
            return
        elif code in (_NBIT, _SCALE_OFFSET):  # the third value is the number of elements
            if len(values) < 3 or values[2] > elements:
                raise FormatError(f"the filter {code} has the settings {values[:3]}; the chunk holds {elements:,}")
            return


def check_stored_chunks(dataset: h5py.Dataset) -> None:
    """Look at all chunks of a dataset that is to be copied, or read by HDF5 itself.

    Raises
    ------
    FormatError
        As `read_region`.
    """
    if dataset.chunks and dataset.size and (filters := _filters(dataset)):
        for chunk in chunks_of(tuple(slice(0, n) for n in dataset.shape), dataset.shape, dataset.chunks):
            _check_chunk(dataset, tuple(part.start for part in chunk), filters)
