"""vigra's random forests in HDF5, to and from `RandomForest`.

`ClassifierForests` holds independent forests, `Forest0000` and on, whose votes are merged; each has a group of options,
one of numbers found in training, and a group with two arrays for every tree.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ecc_rf.errors import FormatError, NoForestError, SettingError, ShapeError
from ecc_rf.features.plan import MOST_FEATURES
from ecc_rf.forest.model import RandomForest
from ecc_rf.forest.tree import Tree
from ecc_rf.ilp.classifier_type import CLASSIFIER_TYPE, class_name
from ecc_rf.ilp.encoding import (
    dataset_in,
    group_in,
    names_in,
    place,
    read_array,
    read_text,
    read_texts,
    write_text,
    write_texts,
)
from ecc_rf.ilp.limits import (
    HARMLESS_BYTES,
    LARGEST_TREE_COMPRESSION,
    MOST_FORESTS,
    MOST_LABELS,
    MOST_TREES,
)
from ecc_rf.ilp.vigra_trees import tree_arrays, trees_from_arrays
from ecc_rf.volumes.base import damage_reported
from ecc_rf.volumes.hdf5_chunks import read_region

_RETRAIN = "train a new forest from the project's labels"

# How ilastik trains, as vigra keeps it; the counts are filled in.
_OPTIONS = {
    "predict_weighted_": 0.0,
    "training_set_calc_switch_": 1.0,  # the bag's size is a proportion of the rows ...
    "training_set_proportion_": 1.0,  # ... all of them
    "training_set_size_": 0.0,
    "training_set_func_": 0.0,
    "sample_with_replacement_": 1.0,
    "stratification_method_": 3.0,  # none
    "mtry_switch_": 6.0,  # square root of the number of columns
    "mtry_": 0.0,
    "mtry_func_": 0.0,
    "min_split_node_size_": 1.0,
    "prepare_online_learning_": 0.0,
}


@dataclass(frozen=True)
class ForestSummary:
    """What a project says about its forest, without the trees.

    Attributes
    ----------
    trees_per_forest : tuple of int
        Trees that predict, for each vigra forest.
    classes : tuple of int
        Label values of the class columns.
    n_rows : int
        Labelled voxels it was trained on.
    n_features : int
        Columns.
    feature_names : tuple of str
        Their names, empty if they are not stored.
    """

    trees_per_forest: tuple[int, ...]
    classes: tuple[int, ...]
    n_rows: int
    n_features: int
    feature_names: tuple[str, ...]


@dataclass(frozen=True)
class _Header:
    """Numbers of one vigra forest."""

    tree_count: int
    weighted: bool
    n_features: int
    labels: tuple[int, ...]
    n_rows: int


def summarize_forests(group: h5py.Group | None, n_labels: int | None = None) -> ForestSummary:
    """The numbers of a stored forest.

    Parameters
    ----------
    group : h5py.Group or None
        `ClassifierForests`.
    n_labels : int, optional
        Labels of the project.

    Raises
    ------
    NoForestError
        If there is none, or none that can be used.
    FormatError
        If it is damaged.
    """
    return _summary([(forest, _header(forest)) for forest in _forest_groups(group)], n_labels)


def _summary(forests: Sequence[tuple[h5py.Group, _Header]], n_labels: int | None) -> ForestSummary:
    parent, first = forests[0][0].parent, forests[0][1]
    headers = [header for _, header in forests]
    where = place(parent)
    if any((header.n_features, len(header.labels)) != (first.n_features, len(first.labels)) for header in headers):
        raise FormatError("the forests differ in their numbers of columns or classes", where, _RETRAIN)
    if not first.labels or not 1 <= first.n_features <= MOST_FEATURES:
        raise FormatError(
            f"{len(first.labels)} classes and {first.n_features:,} columns; expected at least one class and "
            f"1 to {MOST_FEATURES:,} columns",
            where,
            _RETRAIN,
        )
    names = tuple(read_texts(parent, "feature_names", MOST_FEATURES) or ())
    if names and len(names) != first.n_features:
        raise FormatError(f"{len(names)} feature names for {first.n_features} columns", where, _RETRAIN)
    classes = _classes(parent, first.labels)
    if n_labels is not None and (len(classes) > n_labels or classes[-1] > n_labels):
        raise NoForestError(
            f"the stored forest knows the labels {list(classes)}, the project has only {n_labels}; ilastik discards it",
            where,
            _RETRAIN,
        )
    return ForestSummary(
        trees_per_forest=tuple(header.tree_count for header in headers),
        classes=classes,
        n_rows=first.n_rows,
        n_features=first.n_features,
        feature_names=names,
    )


def read_forests(group: h5py.Group | None, n_labels: int | None = None) -> RandomForest:
    """The stored forest; several vigra forests become one, in the order of their names.

    Parameters
    ----------
    group : h5py.Group or None
        `ClassifierForests`.
    n_labels : int, optional
        Labels of the project, which may be more than were annotated.

    Raises
    ------
    NoForestError
        If there is none, or none that can be used.
    FormatError
        If it is damaged.
    """
    forests = [(forest, _header(forest)) for forest in _forest_groups(group)]
    summary = _summary(forests, n_labels)
    where = place(forests[0][0].parent)
    if sum(summary.trees_per_forest) > MOST_TREES:
        raise FormatError(f"{sum(summary.trees_per_forest):,} trees; expected at most {MOST_TREES:,}", where, _RETRAIN)
    return RandomForest.from_trees(
        [_read_trees(forest, header) for forest, header in forests],
        summary.n_features,
        summary.classes,
        n_labels,
        weighted=[header.weighted for _, header in forests],
        where=where,
    )


def _forest_groups(group: h5py.Group | None) -> list[h5py.Group]:
    names = names_in(group)
    if group is None or not names:
        raise NoForestError(
            "the project holds no trained forest",
            place(group) if group is not None else "",
            f"{_RETRAIN}; in ilastik, switch on Live Update once and save",
        )
    where = place(group)
    forests = [name for name in names if name.startswith("Forest")]
    if len(forests) > MOST_FORESTS:
        raise FormatError(f"{len(forests):,} forests; expected at most {MOST_FORESTS:,}", where, _RETRAIN)
    if "pickled_classifier" in names:
        raise NoForestError(
            "the classifier is not a random forest of ilastik's but a pickle of a Python object, "
            "which could run any program and is never opened",
            where,
            _RETRAIN,
        )
    if not forests:
        kind = class_name(read_text(group, "pickled_type") or "")
        named = f": {kind}" if kind else ""
        raise NoForestError(f"the classifier is of a kind that cannot be read{named}", where, _RETRAIN)
    return [_group(group, name) for name in forests]


def _group(parent: h5py.Group, name: str) -> h5py.Group:
    found = group_in(parent, name)
    if found is None:
        raise FormatError("it is missing", place(parent, name), _RETRAIN)
    return found


def _header(forest: h5py.Group) -> _Header:
    options, parameters = _group(forest, "_options"), _group(forest, "_ext_param")
    labels = _array(parameters, "labels", "ui")
    if _number(parameters, "problem_type_") == 0:
        raise NoForestError("the stored forest is one for regression", place(forest), _RETRAIN)
    return _Header(
        tree_count=_number(options, "tree_count_"),
        weighted=bool(_number(options, "predict_weighted_")),
        n_features=_number(parameters, "column_count_"),
        labels=tuple(labels.tolist()),
        n_rows=_number(parameters, "row_count_"),
    )


def _array(group: h5py.Group, name: str, kinds: str) -> NDArray[Any]:
    array = read_array(group, name, kinds=kinds, max_ndim=1, most=MOST_LABELS)
    if array is None:
        raise FormatError("it is missing", place(group, name), _RETRAIN)
    return array.ravel()


def _number(group: h5py.Group, name: str) -> int:
    values = _array(group, name, "iuf").astype(np.float64)  # counts are below 2**31: exact
    if values.size != 1 or not 0 <= values[0] < 2**31 or values[0] != int(values[0]):
        raise FormatError(f"expected a count, found {values[:4].tolist()}", place(group, name), _RETRAIN)
    return int(values[0])


def _classes(group: h5py.Group, labels: tuple[int, ...]) -> tuple[int, ...]:
    """Label values of the class columns: `known_labels`, else what the forest was trained on, else 1, 2, 3 ..."""
    known = read_array(group, "known_labels", kinds="ui", max_ndim=1)
    if known is not None:
        values = tuple(int(value) for value in known.ravel())
        if len(values) != len(labels):
            raise FormatError(f"{len(values)} known labels for {len(labels)} classes", place(group), _RETRAIN)
        return values
    return labels if labels and min(labels) > 0 else tuple(range(1, len(labels) + 1))


def _read_trees(forest: h5py.Group, header: _Header) -> list[Tree]:
    names = [name for name in names_in(forest) if not name.startswith("_")][: header.tree_count]
    if len(names) < header.tree_count or not names:
        raise FormatError(f"{len(names)} trees are stored, {header.tree_count} announced", place(forest), _RETRAIN)
    topology, parameters = [], []
    # the same tree under many names costs the file nothing
    claim, most = 0, max(HARMLESS_BYTES, Path(forest.file.filename).stat().st_size * LARGEST_TREE_COMPRESSION)
    for name in names:
        tree = _group(forest, name)
        topology.append(_tree_array(tree, "topology", "i", np.int32))
        parameters.append(_tree_array(tree, "parameters", "f", np.float64))
        claim += topology[-1].nbytes + parameters[-1].nbytes
        if claim > most:
            raise FormatError(f"trees of {claim:,} bytes, more than the file can hold", place(forest), _RETRAIN)
        if topology[-1][:2].tolist() != [header.n_features, len(header.labels)]:
            raise FormatError(
                f"begins with {topology[-1][:2].tolist()}; expected {header.n_features} columns and "
                f"{len(header.labels)} classes",
                place(tree, "topology"),
                _RETRAIN,
            )
    try:
        return trees_from_arrays(topology, parameters, len(header.labels))
    except FormatError as error:
        raise FormatError(error.what, place(forest), _RETRAIN) from error


def _tree_array(tree: h5py.Group, name: str, kind: str, dtype: type[Any]) -> NDArray[Any]:
    dataset = dataset_in(tree, name, LARGEST_TREE_COMPRESSION)
    if dataset is None or dataset.ndim != 1 or dataset.dtype.kind != kind:
        found = "nothing" if dataset is None else f"{dataset.dtype} of shape {dataset.shape}"
        raise FormatError(f"expected numbers in one dimension, found {found}", place(tree, name), _RETRAIN)
    with damage_reported(place(dataset)):
        return np.asarray(read_region(dataset), dtype)


def write_forests(
    group: h5py.Group,
    forest: RandomForest,
    feature_names: Sequence[str] = (),
    *,
    n_forests: int | None = None,
    n_rows: int | None = None,
) -> None:
    """Write a forest as ilastik does.

    Parameters
    ----------
    group : h5py.Group
        `ClassifierForests`, empty.
    forest : RandomForest
    feature_names : sequence of str
        One per column; none are written if there are none.
    n_forests : int, optional
        Number of vigra forests to spread the trees over, which ilastik predicts in parallel. By default as the forest
        has them: then the sums of the votes are rounded alike.
    n_rows : int, optional
        Labelled voxels it was trained on; by default the samples in the leaves of the first tree, which is the same
        for trees that were grown from bootstrap samples.

    Raises
    ------
    ShapeError
        If the feature names are not as many as the columns.
    SettingError
        If there are fewer trees than forests, or trees that vote with their weight are to be spread anew.
    """
    if feature_names and len(feature_names) != forest.n_features:
        raise ShapeError(f"{len(feature_names)} feature names for {forest.n_features} columns", place(group))
    trees = list(forest.forests())
    weighted = list(forest.weighted)
    if n_forests is not None and n_forests != len(trees):
        if any(weighted):
            raise SettingError("trees that vote with their weight cannot be spread over another number of forests")
        if not 1 <= n_forests <= forest.n_trees:
            raise SettingError(f"n_forests is {n_forests}; expected 1 to {forest.n_trees}, the number of trees")
        everything = [tree for one in trees for tree in one]
        ends = [forest.n_trees * k // n_forests for k in range(n_forests + 1)]
        trees = [everything[a:b] for a, b in itertools.pairwise(ends)]
        weighted = [False] * n_forests
    rows = round(float(trees[0][0].leaf_weight.sum())) if n_rows is None else int(n_rows)
    for number, (members, flag) in enumerate(zip(trees, weighted)):
        _write_forest(group.create_group(f"Forest{number:04d}"), members, flag, forest, rows)
    group.create_dataset("known_labels", data=np.array(forest.classes, np.uint32))
    if feature_names:
        write_texts(group, "feature_names", feature_names)
    write_text(group, "pickled_type", CLASSIFIER_TYPE)


def _write_forest(group: h5py.Group, trees: Sequence[Tree], weighted: bool, forest: RandomForest, n_rows: int) -> None:
    group.attrs["vigra_random_forest_version"] = np.array([0.1])
    options = {**_OPTIONS, "tree_count_": len(trees), "predict_weighted_": float(weighted)}
    columns, classes = forest.n_features, forest.n_classes
    parameters = {
        "column_count_": columns,
        "class_count_": classes,
        "row_count_": n_rows,
        "actual_mtry_": math.floor(math.sqrt(columns) + 0.5),
        "actual_msample_": max(n_rows, 1),  # vigra takes 0 for a forest that was never trained
        "problem_type_": 1,  # classification
        "used_": 1,
        "is_weighted_": 1,
        "precision_": 0,
        "response_size_": 1,
    }
    for name, numbers in (("_options", options), ("_ext_param", parameters)):
        member = group.create_group(name)
        for key, value in numbers.items():
            member.create_dataset(key, data=np.array([value], np.float64))
    group["_ext_param"].create_dataset("class_weights_", data=np.ones(classes))
    group["_ext_param"].create_dataset("labels", data=np.array(forest.classes, np.uint32))
    digits = len(str(len(trees) - 1))
    for number, tree in enumerate(trees):
        topology, values = tree_arrays(tree, columns, classes)
        member = group.create_group(f"Tree_{number:0{digits}d}")  # padded: trees are used in the order of their names
        member.create_dataset("topology", data=topology)
        member.create_dataset("parameters", data=values)
