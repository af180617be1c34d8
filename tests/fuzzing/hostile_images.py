"""Images that attack their reader: bombs, lying headers, circles, links and names that lead elsewhere.

Each is a function that writes one into an empty folder and returns its path; its docstring is a part of what the
command must say (a pattern), or begins with "reads" if it must give a result. The modules that are imported here hold
them, format by format.
"""

from __future__ import annotations

from tests.fuzzing import hostile_hdf5, hostile_npy, hostile_planar, hostile_zarr
from tests.fuzzing.attacks import ATTACKS, SHAPE
from tests.fuzzing.hostile_nifti import nifti

__all__ = ["ATTACKS", "SHAPE", "hostile_hdf5", "hostile_npy", "hostile_planar", "hostile_zarr", "nifti"]
