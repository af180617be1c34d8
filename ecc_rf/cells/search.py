"""One search for cells: its volumes opened and checked, its blocks planned; carried out as a whole, or a part of it."""

from __future__ import annotations

import math
import warnings
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ecc_rf.blocks import BlockCost, Grid, Progress, choose_block, parse_memory, resolve_workers
from ecc_rf.blocks.checkpoint import Checkpoint
from ecc_rf.blocks.owner import WHOLE, Part
from ecc_rf.cells.cache import BrickCache
from ecc_rf.cells.inputs import Channel, ProbabilityScale, check_same_shape
from ecc_rf.cells.passes import Resources, blocks_of_part
from ecc_rf.cells.settings import SearchSettings
from ecc_rf.cells.sharing import find_part, shared_pass
from ecc_rf.cells.stages import Inputs, choose_cells, draw_cells, find_cells, prepare, tabulate
from ecc_rf.cells.table import VoxelSize
from ecc_rf.errors import SettingError

if TYPE_CHECKING:
    import pandas as pd

    from ecc_rf.cells.inputs import VolumeLike
    from ecc_rf.objects import ObjectModel
    from ecc_rf.volumes import WritableVolume

# Chunks of the volume of objects: fixed, so that the file does not depend on the blocks.
OBJECT_CHUNK = 64

# Bytes a worker needs per voxel of a block, if all of it is foreground: probability, raw, mask and their copies;
# and of each foreground voxel place, index, coordinates, label, part, values.
_COST = BlockCost(read=16, core=72, shared=96 * 2**20)  # shared: pandas, scikit-image and tables, measured


