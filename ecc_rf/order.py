"""What a prediction is asked to do, and everything that it needs open: the same in this process and in any other."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ecc_rf._version import __version__
from ecc_rf.blocks import BASE, Block, Grid
from ecc_rf.blocks.memory import LARGEST, too_little_memory
from ecc_rf.errors import SettingError
from ecc_rf.export import Export
from ecc_rf.features import FeaturePlan
from ecc_rf.forest.digest import forest_digest
from ecc_rf.normalization import NormalizedVolume, ScaledNormalization
from ecc_rf.prediction import CANONICAL, Prediction, checked_mask, chunk_shape, parse_region, reorder
from ecc_rf.volumes import AxisView, Volume, WritableVolume, create_volume, open_volume, shard_shape
from ecc_rf.volumes.base import VoxelSize
from ecc_rf.volumes.identity import volume_identity
from ecc_rf.volumes.paths import split_path
from ecc_rf.volumes.unreadable import CarefulReader

if TYPE_CHECKING:
    from ecc_rf.classifier import PixelClassifier

_SMALL = 64  # extents of a block that is taken for the sake of decoded planes


@dataclass(frozen=True)
class Order:
    """What is to be computed, as `PixelClassifier.predict_volume` is told; a worker process opens everything by it.

    Attributes
    ----------
    block_shape : tuple of int, optional
        None: from the memory budget.
    normalization : ScaledNormalization, optional
        How the image is normalised as it is read.
    volume : mapping, optional
        How the output was created, by whoever was first.
    cache : int
        Bytes of decoded pieces of the image that may be kept.
    """

    classifier: PixelClassifier
    image: str | Path | Volume
    output: str | Path
    export: Export
    roi: Mapping[str, tuple[int | None, int | None]] | None = None
    mask: str | Path | Volume | None = None
    axes: str | None = None
    voxel_size: VoxelSize | None = None
    block_shape: tuple[int, int, int] | None = None
    overwrite: bool = False
    skip_unreadable: bool = False
    nan: str = "refuse"
    normalization: ScaledNormalization | None = None
    volume: Mapping[str, Any] | None = None
    cache: int = 0

    def begin(self) -> OpenOrder:
        """Open everything and be ready for `OpenOrder.work`, in another process."""
        opened = OpenOrder(self)
        opened.create()
        return opened


@dataclass(frozen=True)
class Fit:
    """Threads or processes that a budget allows for, and the bytes of all of them at their peak."""

    workers: int
    need: int


class OpenOrder:
    """An order with its image and mask open; a context manager."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self._stack = ExitStack()
        self._sink: AxisView
        self._writing = Lock()
        try:
            self._open(order)
        except BaseException:
            self._stack.close()
            raise

    def _open(self, order: Order) -> None:
        self.image = self._stored = self._opened(order.image, axes=order.axes, voxel_size=order.voxel_size)
        if order.normalization is not None:
            self.image = NormalizedVolume.of(self.image, order.normalization)
        view = AxisView(self.image, CANONICAL)
        self.reader = CarefulReader(view, skip=order.skip_unreadable)
        plan = order.classifier.plan(view.shape, self.image.name)
        forest = None if order.export.kind == "features" else order.classifier.forest
        self.job = Prediction(
            self.reader,
            plan,
            forest,
            order.export,
            name=self.image.name,
            backend=order.classifier.backend,
            nan=order.nan,
            reading=self.image.reading_bytes,
        )
        self._keep(order.cache)
        self.mask: Volume | None = None
        if order.mask is not None:
            self.mask = self._opened(order.mask)
            masking = checked_mask(AxisView(self.mask, CANONICAL), view, self.mask.name)
            self.job = replace(self.job, mask=masking, reading=self.job.reading + self.mask.reading_bytes)
            if self.mask.cache is not None:
                self.mask.cache.limit = 0
        self.region = parse_region(order.roi, view.shape, self.image.name)

    def _opened(self, source: str | Path | Volume, **overrides: Any) -> Volume:
        if isinstance(source, (str, Path)):
            return self._stack.enter_context(open_volume(source, **overrides))
        return source

    def fingerprint(self) -> dict[str, Any]:
        """Everything that the result depends on."""
        order = self.order
        return {
            "command": "classify",
            "version": __version__,
            "classifier": classifier_digest(order.classifier),
            "image": volume_identity(self._stored),
            "voxel_size": self.image.voxel_size,
            "mask": volume_identity(self.mask) if self.mask is not None else None,
            "export": asdict(order.export),
            "nan": order.nan,
            "normalization": None if order.normalization is None else order.normalization.as_dict(),
            "backend": order.classifier.backend,
            "region": [[s.start, s.stop] for s in self.region],
        }

    def layout(self, memory: int, workers: int) -> dict[str, Any]:
        """How the volume is cut into blocks, and what the output is."""
        extents = tuple(s.stop - s.start for s in self.region)
        block = self.order.block_shape or self._chosen_block(extents[1:], memory, workers)
        axes = self.image.axes if "c" in self.image.axes else self.image.axes + "c"
        shape = reorder((extents[0], self.job.channels, *extents[1:]), axes)
        chunks = reorder((1, 1, *chunk_shape(extents[1:], block)), axes)
        export = self.order.export
        volume = {
            "shape": shape,
            "dtype": str(export.stored_dtype),
            "axes": axes,
            "chunks": chunks,
            "shards": self._shards(axes, shape, chunks, block),
            "voxel_size": self.image.voxel_size,
            "drange": export.drange,
            "attributes": _attributes(self.order, self.job.plan),
            "dataset": export.dataset,
        }
        return {"block_shape": block, "blocks": len(self.job.grid(block, self.region)), "volume": volume}

    def _chosen_block(self, extents: tuple[int, ...], memory: int, workers: int) -> tuple[int, int, int]:
        """The largest block that fits; a smaller one if its decoded planes can be kept and those of the larger not."""
        z, y, x = block = self.job.choose_block(extents, self.image.dtype.itemsize, memory, workers)
        if self.image.cache is None or max(block) > LARGEST:
            return block
        smaller = (min(z, _SMALL), min(y, _SMALL), min(x, _SMALL))
        larger_fits, smaller_fits = (
            self._need(some, workers) + self._worth_keeping(some) <= memory for some in (block, smaller)
        )
        return smaller if smaller_fits and not larger_fits else block

    def _need(self, block: tuple[int, ...], workers: int, processes: int = 0) -> int:
        """Bytes of the whole run for blocks of this shape; of all processes, if the work is done in some."""
        cost, extents = self.job.cost(self.image.dtype.itemsize), self.job.source.shape[2:]
        if processes:
            alone = replace(cost, shared=self.job.reading, ahead=0, behind=0)
            return BASE + processes * alone.total(block, self.job.plan.halo, extents, 1)
        return cost.total(block, self.job.plan.halo, extents, workers)

    def _worth_keeping(self, block: tuple[int, ...]) -> int:
        """Bytes of the decoded pieces that a row of blocks along x reads more than once: 0 if none is decoded twice."""
        if self.image.cache is None:
            return 0
        halo = dict(zip("zyx", self.job.plan.halo))
        needed = {axis: n + 2 * halo[axis] for axis, n in zip("zyx", block)}
        kept = self.image.dtype.itemsize
        for axis, n, chunk in zip(self.image.axes, self.image.shape, self.image.chunks or self.image.shape):
            if axis == "t":
                continue
            kept *= min(n, -(-needed[axis] // chunk) * chunk + chunk) if axis in "zy" else n
        return kept

    def _keep(self, size: int) -> None:
        if self.image.cache is not None:
            self.image.cache.limit = size

    def fit(self, memory: int, workers: int, *, processes: bool = False) -> Fit:
        """How many workers the budget allows for the blocks that were settled, and what is kept of the image.

        Raises
        ------
        MemoryBudgetError
            If it does not allow for one.
        """
        block = self.grid.block_shape[1:]
        while workers > 1 and self._need(block, workers, workers * processes) > memory:
            workers -= 1
        need = self._need(block, workers, workers * processes)
        if need > memory:
            raise too_little_memory(need, memory, 1, restart=True, block=True)
        cache = min(self._worth_keeping(block), (memory - need) // (workers if processes else 1))
        self._keep(cache)
        self.order = replace(self.order, cache=cache)
        return Fit(workers, need + cache * (workers if processes else 1))

    def _shards(
        self, axes: str, shape: tuple[int, ...], chunks: tuple[int, ...], block: tuple[int, ...]
    ) -> tuple[int, ...] | None:
        """Files of several chunks if there would be too many; only if blocks and files do not lie across each other."""
        if split_path(self.order.output).format.module != "ome_zarr":
            return None
        shards = shard_shape(axes, shape, chunks)
        blocks = dict(zip("zyx", block))
        fits = shards is not None and all(
            axis not in blocks or blocks[axis] >= n or blocks[axis] % shard == 0 or shard % blocks[axis] == 0
            for axis, n, shard in zip(axes, shape, shards)
        )
        return shards if fits else None

    @cached_property
    def grid(self) -> Grid:
        """The blocks; only for an order with a block's shape."""
        assert self.order.block_shape is not None
        return self.job.grid(self.order.block_shape, self.region)

    @cached_property
    def blocks_per_file(self) -> tuple[int, ...]:
        """How many blocks share a file of the output, along t, z, y, x: they must have one writer."""
        assert self.order.volume is not None
        return blocks_per_file(self.order.volume, self.grid)

    def file_of(self, index: int) -> int:
        """Number of the file, or group of files, to which a block belongs."""
        assert self.order.volume is not None
        return files_of_blocks(self.order.volume, self.grid)(index)

    def create(self) -> WritableVolume:
        """The unfinished output, made or found; only for an order with a volume."""
        assert self.order.volume is not None
        result = create_volume(self.order.output, **self.order.volume, overwrite=self.order.overwrite, resume=True)
        self._sink = AxisView(result, CANONICAL)
        return result

    def write(self, block: Block, values: np.ndarray) -> bytes:
        """Store what was computed for a block; returns what the ledger notes when it is safe on the disk."""
        place = (block.target[0], slice(None), *block.target[1:])
        with nullcontext() if self.blocks_per_file == (1, 1, 1, 1) else self._writing:
            self._sink[place] = values
        self._sink.sync(place)
        t, *zyx = block.read
        skipped = self.reader.skipped_in((t, slice(0, self.reader.shape[1]), *zyx))
        return json.dumps(skipped).encode() if skipped else b""

    def work(self, index: int) -> bytes:
        """A block from reading to writing, for a process that does one after the other."""
        block = self.grid[index]
        return self.write(block, self.job.compute(block, self.job.read(block)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.image.cache is not None:
            self.image.cache.clear()  # whoever opened it goes on with other work
        self._stack.close()

    def settle(self, block_shape: tuple[int, int, int], volume: Mapping[str, Any]) -> None:
        """Take over how the run that was begun is cut into blocks, and what its output is."""
        self.order = replace(self.order, block_shape=block_shape, volume=volume)
        for known in ("grid", "blocks_per_file"):
            self.__dict__.pop(known, None)


def blocks_per_file(volume: Mapping[str, Any], grid: Grid) -> tuple[int, ...]:
    """How many blocks of a grid over t, z, y, x share a file of an output."""
    if volume["shards"] is None:
        return 1, 1, 1, 1
    extents = dict(zip(volume["axes"], volume["shards"]))
    return tuple(max(1, extents.get(axis, 1) // n) for axis, n in zip("tzyx", grid.block_shape))


def files_of_blocks(volume: Mapping[str, Any], grid: Grid) -> Callable[[int], int]:
    """A function that gives the number of the file, or group of files, to which a block belongs."""
    together = blocks_per_file(volume, grid)
    files = [-(-n // k) for n, k in zip(grid.counts, together)]

    def file_of(index: int) -> int:
        at = np.unravel_index(index, grid.counts)
        return int(np.ravel_multi_index([i // k for i, k in zip(at, together)], files))

    return file_of


def portable(order: Order) -> Order:
    """The same for processes elsewhere: only paths, and whole ones.

    Raises
    ------
    SettingError
        If a volume is given that is open here.
    """
    return replace(
        order,
        image=whole_path(order.image, "image"),
        mask=None if order.mask is None else whole_path(order.mask, "mask"),
        output=whole_path(order.output, "output"),
    )


def whole_path(value: str | Path | Volume, name: str) -> str:
    """A path as other processes, elsewhere, can use it.

    Raises
    ------
    SettingError
        If it is none.
    """
    if isinstance(value, (str, Path)):
        return str(Path(value).expanduser().absolute())
    raise SettingError(f"Other processes cannot see an opened {name}.", where=name, do="Give the path of a file.")


def classifier_digest(classifier: PixelClassifier) -> str:
    """SHA-256 of everything a prediction depends on: features, forest and the labels' names."""
    return forest_digest(classifier.forest, repr((classifier.selection, classifier.label_names)))


def _attributes(order: Order, plan: FeaturePlan) -> dict[str, Any]:
    """What is stored with a result, so that it can be understood without the run that made it."""
    classifier, settings = order.classifier, order.export
    record: dict[str, Any] = {
        "version": __version__,
        "export": settings.kind,
        "project": Path(classifier.name).name,
    }
    if classifier.backend != "native":
        record["backend"] = classifier.backend
    if order.normalization is not None:
        record["normalization"] = order.normalization.as_dict()
    if settings.kind in ("probabilities", "mask"):
        record["labels"] = list(settings.labels)
        record["label_names"] = [classifier.label_names[label - 1] for label in settings.labels]
        if settings.dtype != "float32":
            record["rounding"] = settings.rounding
        if settings.kind == "mask":
            record |= {"threshold": settings.threshold, "probability_dtype": settings.dtype}
    elif settings.kind == "features":
        record["feature_names"] = list(plan.names)
    elif settings.kind == "segmentation":
        record["label_names"] = list(classifier.label_names)
    return {"ecc_rf": record}
