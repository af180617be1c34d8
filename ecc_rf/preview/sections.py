"""Sections through a point of an image, with probabilities computed on just what they need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.blocks import resolve_workers
from ecc_rf.errors import SettingError
from ecc_rf.export import Export
from ecc_rf.prediction import Prediction, Readable
from ecc_rf.volumes.base import VoxelSize
from ecc_rf.voxel_values import check_nan_choice, usable_voxels

if TYPE_CHECKING:
    from ecc_rf.classifier import PixelClassifier

PLANES = ("xy", "xz", "yz")
_AXES = {"xy": "yx", "xz": "zx", "yz": "zy"}  # down and across
_BLOCK = 256  # extents of a block within a section: small beside the halo it costs, large enough for all cores


@dataclass(frozen=True, eq=False)
class Section:
    """A plane through the point.

    Attributes
    ----------
    plane : str
        "xy", "xz" or "yz".
    at : int
        Where it cuts the third axis.
    start, point : (down, across)
        First voxel, and the point, in voxels of the image.
    raw : (down, across) ndarray
    probabilities : (down, across, label) float32, or None
        None without a classifier.
    strokes : (down, across) uint8
        Annotations, 0 where there are none.
    """

    plane: str
    at: int
    start: tuple[int, int]
    point: tuple[int, int]
    raw: NDArray[Any]
    probabilities: NDArray[np.float32] | None
    strokes: NDArray[np.uint8]

    @property
    def axes(self) -> str:
        """Letters of the axes down and across."""
        return _AXES[self.plane]

    @property
    def third(self) -> str:
        """Letter of the axis that it cuts."""
        return next(axis for axis in "zyx" if axis not in self.axes)


@dataclass(frozen=True)
class View:
    """What is looked at.

    Attributes
    ----------
    at : (z, y, x)
        The point, in voxels.
    size : int
        Edge of the sections in voxels along x and y; along z as long in µm.
    planes : sequence of str
        Some of "xy", "xz", "yz".
    time, channel : int
        Which time step, and which channel is shown; the classifier sees all channels.

    Raises
    ------
    SettingError
        If the size or a plane is none.
    """

    at: tuple[int, int, int]
    size: int = 512
    planes: Sequence[str] = PLANES
    time: int = 0
    channel: int = 0

    def __post_init__(self) -> None:
        if self.size < 8:
            raise SettingError(f"a section of {self.size} voxels", "--size", "give 8 or more")
        wrong = [plane for plane in self.planes if plane not in PLANES]
        if wrong or not self.planes:
            raise SettingError(f"plane {', '.join(wrong) or 'none'}", "--planes", f"choose from {', '.join(PLANES)}")


def compute_sections(
    source: Readable,
    view: View,
    classifier: PixelClassifier | None,
    strokes: tuple[NDArray[np.int64], NDArray[np.uint8]] | None = None,
    *,
    voxel_size: VoxelSize | None = None,
    workers: int | None = None,
    name: str = "the image",
    nan: str = "refuse",
) -> list[Section]:
    """Sections through a point.

    The probabilities are those that a prediction of the whole image has there, to the last bit.

    Parameters
    ----------
    source : Readable
        The image, ``tczyx``.
    view : View
    classifier : PixelClassifier or None
        None shows the image and the strokes alone.
    strokes : (n, 4) ndarray, (n,) ndarray, optional
        Labelled voxels t, z, y, x, and their labels.
    voxel_size : (z, y, x), optional
        In µm.
    workers : int, optional
        Threads; default one per core.
    name : str
        The image, for messages.
    nan : {'refuse', 'zero'}
        What becomes of voxels that are NaN or infinite, where there is a classifier.

    Raises
    ------
    ImageValueError
        If there are any, and they are refused.
    SettingError
        If the point, the time step or the channel is not in the image.
    EccError
        If the image does not fit the classifier.
    """
    times, channels, *zyx = source.shape
    for what, value, count in (
        ("time step", view.time, times),
        ("channel", view.channel, channels),
        *((f"the point's {axis}", at, n) for axis, at, n in zip("zyx", view.at, zyx)),
    ):
        if not 0 <= value < count:
            raise SettingError(f"{what} is {value}, the image has 0 to {count - 1}", name, "choose one inside")
    windows = _windows(view, zyx, voxel_size)
    job = None
    if classifier is not None:
        plan = classifier.plan(source.shape, name)
        job = Prediction(source, plan, classifier.forest, Export(), name=name, nan=check_nan_choice(nan))
    sections = []
    for plane in view.planes if zyx[0] > 1 else ("xy",):
        region = tuple(
            windows[axis] if axis in _AXES[plane] else slice(view.at[i], view.at[i] + 1) for i, axis in enumerate("zyx")
        )
        raw, probabilities = _compute(source, view, region, job, resolve_workers(workers))
        down, across = (_index(axis) for axis in _AXES[plane])
        sections.append(
            Section(
                plane=plane,
                at=view.at[3 - down - across],
                start=(region[down].start, region[across].start),
                point=(view.at[down], view.at[across]),
                raw=np.squeeze(raw, 3 - down - across),
                probabilities=None if probabilities is None else np.squeeze(probabilities, 3 - down - across),
                strokes=np.squeeze(_strokes(strokes, view.time, region), 3 - down - across),
            )
        )
    return sections


def _windows(view: View, zyx: Sequence[int], voxel_size: VoxelSize | None) -> dict[str, slice]:
    """The part of each axis that is shown."""
    z, y, x = voxel_size or (1.0, 1.0, 1.0)
    windows = {}
    for axis, at, extent, size in zip("zyx", view.at, zyx, (z, y, x)):
        wanted = view.size if axis != "z" else max(1, round(view.size * min(y, x) / size))
        length = min(wanted, extent)
        start = min(max(at - length // 2, 0), extent - length)
        windows[axis] = slice(start, start + length)
    return windows


def _compute(
    source: Readable, view: View, region: tuple[slice, ...], job: Prediction | None, workers: int
) -> tuple[NDArray[Any], NDArray[np.float32] | None]:
    """Voxels and probabilities (z, y, x, label) of a region; everything is read once."""
    time = slice(view.time, view.time + 1)
    halo = (0, 0, 0) if job is None else job.plan.halo
    read = tuple(slice(max(s.start - h, 0), min(s.stop + h, n)) for s, h, n in zip(region, halo, source.shape[2:]))
    slab = _Slab(source, time, read)
    if job is not None:  # before the voxels are drawn: their range is that of numbers
        slab.make_usable(job.nan, job.name)
    raw = slab[(time, slice(view.channel, view.channel + 1), *region)][0, 0]
    if job is None:
        return raw, None
    part = Prediction(slab, job.plan, job.forest, job.export, name=job.name)
    shape = tuple(s.stop - s.start for s in region)
    result = np.empty((1, part.channels, *shape), np.float32)
    z, y, x = (min(_BLOCK, n) for n in shape)
    part.run(result, part.grid((z, y, x), (time, *region)), workers=workers)
    return raw, np.moveaxis(result[0], 0, -1)


class _Slab:
    """A part of an image in memory that is indexed as the whole image is."""

    def __init__(self, source: Readable, time: slice, part: tuple[slice, ...]) -> None:
        self.shape = source.shape
        self._starts = (time.start, 0, *(s.start for s in part))
        self._array = source[(time, slice(0, source.shape[1]), *part)]

    def make_usable(self, nan: str, name: str) -> None:
        """Refuse or mend voxels that cannot be computed with."""
        self._array = usable_voxels(self._array[0], nan, name, self._starts[2:])[np.newaxis]

    def __getitem__(self, index: Any, /) -> NDArray[Any]:
        shifted = (
            slice(None) if s == slice(None) else slice(s.start - start, s.stop - start)
            for s, start in zip(index, self._starts)
        )
        part: NDArray[Any] = self._array[tuple(shifted)]
        return part


def _strokes(
    strokes: tuple[NDArray[np.int64], NDArray[np.uint8]] | None, time: int, region: tuple[slice, ...]
) -> NDArray[np.uint8]:
    array = np.zeros([s.stop - s.start for s in region], np.uint8)
    if strokes is not None:
        voxels, values = strokes
        starts, stops = np.array([s.start for s in region]), np.array([s.stop for s in region])
        here = (voxels[:, 0] == time) & ((voxels[:, 1:] >= starts) & (voxels[:, 1:] < stops)).all(axis=1)
        array[tuple((voxels[here][:, 1:] - starts).T)] = values[here]
    return array


def _index(axis: str) -> int:
    return "zyx".index(axis)
