"""How ilastik keeps values in HDF5: the only place where members of a project file are decoded, and checked.

A project may come from a stranger. Links are not followed, whether they lead out of the file or not (ilastik writes
none); storage in other files is refused; nothing is read before its type, rank and size are known to be sane.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ecc_rf.errors import FormatError, ProjectError
from ecc_rf.ilp.limits import HARMLESS_BYTES, LARGEST_COMPRESSION, MOST_NUMBERS
from ecc_rf.near import missing_file
from ecc_rf.volumes.base import damage_reported
from ecc_rf.volumes.hdf5_chunks import read_region
from ecc_rf.volumes.hdf5_heap import LONGEST_STRING, attribute_strings, dataset_strings, is_variable_string
from ecc_rf.volumes.hdf5_storage import refuse_false_claims, refuse_foreign_storage, refuse_wild_chunks
from ecc_rf.volumes.user_paths import is_there

_SAVE_ANEW = "open the project in ilastik and save it anew, or copy it anew from where it came"


def open_project_file(path: Path) -> h5py.File:
    """The file, for reading.

    Raises
    ------
    MissingFileError
        If it is not there.
    FormatError
        If it is no HDF5 file, or damaged.
    ProjectError
        If it may not be read, or is being written by another program.
    """
    if not is_there(path):
        raise missing_file(path, "there is no such project")
    if not path.is_file():  # to open a pipe would wait for ever
        raise FormatError(
            "this is not an ilastik project: no HDF5 file but a folder, pipe or device",
            str(path),
            "give the .ilp file that ilastik saved",
        )
    try:
        return h5py.File(path, "r")
    except BlockingIOError as error:
        raise ProjectError(
            "the project is open for writing in another program", str(path), "save and close it there"
        ) from error
    except PermissionError as error:
        raise ProjectError("the project may not be read", str(path), "ask for permission to read it") from error
    except OSError as error:
        raise FormatError(
            f"this is not an ilastik project: no HDF5 file, or one that is cut off or damaged ({error})",
            str(path),
            "give the .ilp file that ilastik saved, or copy it anew",
        ) from error


def place(node: h5py.Group | h5py.Dataset, name: str = "") -> str:
    """File and path inside it, for messages."""
    inner = "/".join(part for part in (str(node.name).strip("/"), name) if part)
    filename = os.fsdecode(h5py.h5f.get_name(node.id))  # as node.file.filename, which is ten times as slow
    return f"{filename}, {inner}" if inner else filename


def group_in(parent: h5py.Group, name: str) -> h5py.Group | None:
    """The group of this name, None if there is none.

    Raises
    ------
    FormatError
        If there is something else, or a link.
    """
    node = _member(parent, name)
    if node is not None and not isinstance(node, h5py.Group):
        raise FormatError("it is no group", place(parent, name), _SAVE_ANEW)
    return node


def dataset_in(parent: h5py.Group, name: str, largest_compression: float = LARGEST_COMPRESSION) -> h5py.Dataset | None:
    """The dataset of this name, None if there is none.

    Parameters
    ----------
    largest_compression : float
        How many times larger than what is stored of it a dataset may be.

    Raises
    ------
    FormatError
        If there is something else, or a link, or it is stored elsewhere or claims more than the file holds.
    """
    node = _member(parent, name)
    if node is None:
        return None
    where = place(parent, name)
    with damage_reported(where):
        if not isinstance(node, h5py.Dataset) or node.shape is None:
            raise FormatError("it is no dataset with values", where, _SAVE_ANEW)
        refuse_foreign_storage(node, where)
        refuse_false_claims(node, where)
        refuse_wild_chunks(node, where)
        stored = int(node.id.get_storage_size())
        if node.nbytes > HARMLESS_BYTES and node.nbytes > stored * largest_compression:
            raise FormatError(
                f"it claims {node.nbytes:,} bytes by its shape {node.shape}, of which {stored:,} are stored",
                where,
                _SAVE_ANEW,
            )
    return node


def _member(parent: h5py.Group, name: str) -> h5py.Group | h5py.Dataset | None:
    where = place(parent, name)
    if "/" in name:  # a path, of which only the last link would be checked
        raise FormatError("it is no name of a member", where, "give the name of a member, not a path")
    with damage_reported(where):
        link = parent.get(name, getlink=True)
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise FormatError("it is a link, which is not followed", where, "save the project with ilastik")
        return parent[name]


def names_in(group: h5py.Group | None) -> list[str]:
    """Names of the members, sorted; none if there is no group.

    Raises
    ------
    FormatError
        If they cannot be read, or one is no UTF-8, which no program writes: h5py has bytes for its name.
    """
    if group is None:
        return []
    with damage_reported(place(group)):
        names = list(group)
        if wrong := [name for name in names if not isinstance(name, str)]:
            raise FormatError(f"it has a member whose name is no text: {wrong[0]!r}", place(group), _SAVE_ANEW)
        return sorted(names)


def read_text(group: h5py.Group, name: str) -> str | None:
    """A string, however it is stored (bytes or text, of any or of fixed length, opaque); None if absent.

    Raises
    ------
    FormatError
        If it is no string.
    """
    dataset = dataset_in(group, name)
    if dataset is None:
        return None
    if dataset.size != 1:
        raise FormatError(f"expected one string, found shape {dataset.shape}", place(dataset), _SAVE_ANEW)
    return _decoded_texts(dataset, 1)[0]


def read_texts(group: h5py.Group, name: str, most: int = MOST_NUMBERS) -> list[str] | None:
    """A list of strings, `most` of them; None if absent or marked as empty."""
    dataset = _slot(group, name)
    return None if dataset is None else _decoded_texts(dataset, most)


def _decoded_texts(dataset: h5py.Dataset, most: int) -> list[str]:
    where = place(dataset)
    with damage_reported(where):
        dtype = dataset.dtype
        if dataset.size > most:
            raise FormatError(f"{dataset.size:,} strings; expected at most {most:,}", where, _SAVE_ANEW)
        if is_variable_string(dtype):
            return [decoded(value, where) for value in dataset_strings(dataset, where)]
        _check_fixed(dtype, dataset.size, where)
        return [decoded(value, where) for value in np.ravel(read_region(dataset)).tolist()]


def _check_fixed(dtype: np.dtype[Any], count: int, where: str) -> None:
    """Only strings of fixed length, or opaque bytes: h5py makes Python objects of other types, of any size."""
    opaque = dtype.kind == "V" and dtype.names is None and dtype.subdtype is None
    if dtype.kind != "S" and not opaque:
        raise FormatError(f"expected a string, found {dtype}", where, _SAVE_ANEW)
    if dtype.itemsize * count > LONGEST_STRING:
        raise FormatError(
            f"strings of {dtype.itemsize * count:,} bytes; expected at most {LONGEST_STRING:,}", where, _SAVE_ANEW
        )


def read_array(
    group: h5py.Group, name: str, *, kinds: str = "biuf", max_ndim: int = 2, most: int = MOST_NUMBERS
) -> NDArray[Any] | None:
    """Numbers; None if absent or marked as empty.

    Parameters
    ----------
    kinds : str
        Letters of the numpy kinds that are accepted.
    max_ndim : int
        Largest number of dimensions that is accepted.
    most : int
        Largest number of entries that is accepted.

    Raises
    ------
    FormatError
        If it is something else.
    """
    dataset = _slot(group, name)
    if dataset is None:
        return None
    with damage_reported(place(dataset)):
        if dataset.dtype.kind not in kinds or dataset.ndim > max_ndim or dataset.size > most:
            raise FormatError(
                f"unexpected {dataset.dtype} of shape {dataset.shape}; expected numbers in at most {max_ndim} "
                f"dimensions, at most {most:,}",
                place(dataset),
                _SAVE_ANEW,
            )
        return read_region(dataset)


def _slot(group: h5py.Group, name: str) -> h5py.Dataset | None:
    """A dataset that may be marked as empty: then it holds one number of no meaning."""
    dataset = dataset_in(group, name)
    if dataset is None:
        return None
    where = f"{place(dataset)}, attribute isEmpty"
    with damage_reported(where):
        if not h5py.h5a.exists(dataset.id, b"isEmpty"):
            return dataset
        flag = h5py.h5a.open(dataset.id, b"isEmpty")
        if flag.dtype.kind not in "biu" or math.prod(flag.shape) != 1:
            raise FormatError(f"expected yes or no, found {flag.dtype} of shape {flag.shape}", where, _SAVE_ANEW)
        return None if bool(np.ravel(dataset.attrs["isEmpty"])[0]) else dataset


def read_attribute_text(node: h5py.Group | h5py.Dataset, name: str) -> str | None:
    """An attribute that is a string; None if absent."""
    where = f"{place(node)}, attribute {name}"
    with damage_reported(where):
        if not h5py.h5a.exists(node.id, name.encode()):
            return None
        attribute = h5py.h5a.open(node.id, name.encode())
        if attribute.get_space().get_simple_extent_type() == h5py.h5s.NULL or math.prod(attribute.shape) != 1:
            raise FormatError(f"expected one string, found shape {attribute.shape}", where, _SAVE_ANEW)
        if is_variable_string(attribute.dtype):
            return decoded(attribute_strings(node, name, where)[0], where)
        _check_fixed(attribute.dtype, 1, where)
        return decoded(np.ravel(node.attrs[name]).tolist()[0], where)


def decoded(value: Any, where: str) -> str:
    """Text from whatever h5py makes of a string.

    Raises
    ------
    FormatError
        If it is none.

    >>> decoded(b"\\xcf\\x83=0.3\\0", ""), decoded(np.void(b"ab"), ""), decoded(b"caf\\xe9", "")
    ('σ=0.3', 'ab', 'café')
    """
    if isinstance(value, np.void):
        value = value.tobytes()
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogateescape")  # what h5py could not decode
    if isinstance(value, bytes):
        try:
            value = value.decode("utf-8")
        except UnicodeDecodeError:
            value = value.decode("latin-1")  # paths written by Python 2 on Windows
    if not isinstance(value, str):
        raise FormatError(f"expected a string, found {type(value).__name__}", where, _SAVE_ANEW)
    return value.rstrip("\0")


def write_text(group: h5py.Group, name: str, text: str) -> None:
    """A string as ilastik writes it: of variable length, from UTF-8 bytes; of a name that is no text its own bytes."""
    group.create_dataset(name, data=text.encode("utf-8", "surrogateescape"))


def write_texts(group: h5py.Group, name: str, texts: Sequence[str]) -> h5py.Dataset:
    """A list of strings as ilastik writes it."""
    data = np.array([text.encode("utf-8", "surrogateescape") for text in texts], dtype=object)
    return group.create_dataset(name, data=data, dtype=h5py.string_dtype("ascii"))
