"""Labels: blocks of every layout to the same voxels."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ecc_rf.errors import FormatError, LabelError, NoLaneError, ProjectError, ShapeError
from ecc_rf.ilp import ERASER, IlastikProject, LabelBlock, LaneLabels
from tests.ilp_projects import RawBlock, RawProject, lane


def ordered(array: NDArray[np.uint8], axes: str, order: str) -> NDArray[np.uint8]:
    """An array of `axes` in another order; axes it does not have get extent 1, written without the package."""
    kept = [axis for axis in axes if axis in order]
    array = array.reshape([n for axis, n in zip(axes, array.shape) if axis in kept])
    array = array.transpose([kept.index(axis) for axis in order if axis in kept])
    return array.reshape(
        [array.shape[[a for a in order if a in kept].index(axis)] if axis in kept else 1 for axis in order]
    )


def in_order(start: dict[str, int], order: str) -> tuple[int, ...]:
    return tuple(start.get(axis, 0) for axis in order)


# version of the writer; raw axes and shape; the order it wrote blocks in, whether blocks say so; internal axes
LAYOUTS = [
    ("1.2.2rc4", "zyxc", (9, 8, 7, 1), "zyxc", False, "zyxc"),
    ("1.2.0rc10", "txyzc", (4, 8, 7, 1, 2), "txyzc", False, "tyxc"),
    ("1.1.9", "zyx", (9, 8, 7), "zyxc", False, "zyxc"),
    ("1.2.0", "xy", (8, 7), "xyc", False, "yxc"),
    ("1.2.0", "cyx", (3, 8, 7), "yxc", False, "yxc"),
    ("1.3.0", "zcyx", (9, 2, 8, 7), "zyxc", False, "zyxc"),
    ("1.3.3", "xyz", (7, 8, 9), "zyxc", False, "zyxc"),
    ("1.3.3post1", "xyz", (7, 8, 9), "zyxc", False, "zyxc"),
    ("1.3.3post1", "yx", (8, 7), "yxc", False, "yxc"),
    ("1.3.3post3", "cyx", (3, 8, 7), "cyx", False, "yxc"),
    ("1.3.3post2", "xyz", (7, 8, 9), "xyzc", False, "zyxc"),
    ("1.4.0b7", "zyx", (1, 8, 7), "zyxc", False, "yxc"),
    ("1.4.0b8", "xyz", (7, 8, 9), "zyxc", True, "zyxc"),
    ("1.4.1", "tzyxc", (1, 9, 8, 7, 2), "zyxc", True, "zyxc"),
    ("1.4.1", "tyx", (5, 8, 7), "tyxc", True, "tyxc"),
    ("1.4.1rc4.dev0+g12ab", "zyx", (9, 8, 7), "zyxc", False, "zyxc"),
    ("a version of mine", "xyz", (7, 8, 9), "zyxc", True, "zyxc"),
]


@pytest.mark.parametrize(("version", "raw", "shape", "written", "stated", "internal"), LAYOUTS)
def test_every_layout_gives_the_same_voxels(
    tmp_path: Path, version: str, raw: str, shape: tuple[int, ...], written: str, stated: bool, internal: str
) -> None:
    rng = np.random.default_rng(5)
    extents = {**dict(zip(raw, shape)), "c": 1}
    whole = rng.choice(3, [extents[axis] for axis in internal], p=[0.8, 0.1, 0.1]).astype(np.uint8)
    blocks = []
    for half in (0, 1):  # two blocks, cut along x
        x = internal.index("x")
        cut = [slice(None)] * len(internal)
        cut[x] = slice(0, 3) if half == 0 else slice(3, None)
        part = ordered(whole[tuple(cut)], internal, written)
        blocks.append(RawBlock(part, in_order({"x": 3 * half}, written), written if stated else None))
    project = RawProject(version=version, lanes=[lane("a.h5/data", raw, shape)], labels=[blocks])
    labels = IlastikProject.open(project.write(tmp_path / "p.ilp")).labels(0)
    assert labels.axes == internal
    assert labels.notes == ()
    coords, values = labels.coordinates()
    assert np.array_equal(coords, np.argwhere(whole))
    assert np.array_equal(values, whole[whole > 0])
    assert coords.dtype == np.int64 and values.dtype == np.uint8
    assert labels.counts == {1: int((whole == 1).sum()), 2: int((whole == 2).sum())}


def test_a_square_image_with_x_first_is_not_swapped(tmp_path: Path) -> None:
    """Nothing but the version tells which axis is x."""
    block = RawBlock(np.array([[[1]]], np.uint8), (6, 2, 0))
    for version, place in (("1.2.0", [2, 6, 0]), ("1.3.0", [6, 2, 0]), ("1.3.3post3", [2, 6, 0]), ("1.4.0", [6, 2, 0])):
        project = RawProject(version=version, lanes=[lane("a.h5", "xy", (8, 8))], labels=[[block]])
        labels = IlastikProject.open(project.write(tmp_path / "p.ilp")).labels(0)
        assert labels.coords.tolist() == [place]


def test_what_a_block_says_goes_before_the_version(tmp_path: Path) -> None:
    block = RawBlock(np.array([[[1]]], np.uint8), (6, 2, 0), "xyc")
    project = RawProject(lanes=[lane("a.h5", "yx", (8, 8))], labels=[[block]])
    assert IlastikProject.open(project.write(tmp_path / "p.ilp")).labels(0).coords.tolist() == [[2, 6, 0]]


def test_axes_of_a_block_that_cannot_be_are_not_used(tmp_path: Path) -> None:
    block = RawBlock(np.array([[[1]]], np.uint8), (6, 2, 0), "yyc")
    project = RawProject(lanes=[lane("a.h5", "yx", (8, 8))], labels=[[block]])
    assert IlastikProject.open(project.write(tmp_path / "p.ilp")).labels(0).coords.tolist() == [[6, 2, 0]]


def test_another_order_is_taken_if_the_expected_one_does_not_fit(tmp_path: Path) -> None:
    """One block would fit either way: the lane's blocks decide together."""
    blocks = [
        RawBlock(np.full((2, 1, 1), 1, np.uint8), (9, 1, 0)),
        RawBlock(np.full((1, 1, 1), 2, np.uint8), (1, 2, 0)),
    ]
    project = RawProject(version="1.3.1", lanes=[lane("a.h5", "xy", (12, 5))], labels=[blocks])
    labels = IlastikProject.open(project.write(tmp_path / "p.ilp")).labels(0)
    assert labels.coords.tolist() == [[1, 9, 0], [1, 10, 0], [2, 1, 0]] and labels.values.tolist() == [1, 1, 2]
    assert labels.notes == ("2 label blocks do not fit the axis order yxc and are read as xyc",)


