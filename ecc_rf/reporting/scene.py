"""Where a report's figures are: extents, voxel size, and the units in which they are shown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

VoxelSize = tuple[float, float, float]

_MM_FROM = 2000.0  # µm: longer extents are shown in mm


@dataclass(frozen=True)
class Scene:
    """The image of a report.

    Attributes
    ----------
    shape : (z, y, x)
        Voxels.
    voxel_size : (z, y, x)
        µm; 1 where it is not known.
    known : bool
        Whether the voxel size is known. Otherwise lengths are voxels.
    flat : bool
        Whether the image is a plane, without depth.
    masked : float
        Share of the voxels that a mask excluded.
    """

    shape: tuple[int, int, int]
    voxel_size: VoxelSize
    known: bool = True
    flat: bool = False
    masked: float = 0.0

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Scene:
        """From what ``run.json`` holds."""
        image = record["image"]
        extents = dict(zip(image["axes"], image["shape"]))
        z, y, x = (int(extents.get(axis, 1)) for axis in "zyx")
        sizes = [float(size) for size in record["voxel_size_um_zyx"]]
        given = record.get("settings", {}).get("run", {}).get("voxel_size")
        known = image.get("voxel_size_um_zyx") is not None or given is not None
        masked = float(record.get("masked_share") or 0.0)
        return cls((z, y, x), (sizes[0], sizes[1], sizes[2]), known, z == 1, masked)

    @property
    def extents(self) -> VoxelSize:
        """Extents z, y, x in µm (in voxels where the size is not known)."""
        z, y, x = (n * size for n, size in zip(self.shape, self.voxel_size))
        return z, y, x

    @property
    def unit(self) -> str:
        """Of figures' axes: µm or mm, whichever reads better, or voxels."""
        if not self.known:
            return "voxels"
        return "mm" if max(self.extents[1:] if self.flat else self.extents) > _MM_FROM else "µm"

    @property
    def factor(self) -> float:
        """µm times this are in `unit`."""
        return 1e-3 if self.unit == "mm" else 1.0

    @property
    def examined(self) -> tuple[float, str]:
        """How much was looked at, without what a mask excluded: mm³, of a plane mm²; million voxels, if not known."""
        share = 1 - self.masked
        if not self.known:
            return math.prod(self.shape) * share / 1e6, "million voxels"
        if self.flat:
            return self.extents[1] * self.extents[2] * share / 1e6, "mm²"
        return math.prod(self.extents) * share / 1e9, "mm³"

    def density(self, cells: int) -> float | None:
        """Cells per unit of `examined`; None if nothing was."""
        amount, _ = self.examined
        return cells / amount if amount > 0 else None


def show(value: float | None, digits: int = 3) -> str:
    """A number as people read it, with so many digits that count.

    >>> show(1234567.8), show(0.00123456), show(12.0), show(None), show(float("nan"))
    ('1,234,568', '0.00123', '12', '-', '-')
    """
    if value is None or not math.isfinite(value):
        return "-"
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    if value and abs(value) < 1e-4:
        return f"{value:.{digits - 1}e}"
    decimals = digits - 1 - math.floor(math.log10(abs(value))) if value else 0
    text = f"{value:.{max(0, decimals)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
