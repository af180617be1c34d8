"""The table as a file."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from ecc_rf.cells import COLUMNS, CellFinder, read_cells, write_cells
from ecc_rf.errors import FormatError, MissingFileError, OutputError, OutputExistsError, SettingError


@pytest.fixture(scope="module")
def cells() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    probability = rng.random((10, 11, 12)).astype(np.float32)
    return CellFinder(threshold=0.6).find(probability, (probability * 900).astype(np.uint16), voxel_size=(6, 1.62, 1))


def test_csv_comes_back(cells: pd.DataFrame, tmp_path: Path) -> None:
    write_cells(cells, tmp_path / "cells.csv")
    text = (tmp_path / "cells.csv").read_bytes()
    assert text.startswith(b"X,Y,Z,deltaI,BG,vol,deltaI_total,label,z,y,x,")
    assert b"\r" not in text
    back = read_cells(tmp_path / "cells.csv")
    assert tuple(back.columns) == COLUMNS
    assert back.dtypes.equals(cells.dtypes)
    pd.testing.assert_frame_equal(back, cells, check_exact=False, rtol=1e-13, atol=0)
    assert not list(tmp_path.glob("*unfinished*"))


def test_readable_as_the_originals(cells: pd.DataFrame, tmp_path: Path) -> None:
    """The original's scripts read with numpy or csv, by column name or by position."""
    write_cells(cells, tmp_path / "cells.csv")
    table = np.genfromtxt(tmp_path / "cells.csv", delimiter=",", names=True)
    assert table.dtype.names[:7] == ("X", "Y", "Z", "deltaI", "BG", "vol", "deltaI_total")
    np.testing.assert_array_equal(np.rint(table["Y"] / 1.62), np.rint(cells["y"]))


def test_an_empty_table_has_its_header(cells: pd.DataFrame, tmp_path: Path) -> None:
    write_cells(cells.iloc[:0], tmp_path / "cells.csv")
    assert (tmp_path / "cells.csv").read_text() == ",".join(COLUMNS) + "\n"


def test_parquet(cells: pd.DataFrame, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="needs pyarrow")
    write_cells(cells, tmp_path / "cells.parquet")
    pd.testing.assert_frame_equal(read_cells(tmp_path / "cells.parquet"), cells)


def test_parquet_without_pyarrow(cells: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(SettingError, match="needs pyarrow"):
        write_cells(cells, tmp_path / "cells.parquet")
    assert not list(tmp_path.iterdir())
    (tmp_path / "cells.parquet").touch()
    with pytest.raises(SettingError, match="needs pyarrow"):
        read_cells(tmp_path / "cells.parquet")


def test_napari(cells: pd.DataFrame, tmp_path: Path) -> None:
    write_cells(cells, tmp_path / "points.csv", format="napari")
    points = pd.read_csv(tmp_path / "points.csv")
    assert list(points.columns) == ["index", "axis-0", "axis-1", "axis-2", "label", "deltaI"]
    np.testing.assert_allclose(points[["axis-0", "axis-1", "axis-2"]], cells[["z", "y", "x"]], rtol=1e-13)


def test_cellfinder(cells: pd.DataFrame, tmp_path: Path) -> None:
    write_cells(cells, tmp_path / "cells.xml")
    markers = ElementTree.parse(tmp_path / "cells.xml").getroot().findall("Marker_Data/Marker_Type")
    assert [marker.findtext("Type") for marker in markers] == ["2"]
    found = [[int(m.findtext(f"Marker{a}") or -1) for a in "ZYX"] for m in markers[0].findall("Marker")]
    assert found == np.rint(cells[["z", "y", "x"]]).astype(int).values.tolist()


def test_a_file_is_not_replaced_unasked(cells: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "cells.csv"
    path.write_text("mine")
    with pytest.raises(OutputExistsError):
        write_cells(cells, path)
    assert path.read_text() == "mine"
    write_cells(cells, path, overwrite=True)
    assert len(path.read_text().splitlines()) == len(cells) + 1


def test_what_cannot_be_written(cells: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        write_cells(cells, tmp_path / "file" / "cells.csv")
    for arguments in ({"path": tmp_path / "cells.ods"}, {"path": tmp_path / "cells.csv", "format": "excel"}):
        with pytest.raises(SettingError, match="cannot be written as"):
            write_cells(cells, **arguments)


def test_half_a_file_is_removed(cells: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        write_cells(cells.drop(columns="deltaI"), tmp_path / "points.csv", format="napari")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "X,Y\n1,2\n", 'X,Y,Z\n1,2,"3\n', "\x00\x01"])
def test_what_is_no_table_of_cells(tmp_path: Path, content: str) -> None:
    (tmp_path / "cells.csv").write_text(content)
    with pytest.raises(FormatError, match="not a table of cells"):
        read_cells(tmp_path / "cells.csv")


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError):
        read_cells(tmp_path / "cells.csv")