def test_blocks_of_five_axes(tmp_path: Path) -> None:
    block = RawBlock(np.full((1, 1, 2, 3, 1), 1, np.uint8), (0, 5, 1, 2, 0))
    project = RawProject(version="1.3.3", lanes=[lane("a.h5", "zyx", (9, 8, 7))], labels=[[block]])
    labels = IlastikProject.open(project.write(tmp_path / "p.ilp")).labels(0)
    assert labels.coords.tolist() == [[z, y, 5, 0] for z in (2, 3, 4) for y in (1, 2)]
    assert len(labels.notes) == 1 and "txyzc" in labels.notes[0]


def test_labels_outside_of_the_image_are_left_out_and_noted(tmp_path: Path) -> None:
    block = RawBlock(np.full((4, 4, 4, 1), 2, np.uint8), (7, 0, 0, 0), "zyxc")
    project = RawProject(lanes=[lane("a.h5", "zyx", (9, 8, 7))], labels=[[block]])
    labels = IlastikProject.open(project.write(tmp_path / "p.ilp")).labels(0)
    assert labels.counts == {2: 2 * 16}
    assert labels.notes == ("32 labelled voxels lie outside the image and are left out",)


def test_an_image_of_unknown_shape_keeps_all_labels(tmp_path: Path) -> None:
    block = RawBlock(np.full((1, 1, 1, 1), 2, np.uint8), (7000, 0, 0, 0))
    project = RawProject(version="1.2.0", lanes=[lane("a.h5", "zyx")], labels=[[block]])
    labels = IlastikProject.open(project.write(tmp_path / "p.ilp")).labels(0)
    assert (labels.axes, labels.coords.tolist(), labels.notes) == ("zyxc", [[7000, 0, 0, 0]], ())


