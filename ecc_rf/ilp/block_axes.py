"""In which axis order a label block was written.

Since 1.4.0b8 a block says it. Before, it depends on the version of ilastik::

    up to 1.2              the image's own order, c moved to the end
    1.3.0 to 1.3.3post1    the internal order of the lane
    1.3.3post2 to 1.4.0b7  the image's own order, c appended if it has none

What is expected is only believed if all blocks of a lane fit into the image that way; otherwise the other orders are
tried, and the choice is noted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from ecc_rf.blocks.grid import Grid
from ecc_rf.errors import FormatError
from ecc_rf.ilp.encoding import dataset_in, names_in, place, read_attribute_text
from ecc_rf.ilp.limits import HARMLESS_BYTES, LARGEST_COMPRESSION, MOST_BLOCKS, MOST_LABELLED
from ecc_rf.ilp.versions import INTERNAL_ORDER, is_before
from ecc_rf.volumes.axes import LETTERS, axes_from_axistags
from ecc_rf.volumes.base import damage_reported
from ecc_rf.volumes.hdf5_chunks import read_region

_SAVE_ANEW = "open the project in ilastik and save it anew"

_BOUNDS = re.compile(r"\s*(\d{1,18})\s*:\s*(\d{1,18})\s*")
_PIECE = 1 << 22  # voxels of a block that are read at once

Voxels = tuple[NDArray[np.int64], NDArray[np.uint8]]
"""Labelled voxels (n, axes), and their labels (n,)."""


@dataclass(frozen=True, eq=False)
class StoredBlock:
    """A block as it is in the file: where it begins, its labelled voxels, and its axes if it says them."""

    name: str
    start: tuple[int, ...]
    shape: tuple[int, ...]
    voxels: Voxels
    axes: str | None
    where: str


def stored_blocks(group: h5py.Group) -> list[StoredBlock]:
    """The blocks of a lane, in the order of their names.

    Raises
    ------
    FormatError
        If one is damaged, or there are more blocks, voxels or labels than a project can have; see `limits`.
    """
    names = names_in(group)
    if len(names) > MOST_BLOCKS:
        raise FormatError(f"{len(names):,} label blocks; expected at most {MOST_BLOCKS:,}", place(group), _SAVE_ANEW)
    # the same block under many names costs the file nothing
    claim, most = 0, max(HARMLESS_BYTES, Path(group.file.filename).stat().st_size * LARGEST_COMPRESSION)
    blocks, room = [], MOST_LABELLED
    for name in names:
        dataset = dataset_in(group, name)
        if dataset is None:
            continue
        claim += dataset.nbytes
        if claim > most:
            raise FormatError(f"label blocks of {claim:,} bytes, more than the file can hold", place(group), _SAVE_ANEW)
        blocks.append(_stored_block(dataset, name, room))
        room -= len(blocks[-1].voxels[1])
    return blocks


def _stored_block(dataset: h5py.Dataset, name: str, room: int) -> StoredBlock:
    """Read a block of at most `room` labelled voxels."""
    where = place(dataset)
    if dataset.dtype.kind not in "ui" or not 1 <= dataset.ndim <= 5:
        raise FormatError(
            f"a label block must hold small integers, not {dataset.dtype} of {dataset.shape}", where, _SAVE_ANEW
        )
    text = read_attribute_text(dataset, "blockSlice")
    bounds = parse_block_slice(text or "")
    if bounds is None:
        raise FormatError(
            f"a label block needs a position such as '[0:4,0:6,0:1]', this has {(text or '')[:80]!r}", where, _SAVE_ANEW
        )
    if tuple(stop - start for start, stop in bounds) != dataset.shape:
        raise FormatError(
            f"position {(text or '')[:80]!r} does not fit the block's shape {dataset.shape}", where, _SAVE_ANEW
        )
    start = tuple(first for first, _ in bounds)
    with damage_reported(where):
        voxels = _labelled(dataset, start, room, where)
    return StoredBlock(name, start, dataset.shape, voxels, _stated_axes(dataset), where)


def _labelled(dataset: h5py.Dataset, start: tuple[int, ...], room: int, where: str) -> Voxels:
    """The labelled voxels of a block, read piece by piece: it may be one for a whole brain."""
    coords, values = [np.empty((0, dataset.ndim), np.int64)], [np.empty(0, np.uint8)]
    for piece in Grid(dataset.shape, _piece(dataset.shape, dataset.chunks)) if dataset.size else ():
        array = read_region(dataset, piece.core)
        if not 0 <= array.min() <= array.max() <= 255:
            raise FormatError(
                f"labels {array.min()} to {array.max()} in a label block; expected 0 to 255", where, _SAVE_ANEW
            )
        labelled = np.argwhere(array)
        room -= len(labelled)
        if room < 0:
            raise FormatError(
                f"more than {MOST_LABELLED:,} labelled voxels", where, "label fewer voxels: a forest needs thousands"
            )
        values.append(array[tuple(labelled.T)].astype(np.uint8))
        coords.append(labelled + [at.start + first for at, first in zip(piece.core, start)])
    return np.concatenate(coords), np.concatenate(values)


def _piece(shape: tuple[int, ...], chunks: tuple[int, ...] | None) -> tuple[int, ...]:
    """Extents of the pieces: whole chunks.

    >>> _piece((1 << 14, 1 << 12, 1 << 12), None), _piece((300, 3000, 3000), (64, 64, 64))
    ((1, 1024, 4096), (64, 64, 1024))
    """
    piece = [min(chunk, n) for chunk, n in zip(chunks or (1,) * len(shape), shape)]
    for axis in reversed(range(len(shape))):
        more = max(1, _PIECE // math.prod(piece))
        piece[axis] = min(shape[axis], piece[axis] * more)
    return tuple(piece)


def parse_block_slice(text: str) -> list[tuple[int, int]] | None:
    """First voxel and end of each axis; None if it is no such text.

    >>> parse_block_slice("[2:6,0:1]"), parse_block_slice("[2:6:2]"), parse_block_slice("[5:2]")
    ([(2, 6), (0, 1)], None, None)
    """
    matches = [_BOUNDS.fullmatch(pair) for pair in text.strip().removeprefix("[").removesuffix("]").split(",")]
    bounds = [(int(match[1]), int(match[2])) for match in matches if match is not None]
    return bounds if len(bounds) == len(matches) and all(start <= stop for start, stop in bounds) else None


def _stated_axes(dataset: h5py.Dataset) -> str | None:
    """What the block says, None if that cannot be so."""
    text = read_attribute_text(dataset, "axistags")
    if text is None:
        return None
    try:
        axes = axes_from_axistags(text)
    except FormatError:
        return None
    return axes if len(axes) == dataset.ndim and set(axes) <= set(LETTERS) else None


def expected_order(raw_axes: str, internal: str, version: str) -> str:
    """The axis order of blocks that do not say theirs.

    >>> [expected_order("cyx", "yxc", version) for version in ("1.2.2rc4", "1.3.2", "1.3.3post3", "1.4.0")]
    ['yxc', 'yxc', 'cyx', 'yxc']
    """
    if is_before(version, "1.3.0.dev0"):
        return channel_last(raw_axes)
    if is_before(version, "1.3.3post2") or not is_before(version, INTERNAL_ORDER):
        return internal
    return raw_axes if "c" in raw_axes else raw_axes + "c"


def channel_last(axes: str) -> str:
    """The same axes with c at the end."""
    return axes.replace("c", "") + "c"


def arranged(
    blocks: Sequence[StoredBlock],
    stated: str | None,
    raw_axes: str,
    extents: Mapping[str, int] | None,
    internal: str,
    version: str,
) -> tuple[list[Voxels], list[str]]:
    """Bring blocks into the internal axis order.

    Parameters
    ----------
    blocks : sequence of StoredBlock
        Blocks of one lane, all with or all without stated axes.
    stated : str or None
        Those axes.
    raw_axes, internal : str
        Axes of the image, and of the result.
    extents : mapping of axis letter to int, or None
        Extents of the image; None when unknown.
    version : str
        Of the ilastik that wrote them.

    Returns
    -------
    list of (voxels, labels), list of str
        One per block, and remarks.

    Raises
    ------
    FormatError
        If no order fits the dimensions.
    """
    expected = stated or expected_order(raw_axes, internal, version)
    raw_last = channel_last(raw_axes)
    thick = "".join(axis for axis in raw_last if axis == "c" or extents is None or extents.get(axis, 1) > 1)
    by_rule = expected_order(raw_axes, internal, version)
    orders = list(dict.fromkeys([expected, by_rule, raw_last, thick, internal, "txyzc"]))
    for order in orders:
        if all(_fits(block, order, extents, internal) for block in blocks):
            remark = [] if order == expected else [_remark(blocks, expected, order)]
            return [_transposed(block, order, internal) for block in blocks], remark
    # labels beyond the image, as when it was replaced by a smaller one
    for order in orders:
        if all(_fits(block, order, None, internal) for block in blocks):
            cut = [_cut(_transposed(block, order, internal), extents or {}, internal) for block in blocks]
            lost = sum(len(block.voxels[1]) for block in blocks) - sum(len(values) for _, values in cut)
            return cut, [f"{lost} labelled voxels lie outside the image and are left out"]
    misfit = next(block for block in blocks if not _fits(block, expected, None, internal))
    raise FormatError(
        f"a label block of shape {misfit.shape} fits none of the axis orders {', '.join(orders)}",
        misfit.where,
        _SAVE_ANEW,
    )


def _remark(blocks: Sequence[StoredBlock], expected: str, order: str) -> str:
    return f"{len(blocks)} label blocks do not fit the axis order {expected} and are read as {order}"


def _fits(block: StoredBlock, order: str, extents: Mapping[str, int] | None, internal: str) -> bool:
    if len(order) != len(block.shape):
        return False
    for axis, start, length in zip(order, block.start, block.shape):
        if (axis == "c" or axis not in internal) and (start, length) != (0, 1):
            return False
        if extents is not None and axis != "c" and start + length > extents.get(axis, 1):
            return False
    return True


def _transposed(block: StoredBlock, order: str, internal: str) -> Voxels:
    coords, values = block.voxels
    columns = [coords[:, order.index(axis)] if axis in order else np.zeros(len(coords), np.int64) for axis in internal]
    return np.stack(columns, axis=1), values


def _cut(voxels: Voxels, extents: Mapping[str, int], internal: str) -> Voxels:
    coords, values = voxels
    inside = (coords < [extents.get(axis, 1) for axis in internal]).all(axis=1)
    return coords[inside], values[inside]
