"""Cells of a probability volume: found, measured, tabulated."""

from ecc_rf.cells.finder import CellFinder
from ecc_rf.cells.table import COLUMNS, filter_cells
from ecc_rf.cells.writing import write_cells

__all__ = ["COLUMNS", "CellFinder", "filter_cells", "write_cells"]
