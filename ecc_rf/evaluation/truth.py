"""What a person marked as cells: masks of voxels, or lists of points."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.blocks import Grid
from ecc_rf.cells.cache import BrickCache
from ecc_rf.cells.components import Foreground, find_objects
from ecc_rf.cells.inputs import Channel, ProbabilityScale
from ecc_rf.cells.measure import centres
from ecc_rf.cells.passes import Resources
from ecc_rf.errors import EccError, FormatError, SettingError
from ecc_rf.near import missing_file
from ecc_rf.small_files import check_parquet, check_size

if TYPE_CHECKING:
    import pandas as pd

    from ecc_rf.volumes import Volume

VoxelSize = tuple[float, float, float]

_POINT_LISTS = (".csv", ".parquet", ".xml")
_BLOCK = (64, 256, 256)  # of a mask: what is held at once, whatever its size


@dataclass(frozen=True)
class Truth:
    """The true cells of a volume.

    Attributes
    ----------
    name : str
        As the user knows it.
    centres : ndarray of float64, shape (n, 3)
        z, y, x in voxels.
    mask : path, Volume or ndarray, optional
        Voxels of the cells are not 0; cells are what hangs together by faces, edges or corners.
    """

    name: str
    centres: NDArray[np.float64]
    mask: str | Path | Volume | NDArray[Any] | None = None

    @classmethod
    def from_mask(cls, mask: str | Path | Volume | NDArray[Any], name: str | None = None) -> Truth:
        """The cells of a mask, found block by block.

        Raises
        ------
        EccError
            If the mask cannot be read, has several channels or time points.
        """
        with _Labelled(mask) as labelled:
            return cls(name or labelled.name, centres(labelled.objects.parts), mask)

    def cell_at(self, points: NDArray[np.float64]) -> NDArray[np.int64] | None:
        """The cell, from 0, in whose mask each point's voxel lies, -1 for none; None without a mask.

        Points are rounded to voxels, halves to even; outside of the volume the nearest voxel counts.
        """
        if self.mask is None:
            return None
        with _Labelled(self.mask) as labelled:
            return labelled.at(points)


class _NotZero(Channel):
    """What is marked, whatever the number."""

    def __init__(self, mask: str | Path | Volume | NDArray[Any]) -> None:
        super().__init__(mask, "truth")
        self.dtype = np.dtype(bool)

    def __getitem__(self, box: tuple[slice, ...]) -> NDArray[Any]:
        return np.asarray(super().__getitem__(box), bool)


class _Labelled:
    """The objects of a mask, found block by block."""

    def __init__(self, mask: str | Path | Volume | NDArray[Any]) -> None:
        self._channel = _NotZero(mask)
        self.name = self._channel.name
        self._grid = Grid(self._channel.shape, tuple(min(b, n) for b, n in zip(_BLOCK, self._channel.shape)))
        boolean = ProbabilityScale(0.0, 1.0, np.dtype(bool))
        self._marked = Foreground(self._channel, None, None, boolean, 0.5, connectivity=26, min_volume=0)
        self.objects = find_objects(self._marked, Resources(self._grid, BrickCache(0)))

    def at(self, points: NDArray[np.float64]) -> NDArray[np.int64]:
        """The object of each point's voxel, -1 for none."""
        shape = self._channel.shape
        voxels = np.clip(np.rint(points).astype(np.int64), 0, np.array(shape) - 1)
        index = np.ravel_multi_index(tuple(voxels.T), shape)
        owner = np.ravel_multi_index(tuple((voxels // np.array(self._grid.block_shape)).T), self._grid.counts)
        found = np.full(len(points), -1, np.int64)
        for number in np.unique(owner).tolist():
            here = np.flatnonzero(owner == number)
            marked = self._marked.objects(self._grid[number], lambda channel, box: channel[box]).voxels
            place = np.searchsorted(marked.index, index[here])
            known = place < marked.index.size
            known[known] = marked.index[place[known]] == index[here[known]]
            found[here[known]] = self.objects.of_voxels(number, marked)[place[known]]
        return found

    def __enter__(self) -> _Labelled:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()


def read_truth(path: str | Path, voxel_size: VoxelSize | None) -> Truth:
    """Cells that a person marked.

    Parameters
    ----------
    path : str or Path
        A volume in which the voxels of cells are not 0, or a list of points: ``.csv`` or ``.parquet`` with columns
        z, y, x in voxels or X, Y, Z in µm (or a points layer of napari), ``.xml`` of cellfinder.
    voxel_size : (z, y, x) in µm, optional
        Needed for points in µm.

    Raises
    ------
    MissingFileError, FormatError, SettingError
        If there is no such file, it holds no positions, or the voxel size is needed and not known.
    """
    if is_point_list(path):
        return Truth(str(path), positions(read_points(Path(path)), voxel_size, str(path)))
    return Truth.from_mask(path)


def is_point_list(path: str | Path) -> bool:
    """Whether a path is that of a list of points, by its suffix."""
    return Path(path).suffix.lower() in _POINT_LISTS


def read_points(file: Path) -> pd.DataFrame:
    """A list of points as a table, whichever columns it has.

    Raises
    ------
    MissingFileError, FormatError
    """
    import pandas as pd

    if not file.is_file():
        raise missing_file(file)
    try:
        if file.suffix.lower() == ".xml":
            return _read_cellfinder(file)
        if file.suffix.lower() == ".parquet":
            check_parquet(file)
            return pd.read_parquet(file)
        return pd.read_csv(file)
    except EccError:
        raise
    except (OSError, ValueError, SyntaxError, RecursionError) as error:  # a damaged XML is a SyntaxError
        raise FormatError(f"This is no list of points: {error}", where=str(file)) from error


_LARGEST_XML = 1 << 30  # bytes; a brain of a million cells has 200 MB


def _read_cellfinder(file: Path) -> pd.DataFrame:
    """Markers of type 2 (cells) of cellfinder's XML; of type 1 (no cells) none."""
    from xml.etree import ElementTree

    import pandas as pd

    check_size(file, _LARGEST_XML)
    if b"<!ENTITY" in file.read_bytes():  # with which a short text claims a long one
        raise FormatError("The list defines entities.", where=str(file), do="Save it anew.")
    rows = []
    for kind in ElementTree.parse(file).getroot().iter("Marker_Type"):
        if (kind.findtext("Type") or "").strip() == "1":
            continue
        for marker in kind.iter("Marker"):
            rows.append([float(marker.findtext(f"Marker{axis}") or "nan") for axis in "ZYX"])
    return pd.DataFrame(rows, columns=["z", "y", "x"], dtype=float)


def positions(table: pd.DataFrame, voxel_size: VoxelSize | None, name: str) -> NDArray[np.float64]:
    """Positions of a table's rows in voxels, shape (n, 3), zyx.

    Raises
    ------
    FormatError
        If the columns are not there, or hold something else than numbers.
    SettingError
        If they are in µm and the voxel size is not known.
    """
    for columns in (["z", "y", "x"], ["axis-0", "axis-1", "axis-2"], ["Z", "Y", "X"]):
        if not set(columns) <= set(table.columns):
            continue
        try:
            found = table[columns].to_numpy(np.float64)
        except ValueError as error:
            raise FormatError(f"A position is no number: {error}", where=name) from error
        if not np.isfinite(found).all():
            raise FormatError("A position is missing.", where=name, do="Give every point its three coordinates.")
        if columns[0] != "Z":
            return found
        if voxel_size is None:
            raise SettingError(
                "The points are in µm, and the voxel size is not known.", where=name, do="Give --voxel-size Z,Y,X."
            )
        return np.asarray(found / np.array(voxel_size))
    raise FormatError(
        f"There are no positions; the columns are {', '.join(map(str, table.columns))}.",
        where=name,
        do="Name the columns z, y, x for voxels or Z, Y, X for µm.",
    )
