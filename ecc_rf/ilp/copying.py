"""Copying a project's members into a new file, all but some: what is left out leaves no dead space behind.

HDF5 copies bytes as they are, but follows the strings of variable length and the sizes that the file claims, and in a
damaged file goes round in circles or asks for gigabytes. So everything is looked at first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Set

import h5py
import numpy as np

from ecc_rf.errors import EccError, FormatError
from ecc_rf.ilp.encoding import names_in, place
from ecc_rf.ilp.limits import LARGEST_ATTRIBUTE, MOST_OBJECTS
from ecc_rf.volumes.base import damage_reported
from ecc_rf.volumes.hdf5_heap import attribute_strings, dataset_strings, is_variable_string
from ecc_rf.volumes.hdf5_storage import refuse_false_claims

_SAVE_ANEW = "open the project in ilastik and save it anew, or copy it anew from where it came"


def copy_members(source: h5py.Group, target: h5py.Group, left_out: Set[str]) -> None:
    """Copy everything below `source`, byte for byte.

    Links stay links, they are not followed. Groups on the way to something that is left out are made anew, with their
    attributes.

    Parameters
    ----------
    source, target : h5py.Group
        Of two files; `target` is empty.
    left_out : set of str
        Paths below `source` of groups and datasets that are not copied.

    Raises
    ------
    FormatError
        If HDF5 would not survive the copying, or not in bounds.
    """
    check_members(source)
    try:
        _copy_members(source, target, left_out)
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:  # not those of a full disk
        raise FormatError(f"the project cannot be copied: {error}", place(source), _SAVE_ANEW) from error


def _copy_members(source: h5py.Group, target: h5py.Group, left_out: Set[str]) -> None:
    _copy_attributes(source, target)
    for name in names_in(source):
        if name in left_out:
            continue
        link = source.get(name, getlink=True)
        deeper = {path.removeprefix(f"{name}/") for path in left_out if path.startswith(f"{name}/")}
        if isinstance(link, h5py.SoftLink | h5py.ExternalLink):
            target[name] = link
        elif deeper and source.get(name, getclass=True) is h5py.Group:
            _copy_members(source[name], target.create_group(name), deeper)
        else:
            source.copy(name, target, name)


def _copy_attributes(source: h5py.Group, target: h5py.Group) -> None:
    """With the very types they are stored in, which h5py's mapping of attributes would change."""
    for name in source.attrs:
        stored = h5py.h5a.open(source.id, name.encode())
        value = np.empty(stored.shape, stored.dtype)
        stored.read(value)
        h5py.h5a.create(target.id, name.encode(), stored.get_type(), stored.get_space()).write(value)


def check_members(group: h5py.Group) -> None:
    """Look at all that would be copied, without reading more than its strings.

    Raises
    ------
    FormatError
        If a string is damaged, or a claim larger than the file.
    """
    for node in _nodes(group):
        where = place(node)
        with damage_reported(where):
            if not isinstance(node, h5py.Group | h5py.Dataset):  # copying a type of strings, HDF5 ends the process
                raise FormatError("it is a named type, or nothing that a project has", where, _SAVE_ANEW)
            _check_attributes(node, where)
            if isinstance(node, h5py.Dataset):
                _check_dataset(node, where)


def _nodes(group: h5py.Group) -> Iterator[h5py.Group | h5py.Dataset]:
    """The group and all below it, each once, however many names it has; links are not followed."""
    seen: set[int] = set()
    todo = [group]
    while todo:
        node = todo.pop()
        address = int(h5py.h5o.get_info(node.id).addr)
        if address in seen:
            continue
        seen.add(address)
        if len(seen) > MOST_OBJECTS:
            raise FormatError(f"it has more than {MOST_OBJECTS:,} groups and datasets", place(group), _SAVE_ANEW)
        yield node
        for name in names_in(node) if isinstance(node, h5py.Group) else ():
            try:
                if isinstance(node.get(name, getlink=True), h5py.HardLink):
                    todo.append(node[name])
            except EccError:
                raise
            except Exception as error:  # of a damaged file, nearly every class there is
                raise FormatError(f"it cannot be read: {error}", place(node, name), _SAVE_ANEW) from error


def _check_attributes(node: h5py.Group | h5py.Dataset, where: str) -> None:
    for name in node.attrs if isinstance(node, h5py.Group | h5py.Dataset) else ():
        stored = h5py.h5a.open(node.id, name.encode())
        at = f"{where}, attribute {name}"
        size = math.prod(stored.shape or ()) * stored.get_type().get_size()
        if size > LARGEST_ATTRIBUTE:
            raise FormatError(f"it claims {size:,} bytes; expected at most {LARGEST_ATTRIBUTE:,}", at, _SAVE_ANEW)
        if _is_of_variable_length(stored.get_type()):
            if not is_variable_string(stored.dtype):
                raise FormatError("it is of a type that is not copied", at, _SAVE_ANEW)
            if stored.get_space().get_simple_extent_type() != h5py.h5s.NULL:
                attribute_strings(node, name, at)


def _check_dataset(dataset: h5py.Dataset, where: str) -> None:
    refuse_false_claims(dataset, where)
    if _is_of_variable_length(dataset.id.get_type()):
        if not is_variable_string(dataset.dtype):
            raise FormatError("it is of a type that is not copied", where, _SAVE_ANEW)
        if dataset.shape is not None and not dataset.is_virtual and not dataset.external:
            dataset_strings(dataset, where)


def _is_of_variable_length(kind: h5py.h5t.TypeID) -> bool:
    """Whether there is in a type, however deep, what is stored in a heap."""
    if isinstance(kind, h5py.h5t.TypeStringID):
        return bool(kind.is_variable_str())
    if isinstance(kind, h5py.h5t.TypeCompoundID):
        return any(_is_of_variable_length(kind.get_member_type(k)) for k in range(kind.get_nmembers()))
    if isinstance(kind, h5py.h5t.TypeArrayID):
        return _is_of_variable_length(kind.get_super())
    return isinstance(kind, h5py.h5t.TypeVlenID)
