"""Features of labelled voxels: what a classifier is trained on.

Only the surroundings of annotations are read and computed. The labelled voxels are sorted into tiles; of each tile the
box around its labels is computed, with its halo::

    image  +-----------------------------+
           |  +------+------+            |      tiles that hold no label are never read
           |  |  ..  |      |            |
           |  | .####.      |   # box around the labels of a tile, whose features are computed
           |  |  ..  |      |   . its halo, which is read too
           |  +------+------+            |
           +-----------------------------+
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ecc_rf.blocks import BASE, BlockCost, Progress, SilentProgress, choose_block, count_not_finite, resolve_workers
from ecc_rf.errors import ImageTooSmallError, ImageValueError, LabelError, SettingError, ShapeError
from ecc_rf.features import FeaturePlan, FeatureSelection, compute_features
from ecc_rf.ilp import LaneLabels
from ecc_rf.volumes import AxisView, Volume

LARGEST_TILE, LARGEST_FLAT_TILE = 48, 256  # strokes are small: larger tiles compute more that nobody has labelled

_CANONICAL = "tczyx"


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """An image and its labelled voxels.

    Parameters
    ----------
    volume : Volume
    labels : LaneLabels
        In axes that hold all axes of the image of more than one element.
    name : str
        For messages.

    Raises
    ------
    ShapeError
        If there are labels outside the image.
    """

    volume: Volume
    labels: LaneLabels
    name: str

    def __post_init__(self) -> None:
        extents = dict(zip(self.volume.axes, self.volume.shape))
        limit = [extents.get(axis, 1) if axis != "c" else 1 for axis in self.labels.axes]
        coords = self.labels.coords
        if len(coords) and ((coords < 0) | (coords >= limit)).any():
            raise ShapeError(
                f"there are labels outside of the image, which has the shape {self.volume.shape} ({self.volume.axes})",
                self.name,
            )

    def positions(self) -> npt.NDArray[np.int64]:
        """(n, 4): t, z, y, x of the labelled voxels."""
        columns = dict(zip(self.labels.axes, self.labels.coords.T))
        nothing = np.zeros(len(self.labels.values), np.int64)
        return np.stack([columns.get(axis, nothing) for axis in "tzyx"], axis=1)

    def plan(self, selection: FeatureSelection) -> FeaturePlan:
        """The features of this image."""
        extents = dict(zip(self.volume.axes, self.volume.shape))
        try:
            return selection.plan((extents.get("z", 1), extents["y"], extents["x"]), extents.get("c", 1))
        except (ImageTooSmallError, SettingError) as error:  # does not know the image
            raise type(error)(error.what, self.name, error.do) from None


@dataclass(frozen=True, eq=False)
class TrainingRows:
    """Features of labelled voxels.

    Attributes
    ----------
    features : (n, features) float32
        Image by image, within an image in the order of its labels.
    labels : (n,) uint8
    image : (n,) int
        Number of the image.
    brightness : (n, channels) float32
        The voxels themselves.
    names : tuple of str
        Of the features.
    """

    features: npt.NDArray[np.float32]
    labels: npt.NDArray[np.uint8]
    image: npt.NDArray[np.intp]
    brightness: npt.NDArray[np.float32]
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Tile:
    """Labelled voxels of one tile: their rows, and where they are (t, z, y, x)."""

    rows: npt.NDArray[np.intp]
    positions: npt.NDArray[np.int64]

    @property
    def time(self) -> int:
        return int(self.positions[0, 0])

    @property
    def box(self) -> tuple[slice, slice, slice]:
        z, y, x = (
            slice(int(a), int(b) + 1)
            for a, b in zip(self.positions[:, 1:].min(axis=0), self.positions[:, 1:].max(axis=0))
        )
        return z, y, x


def gather(
    images: Sequence[LabelledImage],
    selection: FeatureSelection,
    *,
    workers: int | None = None,
    memory: int,
    progress: Progress | None = None,
) -> TrainingRows:
    """Compute the features of all labelled voxels.

    Parameters
    ----------
    images : sequence of LabelledImage
        Images without labels are not read.
    selection : FeatureSelection
    workers : int, optional
        Threads; default one per core. The result does not depend on it.
    memory : int
        Budget in bytes, for what comes beside the rows.
    progress : Progress, optional
        Told of finished labelled voxels.

    Raises
    ------
    LabelError
        If nothing is labelled.
    ShapeError
        If the images have different numbers of features.
    ImageTooSmallError
        If a filter does not fit an image.
    ImageValueError
        If voxels that are needed are NaN or infinite.
    MemoryBudgetError
        If the budget is too small.
    """
    used = [(number, image) for number, image in enumerate(images) if len(image.labels.values)]
    if not used:
        raise LabelError("no voxel is annotated", do="annotate voxels of at least two labels")
    plans = [image.plan(selection) for _, image in used]
    for (_, image), plan in zip(used, plans):
        if (plan.n_features, plan.n_channels) != (plans[0].n_features, plans[0].n_channels):
            raise ShapeError(
                f"the image has {plan.n_channels} channels and {plan.n_features} features, "
                f"{used[0][1].name} has {plans[0].n_channels} and {plans[0].n_features}",
                image.name,
                "train on images of the same kind",
            )
    counts = [len(image.labels.values) for _, image in used]
    features = np.empty((sum(counts), plans[0].n_features), np.float32)
    brightness = np.empty((sum(counts), plans[0].n_channels), np.float32)
    ends = [0, *itertools.accumulate(counts)]
    with (progress or SilentProgress()).stage("features", sum(counts)) as advance:
        for (_, image), plan, begin, end in zip(used, plans, ends, ends[1:]):
            parts = features[begin:end], brightness[begin:end]
            for done in _compute(image, plan, *parts, resolve_workers(workers), memory):
                advance(done)
    return TrainingRows(
        features=features,
        labels=np.concatenate([image.labels.values for _, image in used]),
        image=np.repeat([number for number, _ in used], counts),
        brightness=brightness,
        names=plans[0].names,
    )


def _compute(
    image: LabelledImage,
    plan: FeaturePlan,
    features: npt.NDArray[np.float32],
    brightness: npt.NDArray[np.float32],
    workers: int,
    memory: int,
) -> Iterator[int]:
    """Fill the rows of one image, tile by tile; yields how many are done with each."""
    import joblib

    source = AxisView(image.volume, _CANONICAL)  # closing is left to whoever opened the volume
    tile_shape = _tile_shape(plan, source.dtype.itemsize, memory, workers)

    def work(tile: _Tile) -> int:
        box = tile.box
        read = [slice(max(s.start - h, 0), min(s.stop + h, n)) for s, h, n in zip(box, plan.halo, plan.shape)]
        raw = source[(slice(tile.time, tile.time + 1), slice(None), *read)][0]
        _check_values(raw, tile.time, read, image.name)
        core = tuple(slice(s.start - r.start, s.stop - r.start) for s, r in zip(box, read))
        computed = compute_features(raw, plan, core, origin=[r.start for r in read])
        inside = tuple((tile.positions[:, 1:] - [s.start for s in box]).T)
        features[tile.rows] = computed[(slice(None), *inside)].T
        around = tuple((tile.positions[:, 1:] - [r.start for r in read]).T)
        brightness[tile.rows] = raw[(slice(None), *around)].T
        return len(tile.rows)

    tiles = _tiles(image.positions(), tile_shape)
    parallel = joblib.Parallel(
        n_jobs=workers, backend="threading", return_as="generator_unordered", pre_dispatch=2 * workers, batch_size=1
    )
    yield from parallel(joblib.delayed(work)(tile) for tile in tiles)


def _tile_shape(plan: FeaturePlan, itemsize: int, memory: int, workers: int) -> tuple[int, ...]:
    # raw, its float32 copy in the filters; the features of the core
    cost = BlockCost(plan.n_channels * (itemsize + 4), 4 * plan.n_features, plan.scratch_bytes)
    largest = LARGEST_FLAT_TILE if plan.shape[0] == 1 else LARGEST_TILE
    usual = tuple(min(n, largest) for n in plan.shape)
    if BASE + workers * cost.of(usual, plan.halo, plan.shape) <= memory:
        return usual
    return choose_block(usual, plan.halo, cost, memory=memory, workers=workers)


def _tiles(positions: npt.NDArray[np.int64], tile_shape: tuple[int, ...]) -> list[_Tile]:
    """Sort voxels into tiles.

    >>> positions = np.array([[0, 0, 5, 5], [0, 0, 90, 5], [1, 0, 5, 5], [0, 0, 6, 0]])
    >>> [tile.rows.tolist() for tile in _tiles(positions, (9, 9, 9))]
    [[0, 3], [1], [2]]
    """
    tiles = positions // (1, *tile_shape)
    order = np.lexsort(tiles.T[::-1])
    starts = np.flatnonzero(np.r_[True, (tiles[order][1:] != tiles[order][:-1]).any(axis=1)])
    return [
        _Tile(order[begin:end], positions[order[begin:end]])
        for begin, end in itertools.pairwise([*starts.tolist(), len(order)])
    ]


def _check_values(raw: npt.NDArray[np.generic], time: int, read: Sequence[slice], name: str) -> None:
    bad = count_not_finite(raw)
    if not bad:
        return
    _, *at = (int(k) for k in np.argwhere(~np.isfinite(raw.astype(np.float64)))[0])
    z, y, x = (part.start + k for part, k in zip(read, at))
    raise ImageValueError(
        f"{bad} voxels that annotated ones depend on are NaN or infinite; the first is at z={z}, y={y}, x={x}"
        + (f", t={time}" if time else ""),
        name,
        "replace them, for example by 0, or take the annotations near them away",
    )
