"""A conversion from its first piece to its name; what is done stays done when it is cut off.

Four stages, each noted in the ledger when its bytes are on the disk::

    pieces ─► files of level 1, 2, … (of a pyramid) ─► pieces read back ─► the name

What is assembled at the end (HDF5, compressed NIfTI) is assembled and read back anew when it is gone on with.
"""

from __future__ import annotations

import json
import struct
import time
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from ecc_rf._version import __version__
from ecc_rf.blocks import BASE, Block, Grid, Progress, run_blocks
from ecc_rf.blocks import checkpoint as checkpoints
from ecc_rf.blocks.checkpoint import Checkpoint, remove_tree
from ecc_rf.blocks.ledger import Journal
from ecc_rf.conversion.pieces import (
    Pieces,
    Scale,
    converted,
    pieces_again,
    plan_pieces,
    region_of,
    stored_dtype,
    stored_range,
)
from ecc_rf.errors import EccError, Interrupted, MemoryBudgetError, OutputError, ResumeError, SettingError
from ecc_rf.volumes import Level, Volume, WritableVolume, create_volume, open_volume, shard_shape
from ecc_rf.volumes.identity import volume_identity
from ecc_rf.volumes.paths import split_path
from ecc_rf.volumes.pyramid import level_bytes
from ecc_rf.volumes.unreadable import Bounds, CarefulReader

CHUNK, CHUNK_FLAT = 64, 256  # as the block engine stores its results

STAGE, CHECK = "convert", "check"

_CHECKSUM = struct.Struct("<I")


@dataclass(frozen=True)
class ConversionOrder:
    """What is to be converted, as `convert` is told."""

    source: str | Path
    target: str | Path
    roi: Mapping[str, tuple[int | None, int | None]] | None
    dtype: str | None
    scale: Scale | None
    axes: str | None
    voxel_size: tuple[float, float, float] | None
    level: int | Sequence[float] | None
    pyramid: str | None
    compression: str | None
    overwrite: bool
    skip_unreadable: bool


class OpenConversion:
    """An order with its image open; a context manager.

    Attributes
    ----------
    volume : Volume
        The image.
    region, shape : tuple of slice, tuple of int
        What of it is wanted, and the extents of that.
    stored : dtype
        Of the result.
    grid : Grid
        The pieces, after `settle`.
    """

    def __init__(self, order: ConversionOrder) -> None:
        self.order = order
        self.volume = open_volume(order.source, axes=order.axes, voxel_size=order.voxel_size, level=order.level)
        try:
            volume = self.volume
            self.region = region_of(volume, order.roi)
            self.shape = tuple(part.stop - part.start for part in self.region)
            self.stored = stored_dtype(volume, order.dtype, order.scale)
            self.reader = CarefulReader(volume, skip=order.skip_unreadable)
            edge = CHUNK_FLAT if sum(n > 1 for a, n in zip(volume.axes, self.shape) if a in "zyx") <= 2 else CHUNK
            self.chunks = tuple(min(edge, n) if axis in "zyx" else 1 for axis, n in zip(volume.axes, self.shape))
            self.shards = shard_shape(volume.axes, self.shape, self.chunks)
        except BaseException:
            volume.close()
            raise
        self.grid: Grid

    def plan(self, memory: int, workers: int) -> Pieces:
        """How the image is cut."""
        unit = self.chunks
        module = split_path(self.order.target).format.module
        if module == "ome_zarr":
            unit = self.shards or self.chunks
        elif module != "hdf5":  # a map takes any piece equally well
            unit = self.volume.chunks or self.chunks
        if self.is_stream:  # is read back from its start to its end, if it can be
            planes = tuple(n if axis in "yx" else 1 for axis, n in zip(self.volume.axes, self.shape))
            with suppress(MemoryBudgetError):
                return self._planned(planes, memory, workers)
        return self._planned(unit, memory, workers)

    def _planned(self, unit: Sequence[int], memory: int, workers: int) -> Pieces:
        return plan_pieces(
            self.volume,
            self.stored,
            self.order.scale,
            self.shape,
            unit,
            memory=memory,
            workers=workers,
            least=self._for_a_level,
        )

    @property
    def is_stream(self) -> bool:
        """Whether the result is compressed as one."""
        return str(self.order.target).lower().endswith(".nii.gz")

    @property
    def _for_a_level(self) -> int:
        """Bytes that one worker needs to build a coarser level, if there is to be one."""
        return level_bytes(self.shards or self.chunks, self.stored) if self.order.pyramid else 0

    def fingerprint(self) -> dict[str, Any]:
        """Everything that the result depends on."""
        order = self.order
        return {
            "command": "convert",
            "version": __version__,
            "image": volume_identity(self.volume),
            "voxel_size": self.volume.voxel_size,
            "region": [[s.start, s.stop] for s in self.region],
            "dtype": str(self.stored),
            "scale": order.scale,
            "pyramid": order.pyramid,
            "compression": order.compression,
        }

    def layout(self, pieces: Pieces) -> dict[str, Any]:
        """What a run that goes on takes over."""
        return {"block_shape": pieces.block_shape}

    def settle(self, layout: Mapping[str, Any], memory: int, workers: int) -> Pieces:
        """Take over how the run that was begun cut the image; the grid is known then."""
        block_shape = tuple(layout["block_shape"])
        pieces = self.plan(memory, workers)
        if pieces.block_shape != block_shape:
            pieces = pieces_again(
                self.volume, self.stored, self.order.scale, block_shape, memory=memory, workers=workers
            )
        if self.volume.cache is not None:
            self.volume.cache.limit = pieces.cache
        self.grid = Grid(self.volume.shape, block_shape, region=self.region)
        return pieces

    def target(self) -> dict[str, Any]:
        """The output, as `create_volume` is told."""
        order = self.order
        return {
            "shape": self.shape,
            "dtype": self.stored,
            "axes": self.volume.axes,
            "chunks": self.chunks,
            "shards": self.shards,
            "pyramid": order.pyramid,
            "compression": order.compression,
            "voxel_size": self.volume.voxel_size,
            "drange": stored_range(self.volume, self.stored, order.scale),
            "attributes": self.volume.attributes,
        }

    def create(self, **hooks: Any) -> WritableVolume:
        """The unfinished output, made or found."""
        order = self.order
        return create_volume(order.target, **self.target(), overwrite=order.overwrite, resume=True, **hooks)

    def convert(self, block: Block) -> np.ndarray[Any, Any]:
        """The voxels of a piece as they are stored."""
        array = self.reader[block.core]
        return np.ascontiguousarray(converted(array, self.stored, self.order.scale, self.volume, block))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.volume.close()


