"""What a classification would take."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecc_rf.blocks import Block, parse_memory, resolve_workers
from ecc_rf.classification import STAGE, check_writers
from ecc_rf.forecast.outputs import check_output
from ecc_rf.forecast.probe import CONSTANT, MASKED, TISSUE, Done, compressed, is_one_value, middle_plane, probe
from ecc_rf.forecast.stage import Forecast, blocks_done, storage
from ecc_rf.machine import Machine
from ecc_rf.order import OpenOrder, Order
from ecc_rf.volumes.paths import split_path

Watch = Callable[[Block, NDArray[np.generic], NDArray[np.generic]], None]
"""Told of every block of tissue that was computed: the raw voxels of its core and the result, both ``c z y x``."""


@dataclass(frozen=True)
class _Work:
    """A block from reading to compressing, of which nothing is kept."""

    opened: OpenOrder
    chunks: tuple[int, ...] | None
    module: str
    watch: Watch | None

    def kind(self, block: Block) -> str:
        """Told by the middle plane of what is read."""
        opened = self.opened
        t, *zyx = block.core
        if opened.job.mask is not None and not opened.job.mask[(t, slice(None), *zyx)].any():
            return MASKED
        t, *zyx = block.read
        plane = opened.reader[(t, slice(None), *middle_plane(zyx, "zyx"))]
        return CONSTANT if all(is_one_value(channel) for channel in plane[0]) else TISSUE

    def work(self, block: Block) -> Done:
        given = self.opened.job.read(block)
        values = self.opened.job.compute(block, given)[0]
        if self.watch is not None and given.raw is not None:
            self.watch(block, given.raw[(slice(None), *block.inner[1:])], values)
        stored = sum(compressed(channel, self.chunks, self.module, None) for channel in values)
        return Done(block.voxels, values.nbytes, stored)

    def warm(self, block: Block) -> None:
        """A small piece, to have everything compiled and loaded."""
        small = self.opened.job.grid((16, 16, 16), block.core)
        self.opened.job.compute(small[0], self.opened.job.read(small[0]))


def forecast_order(order: Order, machine: Machine, watch: Watch | None = None) -> Forecast:
    """What carrying out an order would take; nothing is written.

    Raises
    ------
    EccError
        Whatever the run itself would raise before its first block, and what a few blocks raise.
    """
    workers, budget = resolve_workers(machine.workers), parse_memory(machine.memory)
    final = split_path(order.output).file
    with ExitStack() as stack:
        opened = stack.enter_context(OpenOrder(order))
        layout = opened.layout(budget, workers)
        before, done = (None, set()) if machine.restart else blocks_done(final, opened.fingerprint(), STAGE)
        layout = before or layout
        z, y, x = layout["block_shape"]
        opened.settle((z, y, x), layout["volume"])
        check_writers(opened, machine)
        check_output(order.output, layout["volume"], overwrite=order.overwrite, unfinished=bool(before))
        fit = opened.fit(budget, workers, processes=machine.backend is not None)
        stored = dict(zip(layout["volume"]["axes"], layout["volume"]["chunks"]))
        module = split_path(order.output).format.module
        work = _Work(opened, tuple(stored.get(axis, 1) for axis in "zyx"), module, watch)
        found = probe(opened.grid, work.kind, work.work, fit.workers, warm=work.warm)
        number, count = machine.part
        mine = [i for i in range(len(opened.grid)) if count == 1 or opened.file_of(i) % count == number - 1]
        left = sum(opened.grid[i].voxels for i in mine if i not in done)
        return Forecast(
            STAGE,
            opened.image.name,
            opened.grid.voxels,
            len(opened.grid),
            len(done),
            (z, y, x),
            opened.job.plan.halo,
            fit.workers,
            budget,
            fit.need,
            found,
            storage(order.output, layout["volume"], found),
            found.time(left),
        )
