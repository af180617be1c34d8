"""How ilastik keeps values in HDF5: the only place where members of a project file are decoded, and checked.

A project may come from a stranger. Links are not followed, whether they lead out of the file or not (ilastik writes
none); storage in other files is refused; nothing is read before its type, rank and size are known to be sane.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ecc_rf.errors import FormatError, MissingFileError, ProjectError
from ecc_rf.volumes.base import damage_reported

# Deflate shrinks to no less than 1/1032 of the size; beyond, a dataset claims more than the file can hold.
_LARGEST_COMPRESSION = 1032
# What never-written datasets may claim: they are fill values, stored in no bytes.
_HARMLESS_BYTES = 1 << 20


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
    if not path.exists():
        raise MissingFileError("there is no such project", str(path), "check the path")
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
            f"not an ilastik project: no HDF5 file, or one that is cut off or damaged ({error})",
            str(path),
            "give the .ilp file that ilastik saved, or copy it anew",
        ) from error


def place(node: h5py.Group | h5py.Dataset, name: str = "") -> str:
    """File and path inside it, for messages."""
    inner = "/".join(part for part in (str(node.name).strip("/"), name) if part)
    return f"{node.file.filename}, {inner}" if inner else str(node.file.filename)


def group_in(parent: h5py.Group, name: str) -> h5py.Group | None:
    """The group of this name, None if there is none.

    Raises
    ------
    FormatError
        If there is something else, or a link.
    """
    node = _member(parent, name)
    if node is not None and not isinstance(node, h5py.Group):
        raise FormatError("is no group", place(parent, name))
    return node


def dataset_in(parent: h5py.Group, name: str) -> h5py.Dataset | None:
    """The dataset of this name, None if there is none.

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
            raise FormatError("is no dataset with values", where)
        if node.is_virtual or node.external:
            raise FormatError("is stored in other files, which are not followed", where)
        stored = int(node.id.get_storage_size())
        if stored > Path(node.file.filename).stat().st_size:
            raise FormatError(f"claims {stored} bytes, more than the file has", where, "copy the project anew")
        if node.nbytes > _HARMLESS_BYTES and node.nbytes > stored * _LARGEST_COMPRESSION:
            raise FormatError(
                f"claims {node.nbytes} bytes by its shape {node.shape}, of which {stored} are stored", where
            )
    return node


def _member(parent: h5py.Group, name: str) -> h5py.Group | h5py.Dataset | None:
    where = place(parent, name)
    if "/" in name:  # a path, of which only the last link would be checked
        raise FormatError("is no name of a member", where)
    with damage_reported(where):
        link = parent.get(name, getlink=True)
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise FormatError("is a link, which is not followed", where, "save the project with ilastik")
        return parent[name]


def names_in(group: h5py.Group | None) -> list[str]:
    """Names of the members, sorted; none if there is no group."""
    if group is None:
        return []
    with damage_reported(place(group)):
        return sorted(group)


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
        raise FormatError(f"expected one string, found shape {dataset.shape}", place(dataset))
    with damage_reported(place(dataset)):
        value = dataset[()]
    return decoded(value.ravel()[0] if isinstance(value, np.ndarray) else value, place(dataset))


def read_texts(group: h5py.Group, name: str) -> list[str] | None:
    """A list of strings; None if absent or marked as empty."""
    dataset = _slot(group, name)
    if dataset is None:
        return None
    with damage_reported(place(dataset)):
        values = np.ravel(dataset[()]).tolist()
    return [decoded(value, place(dataset)) for value in values]


def read_array(group: h5py.Group, name: str, *, kinds: str = "biuf", max_ndim: int = 2) -> NDArray[Any] | None:
    """Numbers; None if absent or marked as empty.

    Parameters
    ----------
    kinds : str
        Letters of the numpy kinds that are accepted.
    max_ndim : int
        Largest number of dimensions that is accepted.
    """
    dataset = _slot(group, name)
    if dataset is None:
        return None
    if dataset.dtype.kind not in kinds or dataset.ndim > max_ndim:
        raise FormatError(f"unexpected {dataset.dtype} of shape {dataset.shape}", place(dataset))
    with damage_reported(place(dataset)):
        return np.asarray(dataset[()])


def _slot(group: h5py.Group, name: str) -> h5py.Dataset | None:
    """A dataset that may be marked as empty: then it holds one number of no meaning."""
    dataset = dataset_in(group, name)
    if dataset is None:
        return None
    with damage_reported(place(dataset)):
        return None if bool(np.any(dataset.attrs.get("isEmpty", False))) else dataset


def read_attribute_text(node: h5py.Group | h5py.Dataset, name: str) -> str | None:
    """An attribute that is a string; None if absent."""
    with damage_reported(place(node)):
        value = node.attrs.get(name)
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.ravel()[0]
    return None if value is None else decoded(value, f"{place(node)}, attribute {name}")


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
    if isinstance(value, bytes):
        try:
            value = value.decode("utf-8")
        except UnicodeDecodeError:
            value = value.decode("latin-1")  # paths written by Python 2 on Windows
    if not isinstance(value, str):
        raise FormatError(f"expected a string, found {type(value).__name__}", where)
    return value.rstrip("\0")


def write_text(group: h5py.Group, name: str, text: str) -> None:
    """A string as ilastik writes it: of variable length, from UTF-8 bytes."""
    group.create_dataset(name, data=text.encode("utf-8"))


def write_texts(group: h5py.Group, name: str, texts: Sequence[str]) -> h5py.Dataset:
    """A list of strings as ilastik writes it."""
    data = np.array([text.encode("utf-8") for text in texts], dtype=object)
    return group.create_dataset(name, data=data, dtype=h5py.string_dtype("ascii"))
