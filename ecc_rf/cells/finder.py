"""CellFinder: from a probability volume to the table of cells."""

from __future__ import annotations

import math
import warnings
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ecc_rf.blocks import BlockCost, Grid, Progress, choose_block, parse_memory, resolve_workers
from ecc_rf.cells.inputs import Channel, ProbabilityScale, check_same_shape
from ecc_rf.errors import SettingError

if TYPE_CHECKING:
    import pandas as pd

    from ecc_rf.cells.inputs import VolumeLike
    from ecc_rf.objects import ObjectModel
    from ecc_rf.volumes import WritableVolume

SPLITS = ("watershed", "maxima", "none")
INTENSITIES = ("mean", "max", "local")
CONNECTIVITIES = (6, 18, 26)

# Bytes a worker needs per voxel of a block, if all of it is foreground: probability, raw, mask and their copies;
# and of each foreground voxel place, index, coordinates, label, part, values.
_COST = BlockCost(read=16, core=72, shared=48 * 2**20)  # shared: pandas, scikit-image and tables, measured


@dataclass(frozen=True)
class CellFinder:
    """Settings of the search for cells.

    Parameters
    ----------
    threshold : float
        A voxel belongs to a cell if its probability is larger. Integers of a range 0..m belong if larger than
        ``threshold m``; floats are compared in their own precision, so that a float32 0.7 is out at 0.7.
    min_volume : int
        Objects of at most as many voxels are dropped.
    max_volume : int, optional
        Objects of more voxels are split; None: no object is.
    split : {'watershed', 'maxima', 'none'}
        How: along the valleys of the smoothed probability and raw image, by the nearest local maximum of the
        probability, or not at all.
    cell_diameter_um : float, optional
        Expected diameter of a cell in µm, which sets the scale of splitting; default the diameter of the sphere of
        `max_volume` voxels (in an image of one plane, of the disc).
    connectivity : {6, 18, 26}
        Which voxels are neighbours: across faces, also across edges, also across corners.
    intensity : {'mean', 'max', 'local'}
        Signal of a cell: mean of the object's voxels (as the original ecc), maximum in the cube of `signal_radius`
        around the centre voxel, or mean in that cube.
    signal_radius, background_radius : int
        A cube of radius r has ``2 r + 1`` voxels along each axis and is clipped at the volume.
    background_percentile : float
        The background is this percentile of the raw voxels in the cube of `background_radius`.
    label : int
        Number from 1 of the label that means cell: the channel of the probability volume, if it has several.
    raw_channel : int, optional
        Number from 1 of the raw volume's channel, needed if it has several.
    smoothing_um : float
        The probability is first smoothed by a Gaussian of this sigma in µm; 0: it is not.
    low_threshold : float, optional
        Hysteresis: a voxel belongs to a cell if its probability is larger than this, and the cell (the piece, if
        it was split) counts if one of its voxels exceeds `threshold`.
    contrast : bool
        Whether columns are added that say how a cell stands out from its surroundings; needs the raw volume.
    min_contrast : float, optional
        Cells of less contrast are dropped.
    background_window_um : float
        Width of the window of median and spread that contrasts are measured against.
    object_cut : float, optional
        Least probability of the object model; default the model's own.

    Raises
    ------
    SettingError
        If a value is outside its range; the message names it.

    Examples
    --------
    >>> import numpy as np
    >>> probability = np.zeros((5, 6, 7), np.float32)
    >>> probability[2, 2:4, 3:5] = 0.9
    >>> cells = CellFinder().find(probability, voxel_size=(5, 2, 2))
    >>> cells[["z", "y", "x", "vol"]].values.tolist()
    [[2.0, 2.5, 3.5, 80.0]]
    """

    threshold: float = 0.7
    min_volume: int = 2
    max_volume: int | None = None
    split: str = "watershed"
    cell_diameter_um: float | None = None
    connectivity: int = 6
    intensity: str = "mean"
    signal_radius: int = 1
    background_radius: int = 4
    background_percentile: float = 5.0
    label: int = 1
    raw_channel: int | None = None
    smoothing_um: float = 0.0
    low_threshold: float | None = None
    contrast: bool = False
    min_contrast: float | None = None
    background_window_um: float = 75.0
    object_cut: float | None = None

    def __post_init__(self) -> None:
        for name, value, good, expected in (
            ("threshold", self.threshold, 0 <= self.threshold <= 1, "between 0 and 1"),
            ("min_volume", self.min_volume, self.min_volume >= 0, "0 or more voxels"),
            (
                "max_volume",
                self.max_volume,
                self.max_volume is None or self.max_volume > self.min_volume,
                f"more than min_volume, {self.min_volume}",
            ),
            ("split", self.split, self.split in SPLITS, "watershed, maxima or none"),
            (
                "cell_diameter_um",
                self.cell_diameter_um,
                self.cell_diameter_um is None or 0 < self.cell_diameter_um < math.inf,
                "more than 0 µm",
            ),
            ("connectivity", self.connectivity, self.connectivity in CONNECTIVITIES, "6, 18 or 26"),
            ("intensity", self.intensity, self.intensity in INTENSITIES, "mean, max or local"),
            ("signal_radius", self.signal_radius, self.signal_radius >= 0, "0 or more voxels"),
            ("background_radius", self.background_radius, self.background_radius >= 0, "0 or more voxels"),
            (
                "background_percentile",
                self.background_percentile,
                0 <= self.background_percentile <= 100,
                "between 0 and 100",
            ),
            ("label", self.label, self.label >= 1, "1 or more"),
            ("raw_channel", self.raw_channel, self.raw_channel is None or self.raw_channel >= 1, "1 or more"),
            ("smoothing_um", self.smoothing_um, 0 <= self.smoothing_um < math.inf, "0 µm or more"),
            (
                "low_threshold",
                self.low_threshold,
                self.low_threshold is None or 0 <= self.low_threshold <= self.threshold,
                f"between 0 and the threshold, {self.threshold:g}",
            ),
            (
                "min_contrast",
                self.min_contrast,
                self.min_contrast is None or math.isfinite(self.min_contrast),
                "a number",
            ),
            (
                "background_window_um",
                self.background_window_um,
                0 < self.background_window_um < math.inf,
                "more than 0 µm",
            ),
            ("object_cut", self.object_cut, self.object_cut is None or 0 <= self.object_cut <= 1, "between 0 and 1"),
        ):
            if not good:
                raise SettingError(f"{name} is {value!r}; it must be {expected}.", where=name)

    def find(
        self,
        probability: VolumeLike,
        raw: VolumeLike | None = None,
        *,
        model: ObjectModel | None = None,
        mask: VolumeLike | None = None,
        voxel_size: tuple[float, float, float] | None = None,
        workers: int | None = 1,
        memory: str | int | None = None,
        block_shape: tuple[int, int, int] | None = None,
        progress: Progress | None = None,
        objects: str | Path | None = None,
        overwrite: bool = False,
    ) -> pd.DataFrame:
        """The cells of a volume.

        Parameters
        ----------
        probability : path, Volume or ndarray
            Probabilities as float32, uint8 or uint16, or any type with a recorded range. An ndarray has the axes
            ``yx``, ``zyx``, ``zyxc`` or ``tzyxc``. A mask that was exported instead (see `Export`) gives the same
            cells at its threshold, with NaN as their probabilities.
        raw : path, Volume or ndarray, optional
            The image, same extents; without it the columns of intensity are NaN. float64 is measured as float32.
        model : ObjectModel, optional
            Says which of the cells are cells; needs the raw volume.
        mask : path, Volume or ndarray, optional
            Same extents; where it is not zero no cell is looked for.
        voxel_size : (z, y, x) in µm, optional
            Default: as recorded in the probability volume, else in the raw volume.
        workers : int, optional
            Number of threads; None: one per core. The table does not depend on it.
        memory : str or int, optional
            Budget, for example ``'8GB'``; default 2 GiB. Blocks and bricks kept for later stay within it whatever
            the volume's size; on top come what is known of the cells (about 0.5 kB each) and the voxels of the
            objects that are being split (about 0.2 kB each).
        block_shape : (z, y, x), optional
            Extents of a block in voxels; default from the memory budget. The table does not depend on it. With
            `objects` they are made multiples of 64.
        progress : Progress, optional
        objects : path, optional
            A volume to be created (uint32, zyx) in which each voxel bears the label of its cell in the table.
        overwrite : bool
            Whether such a volume may be replaced.

        Returns
        -------
        DataFrame
            One row per cell; the columns are those of `ecc_rf.cells.table`. If there is no cell the table is
            empty and a UserWarning is given.

        Raises
        ------
        AxesError, LabelError, ShapeError
            If the volumes do not fit the settings or each other.
        FormatError
            If integer probabilities have no range.
        ImageValueError
            If float probabilities leave their range, or a raw value is not finite.
        SettingError
            If no voxel size is known, contrasts are wanted without a raw volume, or a mask is given where the
            probability is needed (see `check_mask`).
        MemoryBudgetError
            If no block fits the budget.
        OutputExistsError, OutputError
            If the volume of objects is there already or cannot be written.
        """
        from ecc_rf.cells.cache import BrickCache
        from ecc_rf.cells.search import (
            OBJECT_CHUNK,
            Inputs,
            Resources,
            choose_cells,
            create_objects,
            draw_cells,
            find_cells,
            prepare,
            tabulate,
        )

        workers = resolve_workers(workers)
        budget = parse_memory(memory)
        with ExitStack() as stack:

            def opened(source: VolumeLike, role: str, channel: int | None = None) -> Channel:
                one = Channel(source, role, channel)
                stack.callback(one.close)
                return one

            p = opened(probability, "probability", self.label - 1)
            r = None
            if raw is not None:
                r = opened(raw, "raw", None if self.raw_channel is None else self.raw_channel - 1)
                check_same_shape(r, p)
            m = None
            if mask is not None:
                m = opened(mask, "mask")
                check_same_shape(m, p)
            if p.mask_threshold is not None:
                self.check_mask(p.mask_threshold, p.name)
            size = _resolve_voxel_size(voxel_size, p, r)
            scale = ProbabilityScale.of(p)
            reading = workers * sum(one.reading_bytes for one in (p, r, m) if one is not None)
            cost = replace(_COST, shared=_COST.shared + reading)
            block = block_shape or choose_block(p.shape, (0, 0, 0), cost, memory=budget, workers=workers)
            drawing: WritableVolume | None = None
            if objects is not None:
                # created before the work: what cannot be written is found out at once
                drawing = stack.enter_context(create_objects(objects, p.shape, size, overwrite=overwrite))
                block = tuple(-(-b // OBJECT_CHUNK) * OBJECT_CHUNK for b in block)
            grid = Grid(p.shape, tuple(min(b, n) for b, n in zip(block, p.shape)))
            # of what the blocks leave, half is for bricks that will be needed again, half for the list of cells
            left = budget - cost.total(grid.block_shape, grid.halo, grid.shape, workers)
            use = Resources(grid, BrickCache(max(0, left // 2)), workers, progress)
            inputs = prepare(self, Inputs(p, r, m, scale, size), use, contrast=model is not None)
            found = find_cells(self, inputs, use, keep=drawing is not None)
            cells, found = choose_cells(self, model, tabulate(self, inputs, use, found), found)
            if drawing is not None:
                draw_cells(found, use, drawing)
        if not len(cells):
            warnings.warn(
                f"No cell was found: no object of more than {self.min_volume} voxels has probabilities above "
                f"{self.threshold:g} in {p.name}.",
                stacklevel=2,
            )
        return cells

    def check_mask(self, threshold: float, name: str) -> None:
        """Refuse a mask of the voxels above a threshold, if these settings need the probability itself.

        Parameters
        ----------
        threshold : float
            At which the mask was made.
        name : str
            The mask, for messages.

        Raises
        ------
        SettingError
            If cells are looked for at another threshold or in smoothed probabilities, or objects are to be split.
        """
        if threshold != self.threshold:
            raise SettingError(
                f"The mask holds the voxels above {threshold}, but cells are looked for above {self.threshold}.",
                where=name,
                do=f"Give the threshold {threshold}, or export a mask or the probability for {self.threshold}.",
            )
        if self.smoothing_um > 0 or self.low_threshold is not None:
            raise SettingError(
                "Smoothing and a low threshold need the probability itself, which a mask lacks.",
                where=name,
                do="Store the probability instead of the mask, or leave smoothing_um and low_threshold out.",
            )
        if self.max_volume is not None and self.split != "none":
            raise SettingError(
                f"Objects of more than {self.max_volume} voxels are split by their probability, which a mask lacks.",
                where=name,
                do="Store the probability instead of the mask, or leave max_volume out.",
            )


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
