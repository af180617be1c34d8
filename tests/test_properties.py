"""What must hold whatever is stored: forests, label blocks in every axis order, links. Drawn by hypothesis."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ecc_rf.errors import EccError
from ecc_rf.forest.model import RandomForest
from ecc_rf.ilp import ERASER, LabelBlock, LaneLabels
from ecc_rf.ilp.block_axes import StoredBlock, arranged
from ecc_rf.ilp.encoding import read_text, write_text
from ecc_rf.ilp.links import stored_link
from ecc_rf.ilp.stored_paths import is_absolute, normalized, several_files, stored_places
from ecc_rf.ilp.vigra_trees import tree_arrays, trees_from_arrays
from tests.reference_forest import random_tree

quick = settings(max_examples=60, deadline=None)
seeds = st.integers(0, 2**32 - 1)

LEAF = 0x40000000


def walked(topology: list[int], parameters: list[float], n_classes: int, row: list[float]) -> list[float]:
    """The leaf that a row reaches, by following vigra's arrays; an endless walk fails."""
    at = 2
    for _ in range(len(topology)):
        if topology[at] == LEAF:
            begin = topology[at + 1] + 1
            return parameters[begin : begin + n_classes]
        below = row[topology[at + 4]] < parameters[topology[at + 1] + 1]
        at = topology[at + 2] if below else topology[at + 3]
    raise AssertionError("the walk does not end")


