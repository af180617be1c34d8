"""In which axis order a label block was written.

Since 1.4.0b8 a block says it. Before, it depends on the version of ilastik::

    up to 1.2              the image's own order, c moved to the end
    1.3.0 to 1.3.3post1    the internal order of the lane
    1.3.3post2 to 1.4.0b7  the image's own order, c appended if it has none

What is expected is only believed if all blocks of a lane fit into the image that way; otherwise the other orders are
tried, and the choice is noted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import h5py
import numpy as np
from numpy.typing import NDArray

from ecc_rf.errors import FormatError
from ecc_rf.ilp.encoding import place, read_attribute_text
from ecc_rf.ilp.versions import INTERNAL_ORDER, is_before
from ecc_rf.volumes.axes import LETTERS, axes_from_axistags, transpose_to
from ecc_rf.volumes.base import damage_reported

_BOUNDS = re.compile(r"\s*(\d{1,18})\s*:\s*(\d{1,18})\s*")

Arranged = tuple[tuple[int, ...], NDArray[np.uint8]]


@dataclass(frozen=True, eq=False)
class StoredBlock:
    """A block as it is in the file: where it begins, its values, and its axes if it says them."""

    name: str
    start: tuple[int, ...]
    array: NDArray[np.uint8]
    axes: str | None
    where: str


def stored_block(dataset: h5py.Dataset) -> StoredBlock:
    """Read a block.

    Raises
    ------
    FormatError
        If its values are no labels, or its position is missing or contradicts its shape.
    """
    where = place(dataset)
    if dataset.dtype.kind not in "ui" or not 1 <= dataset.ndim <= 5:
        raise FormatError(f"a label block must hold small integers, not {dataset.dtype} of {dataset.shape}", where)
    text = read_attribute_text(dataset, "blockSlice")
    bounds = parse_block_slice(text or "")
    if bounds is None:
        raise FormatError(f"a label block needs a position such as '[0:4,0:6,0:1]', this has {text!r}", where)
    if tuple(stop - start for start, stop in bounds) != dataset.shape:
        raise FormatError(f"position {text!r} does not fit the block's shape {dataset.shape}", where)
    with damage_reported(where):
        array = dataset[()]
    if array.size and not 0 <= array.min() <= array.max() <= 255:
        raise FormatError(f"label {array.max()} in a label block; expected 0 to 255", where)
    name = str(dataset.name).rpartition("/")[2]
    start = tuple(first for first, _ in bounds)
    return StoredBlock(name, start, array.astype(np.uint8, copy=False), _stated_axes(dataset), where)


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
) -> tuple[list[Arranged], list[str]]:
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
    list of (start, array), list of str
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
            lost = sum(int(np.count_nonzero(block.array)) for block in blocks) - sum(
                int(np.count_nonzero(array)) for _, array in cut
            )
            return cut, [f"{lost} labelled voxels lie outside the image and are left out"]
    misfit = next(block for block in blocks if not _fits(block, expected, None, internal))
    raise FormatError(
        f"a label block of shape {misfit.array.shape} fits none of the axis orders {', '.join(orders)}",
        misfit.where,
        "open the project in ilastik and save it anew",
    )


def _remark(blocks: Sequence[StoredBlock], expected: str, order: str) -> str:
    return f"{len(blocks)} label blocks do not fit the axis order {expected} and are read as {order}"


def _fits(block: StoredBlock, order: str, extents: Mapping[str, int] | None, internal: str) -> bool:
    if len(order) != block.array.ndim:
        return False
    for axis, start, length in zip(order, block.start, block.array.shape):
        if (axis == "c" or axis not in internal) and (start, length) != (0, 1):
            return False
        if extents is not None and axis != "c" and start + length > extents.get(axis, 1):
            return False
    return True


def _transposed(block: StoredBlock, order: str, internal: str) -> Arranged:
    begin = dict(zip(order, block.start))
    start = tuple(begin.get(axis, 0) for axis in internal)
    return start, np.ascontiguousarray(transpose_to(block.array, order, internal))


def _cut(block: Arranged, extents: Mapping[str, int], internal: str) -> Arranged:
    start, array = block
    room = tuple(max(0, extents.get(axis, 1) - at) for axis, at in zip(internal, start))
    return start, array[tuple(slice(0, extent) for extent in room)]
