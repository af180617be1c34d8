"""How a dataset of HDF5 is stored, looked at before it is read."""

from __future__ import annotations

import math

import h5py

from ecc_rf.errors import FormatError

# deflate, shuffle, fletcher32, szip, nbit, scaleoffset are part of HDF5, lzf of h5py
_BUILTIN_FILTERS = {1, 2, 3, 4, 5, 6, 32000}

_MOST_CHUNKS = 1 << 20  # HDF5 keeps some 200 bytes for each chunk of a region that is read
_LARGEST_CHUNK = 256 << 20  # bytes; a chunk is decompressed as a whole


def refuse_foreign_storage(dataset: h5py.Dataset, where: str) -> None:
    """Refuse what leads out of the file, and filters that need a plug-in.

    Raises
    ------
    FormatError
        If the dataset is virtual, stored in other files, or compressed with a filter that is not part of HDF5.
    """
    plist = dataset.id.get_create_plist()
    if plist.get_layout() == h5py.h5d.VIRTUAL or plist.get_external_count():
        raise FormatError(
            "it is stored in other datasets or files (virtual or external storage), which are not followed",
            where,
            "copy the data into an ordinary dataset",
        )
    filters = [plist.get_filter(k)[0] for k in range(plist.get_nfilters())]
    if foreign := [code for code in filters if code not in _BUILTIN_FILTERS]:
        raise FormatError(
            f"it is compressed with HDF5 filter {foreign[0]}, which needs a plug-in",
            where,
            "compress it anew: h5repack -f GZIP=1 OLD NEW",
        )


def refuse_false_claims(dataset: h5py.Dataset, where: str) -> None:
    """Refuse a dataset that is stored in more bytes than its file has.

    Raises
    ------
    FormatError
    """
    # HDF5 knows the size since it opened the file: a forest has hundreds of datasets, and some disks answer slowly
    stored, size = int(dataset.id.get_storage_size()), int(h5py.h5i.get_file_id(dataset.id).get_filesize())
    if stored > size:
        raise FormatError(
            f"it claims {stored:,} bytes, more than the {size:,} of the file", where, "copy the file anew"
        )


def refuse_wild_chunks(dataset: h5py.Dataset, where: str) -> None:
    """Refuse chunks for which HDF5 itself would need much more memory than for what is read.

    Raises
    ------
    FormatError
        If there are more than a million chunks, or one has more than 256 MiB.
    """
    if dataset.chunks is None:
        return
    size = math.prod(dataset.chunks) * dataset.dtype.itemsize
    number = math.prod(-(-n // chunk) for n, chunk in zip(dataset.shape, dataset.chunks))
    if size > _LARGEST_CHUNK or number > _MOST_CHUNKS:
        raise FormatError(
            f"it is stored in {number:,} chunks of {size:,} bytes; expected at most {_MOST_CHUNKS:,} chunks "
            f"of at most {_LARGEST_CHUNK:,} bytes",
            where,
            "store it anew in chunks of 64 voxels a side",
        )
