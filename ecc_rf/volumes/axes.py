"""Axis letters: which axis of an image is time, depth, height, width, channel; and the same data in another order.

The letters are `t z y x c`. A string of them, in the order of an array's axes, says how the array is to be read.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from ecc_rf.errors import AxesError, FormatError
from ecc_rf.volumes.base import BaseVolume, DamagedChunkError, Slices, VoxelSize
from ecc_rf.volumes.units import voxel_size_from

if TYPE_CHECKING:
    from ecc_rf.volumes.volume import Volume, WritableVolume  # which imports this module

LETTERS = "tzyxc"

# vigra's AxisType flags: channels 1, space 2, time 8
_TYPE_FLAGS = {"t": 8, "z": 2, "y": 2, "x": 2, "c": 1}


def check_axes(axes: str, ndim: int, name: str = "") -> str:
    """The axis letters themselves, if they can be those of an image of `ndim` dimensions.

    Raises
    ------
    AxesError
        If a letter is unknown or repeated, y or x is missing, or there are not `ndim` of them.

    >>> check_axes("zyx", 3)
    'zyx'
    """
    problem = ""
    if unknown := sorted(set(axes) - set(LETTERS)):
        problem = f"has the unknown letter {unknown[0]!r}"
    elif len(set(axes)) < len(axes):
        problem = "repeats a letter"
    elif not {"y", "x"} <= set(axes):
        problem = "must contain y and x"
    elif len(axes) != ndim:
        problem = f"has {len(axes)} letters, the image has {ndim} dimensions"
    if problem:
        raise AxesError(
            f"axes {axes!r}: {problem}", name, f"give {ndim} different letters of {LETTERS}, one per axis in order"
        )
    return axes


def default_axes(shape: Sequence[int]) -> str:
    """ilastik's rule for an image that does not name its axes.

    Raises
    ------
    AxesError
        If there are fewer than 2 or more than 5 dimensions.

    >>> default_axes((30, 500, 600)), default_axes((500, 600, 3)), default_axes((30, 500, 600, 1))
    ('zyx', 'yxc', 'zyxc')
    """
    ndim = len(shape)
    if not 2 <= ndim <= 5:
        raise AxesError(f"an image has 2 to 5 axes, this has {ndim}")
    if ndim == 3 and shape[-1] <= 4:
        return "yxc"
    return {2: "yx", 3: "zyx", 4: "zyxc", 5: "tzyxc"}[ndim]


def internal_axes(raw_axes: str, shape: Sequence[int]) -> str:
    """The order in which ilastik (1.3 and later) keeps an image of these axes, its labels and its blocks.

    The first of ``yxc``, ``xyc``, then every choice of three and of four letters of ``tzyx``, each with c last,
    that holds all axes of more than one element.

    >>> internal_axes("xyz", (6, 5, 4)), internal_axes("tzyx", (7, 1, 5, 6)), internal_axes("zyx", (1, 5, 6))
    ('zyxc', 'tyxc', 'yxc')
    """
    check_axes(raw_axes, len(shape))
    required = {axis for axis, extent in zip(raw_axes, shape) if extent > 1}
    arrangements = [("y", "x"), ("x", "y"), *itertools.permutations("tzyx", 3), *itertools.permutations("tzyx", 4)]
    return next("".join(letters) + "c" for letters in arrangements if required <= {*letters, "c"})


def transpose_to(array: NDArray[Any], axes_from: str, axes_to: str) -> NDArray[Any]:
    """A view of the array with its axes in another order; new axes have extent 1.

    Raises
    ------
    AxesError
        If an axis of more than one element would be lost.

    >>> transpose_to(np.zeros((2, 3, 4)), "zyx", "tzyxc").shape
    (1, 2, 3, 4, 1)
    """
    lost = {axis: extent for axis, extent in zip(axes_from, array.shape) if axis not in axes_to}
    _refuse_loss(lost, axes_from, axes_to, "")
    kept = array.squeeze(tuple(axes_from.index(axis) for axis in lost))
    kept_axes = [axis for axis in axes_from if axis in axes_to]
    ordered = kept.transpose([kept_axes.index(axis) for axis in axes_to if axis in kept_axes])
    return np.expand_dims(ordered, tuple(i for i, axis in enumerate(axes_to) if axis not in kept_axes))


def _refuse_loss(lost: dict[str, int], axes_from: str, axes_to: str, name: str) -> None:
    if any(extent > 1 for extent in lost.values()):
        raise AxesError(
            f"axes {axes_from!r} cannot be read as {axes_to!r}: "
            + ", ".join(f"{axis} has {extent} elements" for axis, extent in lost.items() if extent > 1),
            name,
            "choose one element of it, or other axes",
        )


def parse_axistags(text: str | bytes, name: str = "") -> dict[str, float]:
    """Axis letters in order, each with its resolution (0 when unknown), from ilastik's axistags JSON.

    Raises
    ------
    FormatError
        If it is not such JSON, or repeats an axis.

    >>> parse_axistags('{"axes": [{"key": "y", "resolution": 2.5}, {"key": "x"}]}')
    {'y': 2.5, 'x': 0.0}
    """
    try:
        tags = [(str(tag["key"]), float(tag.get("resolution") or 0)) for tag in json.loads(text)["axes"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise FormatError(f"damaged axistags: {str(text)[:80]}", name, "give the axes yourself") from error
    if len(dict(tags)) < len(tags):
        raise FormatError(f"the axistags repeat an axis: {[key for key, _ in tags]}", name, "give the axes yourself")
    return dict(tags)


def axes_from_axistags(text: str | bytes, name: str = "") -> str:
    """The axis letters of ilastik's axistags JSON; `name` is for messages.

    Raises
    ------
    FormatError
        As `parse_axistags`.

    >>> axes_from_axistags(axistags_json("zyxc"))
    'zyxc'
    """
    return "".join(parse_axistags(text, name))


def axistags_json(axes: str, voxel_size: VoxelSize | None = None) -> str:
    """ilastik's axistags JSON; `voxel_size` is (z, y, x) in µm, to be accompanied by `axis_units_json`."""
    size = dict(zip("zyx", voxel_size or ()))
    tags = [
        {"key": axis, "typeFlags": _TYPE_FLAGS[axis], "resolution": size.get(axis, 0), "description": ""}
        for axis in axes
    ]
    return json.dumps({"axes": tags})


