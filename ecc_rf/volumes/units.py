"""Lengths in micrometres."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ecc_rf.volumes.base import VoxelSize

_PREFIXES = {"": 1e6, "deci": 1e5, "centi": 1e4, "milli": 1e3, "micro": 1.0, "nano": 1e-3, "pico": 1e-6}
_MICROMETRES = {
    **{prefix + metre: factor for prefix, factor in _PREFIXES.items() for metre in ("meter", "metre")},
    **{"m": 1e6, "cm": 1e4, "mm": 1e3, "um": 1.0, "nm": 1e-3, "pm": 1e-6},
    **{"micron": 1.0, "microns": 1.0, "angstrom": 1e-4, "inch": 25400.0},
}


def micrometres(value: float, unit: str) -> float | None:
    """A length in µm; None if the unit is no length that we know or the value is no size.

    >>> micrometres(5, "µm"), micrometres(200, "nanometer"), micrometres(1, "pixel")
    (5.0, 0.2, None)
    """
    # the two code points that look like a small mu, and the escape that ImageJ writes for it
    unit = unit.strip().replace("\\u00B5", "u").replace("\N{MICRO SIGN}", "u").replace("\N{GREEK SMALL LETTER MU}", "u")
    factor = _MICROMETRES.get(unit.lower())
    if factor is None or not math.isfinite(value) or value <= 0:
        return None
    return float(value) * factor


def voxel_size_from(
    axes: str, stored_axes: str, sizes: Mapping[str, float], units: Mapping[str, str]
) -> VoxelSize | None:
    """(z, y, x) in µm from one size and unit per axis; None unless all are known.

    An axis that the image does not have counts 1 µm, so that a flat image keeps its pixel size.

    Parameters
    ----------
    axes : str
        What the axes are taken to be.
    stored_axes : str
        What the file calls them, one for one; the letters of `sizes` and `units`.

    >>> voxel_size_from("yx", "yx", {"y": 2, "x": 3}, {"y": "µm", "x": "µm"})
    (1.0, 2.0, 3.0)
    >>> voxel_size_from("xyz", "zyx", {"z": 4, "y": 2, "x": 3}, {"z": "um", "y": "um", "x": "um"})
    (3.0, 2.0, 4.0)
    """
    known = {
        axis: micrometres(float(sizes.get(stored, 0)), str(units.get(stored, "")))
        for axis, stored in zip(axes, stored_axes)
    }
    z, y, x = (known.get(axis, 1.0) for axis in "zyx")
    return None if z is None or y is None or x is None else (z, y, x)
