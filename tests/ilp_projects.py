"""Small projects written member by member, and a plain second reading of vigra's forests, without `ecc_rf.ilp`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ecc_rf.forest import RandomForest


def axistags(axes: str) -> str:
    return json.dumps({"axes": [{"key": key, "typeFlags": 2, "resolution": 0, "description": ""} for key in axes]})


@dataclass
class RawBlock:
    array: NDArray[np.uint8]
    start: tuple[int, ...]
    axes: str | None = None  # what the block says of itself

    @property
    def block_slice(self) -> str:
        return "[" + ",".join(f"{a}:{a + n}" for a, n in zip(self.start, self.array.shape)) + "]"


@dataclass
class RawProject:
    """Members of a project; None leaves one out, `lanes` are the datasets of the raw data's group."""

    version: Any = b"1.4.1"
    workflow: Any = b"Pixel Classification"
    lanes: Sequence[Mapping[str, Any]] = ()
    roles: Sequence[bytes] | None = (b"Raw Data", b"Prediction Mask")
    labels: Sequence[Sequence[RawBlock]] = ()
    label_names: Any = (b"cell", b"background")
    more: Mapping[str, Any] = field(default_factory=dict)  # path -> dataset
    storage_version: bytes | None = b"0.1"

    def write(self, path: Path) -> Path:
        with h5py.File(path, "w") as file:
            if self.version is not None:
                file["ilastikVersion"] = self.version
            if self.workflow is not None:
                file["workflowName"] = self.workflow
            file["Input Data/StorageVersion"] = b"0.2"
            if self.roles is not None:
                file["Input Data/Role Names"] = np.array(self.roles)
            for index, lane in enumerate(self.lanes):
                group = file.create_group(f"Input Data/infos/lane{index:04d}")
                if self.roles is not None:
                    group.create_group("Prediction Mask")
                    group = group.create_group("Raw Data")
                for name, value in lane.items():
                    group[name] = value
            features = file.create_group("FeatureSelections")
            features["StorageVersion"] = b"0.1"
            features["FeatureIds"] = np.array([b"GaussianSmoothing", b"HessianOfGaussianEigenvalues"])
            features["Scales"] = [0.7, 1.0]
            features["SelectionMatrix"] = np.array([[True, False], [False, True]])
            applet = file.create_group("PixelClassification")
            if self.storage_version is not None:
                applet["StorageVersion"] = self.storage_version
            if self.label_names is not None:
                applet["LabelNames"] = np.array(self.label_names)
                applet["LabelNames"].attrs["isEmpty"] = False
            for index, blocks in enumerate(self.labels):
                sets = file.create_group(f"PixelClassification/LabelSets/labels{index:03d}")
                for number, block in enumerate(blocks):
                    sets[f"block{number:04d}"] = block.array
                    sets[f"block{number:04d}"].attrs["blockSlice"] = block.block_slice
                    if block.axes is not None:
                        sets[f"block{number:04d}"].attrs["axistags"] = axistags(block.axes)
            for name, value in self.more.items():
                file[name] = value
        return path


def lane(
    path: str | bytes | None, axes: str = "zyx", shape: Sequence[int] | None = None, **more: Any
) -> dict[str, Any]:
    """Datasets of a lane as ilastik 1.4 writes them; `class_` is `__class__`."""
    members: dict[str, Any] = {
        "allowLabels": True,
        "nickname": b"brain",
        "filePath": path,
        "axistags": axistags(axes).encode(),
        "location": b"FileSystem",
    }
    if shape is not None:
        members["shape"] = np.array(shape)
    members |= {"__class__" if name == "class_" else name: value for name, value in more.items()}
    return {name: value for name, value in members.items() if value is not None}


Node = Any  # a leaf: (weight, probabilities); a split: (column, threshold, child0, child1)


def write_vigra_forest(
    group: h5py.Group, trees: Sequence[Node], n_features: int, labels: Sequence[int], *, rows: int = 10
) -> None:
    """One `ForestNNNN`; nodes in vigra's own order, the child1 subtree first."""
    group.attrs["vigra_random_forest_version"] = np.array([0.1])
    for name, value in {"tree_count_": len(trees), "predict_weighted_": 0}.items():
        group[f"_options/{name}"] = np.array([float(value)])
    numbers = {"column_count_": n_features, "class_count_": len(labels), "row_count_": rows, "problem_type_": 1}
    for name, value in numbers.items():
        group[f"_ext_param/{name}"] = np.array([float(value)])
    group["_ext_param/labels"] = np.array(labels, np.uint32)
    digits = len(str(len(trees) - 1))
    for number, tree in enumerate(trees):
        topology, parameters = vigra_arrays(tree, n_features, len(labels))
        group[f"Tree_{number:0{digits}d}/topology"] = topology
        group[f"Tree_{number:0{digits}d}/parameters"] = parameters