def test_later_blocks_win_zeros_leave_and_100_erases(tmp_path: Path) -> None:
    blocks = [
        RawBlock(np.array([[1, 1, 1, 1]], np.uint8)[..., None], (0, 0, 0)),
        RawBlock(np.array([[0, 2, ERASER]], np.uint8)[..., None], (0, 0, 0)),
        RawBlock(np.array([[ERASER, 2]], np.uint8)[..., None], (1, 0, 0)),
    ]
    project = RawProject(lanes=[lane("a.h5", "yx", (4, 4))], labels=[blocks])
    labels = IlastikProject.open(project.write(tmp_path / "p.ilp")).labels(0)
    assert labels.coords.tolist() == [[0, 0, 0], [0, 1, 0], [0, 3, 0], [1, 1, 0]]
    assert labels.values.tolist() == [1, 2, 1, 2]


def test_groups_belong_to_lanes_by_rank(tmp_path: Path) -> None:
    lanes = [lane("a.h5", "yx", (4, 4)), lane("b.h5", "yx", (4, 4)), lane("c.h5", "yx", (4, 4))]
    path = RawProject(lanes=lanes).write(tmp_path / "p.ilp")
    with h5py.File(path, "r+") as file:
        for number, value in ((3, 1), (7, 2)):
            block = file.create_dataset(
                f"PixelClassification/LabelSets/labels{number:03d}/block0000", data=np.full((1, 1, 1), value, np.uint8)
            )
            block.attrs["blockSlice"] = b"[0:1,0:1,0:1]"
    project = IlastikProject.open(path)
    assert [project.labels(index).counts for index in range(3)] == [{1: 1}, {2: 1}, {}]
    with pytest.raises(NoLaneError, match="no lane 3"):
        project.labels(3)


def test_a_lane_without_axes(tmp_path: Path) -> None:
    nameless = lane("a.h5", axistags=None)
    project = IlastikProject.open(RawProject(lanes=[nameless], labels=[[]]).write(tmp_path / "p.ilp"))
    assert project.labels(0).counts == {}
    block = RawBlock(np.full((1, 1, 1), 2, np.uint8), (0, 0, 0))
    project = IlastikProject.open(RawProject(lanes=[nameless], labels=[[block]]).write(tmp_path / "p.ilp"))
    with pytest.raises(ProjectError, match="does not say the axes"):
        project.labels(0)


@pytest.mark.parametrize(
    ("array", "text", "message"),
    [
        (np.ones((1, 1, 1), np.uint8), None, "needs a position"),
        (np.ones((1, 1, 1), np.uint8), "0:1,0:1", "does not fit"),
        (np.ones((1, 1, 1), np.uint8), "[0:1,0:2,0:1]", "does not fit"),
        (np.ones((1, 1, 1), np.uint8), "[3:2,0:1,0:1]", "needs a position"),
        (np.ones((1, 1, 1), np.uint8), "[__import__('os'):1]", "needs a position"),
        (np.ones((1, 1, 1), np.float32), "[0:1,0:1,0:1]", "small integers"),
        (np.full((1, 1, 1), 300, np.int32), "[0:1,0:1,0:1]", "expected 0 to 255"),
        (np.full((1, 1, 1), -1, np.int8), "[0:1,0:1,0:1]", "expected 0 to 255"),
        (np.ones((1, 1), np.uint8), "[0:1,0:1]", "fits none of the axis orders"),
        (np.ones((1, 1, 2), np.uint8), "[0:1,0:1,0:2]", "fits none of the axis orders"),
    ],
)
def test_damaged_blocks(tmp_path: Path, array: NDArray[np.uint8], text: str | None, message: str) -> None:
    path = RawProject(lanes=[lane("a.h5", "yx", (4, 4))]).write(tmp_path / "p.ilp")
    with h5py.File(path, "r+") as file:
        block = file.create_dataset("PixelClassification/LabelSets/labels000/block0000", data=array)
        if text is not None:
            block.attrs["blockSlice"] = text
    project = IlastikProject.open(path)
    with pytest.raises(FormatError, match=message):
        project.labels(0)
    described = project.describe()["lanes"][0]
    assert described["labels"] is None and "cannot be read" in described["notes"][0]


