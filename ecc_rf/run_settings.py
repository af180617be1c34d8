"""What the main job is told, and what it gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecc_rf.blocks.owner import WHOLE, Part
from ecc_rf.blocks.remote import Backend
from ecc_rf.errors import SettingError
from ecc_rf.image_normalization import NormalizationChoice
from ecc_rf.run_folder import FORMATS
from ecc_rf.voxel_values import check_nan_choice

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class RunSettings:
    """Settings of the main job beside those of `CellFinder`.

    Parameters
    ----------
    axes : str, optional
        Override the image's axes.
    voxel_size : tuple of float, optional
        ``(z, y, x)`` in µm; default: what the image says.
    format : {'ome.zarr', 'h5'}
        Of the probability volume.
    probability : bool
        Whether ``probability.ome.zarr`` is stored. Otherwise ``mask.ome.zarr`` is: 1 where the probability is above the
        finder's threshold, which is found faster. The table of cells is the same, but for the columns of probability.
    backend : {'native', 'fastfilters'}
        Who computes the features.
    workers : int, optional
        Threads; default one per core.
    memory : str or int, optional
        Budget such as ``"8GB"``; default 2 GiB.
    block_shape : tuple of int, optional
        Extents ``z y x`` of a block.
    nan : {'refuse', 'zero'}
        What becomes of voxels that are NaN or infinite.
    mask : str or Path, optional
        Volume; where it is not 0 no cell is looked for.
    objects : bool
        Whether ``objects.ome.zarr`` is written, in which each voxel bears its cell's label.
    report : bool
        Whether ``report.html`` is written.
    overwrite : bool
        Replace results that are there already.
    normalization : NormalizationChoice
        Whether images are normalised as they are read.
    objects_model : path, optional
        Of the object model, for the record.
    marker : str
        What is stained in the images, if it is known: compared with what the project was trained on.
    skip_unreadable : bool
        Take pieces of the image that cannot be read for 0; the record names them.
    restart : bool
        Begin unfinished runs anew; default: go on with those of the same settings.
    skip_finished : bool
        Take over a finished result of the same settings, instead of refusing its folder. Of several images those that
        are finished are always taken over as long as one is not.
    part : (int, int)
        Classify only part I of N, for job arrays. The last one does all that follows.
    processes : Backend, optional
        Processes that classify, here or on other machines; default: threads.
    """

    axes: str | None = None
    voxel_size: tuple[float, float, float] | None = None
    format: str = "ome.zarr"
    probability: bool = True
    backend: str = "native"
    workers: int | None = None
    memory: str | int | None = None
    block_shape: tuple[int, int, int] | None = None
    nan: str = "refuse"
    mask: str | Path | None = None
    objects: bool = False
    report: bool = True
    overwrite: bool = False
    normalization: NormalizationChoice = NormalizationChoice()  # noqa: RUF009 (frozen)
    objects_model: str | Path | None = None
    marker: str = ""
    skip_unreadable: bool = False
    restart: bool = False
    skip_finished: bool = False
    part: Part = WHOLE
    processes: Backend | None = None

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise SettingError(
                f"{self.format!r} is no format of the probability volume.",
                where="format",
                do=f"Choose {' or '.join(FORMATS)}.",
            )
        check_nan_choice(self.nan)


@dataclass(frozen=True)
class RunResult:
    """What one image gave.

    Attributes
    ----------
    directory : Path
        Where the results are.
    cells : DataFrame
        The table of cells, as in ``cells.csv``.
    record : dict
        As in ``run.json``.
    skipped : bool
        Whether it was there, finished, before.
    missing, blocks : int
        Blocks that other parts have still to classify, and how many there are; -1 if another part does what follows.
        Then there are no cells and no record.
    """

    directory: Path
    cells: pd.DataFrame = field(repr=False)
    record: dict[str, Any] = field(repr=False)
    skipped: bool = False
    missing: int = 0
    blocks: int = 0