class Search:
    """A search with its volumes open; a context manager.

    Parameters are those of `CellFinder.find`. `plan` comes first, or `settle` where a search is gone on with.
    """

    def __init__(
        self,
        settings: SearchSettings,
        probability: VolumeLike,
        raw: VolumeLike | None = None,
        *,
        mask: VolumeLike | None = None,
        model: ObjectModel | None = None,
        voxel_size: VoxelSize | None = None,
    ) -> None:
        self._settings = settings
        self._model = model
        self._stack = ExitStack()
        self._workers, self._budget = 1, 0
        self.grid: Grid
        with ExitStack() as stack:

            def opened(source: VolumeLike, role: str, channel: int | None = None) -> Channel:
                one = Channel(source, role, channel)
                stack.callback(one.close)
                return one

            p = opened(probability, "probability", settings.label - 1)
            r = None
            if raw is not None:
                r = opened(raw, "raw", None if settings.raw_channel is None else settings.raw_channel - 1)
                check_same_shape(r, p)
            m = None
            if mask is not None:
                m = opened(mask, "mask")
                check_same_shape(m, p)
            if p.mask_threshold is not None:
                settings.check_mask(p.mask_threshold, p.name)
            self._inputs = Inputs(p, r, m, ProbabilityScale.of(p), _resolve_voxel_size(voxel_size, p, r))
            self._stack = stack.pop_all()

    @property
    def voxel_size(self) -> VoxelSize:
        """Of the table, z, y, x in µm."""
        return self._inputs.voxel_size

    @property
    def scale(self) -> ProbabilityScale:
        """What stored probabilities mean."""
        return self._inputs.scale

    def plan(
        self,
        workers: int | None,
        memory: str | int | None,
        block_shape: tuple[int, int, int] | None,
        *,
        drawn: bool,
    ) -> None:
        """Cut the volume into blocks; in whole chunks of the volume of objects if one is `drawn`."""
        self._workers, self._budget = resolve_workers(workers), parse_memory(memory)
        shape = self._inputs.probability.shape
        block: tuple[int, ...] = block_shape or choose_block(
            shape, (0, 0, 0), self._cost, memory=self._budget, workers=self._workers
        )
        if drawn:
            block = tuple(-(-b // OBJECT_CHUNK) * OBJECT_CHUNK for b in block)
        self.settle(block)

    @property
    def _cost(self) -> BlockCost:
        """With what reading takes beside the blocks."""
        inputs = (self._inputs.probability, self._inputs.raw, self._inputs.mask)
        reading = self._workers * sum(one.reading_bytes for one in inputs if one is not None)
        return replace(_COST, shared=_COST.shared + reading)

    def settle(self, block_shape: tuple[int, ...]) -> None:
        """Take over how a search that was begun is cut into blocks."""
        shape = self._inputs.probability.shape
        self.grid = Grid(shape, tuple(min(b, n) for b, n in zip(block_shape, shape)))

    def resources(
        self, progress: Progress | None = None, point: Checkpoint | None = None, part: Part = WHOLE
    ) -> Resources:
        """What the passes may use.

        Parameters
        ----------
        progress : Progress, optional
        point : Checkpoint, optional
            Where what blocks gave is kept.
        part : (int, int)
            Which part of the blocks.
        """
        # of what the blocks leave, half is for bricks that will be needed again, half for the list of cells
        grid = self.grid
        left = self._budget - self._cost.total(grid.block_shape, grid.halo, grid.shape, self._workers)
        mine = None if part == WHOLE else blocks_of_part(part, len(self.grid))
        return Resources(self.grid, BrickCache(max(0, left // 2)), self._workers, progress, point, mine)

    def create_objects(self, path: str | Path, *, overwrite: bool, resume: bool = False) -> WritableVolume:
        """The volume in which voxels bear their cell's label, uint32, zyx."""
        import numpy as np

        from ecc_rf.volumes import create_volume

        shape = self.grid.shape
        chunks = tuple(min(OBJECT_CHUNK, n) for n in shape)
        size = self.voxel_size
        return create_volume(
            path, shape, np.uint32, "zyx", chunks=chunks, voxel_size=size, overwrite=overwrite, resume=resume
        )

    def table(self, use: Resources, drawing: WritableVolume | None = None) -> pd.DataFrame:
        """All cells, drawn into a volume if one is given.

        Warns
        -----
        UserWarning
            If there is none.
        """
        settings = self._settings
        inputs = self._prepared(use)
        found = find_cells(settings, inputs, use, keep=drawing is not None)
        cells, found = choose_cells(settings, self._model, tabulate(settings, inputs, use, found), found)
        if drawing is not None:
            draw_cells(found, use, drawing)
        if not len(cells):
            warnings.warn(
                f"No cell was found: no object of more than {settings.min_volume} voxels has probabilities above "
                f"{settings.threshold:g} in {inputs.probability.name}.{self._doubt()}",
                stacklevel=3,
            )
        return cells

    def _doubt(self) -> str:
        """What to think of if nothing is found: images are uint16, probabilities seldom."""
        stored = self._inputs.probability
        if stored.dtype != "uint16" or stored.drange is not None:
            return ""
        return " Its values, uint16 without a data range, count as shares of 65535: an image must be classified first."

    def part(self, use: Resources) -> None:
        """Find and measure what lies in the blocks of one part; it is kept for `table`."""
        find_part(self._settings, self._prepared(use), use)

    @property
    def last_shared(self) -> str:
        """The last pass that parts do: a block of which it is done needs nothing more of its part."""
        contrasts = self._model is not None or self._settings.contrasts
        return shared_pass(raw=self._inputs.raw is not None, contrasts=contrasts)

    def _prepared(self, use: Resources) -> Inputs:
        return prepare(self._settings, self._inputs, use, contrast=self._model is not None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def _resolve_voxel_size(
    given: tuple[float, float, float] | None, probability: Channel, raw: Channel | None
) -> tuple[float, float, float]:
    """What is given, else what the probability volume or the raw volume records."""
    size = given or probability.voxel_size or (raw.voxel_size if raw is not None else None)
    if size is None:
        raise SettingError(
            "The voxel size is not known; the positions in the table are µm.",
            where=probability.name,
            do="Give the voxel size as z, y, x in µm.",
        )
    size = (float(size[0]), float(size[1]), float(size[2]))
    if not all(math.isfinite(extent) and extent > 0 for extent in size):
        raise SettingError(f"The voxel size must be three positive lengths in µm, not {size}.", where="voxel_size")
    return size