class Running:
    """The stages of a conversion.

    Attributes
    ----------
    computed : int
        Voxels that were converted here, and not found done.
    unreadable : list of bounds
        Pieces of the image that were taken for 0, in its axes.
    check_seconds : float
        Of reading back.
    """

    def __init__(self, opened: OpenConversion, point: Checkpoint, *, check: bool, progress: Progress) -> None:
        self._opened = opened
        self._point = point
        self._check = check
        self._progress = progress
        self._workers = 1
        self._for_levels = 0
        self._keep_checks = True
        self._stack = ExitStack()
        self.computed = 0
        self.unreadable: list[Bounds] = []
        self.check_seconds = 0.0

    def carry_out(self, workers: int, memory: int) -> None:
        """Convert what is not done, and give the output its name."""
        self._workers = workers
        self._for_levels = memory - BASE
        point = self._point
        point.own()
        journal = point.journal(STAGE)
        if journal.done and not point.unfinished.exists():
            raise ResumeError(
                "What was converted is gone; only the record of it is left.",
                where=str(point.unfinished),
                do="Give --restart to begin anew.",
            )
        try:
            result = self._create(fresh=not journal.done)
            point.watch()
            self._keep_checks = not result.assembled
        except BaseException:
            if not journal.done:
                with suppress(OSError):  # it may have been made when the interrupt came
                    remove_tree(point.unfinished)
                point.drop()
            raise
        try:
            self._convert(result, journal)
            point.commit(journal)
            point.mark_complete()
            result.close()  # adds the coarser levels, and reads back
        except BaseException as error:
            self._leave(result, journal, error)
            raise
        self.count()
        point.end()

    def _create(self, *, fresh: bool) -> WritableVolume:
        hooks = {"build": self._build, "verify": self._compare if self._check else None}
        try:
            return self._opened.create(**hooks)
        except ResumeError:
            if not fresh:
                raise
            # Left by a run that kept no record: none of it can be trusted.
            remove_tree(self._point.unfinished)
            return self._opened.create(**hooks)

    def _convert(self, result: WritableVolume, journal: Journal) -> None:
        opened, point = self._opened, self._point
        mapped = result.chunks is None  # every piece of a map is synced with the rest of it: now and then
        waiting: list[tuple[int, bytes]] = []
        noted = time.monotonic()

        def work(block: Block) -> bytes:
            array = opened.convert(block)
            result[block.target] = array
            if not mapped:
                result.sync(block.target)
            skipped = opened.reader.skipped_in(block.core)
            return _CHECKSUM.pack(zlib.crc32(array.data)) + (json.dumps(skipped).encode() if skipped else b"")

        def note() -> None:
            if mapped:
                result.sync()
            for index, payload in waiting:
                point.note(journal, index, payload)
            waiting.clear()

        left = [block for block in opened.grid if block.index not in journal.done]
        try:
            for block, payload in run_blocks(
                work, opened.grid, workers=self._workers, progress=self._progress, stage=STAGE, blocks=left
            ):
                waiting.append((block.index, payload))
                self.computed += block.voxels
                if not mapped or time.monotonic() - noted >= checkpoints.COMMIT_SECONDS:
                    note()
                    noted = time.monotonic()
        finally:
            note()

    def _build(self, levels: Sequence[Level]) -> None:
        """The coarser levels of a pyramid, one after the other: each is made of the one before."""
        for level in levels:
            grid = Grid(level.shape, level.pieces)

            def work(block: Block, level: Level = level) -> bytes:
                level.build(block.core)
                return b""

            self._noted(f"level{level.number}", grid, work, workers=self._for_levels // level.bytes_needed)

    def _compare(self, finished: Volume) -> None:
        started = time.perf_counter()
        opened, point = self._opened, self._point
        grid = Grid(opened.shape, opened.grid.block_shape)
        with point.reopened().journal(STAGE) as journal:
            checksums = {index: _CHECKSUM.unpack_from(journal.payload(index))[0] for index in journal.done}

        def work(block: Block) -> bytes:
            if zlib.crc32(finished[block.core].data) != checksums[block.index]:
                place = ", ".join(f"{axis}={part.start}:{part.stop}" for axis, part in zip(finished.axes, block.core))
                raise WrittenWrong(
                    f"what is read back at {place} is not what was written; the output was removed",
                    finished.name,
                    "check the disk and its file system, then convert anew",
                )
            return b""

        # a compressed stream is read from its start to its end: two readers would turn it back all the time
        workers = 1 if opened.is_stream else self._workers
        self._noted(CHECK, grid, work, workers=workers, keep=self._keep_checks)
        self.check_seconds = time.perf_counter() - started

    def _noted(
        self, stage: str, grid: Grid, work: Callable[[Block], bytes], *, workers: int, keep: bool = True
    ) -> None:
        """Do the pieces of a stage that are not done."""
        with self._point.ledger.journal(stage) if keep else nullcontext() as journal:
            done = journal.done if journal is not None else set()
            left: Iterable[Block] = [block for block in grid if block.index not in done]
            some = max(1, min(workers, self._workers))
            try:
                for block, payload in run_blocks(
                    work, grid, workers=some, progress=self._progress, stage=stage, blocks=left
                ):
                    if journal is not None:
                        self._point.note(journal, block.index, payload)
            finally:
                if journal is not None:
                    self._point.commit(journal)

    def _leave(self, result: WritableVolume, journal: Journal, error: BaseException) -> None:
        """Keep what is done, and say so."""
        with suppress(EccError):
            self._point.commit(journal)
        if isinstance(error, WrittenWrong | SettingError) or not journal.done:
            result.discard()
            remove_tree(self._point.unfinished)
            self._point.drop()
            return
        with suppress(Exception):  # the error that brought us here is the one to be seen
            result.suspend()
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted(
                f"{len(journal.done)} of {len(self._opened.grid)} pieces of {self._point.final} are kept;"
                " run the same command again to go on."
            ) from error

    def count(self) -> None:
        """What could not be read, by whichever run."""
        with self._point.reopened().journal(STAGE) as journal:
            pieces = {
                tuple(map(tuple, box))
                for box in journal.payloads(lambda payload: json.loads(payload[_CHECKSUM.size :] or b"[]"))
            }
        self.unreadable = sorted(pieces)


class WrittenWrong(OutputError):
    """The result is not what was written."""
