"""vigra's decision trees, two arrays each, to and from `Tree`.

`topology` is ``[columns, classes, node, node, ...]``. The root stands at index 2, children are named by their index in
the array, and every node points into `parameters`::

    split  0           p  child0  child1  column      parameters[p:]  weight, threshold
    leaf   0x40000000  p                              parameters[p:]  samples, one probability per class

child0 is taken where ``x[column] < threshold``. vigra knows other kinds of nodes, which ilastik never trains.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ecc_rf.errors import FormatError
from ecc_rf.forest.tree import Tree

_LEAF = 0x40000000
_SPLIT = 0
_ROOT = 2  # behind the numbers of columns and classes
_LEAF_ENTRIES, _SPLIT_ENTRIES = 2, 5


def trees_from_arrays(
    topology: Sequence[NDArray[np.int32]], parameters: Sequence[NDArray[np.float64]], n_classes: int
) -> list[Tree]:
    """Trees from vigra's arrays; nodes are numbered by their place in `topology`.

    All trees are descended at once, level by level, so that the work is done by a few array operations per level.

    Raises
    ------
    FormatError
        If a node lies outside of its tree, is reached twice, or is of another kind than a split or a leaf.
    """
    flat, values = np.concatenate(topology).astype(np.int64), np.concatenate(parameters)
    begin = np.cumsum([0, *(len(array) for array in topology)])
    values_begin = np.cumsum([0, *(len(array) for array in parameters)])
    # the pair (address, tree) of each node of a level; addresses count through all trees
    tree = np.arange(len(topology))
    address = begin[:-1] + _ROOT
    levels: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    visited = 0
    while len(address):
        visited += len(address)
        if visited > len(flat) // _LEAF_ENTRIES:  # more nodes than there is room for
            raise FormatError("a node is reached twice: no tree")
        _check_room(address, tree, begin, _LEAF_ENTRIES)
        levels.append((address, tree))
        code = flat[address]
        if not np.isin(code, (_SPLIT, _LEAF)).all():
            raise FormatError(
                f"a node of kind {int(code[(code != _SPLIT) & (code != _LEAF)][0])}; expected 0 or {_LEAF}"
            )
        inner, tree = address[code == _SPLIT], tree[code == _SPLIT]
        _check_room(inner, tree, begin, _SPLIT_ENTRIES)
        children = flat[inner[:, None] + (2, 3)]
        if len(children) and children.min() < _ROOT:
            raise FormatError(f"a child at {int(children.min())}; nodes begin at {_ROOT}")
        address = (children + begin[tree, None]).ravel()
        tree = tree.repeat(2)
    address, tree = (np.concatenate(part) for part in zip(*levels))
    order = np.argsort(address)
    address, tree = address[order], tree[order]
    if (address[1:] == address[:-1]).any():
        raise FormatError("a node is reached twice: no tree")
    return _numbered(flat, values, begin, values_begin, address, tree, n_classes)


def _check_room(address: NDArray[np.int64], tree: NDArray[np.int64], begin: NDArray[np.int64], entries: int) -> None:
    if (address + entries > begin[tree + 1]).any():
        k = int(np.argmax(address + entries - begin[tree + 1]))
        raise FormatError(f"tree {tree[k]} has a node at {address[k] - begin[tree[k]]}, outside of its array")


def _numbered(
    flat: NDArray[np.int64],
    values: NDArray[np.float64],
    begin: NDArray[np.int64],
    values_begin: NDArray[np.int64],
    address: NDArray[np.int64],
    tree: NDArray[np.int64],
    n_classes: int,
) -> list[Tree]:
    """Trees from the addresses of their nodes, ascending: node k of a tree is its k-th address."""
    leaf = flat[address] == _LEAF
    at = flat[address + 1]
    needed = np.where(leaf, 1 + n_classes, 2)
    room = np.diff(values_begin)[tree]
    if ((at < 0) | (at + needed > room)).any():
        k = int(np.argmax((at < 0) | (at + needed > room)))
        raise FormatError(f"tree {tree[k]} has a node with parameters at {at[k]}, outside of the {room[k]} there are")
    at += values_begin[tree]
    first = np.searchsorted(tree, np.arange(len(begin)))  # of each tree, among the nodes
    split = address[~leaf]

    feature = np.full(len(address), -1, np.int64)
    feature[~leaf] = flat[split + 4]
    if (feature[~leaf] < 0).any():
        raise FormatError("a split by a negative column")
    threshold = np.zeros(len(address))
    threshold[~leaf] = values[at[~leaf] + 1]
    left, right = (np.full(len(address), -1, np.int64) for _ in range(2))
    for child, entry in ((left, 2), (right, 3)):
        child[~leaf] = np.searchsorted(address, flat[split + entry] + begin[tree[~leaf]]) - first[tree[~leaf]]
    table = values[at[leaf, None] + np.arange(1 + n_classes)]
    leaves = np.searchsorted(tree[leaf], np.arange(len(begin)))
    return [
        Tree(
            feature=feature[a:b].astype(np.int32),
            threshold=threshold[a:b],
            left=left[a:b].astype(np.int32),
            right=right[a:b].astype(np.int32),
            leaf_probability=table[c:d, 1:],
            leaf_weight=table[c:d, 0],
        )
        for a, b, c, d in zip(first[:-1], first[1:], leaves[:-1], leaves[1:])
    ]


def tree_arrays(tree: Tree, n_features: int, n_classes: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """vigra's `topology` and `parameters` of a tree, nodes in its own order."""
    leaf = tree.feature < 0
    sizes = np.where(leaf, _LEAF_ENTRIES, _SPLIT_ENTRIES)
    address = _ROOT + np.cumsum(sizes) - sizes
    values_sizes = np.where(leaf, 1 + n_classes, 2)
    at = np.cumsum(values_sizes) - values_sizes

    topology = np.zeros(_ROOT + int(sizes.sum()), np.int32)
    topology[:_ROOT] = n_features, n_classes
    topology[address] = np.where(leaf, _LEAF, _SPLIT)
    topology[address + 1] = at
    split = address[~leaf]
    topology[split + 2] = address[tree.left[~leaf]]
    topology[split + 3] = address[tree.right[~leaf]]
    topology[split + 4] = tree.feature[~leaf]

    values = np.empty(int(values_sizes.sum()))
    values[at[~leaf]] = 1.0
    values[at[~leaf] + 1] = tree.threshold[~leaf]
    values[at[leaf]] = tree.leaf_weight
    values[at[leaf, None] + 1 + np.arange(n_classes)] = tree.leaf_probability
    return topology, values
