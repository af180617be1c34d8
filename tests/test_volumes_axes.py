"""Axis letters, orders and views."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecc_rf.errors import AxesError
from ecc_rf.volumes import (
    AxisView,
    axes_from_axistags,
    axistags_json,
    create_volume,
    default_axes,
    internal_axes,
    open_volume,
    transpose_to,
)
from ecc_rf.volumes.array import ArrayVolume


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((5, 6), "yx"),
        ((5, 6, 4), "yxc"),
        ((5, 6, 1), "yxc"),
        ((5, 6, 5), "zyx"),
        ((5, 6, 7, 2), "zyxc"),
        ((2, 5, 6, 7, 2), "tzyxc"),
    ],
)
def test_default_axes(shape: tuple[int, ...], expected: str) -> None:
    assert default_axes(shape) == expected


@pytest.mark.parametrize("shape", [(), (5,), (1, 2, 3, 4, 5, 6)])
def test_no_default_axes(shape: tuple[int, ...]) -> None:
    with pytest.raises(AxesError):
        default_axes(shape)


@pytest.mark.parametrize(
    ("raw", "shape", "expected"),
    [
        *((raw, (5, 6), "yxc") for raw in ("yx", "xy")),
        *((raw, (3, 5, 6), "yxc") for raw in ("yxc", "xyc", "cyx")),
        *((raw, (4, 5, 6), "zyxc") for raw in ("zyx", "xyz")),
        *((raw, (4, 5, 6, 7), "zyxc") for raw in ("zcyx", "czyx")),
        ("tyx", (4, 5, 6), "tyxc"),
        ("txyc", (4, 5, 6, 7), "tyxc"),
        ("txyzc", (4, 5, 6, 1, 3), "tyxc"),
        ("tzyxc", (2, 3, 4, 5, 6), "tzyxc"),
        ("txyzc", (2, 3, 4, 5, 6), "tzyxc"),
        ("zyx", (1, 5, 6), "yxc"),
        ("tzyxc", (1, 4, 5, 6, 1), "zyxc"),
        ("zyx", (4, 5, 1), "tzyc"),
        ("tyx", (4, 1, 6), "tzxc"),
        ("yx", (1, 1), "yxc"),
    ],
)
def test_ilastik_s_internal_axes(raw: str, shape: tuple[int, ...], expected: str) -> None:
    assert internal_axes(raw, shape) == expected


def test_transposing_is_what_numpy_does() -> None:
    image = np.arange(24).reshape(2, 3, 4)
    np.testing.assert_array_equal(transpose_to(image, "zyx", "xyz"), image.T)
    np.testing.assert_array_equal(transpose_to(image, "zyx", "tzyxc"), image[None, ..., None])
    np.testing.assert_array_equal(transpose_to(image[:1], "zyx", "cxy"), image[0].T[None])
    assert np.shares_memory(transpose_to(image, "zyx", "xczy"), image)
    with pytest.raises(AxesError, match="z has 2 elements"):
        transpose_to(image, "zyx", "yxc")


def orders() -> st.SearchStrategy[str]:
    return st.permutations("tzyxc").flatmap(lambda letters: st.integers(2, 5).map(lambda n: "".join(letters[:n])))


@given(orders(), orders())
def test_there_and_back(axes_from: str, axes_to: str) -> None:
    both = set(axes_from) & set(axes_to)
    shape = tuple("tzyxc".index(axis) + 2 if axis in both else 1 for axis in axes_from)
    image = np.arange(np.prod(shape)).reshape(shape)
    there = transpose_to(image, axes_from, axes_to)
    assert there.shape == tuple("tzyxc".index(axis) + 2 if axis in both else 1 for axis in axes_to)
    np.testing.assert_array_equal(transpose_to(there, axes_to, axes_from), image)


@pytest.mark.parametrize("axes", ["yx", "zyx", "xyz", "yxc", "czyx", "tzyxc"])
def test_axistags(axes: str) -> None:
    assert axes_from_axistags(axistags_json(axes)) == axes
    assert axes_from_axistags(axistags_json(axes).encode()) == axes
    flags = {tag["key"]: tag["typeFlags"] for tag in json.loads(axistags_json("tzyxc"))["axes"]}
    assert flags == {"t": 8, "z": 2, "y": 2, "x": 2, "c": 1}


def test_a_view_of_every_order() -> None:
    image = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    volume = ArrayVolume("image", image, "zyx", voxel_size=(3, 2, 1), drange=(0, 23))
    for axes in itertools.permutations("zyxc"):
        view = AxisView(volume, "".join(axes))
        expected = np.einsum("zyxc->" + "".join(axes), image[..., None])
        assert (view.name, view.shape, view.axes) == ("image", expected.shape, "".join(axes))
        assert (view.voxel_size, view.drange, view.chunks) == ((3, 2, 1), (0, 23), None)
        np.testing.assert_array_equal(view.read(), expected)
        np.testing.assert_array_equal(view[:2, 1:], expected[:2, 1:])
        np.testing.assert_array_equal(view[1:1], expected[1:1])
        empty = tuple(slice(0, 0) if axis == "c" else slice(None) for axis in axes)
        np.testing.assert_array_equal(view[empty], expected[empty])


def test_a_view_may_leave_out_axes_of_one_element() -> None:
    volume = ArrayVolume("image", np.arange(12).reshape(1, 3, 4, 1), "zyxc")
    np.testing.assert_array_equal(AxisView(volume, "xy").read(), np.arange(12).reshape(3, 4).T)
    with pytest.raises(AxesError, match="must contain y and x"):
        AxisView(volume, "zc")
    with pytest.raises(AxesError, match="z has 3 elements"):
        AxisView(ArrayVolume("image", np.zeros((3, 4, 5)), "zyx"), "yx")


def test_a_view_has_the_chunks_of_its_volume(tmp_path: Path) -> None:
    with create_volume(tmp_path / "a.h5", (6, 7, 8), "u1", "zyx", chunks=(2, 3, 4)) as volume:
        assert AxisView(volume, "cxyzt").chunks == (1, 4, 3, 2, 1)
    assert AxisView(open_volume(tmp_path / "a.h5")).chunks == (1, 2, 3, 4, 1)
