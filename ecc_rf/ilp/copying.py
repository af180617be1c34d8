"""Copying a project's members into a new file, all but some: what is left out leaves no dead space behind."""

from __future__ import annotations

from collections.abc import Set

import h5py
import numpy as np

from ecc_rf.ilp.encoding import names_in


def copy_members(source: h5py.Group, target: h5py.Group, left_out: Set[str]) -> None:
    """Copy everything below `source`, byte for byte and without looking into it.

    Links stay links, they are not followed. Groups on the way to something that is left out are made anew, with their
    attributes.

    Parameters
    ----------
    source, target : h5py.Group
        Of two files; `target` is empty.
    left_out : set of str
        Paths below `source` of groups and datasets that are not copied.
    """
    _copy_attributes(source, target)
    for name in names_in(source):
        if name in left_out:
            continue
        link = source.get(name, getlink=True)
        deeper = {path.removeprefix(f"{name}/") for path in left_out if path.startswith(f"{name}/")}
        if isinstance(link, h5py.SoftLink | h5py.ExternalLink):
            target[name] = link
        elif deeper and source.get(name, getclass=True) is h5py.Group:
            copy_members(source[name], target.create_group(name), deeper)
        else:
            source.copy(name, target, name)


def _copy_attributes(source: h5py.Group, target: h5py.Group) -> None:
    """With the very types they are stored in, which h5py's mapping of attributes would change."""
    for name in source.attrs:
        stored = h5py.h5a.open(source.id, name.encode())
        value = np.empty(stored.shape, stored.dtype)
        stored.read(value)
        h5py.h5a.create(target.id, name.encode(), stored.get_type(), stored.get_space()).write(value)
