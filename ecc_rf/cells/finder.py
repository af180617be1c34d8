"""CellFinder: from a probability volume to the table of cells."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ecc_rf.blocks import Progress
from ecc_rf.cells.settings import SearchSettings

if TYPE_CHECKING:
    import pandas as pd

    from ecc_rf.cells.inputs import VolumeLike
    from ecc_rf.objects import ObjectModel


@dataclass(frozen=True)
class CellFinder(SearchSettings):
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
        from ecc_rf.cells.search import Search

        with Search(self, probability, raw, mask=mask, model=model, voxel_size=voxel_size) as search:
            search.plan(workers, memory, block_shape, drawn=objects is not None)
            # created before the work: what cannot be written is found out at once
            drawing = None if objects is None else search.create_objects(objects, overwrite=overwrite)
            if drawing is None:
                return search.table(search.resources(progress))
            with drawing:
                return search.table(search.resources(progress), drawing)