def axis_units_json(axes: str) -> str:
    """ilastik's attribute `axis_units` that makes the resolutions of `axistags_json` micrometres.

    >>> axis_units_json("yxc")
    '{"y": "um", "x": "um"}'
    """
    return json.dumps({axis: "um" for axis in axes if axis in "zyx"})


def voxel_size_from_axistags(axes: str, axistags: str | bytes, axis_units: str | bytes) -> VoxelSize | None:
    """(z, y, x) in µm; None unless every spatial axis has a resolution and a unit of length.

    `axes` are the letters that count, should they be others than those in the axistags.
    """
    try:
        resolutions, units = parse_axistags(axistags), json.loads(axis_units)
    except (ValueError, RecursionError):
        return None
    if len(resolutions) != len(axes) or not isinstance(units, dict):
        return None
    return voxel_size_from(axes, "".join(resolutions), resolutions, units)


class AxisView(BaseVolume):
    """The same volume seen with its axes in another order; reading and writing go through.

    Axes that the volume does not have are there with extent 1; axes of extent 1 may be left out.
    Closing the view closes the volume.

    Parameters
    ----------
    volume : Volume
        To write, a `WritableVolume`.
    axes : str
        Letters of ``tzyxc``.

    Raises
    ------
    AxesError
        If the letters are no axes, or an axis of more than one element would be lost.
    """

    def __init__(self, volume: Volume, axes: str = LETTERS) -> None:
        check_axes(axes, len(axes), volume.name)
        extents = dict(zip(volume.axes, volume.shape))
        _refuse_loss({axis: n for axis, n in extents.items() if axis not in axes}, volume.axes, axes, volume.name)
        chunks = None if volume.chunks is None else dict(zip(volume.axes, volume.chunks))
        super().__init__(
            volume.name,
            [extents.get(axis, 1) for axis in axes],
            volume.dtype,
            axes,
            voxel_size=volume.voxel_size,
            drange=volume.drange,
            chunks=None if chunks is None else [chunks.get(axis, 1) for axis in axes],
            attributes=volume.attributes,
        )
        self._volume = volume
        self.shareable = getattr(volume, "shareable", False)
        self.assembled = getattr(volume, "assembled", False)
        self.cache = volume.cache
        self._writable = True  # if the volume is: it has the last word

    def _inner(self, slices: Slices) -> Slices:
        wanted = dict(zip(self.axes, slices))
        return tuple(wanted.get(axis, slice(0, 1)) for axis in self._volume.axes)

    def _read(self, slices: Slices) -> NDArray[Any]:
        return transpose_to(self._volume[self._inner(slices)], self._volume.axes, self.axes)

    def _located(self, slices: Slices, error: FormatError) -> FormatError:
        return error.seen_as(self.axes) if isinstance(error, DamagedChunkError) else error

    def _write(self, slices: Slices, array: NDArray[Any]) -> None:
        volume = cast("WritableVolume", self._volume)
        volume[self._inner(slices)] = transpose_to(array, self.axes, volume.axes)

    def _sync(self, slices: Slices) -> None:
        cast("WritableVolume", self._volume).sync(self._inner(slices))

    @property
    def reading_bytes(self) -> int:
        return self._volume.reading_bytes

    @property
    def resumed(self) -> bool:
        return cast("WritableVolume", self._volume).resumed

    def close(self) -> None:
        self._volume.close()

    def suspend(self) -> None:
        cast("WritableVolume", self._volume).suspend()

    def discard(self) -> None:
        cast("WritableVolume", self._volume).discard()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._volume.__exit__(kind, error, trace)
