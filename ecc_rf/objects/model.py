"""ObjectModel: a small forest over what is known of a candidate, and its file.

The file is HDF5: the trees as flat arrays, and as attributes the names of the features, the cut, the settings under
which the candidates were found, and how it was trained. Nothing in it is ever run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.errors import EccError, FormatError, SettingError
from ecc_rf.forest import RandomForest
from ecc_rf.forest.tree import Tree
from ecc_rf.near import missing_file
from ecc_rf.small_files import parsed
from ecc_rf.volumes.base import write_errors
from ecc_rf.volumes.unfinished import UnfinishedOutput

if TYPE_CHECKING:
    import pandas as pd

_FORMAT = "ecc_rf object model"
_VERSION = 1
_ATTRIBUTES = ("format", "version", "features", "cut", "finder", "training")
_MOST_NUMBERS = 100_000_000  # nodes of all trees: a thousand trees of fifty thousand candidates
_FIELDS = ("feature", "threshold", "left", "right", "leaf_probability", "leaf_weight")

FEATURES = (
    *("vol", "mean_probability", "peak_probability", "contrast", "ratio", "ring_contrast", "ring_relative"),
    *("ring_peak", "dog_fine", "dog_coarse", "extent_z_um", "local_probability"),
)
"""Columns of the table of cells. None is an absolute intensity: brains differ in it."""


@dataclass(frozen=True)
class ObjectModel:
    """A forest that says how likely a candidate is a cell.

    Attributes
    ----------
    forest : RandomForest
        Label 1 is no cell, label 2 is a cell; its columns are `FEATURES`.
    cut : float
        Candidates of at least this probability are cells.
    finder : mapping
        Settings of the `CellFinder` that found the candidates it was trained on.
    training : mapping
        Counts of labels, seed, out-of-bag figures.
    """

    forest: RandomForest
    cut: float = 0.25
    finder: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)

    def probabilities(self, cells: pd.DataFrame) -> NDArray[np.float32]:
        """Probability of each row to be a cell.

        Parameters
        ----------
        cells : DataFrame
            As `CellFinder.find` gives it, with contrasts.

        Raises
        ------
        SettingError
            If a feature is missing.
        """
        if not len(cells):
            return np.empty(0, np.float32)
        return self.forest.predict_proba(feature_rows(cells))[:, 1]

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the model; the same model gives the same bytes.

        Raises
        ------
        OutputExistsError, OutputError
            If there is a file of that name and `overwrite` is False, or it cannot be written.
        """
        import h5py

        output = UnfinishedOutput(Path(path), str(path), overwrite)
        try:
            with write_errors(str(path)), h5py.File(output.path, "w", track_order=False) as file:
                file.attrs.update({"format": _FORMAT, "version": _VERSION, "cut": self.cut})
                file.attrs["features"] = json.dumps(FEATURES)
                file.attrs["finder"] = json.dumps(dict(self.finder), sort_keys=True)
                file.attrs["training"] = json.dumps(dict(self.training), sort_keys=True)
                trees = [tree for one in self.forest.forests() for tree in one]
                file["nodes"] = np.array([tree.n_nodes for tree in trees])
                file["leaves"] = np.array([len(tree.leaf_probability) for tree in trees])
                for name in _FIELDS:
                    file[name] = np.concatenate([getattr(tree, name) for tree in trees])
        except BaseException:
            output.discard()
            raise
        output.commit()

    @classmethod
    def load(cls, path: str | Path) -> ObjectModel:
        """Read a model; every array is checked.

        Raises
        ------
        MissingFileError
            If there is no such file.
        FormatError
            If it is no model, or damaged.
        """
        import h5py

        from ecc_rf.volumes.hdf5_heap import checked_attribute

        if not Path(path).is_file():
            raise missing_file(path)
        try:
            with h5py.File(path, "r") as file:
                said = {name: checked_attribute(file, name, str(path)) for name in _ATTRIBUTES}
                if said["format"] != _FORMAT or said["version"] != _VERSION:
                    raise FormatError("This is no object model of this version.", where=str(path))
                if not all(isinstance(file.get(name, getlink=True), h5py.HardLink) for name in file):
                    raise FormatError("The model leads out of its file.", where=str(path))
                if tuple(parsed(said["features"])) != FEATURES:
                    raise FormatError("The model wants other features.", where=str(path), do="Train it again.")
                arrays = {name: _array(file, name, str(path)) for name in ("nodes", "leaves", *_FIELDS)}
                cut = float(said["cut"])
                finder, training = (dict(parsed(said[name])) for name in ("finder", "training"))
            forest = _forest(arrays, str(path))
        except EccError:
            raise
        except Exception as error:  # a damaged HDF5 file raises nearly every class there is
            raise FormatError(f"The model is damaged: {error}", where=str(path), do="Train it again.") from error
        if not 0 <= cut <= 1:
            raise FormatError(f"The model's cut is {cut}.", where=str(path), do="Train it again.")
        return cls(forest, cut, finder, training)


def _array(file: Any, name: str, where: str) -> NDArray[Any]:
    """An array of the model, if the file can hold what it claims."""
    from ecc_rf.volumes.hdf5_chunks import read_region
    from ecc_rf.volumes.hdf5_storage import refuse_false_claims, refuse_foreign_storage

    dataset = file[name]
    refuse_foreign_storage(dataset, where)
    refuse_false_claims(dataset, where)
    if dataset.ndim > 2 or dataset.dtype.kind not in "iuf" or dataset.size > _MOST_NUMBERS:
        raise FormatError(
            f"The model has {name} of {dataset.dtype} and the shape {dataset.shape}; expected at most "
            f"{_MOST_NUMBERS:,} numbers.",
            where=where,
            do="Train it again.",
        )
    return read_region(dataset)


def _forest(arrays: Mapping[str, NDArray[Any]], where: str) -> RandomForest:
    nodes, leaves = (np.cumsum([0, *arrays[name].tolist()]) for name in ("nodes", "leaves"))
    trees = []
    for t in range(len(nodes) - 1):
        at_nodes, at_leaves = slice(nodes[t], nodes[t + 1]), slice(leaves[t], leaves[t + 1])
        parts = {name: arrays[name][at_leaves if name.startswith("leaf") else at_nodes] for name in _FIELDS}
        trees.append(Tree(**parts))
    return RandomForest.from_trees([trees], len(FEATURES), (1, 2), where=where)


def feature_rows(cells: pd.DataFrame) -> NDArray[np.float32]:
    """The features of candidates, shape (n, 12).

    Raises
    ------
    SettingError
        If the table lacks a column.
    """
    missing = [name for name in FEATURES if name not in cells.columns]
    if missing:
        raise SettingError(
            f"The table of candidates has no column {missing[0]}.",
            do="Find the candidates with their raw volume, and with contrasts.",
        )
    return np.ascontiguousarray(cells[list(FEATURES)].to_numpy(np.float32))
