"""Walking trees by masks of voxels: neighbours agree, so ask each decision once for all of them.

Nearby voxels mostly go the same way. Of a tree's thousand decisions a tile of voxels meets a few dozen, and
each of them is asked once for the whole tile: one comparison of all lanes, one bit for each voxel::

    reached by   1 1 1 1 1 1 1 1      root
    below        1 1 1 0 1 1 1 1
                 /             \\
    left         1 1 1 0 1 1 1 1      right  0 0 0 1 0 0 0 0   <- few: a straggler
    below        0 1 1 0 1 1 1 1
                 /             \\
    left leaf    0 1 1 0 1 1 1 1      right  1 0 0 0 0 0 0 0   <- few: a straggler

What reaches a decision waits in a queue, breadth first, with several trees in it at once: the processor works on
neighbouring entries side by side. A child goes to one of three places, or nowhere if no voxel reaches it:

* a decision that many voxels reach: into the queue;
* a decision that few voxels reach: it is cheaper to walk those singly, see :mod:`~ecc_rf.forest.lists`;
* a leaf: its mask is added to the counters of its group of classes, unless that is the uncounted one.

Counters are kept bit by bit: plane j of a group holds bit j of all voxels' counts, and adding a mask is a chain of
exclusive-or and carry that leaves out no voxel and takes no branch.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ecc_rf.forest.bits import (
    BYTES,
    LANES,
    POSITION_OF_LANE,
    WORDS,
    aligned,
    below,
    both,
    count_bits,
    differ,
    load,
    lowest_bit,
    occupied,
    only_first,
    prefetch,
    store,
)
from ecc_rf.forest.compiled import compiled
from ecc_rf.forest.packed import COUNTED, COUNTED_BIT, LEAF_BIT

Words = npt.NDArray[np.uint64]

TREES_AT_ONCE = 16  # keeps the queue long enough for the processor to find independent work
PLANES = 8
MOST_VOTES = 2**PLANES - 1  # trees that may be added before the planes are emptied

_FEW = 6  # occupied bytes of a mask up to which its voxels are walked singly
# Live entries of the queue hold disjoint voxels of a tree, more than _FEW each; one more place is always written.
_RING = 1 << (TREES_AT_ONCE * LANES // (_FEW + 1) + TREES_AT_ONCE + 1).bit_length()
_MOST_MASKS = TREES_AT_ONCE * LANES + 1  # stragglers, or leaves: no more than there are voxels to reach them
_STRAGGLERS = np.uint64(_RING)
_LEAVES = np.uint64(_RING + _MOST_MASKS)

_EVERYONE = np.full(WORDS, 2**64 - 1, np.uint64)
_0, _1, _32, _48 = (np.uint64(value) for value in (0, 1, 32, 48))
_LOW = np.uint64(0xFFFFFFFF)
_LOW48 = np.uint64(0xFFFFFFFFFFFF)
_LEAF_BIT, _COUNTED_BIT, _NUMBER = np.uint64(LEAF_BIT), np.uint64(COUNTED_BIT), np.uint64(COUNTED - 1)
_RING_INDEX = np.uint64(_RING - 1)
_BYTES = np.uint64(BYTES)
_PLANES = np.uint64(PLANES)
_MANY = np.uint64(_FEW + 1)


class MaskSpace(NamedTuple):
    """Working memory of one walk: the queue, the stragglers and the leaves, one behind the other.

    Attributes
    ----------
    masks, child : uint64, uint32
        A mask, and the child that its voxels go to.
    entries : uint64
        Bytes of stragglers' masks.
    """

    masks: Words
    child: npt.NDArray[np.uint32]
    entries: Words


def mask_space() -> MaskSpace:
    """Allocate the working memory."""
    size = _RING + 2 * _MOST_MASKS
    return MaskSpace(
        masks=aligned(size * WORDS, np.uint64),
        child=aligned(size, np.uint32),
        entries=aligned(_MOST_MASKS + _FEW, np.uint64),
    )


@compiled
def walk_masks(
    nodes: Words,
    roots: npt.NDArray[np.uint32],
    keys: npt.NDArray[np.int32],
    planes: Words,
    space: MaskSpace,
    items: Words,
    n_items: np.int64,
) -> np.int64:
    """Send a tile down up to `TREES_AT_ONCE` trees.

    Parameters
    ----------
    nodes : (2 * decisions,) uint64
        `vote_nodes` of a :class:`~ecc_rf.forest.packed.PackedForest`.
    roots : (trees,) uint32
        Roots of the trees.
    keys : (features * LANES,) int32
        The tile.
    planes : ((groups + 1) * PLANES * WORDS,) uint64
        Counters, which the leaves' votes are added to.
    space : MaskSpace
    items : uint64
        Stragglers are added behind the first `n_items`, in the form that `walk_lists` takes.
    n_items : int

    Returns
    -------
    int
        Number of items.
    """
    masks, child = space.masks, space.child
    head, tail, stragglers, leaves = _0, _0, _STRAGGLERS, _LEAVES
    everyone = load(_EVERYONE, _0)
    for root in roots:
        is_leaf = np.uint64(root) >> _LEAF_BIT
        place = leaves if is_leaf else tail
        store(masks, place, everyone)
        child[place] = root
        leaves += (np.uint64(root) >> _COUNTED_BIT) & is_leaf
        tail += is_leaf ^ _1
    while head != tail:
        entry = head & _RING_INDEX
        head += _1
        decision = np.uint64(child[entry]) << _1
        word, children = nodes[decision], nodes[decision + _1]
        reach = load(masks, entry)
        smaller = below(keys, word >> _32, np.int32(word & _LOW))
        for side in range(2):
            if side == 0:
                part, to = both(reach, smaller), children & _LOW
            else:
                part, to = only_first(reach, smaller), children >> _32
            size = count_bits(occupied(part))
            is_leaf = to >> _LEAF_BIT
            some = np.uint64(size != _0)
            many = np.uint64(size >= _MANY)
            # Always written, kept only if a counter moves on: no branch to mispredict.
            place = leaves if is_leaf else ((tail & _RING_INDEX) if many else stragglers)
            store(masks, place, part)
            child[place] = np.uint32(to)
            prefetch(nodes, (to & _NUMBER) << _1)  # its turn comes soon; a leaf's number is as good as any
            leaves += (to >> _COUNTED_BIT) & is_leaf & some
            tail += (is_leaf ^ _1) & many
            stragglers += (is_leaf ^ _1) & (many ^ _1) & some
    _add_votes(masks, child, leaves, planes)
    return _list_stragglers(masks, child, stragglers, space.entries, items, n_items)


@compiled
def _add_votes(masks: Words, child: npt.NDArray[np.uint32], end: np.uint64, planes: Words) -> None:
    leaf = _LEAVES
    while leaf != end:
        plane = (np.uint64(child[leaf]) & _NUMBER) * _PLANES
        carry = load(masks, leaf)
        for _ in range(PLANES):
            bits = load(planes, plane)
            store(planes, plane, differ(bits, carry))
            carry = both(bits, carry)
            plane += _1
        leaf += _1


@compiled
def _list_stragglers(
    masks: Words, child: npt.NDArray[np.uint32], end: np.uint64, entries: Words, items: Words, n_items: np.int64
) -> np.int64:
    """Turn the stragglers' masks into items, in two steps of which neither has to guess how many come."""
    mask_bytes = masks.view(np.uint8)
    n_entries = _0
    straggler = _STRAGGLERS
    while straggler != end:
        bits = occupied(load(masks, straggler))
        n_bytes = count_bits(bits)
        for i in range(_FEW):
            byte = lowest_bit(bits) & (_BYTES - _1)  # any byte once there are no more: it is overwritten
            bits &= bits - _1
            content = np.uint64(mask_bytes[straggler * _BYTES + byte])
            position = np.uint64(POSITION_OF_LANE[byte])
            entries[n_entries + np.uint64(i)] = content << _48 | position << _32 | np.uint64(child[straggler])
        n_entries += n_bytes
        straggler += _1
    count, number = np.uint64(n_items), _0
    while number < n_entries:
        entry = entries[number]
        number += _1
        content = entry >> _48
        items[count] = (entry & _LOW48) + (lowest_bit(content) * _BYTES << _32)
        count += _1
        content &= content - _1  # a byte with more voxels in it goes to the end of the line
        entries[n_entries] = content << _48 | entry & _LOW48
        n_entries += np.uint64(content != _0)
    return np.int64(count)


@compiled
def empty_planes(planes: Words, group: int, counts: npt.NDArray[np.uint16]) -> None:
    """Add a group's counters that are kept bit by bit to plain ones, (LANES,) uint16, and clear them."""
    own = planes[group * PLANES * WORDS : (group + 1) * PLANES * WORDS]
    plane_bytes = own.view(np.uint8)
    for k in range(8):
        for byte in range(BYTES):
            votes = np.uint8(0)
            for j in range(PLANES):
                bit = (plane_bytes[np.uint64(j * BYTES + byte)] >> np.uint8(k)) & np.uint8(1)
                votes |= np.uint8(bit << np.uint8(j))
            counts[np.uint64(k * BYTES + byte)] += np.uint16(votes)
    own[:] = _0
