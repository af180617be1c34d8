"""Cells of a probability volume: found, split, measured, tabulated."""

from ecc_rf.cells.finder import CellFinder
from ecc_rf.cells.table import COLUMNS, filter_cells
from ecc_rf.cells.writing import read_cells, write_cells

__all__ = ["COLUMNS", "CellFinder", "filter_cells", "read_cells", "write_cells"]
