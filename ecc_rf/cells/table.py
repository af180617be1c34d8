"""The table of cells: its columns and how it is filtered.

===================  ===========================================================================================
X, Y, Z              centre of mass in µm: voxel coordinate (the first voxel is 0) times voxel size; divided by
                     the voxel size and rounded these are the original ecc's voxels
deltaI               signal above background, never below 0
BG                   background
vol                  volume in µm³
deltaI_total         deltaI times the number of voxels
label                number of the cell from 1, in the order of first voxels (z, then y, then x)
z, y, x              centre of mass in voxels
voxels               number of voxels
peak_probability     largest probability of its voxels
mean_probability     mean probability of its voxels
diameter_um          diameter of the sphere of its volume, µm
z0, z1 … x1          bounding box in voxels, half-open
sbr                  signal divided by background (signal before it is cut at the background); infinite for a
                     background of 0, NaN for a negative one
pieces               number of pieces of the object it was split from, 1 if it was not split
touches_border       whether it reaches the edge of the volume (along axes of more than one voxel)
===================  ===========================================================================================

Where contrasts are measured there are more columns, of how a cell stands out from its surroundings. *Spread* is
1.4826 times the median absolute deviation, at least 1 % of the median and 10 counts; the *window* is that of the
normalisation, 75 µm wide; the *ring* lies 1.5 to 6 µm around the cell where there is no other object:

===================  ===========================================================================================
contrast             mean over its voxels of (raw - median) / spread, both in the window around the voxel
ratio                mean raw value divided by the median of the window
ring_contrast        (mean raw value - median of the ring) / spread of the ring
ring_relative        (mean raw value - median of the ring) / median of the ring
ring_peak            (largest raw value at the centre - median of the ring) / spread of the ring
dog_fine             difference of Gaussians (sigma 2 and 3.2 µm) at the centre / spread in the window
dog_coarse           the same with sigma 4 and 6.4 µm
extent_z_um          depth of the bounding box
local_probability    mean probability, never smoothed, within a cube of 75 µm around the cell
cell_probability     probability of an object model that it is a cell
===================  ===========================================================================================

Where the probability is smoothed, peak_probability and mean_probability are of the smoothed one. Without a raw
volume deltaI, BG, deltaI_total and sbr are NaN; for a mask in place of the probability, peak_probability,
mean_probability and local_probability are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.errors import SettingError

if TYPE_CHECKING:
    import pandas as pd

    from ecc_rf.cells.inputs import ProbabilityScale
    from ecc_rf.cells.parts import Parts

CONTRAST_COLUMNS = (
    *("contrast", "ratio", "ring_contrast", "ring_relative", "ring_peak", "dog_fine", "dog_coarse", "extent_z_um"),
    "local_probability",
)

VoxelSize = tuple[float, float, float]

COLUMNS = (
    *("X", "Y", "Z", "deltaI", "BG", "vol", "deltaI_total"),  # the original ecc's
    *("label", "z", "y", "x", "voxels", "peak_probability", "mean_probability", "diameter_um"),
    *("z0", "z1", "y0", "y1", "x0", "x1", "sbr", "pieces", "touches_border"),
)


def make_table(
    parts: Parts,
    signal: NDArray[np.float64],
    background: NDArray[np.float64],
    *,
    shape: tuple[int, ...],
    voxel_size: VoxelSize,
    scale: ProbabilityScale | None,
) -> pd.DataFrame:
    """The table of cells, one row for each of `parts`, in their order.

    Parameters
    ----------
    parts : Parts
    signal, background : ndarray of float64, shape (n,)
        In raw values; NaN without a raw volume.
    shape : tuple of int
        Extents of the volume, zyx.
    voxel_size : (z, y, x) in µm
    scale : ProbabilityScale, optional
        None where no probability is known, only which voxels are above the threshold.
    """
    import pandas as pd  # late: `import ecc_rf` must not pay for it

    voxels = parts.voxels
    z, y, x = (parts.sums[:, axis] / voxels for axis in range(3))
    above = np.maximum(signal - background, 0)
    volume = voxels * float(np.prod(voxel_size))
    peak = mean = np.full(len(parts), np.nan)
    if scale is not None:
        peak = scale.to_probability(parts.peak)
        mean = scale.to_probability(parts.sums[:, 3] / (voxels * scale.factor))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(background >= 0, signal / background, np.nan)
    real = [axis for axis in range(3) if shape[axis] > 1]
    at_edge = (parts.low[:, real] == 0) | (parts.high[:, real] == np.array([shape[axis] for axis in real]))
    columns: dict[str, NDArray[Any]] = {
        "X": _micrometres(x, voxel_size[2]),
        "Y": _micrometres(y, voxel_size[1]),
        "Z": _micrometres(z, voxel_size[0]),
        "deltaI": above,
        "BG": background,
        "vol": volume,
        "deltaI_total": above * voxels,
        "label": np.arange(1, len(parts) + 1),
        "z": z,
        "y": y,
        "x": x,
        "voxels": voxels,
        "peak_probability": peak,
        "mean_probability": mean,
        "diameter_um": np.cbrt(6 / np.pi * volume),
        "z0": parts.low[:, 0],
        "z1": parts.high[:, 0],
        "y0": parts.low[:, 1],
        "y1": parts.high[:, 1],
        "x0": parts.low[:, 2],
        "x1": parts.high[:, 2],
        "sbr": ratio,
        "pieces": parts.pieces,
        "touches_border": at_edge.any(axis=1),
    }
    return pd.DataFrame(columns, columns=list(COLUMNS))


def _micrometres(centre: NDArray[np.float64], size: float) -> NDArray[np.float64]:
    """Coordinates in µm.

    A centre halfway between two voxels belongs to the even one, as in the original. It is moved there by a
    hundred-millionth of a voxel, or the last bit of ``centre * size / size`` would decide.

    >>> _micrometres(np.array([1.25, 97.5, 98.5]), 2.0).tolist()
    [2.5, 195.00000002, 196.99999998]
    """
    halfway = centre % 1 == 0.5
    return np.where(halfway, centre + 2e-8 * (np.rint(centre) - centre), centre) * size


def filter_cells(
    cells: pd.DataFrame,
    *,
    min_sbr: float | None = None,
    min_intensity: float | None = None,
    min_diameter_um: float | None = None,
) -> pd.DataFrame:
    """The cells that reach every given limit; the rows that stay keep their labels.

    Parameters
    ----------
    cells : DataFrame
        As `CellFinder.find` gives it.
    min_sbr : float, optional
        Least signal-to-background ratio.
    min_intensity : float, optional
        Least intensity above background (deltaI).
    min_diameter_um : float, optional
        Least diameter of the sphere of equal volume, µm.

    Raises
    ------
    SettingError
        If a limit is not a number, or asks for an intensity that the table does not have.
    """
    kept = np.ones(len(cells), bool)
    for name, column, limit in (
        ("min_sbr", "sbr", min_sbr),
        ("min_intensity", "deltaI", min_intensity),
        ("min_diameter_um", "diameter_um", min_diameter_um),
    ):
        if limit is None:
            continue
        if np.isnan(limit):
            raise SettingError("A limit must be a number, not NaN.", where=name)
        if column not in cells.columns or (len(cells) and bool(cells[column].isna().all())):
            raise SettingError(
                f"The table has no values in the column {column}.",
                where=name,
                do="Find the cells with their raw volume.",
            )
        kept &= cells[column].to_numpy() >= limit
    return cells[kept].reset_index(drop=True)
