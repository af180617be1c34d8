"""What a conversion would take."""

from __future__ import annotations

import math
from typing import Any

from ecc_rf.blocks import Block, parse_memory, resolve_workers
from ecc_rf.conversion.pieces import refuse_same
from ecc_rf.conversion.running import STAGE, ConversionOrder, OpenConversion
from ecc_rf.forecast.outputs import check_output
from ecc_rf.forecast.probe import CONSTANT, TISSUE, Done, compressed, is_one_value, middle_plane, probe
from ecc_rf.forecast.stage import Forecast, blocks_done, storage
from ecc_rf.volumes.paths import split_path

_READING_BACK = 0.5  # of the time of a piece, which is read, squeezed and written; this is only read


def forecast_conversion(
    order: ConversionOrder,
    *,
    workers: int | None = None,
    memory: str | int | None = None,
    check: bool = True,
    restart: bool = False,
) -> Forecast:
    """What a conversion would take; nothing is written.

    Raises
    ------
    EccError
        Whatever the conversion itself would raise before its first piece, and what a few pieces raise.
    """
    number, budget = resolve_workers(workers), parse_memory(memory)
    refuse_same(order.source, order.target)
    parts = split_path(order.target)
    with OpenConversion(order) as opened:
        pieces = opened.plan(budget, number)
        layout, done = (None, set()) if restart else blocks_done(parts.file, opened.fingerprint(), STAGE)
        volume = opened.target()
        check_output(order.target, volume, overwrite=order.overwrite, unfinished=bool(layout))
        pieces = opened.settle(layout or opened.layout(pieces), budget, number)
        axes, module = opened.volume.axes, parts.format.module

        def kind(block: Block) -> str:
            plane = opened.reader[_narrow(middle_plane(block.core, axes), axes)]
            return CONSTANT if is_one_value(plane) else TISSUE

        def work(block: Block) -> Done:
            array = opened.convert(block)
            return Done(block.voxels, array.nbytes, compressed(array, opened.chunks, module, order.compression))

        found = probe(opened.grid, kind, work, pieces.workers)
        left = sum(block.voxels for block in opened.grid if block.index not in done)
        seconds = found.time(left)
        if seconds is not None:
            seconds += _READING_BACK * (found.time(opened.grid.voxels) or 0) if check else 0
            seconds *= 1 + _of_pyramid(volume)
        return Forecast(
            STAGE,
            opened.volume.name,
            opened.grid.voxels,
            len(opened.grid),
            len(done),
            pieces.block_shape,
            None,
            pieces.workers,
            budget,
            pieces.need,
            found,
            storage(order.target, volume, found, order.compression),
            seconds,
        )


def _narrow(box: tuple[slice, ...], axes: str) -> tuple[slice, ...]:
    """No more than a few rows: a piece may be whole planes of a large image.

    >>> _narrow((slice(3, 4), slice(0, 9000)), "zy")
    (slice(3, 4, None), slice(4436, 4564, None))
    """
    rows = 128
    middles = {axis: (part.start + part.stop) // 2 for axis, part in zip(axes, box)}
    return tuple(
        slice(middles[axis] - rows // 2, middles[axis] + rows // 2)
        if axis == "y" and part.stop - part.start > rows
        else part
        for axis, part in zip(axes, box)
    )


def _of_pyramid(volume: dict[str, Any]) -> float:
    """Voxels of the coarser levels, as a share of the full resolution."""
    from ecc_rf.volumes.pyramid import pyramid_steps

    if not volume["pyramid"]:
        return 0.0
    shape, total = tuple(volume["shape"]), 0
    for step in pyramid_steps(volume["axes"], shape, volume["voxel_size"]):
        shape = tuple(-(-n // by) for n, by in zip(shape, step))
        total += math.prod(shape)
    return float(total / math.prod(volume["shape"]))
