"""The table of cells as a file, written and read: CSV, Parquet, a point list for napari or for cellfinder.

A file appears under its name when it is complete. The same table gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecc_rf.errors import EccError, FormatError, SettingError
from ecc_rf.near import missing_file
from ecc_rf.small_files import check_parquet

if TYPE_CHECKING:
    import pandas as pd

    from ecc_rf.volumes.unfinished import UnfinishedOutput

# Fourteen significant digits: a billionth of a µm in a brain of centimetres, and no noise of the last bits.
_FLOATS = "%.14g"

_NO_PYARROW = "Parquet needs pyarrow, which is not installed."

_SUFFIXES = {".csv": "csv", ".parquet": "parquet", ".xml": "cellfinder"}


def write_cells(cells: pd.DataFrame, path: str | Path, *, format: str | None = None, overwrite: bool = False) -> None:
    """Write a table of cells.

    Parameters
    ----------
    cells : DataFrame
        As `CellFinder.find` gives it.
    path : str or Path
    format : {'csv', 'parquet', 'napari', 'cellfinder'}, optional
        Default by the suffix: ``.csv``, ``.parquet`` (needs pyarrow), ``.xml`` for cellfinder. ``napari`` is the
        CSV of a napari points layer in voxels (z, y, x), with label and deltaI as properties; ``cellfinder`` the
        XML of cellfinder, rounded to voxels. A CSV has a header, commas, newlines as ``\\n``, floats with
        fourteen significant digits; NaN is an empty field.
    overwrite : bool
        Replace a file of that name.

    Raises
    ------
    SettingError
        If the format is unknown, or pyarrow is needed and not installed.
    OutputExistsError
        If there is a file of that name and `overwrite` is False.
    OutputError
        If it cannot be written.
    """
    unfinished_table(cells, path, format=format, overwrite=overwrite).commit()


def table_format(path: str | Path, format: str | None = None) -> str:
    """The format of a table, by its name if none is given.

    Raises
    ------
    SettingError
        If it is not known.
    """
    final = Path(path)
    chosen = format or _SUFFIXES.get(final.suffix.lower(), "")
    if chosen not in _WRITERS:
        raise SettingError(
            f"Cells cannot be written as {format or final.suffix!r}.",
            where=str(path),
            do=f"Name the file .csv, .parquet or .xml, or choose a format: {', '.join(_WRITERS)}.",
        )
    return chosen


def unfinished_table(
    cells: pd.DataFrame, path: str | Path, *, format: str | None = None, overwrite: bool = False
) -> UnfinishedOutput:
    """As `write_cells`, but for the name, which `UnfinishedOutput.commit` gives."""
    from ecc_rf.volumes.base import write_errors
    from ecc_rf.volumes.unfinished import UnfinishedOutput, sync_path

    write = _WRITERS[table_format(path, format)]
    output = UnfinishedOutput(Path(path), str(path), overwrite)
    try:
        with write_errors(str(path)):
            write(cells, output.path)
            sync_path(output.path)
    except BaseException:
        output.discard()
        raise
    return output


def read_cells(path: str | Path) -> pd.DataFrame:
    """Read a table of cells, ``.parquet`` or else CSV; also one that the original ecc wrote.

    Raises
    ------
    MissingFileError
        If there is no such file.
    FormatError
        If it is not a table with the columns X, Y and Z.
    """
    import pandas as pd

    file = Path(path)
    if not file.is_file():
        raise missing_file(path)
    try:
        if file.suffix.lower() == ".parquet":
            check_parquet(file)
            cells = pd.read_parquet(file)
        else:
            cells = pd.read_csv(file)
    except EccError:
        raise
    except ImportError as error:
        raise SettingError(_NO_PYARROW, where=str(path), do="pip install pyarrow, or give a .csv.") from error
    except (OSError, ValueError) as error:  # what pandas and pyarrow raise on a damaged file derives from these
        raise FormatError(f"This is not a table of cells: {error}", where=str(path)) from error
    missing = [name for name in "XYZ" if name not in cells.columns]
    if missing:
        raise FormatError(
            f"This is not a table of cells: there is no column {missing[0]}.",
            where=str(path),
            do="Give a table that was written by this program or by the original ecc.",
        )
    return cells


def _write_csv(cells: pd.DataFrame, path: Path) -> None:
    cells.to_csv(path, index=False, float_format=_FLOATS, lineterminator="\n", encoding="utf-8")


def _write_parquet(cells: pd.DataFrame, path: Path) -> None:
    try:
        cells.to_parquet(path, index=False, engine="pyarrow")
    except ImportError as error:
        raise SettingError(_NO_PYARROW, where=str(path), do="pip install pyarrow, or write .csv.") from error


def _write_napari(cells: pd.DataFrame, path: Path) -> None:
    # the columns by which napari recognises a points layer; what follows becomes properties of the points
    points = cells[["z", "y", "x", "label", "deltaI"]].rename(columns={"z": "axis-0", "y": "axis-1", "x": "axis-2"})
    points.insert(0, "index", np.arange(len(points)))
    _write_csv(points, path)


def _write_cellfinder(cells: pd.DataFrame, path: Path) -> None:
    from xml.etree import ElementTree

    root = ElementTree.Element("CellCounter_Marker_File")
    properties = ElementTree.SubElement(root, "Image_Properties")
    ElementTree.SubElement(properties, "Image_Filename").text = "placeholder.tif"
    data = ElementTree.SubElement(root, "Marker_Data")
    ElementTree.SubElement(data, "Current_Type").text = "1"
    markers = ElementTree.SubElement(data, "Marker_Type")
    ElementTree.SubElement(markers, "Type").text = "2"  # cellfinder's number for a cell; 1 is an unclassified one
    for x, y, z in np.rint(cells[["x", "y", "z"]].to_numpy(np.float64)).astype(np.int64).tolist():
        marker = ElementTree.SubElement(markers, "Marker")
        for name, value in (("MarkerX", x), ("MarkerY", y), ("MarkerZ", z)):
            ElementTree.SubElement(marker, name).text = str(value)
    ElementTree.indent(root)
    ElementTree.ElementTree(root).write(path, encoding="UTF-8", xml_declaration=True)


_WRITERS: dict[str, Callable[[pd.DataFrame, Path], None]] = {
    "csv": _write_csv,
    "parquet": _write_parquet,
    "napari": _write_napari,
    "cellfinder": _write_cellfinder,
}