def test_a_large_block_is_only_a_box_in_the_file(tmp_path: Path) -> None:
    whole = np.zeros((60, 90, 70, 1), np.uint8)
    whole[[3, 59, 20], [80, 0, 41], [69, 69, 2]] = [[1], [2], [1]]
    project = RawProject(lanes=[lane("a.h5", "zyx", (60, 90, 70))], labels=[[RawBlock(whole, (0, 0, 0, 0))]])
    labels = IlastikProject.open(project.write(tmp_path / "p.ilp")).labels(0)
    assert np.array_equal(labels.coords, np.argwhere(whole))
    assert len(labels.blocks) == 3 and {block.array.shape for block in labels.blocks} == {(1, 1, 1, 1)}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 90), st.integers(0, 90), st.just(0), st.integers(1, 5)), max_size=60),
)
def test_blocks_and_voxels_are_the_same_thing(voxels: list[tuple[int, int, int, int]]) -> None:
    table = np.array(voxels, np.int64).reshape(-1, 4)
    labels = LaneLabels.from_voxels("yxc", table[:, :3], table[:, 3])
    expected = {voxel[:3]: voxel[3] for voxel in voxels}
    assert {tuple(c): v for c, v in zip(labels.coords.tolist(), labels.values.tolist())} == expected
    assert labels.coords.tolist() == sorted(labels.coords.tolist())
    assert sum(int((block.array > 0).sum()) for block in labels.blocks) == len(expected)
    again = LaneLabels.from_blocks("yxc", labels.blocks)
    assert np.array_equal(again.coords, labels.coords) and np.array_equal(again.values, labels.values)


def test_labels_that_cannot_be() -> None:
    with pytest.raises(LabelError, match="300"):
        LaneLabels.from_voxels("yxc", np.zeros((1, 3), np.int64), np.array([300]))
    with pytest.raises(ShapeError):
        LaneLabels.from_voxels("yxc", np.zeros((1, 2), np.int64), np.array([1]))
    with pytest.raises(ShapeError):
        LaneLabels.from_blocks("yxc", [LabelBlock((0, 0), np.ones((1, 1), np.uint8))])


def test_labels_of_the_real_project(cfos: Path) -> None:
    project = IlastikProject.open(cfos / "cfos.ilp")
    total: dict[int, int] = {}
    for number in range(len(project.lanes)):
        labels = project.labels(number)
        assert labels.axes == "zyxc" and labels.notes == ()
        total = {value: total.get(value, 0) + count for value, count in labels.counts.items()}
    assert total == {1: 4919, 2: 3000, 3: 8001}


def test_labels_agree_with_the_annotations_they_were_made_from(cfos: Path) -> None:
    import nibabel

    project = IlastikProject.open(cfos / "cfos.ilp")
    for found in project.lanes:
        name = found.nickname.removesuffix("-data")
        annotation = np.asarray(nibabel.load(cfos / "labels" / f"{name}.nii.gz").dataobj).T  # xyz
        labels = project.labels(found.index)
        assert np.array_equal(labels.coords[:, :3], np.argwhere(annotation))
        assert np.array_equal(labels.values, annotation[annotation > 0])
