"""An image in another format: read in pieces that suit the source, written in whole chunks, read back and compared.

Memory is bounded by the budget, whatever the image's size. A piece is whole chunks of the output, and as long along x,
then y, then z as the budget allows: planes are read as a whole then, and each is decoded once.

What is done is noted in a ledger, so that a conversion that was cut off is gone on with: pieces, files of coarser
levels, and pieces that were read back.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from ecc_rf.blocks import Progress, SilentProgress, parse_memory, resolve_workers
from ecc_rf.blocks.checkpoint import Checkpoint
from ecc_rf.conversion.pieces import Scale, refuse_same
from ecc_rf.conversion.running import ConversionOrder, OpenConversion, Running
from ecc_rf.volumes.paths import split_path
from ecc_rf.volumes.unreadable import describe_bounds


@dataclass(frozen=True)
class Described:
    """What a volume is."""

    name: str
    axes: str
    shape: tuple[int, ...]
    dtype: str
    voxel_size: tuple[float, float, float] | None


@dataclass(frozen=True)
class ConversionRecord:
    """What a conversion did.

    Attributes
    ----------
    source, target : Described
        The image and the result.
    block_shape : tuple of int
        Extents of a piece, in the order of the axes.
    blocks, voxels, workers, memory : int
        Number of pieces and voxels, threads, budget in bytes.
    seconds : float
        Wall time, all in all.
    check_seconds : float or None
        Of reading back; None if that was not wanted.
    computed : int
        Voxels that were converted; fewer than `voxels` if a run was gone on with.
    unreadable : tuple of str
        Pieces of the image that could not be read and were taken for 0.
    """

    source: Described
    target: Described
    block_shape: tuple[int, ...]
    blocks: int
    voxels: int
    workers: int
    memory: int
    seconds: float
    check_seconds: float | None
    computed: int = 0
    unreadable: tuple[str, ...] = ()


def convert(
    source: str | Path,
    target: str | Path,
    *,
    roi: Mapping[str, tuple[int | None, int | None]] | None = None,
    dtype: str | None = None,
    scale: Scale | None = None,
    axes: str | None = None,
    voxel_size: tuple[float, float, float] | None = None,
    level: int | Sequence[float] | None = None,
    pyramid: str | None = None,
    compression: str | None = None,
    workers: int | None = None,
    memory: str | int | None = None,
    overwrite: bool = False,
    check: bool = True,
    restart: bool = False,
    skip_unreadable: bool = False,
    progress: Progress | None = None,
) -> ConversionRecord:
    """Write an image in another format; axes, voxel size, data range and attributes are kept as far as it holds them.

    Parameters
    ----------
    source, target : path
        As for `open_volume` and `create_volume`.
    roi : mapping, optional
        Half-open bounds per axis, for example ``{"z": (10, 50)}``; None as a bound means the end.
    dtype : str, optional
        Of the result. Without `scale`, a voxel that would change is an error.
    scale : (low, high), optional
        `low` becomes 0 and `high` the largest integer of `dtype`, or 1 if that is a float; what is beyond is clipped,
        integers are rounded to nearest, halves to even.
    axes, voxel_size, level : optional
        As for `open_volume`.
    pyramid, compression : str, optional
        As for `create_volume`.
    workers : int, optional
        Threads; default one per core. The bytes do not depend on it.
    memory : str or int, optional
        Budget such as ``"8GB"``; default 2 GiB. The bytes do not depend on it.
    overwrite : bool
        Replace an output that is there already, once the new one is complete.
    check : bool
        Read the result back and compare a checksum (CRC-32) of each piece before it gets its name. It costs about as
        much as reading the result. What the operating system holds in its cache is not read from the disk again: this
        finds faults of programs and formats, not of the disk.
    restart : bool
        Remove an unfinished conversion of that name and begin anew, instead of going on with it.
    skip_unreadable : bool
        Take pieces of the image that cannot be read for 0, and name them in the record.
    progress : Progress, optional
        Told of every finished piece.

    Raises
    ------
    EccError
        The message says what is wrong, where, and what to do. A ResumeError if what lies there unfinished is another
        conversion, or one of another image.
    Interrupted
        After Ctrl-C; says how to go on.
    """
    started = time.perf_counter()
    progress = progress or SilentProgress()
    workers, budget = resolve_workers(workers), parse_memory(memory)
    refuse_same(source, target)
    order = ConversionOrder(
        source, target, roi, dtype, scale, axes, voxel_size, level, pyramid, compression, overwrite, skip_unreadable
    )
    final = split_path(target).file
    with ExitStack() as stack:
        opened = stack.enter_context(OpenConversion(order))
        pieces = opened.plan(budget, workers)
        point = stack.enter_context(Checkpoint(final, restart=restart, overwrite=overwrite))
        there = point.complete
        running = Running(opened, point, check=check, progress=progress)
        if there:
            layout = point.reopened().layout
            pieces = opened.settle(layout, budget, workers)
            running.count()
            point.end()
        else:
            layout = point.open(opened.fingerprint(), opened.layout(pieces))
            pieces = opened.settle(layout, budget, workers)
            progress.message(pieces.describe(len(opened.grid), budget))
            running.carry_out(pieces.workers, budget)
        volume = opened.volume
        return ConversionRecord(
            Described(volume.name, volume.axes, volume.shape, str(volume.dtype), volume.voxel_size),
            Described(str(target), volume.axes, opened.shape, str(opened.stored), volume.voxel_size),
            pieces.block_shape,
            len(opened.grid),
            opened.grid.voxels,
            pieces.workers,
            budget,
            time.perf_counter() - started,
            running.check_seconds if check else None,
            running.computed,
            tuple(describe_bounds(box, volume.axes) for box in running.unreadable),
        )