def scattered(
    topology: NDArray[np.int32], parameters: NDArray[np.float64], rng: np.random.Generator
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """The same tree with its nodes, but for the root, in any order and with gaps of noise between them."""
    nodes, waiting = [], [2]
    while waiting:
        at = waiting.pop()
        nodes.append(at)
        waiting += topology[at + 2 : at + 4].tolist() if topology[at] == 0 else []
    order = [2, *rng.permutation([at for at in nodes if at != 2]).tolist()]
    moved, length = {}, 2
    for at in order:
        length += 0 if at == 2 else int(rng.integers(0, 4))
        moved[at] = length
        length += 5 if topology[at] == 0 else 2
    new = rng.integers(-5, 5, length).astype(np.int32)
    new[:2] = topology[:2]
    for at, there in moved.items():
        size = 5 if topology[at] == 0 else 2
        new[there : there + size] = topology[at : at + size]
        if size == 5:
            new[there + 2 : there + 4] = [moved[child] for child in topology[at + 2 : at + 4].tolist()]
    return new, parameters


@given(seeds, st.integers(0, 30), st.integers(1, 6), st.integers(1, 4), st.booleans())
@quick
def test_trees_lead_to_the_same_leaves_wherever_their_nodes_stand(
    seed: int, decisions: int, n_features: int, n_classes: int, chain: bool
) -> None:
    rng = np.random.default_rng(seed)
    tree = random_tree(rng, decisions, n_features, n_classes, chain=chain)
    topology, parameters = scattered(*tree_arrays(tree, n_features, n_classes), rng)
    forest = RandomForest.from_trees(
        [trees_from_arrays([topology], [parameters], n_classes)], n_features, range(1, n_classes + 1), n_classes
    )
    thresholds = np.append(tree.threshold, 0.0)
    with np.errstate(over="ignore"):
        rows = rng.choice(thresholds, (20, n_features)).astype(np.float32)
    expected = [walked(topology.tolist(), parameters.tolist(), n_classes, row) for row in rows.tolist()]
    # one tree votes with its probabilities over their sum, which is 1 but for the last bit
    np.testing.assert_allclose(forest.predict_proba(rows), expected, rtol=1e-6)


@given(
    st.lists(st.sampled_from([0, 0, LEAF, LEAF, 1, 2, 4, 7, 9, 14, -1, 2**31 - 1]), min_size=2, max_size=30),
    st.integers(1, 3),
)
@settings(max_examples=300, deadline=None)
def test_numbers_that_may_be_no_tree(numbers: list[int], n_classes: int) -> None:
    """A walk that ends, as vigra's own would, or an error."""
    topology = np.array([4, n_classes, *numbers], np.int32)
    parameters = np.tile([1.0, 0.5], 8)
    try:
        trees = trees_from_arrays([topology], [parameters], n_classes)
        forest = RandomForest.from_trees([trees], 4, range(1, n_classes + 1), n_classes)
    except EccError as error:
        assert str(error)
        return
    row = [0.0, 1.0, 0.5, 2.0]
    leaf = walked(topology.tolist(), parameters.tolist(), n_classes, row)
    votes = forest.predict_proba(np.array([row], np.float32))[0]
    np.testing.assert_allclose(votes, np.array(leaf) / sum(leaf), rtol=1e-6)


boxes = st.tuples(
    st.tuples(*[st.integers(0, 8)] * 3), st.tuples(*[st.integers(1, 5)] * 3), st.sampled_from([(1, 2), (1, ERASER, 0)])
)


def drawn(seed: int, found: list[Any]) -> tuple[NDArray[np.uint8], list[LabelBlock]]:
    """Boxes of labels, with a c axis of 1, and what a canvas looks like on which they are painted."""
    rng = np.random.default_rng(seed)
    canvas, blocks = np.zeros((14, 14, 14, 1), np.uint8), []
    for start, shape, values in found:
        array = rng.choice([0, 0, *values], (*shape, 1)).astype(np.uint8)
        part = canvas[tuple(slice(a, a + n) for a, n in zip(start, shape))]
        part[array > 0] = array[array > 0]
        blocks.append(LabelBlock((*start, 0), array))
    canvas[canvas == ERASER] = 0
    return canvas, blocks


def painted(labels: LaneLabels) -> NDArray[np.uint8]:
    canvas = np.zeros((14, 14, 14, 1), np.uint8)
    canvas[tuple(labels.coords.T)] = labels.values
    return canvas


@given(seeds, st.lists(boxes, max_size=6))
@quick
def test_label_blocks_are_painted_one_over_the_other(seed: int, found: list[Any]) -> None:
    expected, blocks = drawn(seed, found)
    labels = LaneLabels.from_blocks("zyxc", blocks)
    assert np.array_equal(painted(labels), expected)
    assert np.array_equal(painted(LaneLabels.from_blocks("zyxc", labels.blocks)), expected)


@given(
    seeds, st.lists(boxes, min_size=1, max_size=4), st.permutations("zyxc"), st.sampled_from(["1.1", "1.3.2", "1.4"])
)
@quick
def test_label_blocks_of_every_axis_order(seed: int, found: list[Any], letters: list[str], version: str) -> None:
    expected, blocks = drawn(seed, found)
    order = "".join(letters)
    columns = ["zyxc".index(axis) for axis in order]
    stored = []
    for number, block in enumerate(blocks):
        array = block.array.transpose(columns)
        start = tuple(block.start[column] for column in columns)
        hits = np.argwhere(array)
        voxels = hits + start, array[tuple(hits.T)]
        stored.append(StoredBlock(str(number), start, array.shape, voxels, order, ""))
    extents = {"z": 14, "y": 14, "x": 14}
    parts, notes = arranged(stored, order, "zyx", extents, "zyxc", version)
    assert notes == []
    labels = LaneLabels.from_voxels(
        "zyxc", np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
    )
    assert np.array_equal(painted(labels), expected)


# of a name on Linux: any bytes but those of slash and zero
names = st.binary(min_size=1, max_size=12).map(lambda name: name.replace(b"/", b"_").replace(b"\0", b"_"))
plain = st.text(st.characters(codec="utf-8", exclude_characters="/\\\0:;*?[~", exclude_categories=["Cs", "Cc", "Z"]))


@given(st.lists(plain.filter(lambda name: name.strip(".")), min_size=1, max_size=5))
@quick
def test_links_lead_back_to_what_they_were_made_of(parts: list[str]) -> None:
    for folder in (Path("/study"), Path("/", *parts[:1], "projects")):
        image = Path("/", *parts)
        text, relative = stored_link(image, folder, True)
        assert relative == (not is_absolute(normalized(text)))
        assert next(stored_places(normalized(text), folder)) == image


@given(st.lists(plain.filter(bool), min_size=1, max_size=6), st.sampled_from(":;"))
@quick
def test_several_files_are_those_that_were_joined(parts: list[str], mark: str) -> None:
    files = [f"/{name}.png" for name in parts]
    assert several_files(mark.join(files)) == files


@given(st.lists(names, min_size=1, max_size=3))
@settings(quick, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.skipif(os.name == "nt", reason="names are texts there")
def test_names_that_are_no_text_are_stored_and_found(tmp_path: Path, parts: list[bytes]) -> None:
    """By their bytes. As text they are Latin-1, for so did Python 2 write paths on Windows."""
    path = os.fsdecode(b"/".join(parts))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        write_text(file, "filePath", f"images/{path}x")
        stored = normalized(read_text(file, "filePath") or "")
    assert Path(f"/p/images/{path}x") in stored_places(stored, Path("/p")) or "\\" in path