def vigra_arrays(tree: Node, n_features: int, n_classes: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    topology: list[int] = [n_features, n_classes]
    parameters: list[float] = []

    def put(node: Node) -> int:
        at = len(topology)
        if len(node) == 2:
            topology.extend([0x40000000, len(parameters)])
            parameters.extend([node[0], *node[1]])
            return at
        column, threshold, child0, child1 = node
        topology.extend([0, len(parameters), -1, -1, column])
        parameters.extend([1.0, threshold])
        topology[at + 3] = put(child1)
        topology[at + 2] = put(child0)
        return at

    put(tree)
    return np.array(topology, np.int32), np.array(parameters)


Leaves = list[NDArray[np.float64]]  # for each forest: (trees, rows, classes), the probabilities of the leaves reached


def plain_leaves(group: h5py.Group, rows: NDArray[np.float32]) -> Leaves:
    """By following vigra's arrays for one tree and one row after the other."""
    reached = []
    for forest in (group[name] for name in sorted(group) if name.startswith("Forest")):
        count, n_classes = int(forest["_options/tree_count_"][0]), len(forest["_ext_param/labels"])
        names = [name for name in sorted(forest) if not name.startswith("_")][:count]
        table = np.empty((count, len(rows), n_classes))
        for number, name in enumerate(names):
            topology, parameters = forest[name]["topology"][()].tolist(), forest[name]["parameters"][()].tolist()
            for k, row in enumerate(rows.tolist()):
                at = 2
                while topology[at] != 0x40000000:
                    below = row[topology[at + 4]] < parameters[topology[at + 1] + 1]
                    at = topology[at + 2] if below else topology[at + 3]
                begin = topology[at + 1] + 1
                table[number, k] = parameters[begin : begin + n_classes]
        reached.append(table)
    return reached


def model_leaves(forest: RandomForest, rows: NDArray[np.float32]) -> Leaves:
    """By following the trees of the model."""
    reached = []
    for trees in forest.forests():
        table = np.empty((len(trees), len(rows), forest.n_classes))
        for number, tree in enumerate(trees):
            leaf_number = np.cumsum(tree.feature < 0) - 1
            at = np.zeros(len(rows), int)
            while (tree.feature[at] >= 0).any():
                inner = tree.feature[at] >= 0
                below = rows[np.arange(len(rows)), tree.feature[at]].astype(np.float64) < tree.threshold[at]
                at = np.where(inner, np.where(below, tree.left[at], tree.right[at]), at)
            table[number] = tree.leaf_probability[leaf_number[at]]
        reached.append(table)
    return reached


def merged(leaves: Leaves) -> NDArray[np.float32]:
    """Votes as vigra sums them within a forest and ilastik over forests, to the last bit."""
    total = np.zeros(leaves[0].shape[1:], np.float32)
    for table in leaves:
        votes, weight = np.zeros_like(total), np.zeros(len(total))
        for tree in table:
            votes += tree.astype(np.float32)
            for column in tree.T:
                weight += column
        total += votes / weight.astype(np.float32)[:, None] * np.float32(len(table))
    return total / np.float32(sum(len(table) for table in leaves))


def telling_rows(group: h5py.Group, number: int, seed: int = 0) -> NDArray[np.float32]:
    """Rows whose values lie on and around the thresholds of their column."""
    rng = np.random.default_rng(seed)
    n_features = int(group["Forest0000/_ext_param/column_count_"][0])
    thresholds: list[list[float]] = [[0.0] for _ in range(n_features)]
    for forest in (group[name] for name in sorted(group) if name.startswith("Forest")):
        for name in [name for name in sorted(forest) if not name.startswith("_")][:5]:
            topology, parameters = forest[name]["topology"][()], forest[name]["parameters"][()]
            waiting = [2]
            while waiting:
                at = waiting.pop()
                if topology[at] == 0:
                    thresholds[topology[at + 4]].append(parameters[topology[at + 1] + 1])
                    waiting += topology[at + 2 : at + 4].tolist()
    columns = [rng.choice(values, number) * rng.choice([1.0, 1.0, 0.99, 1.01], number) for values in thresholds]
    return np.stack(columns, axis=1).astype(np.float32)
