"""How much of an image ITK-SNAP is given.

ITK-SNAP loads an image whole, with a segmentation of two bytes per voxel beside it, and rendering needs as much again.
An image that is too large for that is cut, at full resolution, since strokes on a coarser copy would not be of voxels
that the classifier learns from: around the labels that are there, or in the middle, as long in µm along every axis.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecc_rf.blocks import show_memory
from ecc_rf.errors import SettingError
from ecc_rf.itksnap.frame import Frame, Zyx

DEFAULT_LIMIT = 4 * 2**30
_SEGMENTATION = 2  # bytes per voxel
_MOST_VOXELS = 2**31 - 1  # voxels are counted in 32 bits in some of its filters


@dataclass(frozen=True)
class Part:
    """What is exported: a region of the image, and how many voxels are put together in one.

    Attributes
    ----------
    region : tuple of slice
        z, y, x.
    factors : (z, y, x)
    reason : str
        Why this part.
    """

    region: tuple[slice, slice, slice]
    factors: Zyx
    reason: str

    @property
    def shape(self) -> Zyx:
        """Extents z, y, x of what is written."""
        z, y, x = (-(-(s.stop - s.start) // n) for s, n in zip(self.region, self.factors))
        return z, y, x

    def holds(self, voxels: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which voxels (n, 3) lie in the region."""
        starts, stops = ([getattr(s, end) for s in self.region] for end in ("start", "stop"))
        return np.asarray(((voxels >= starts) & (voxels < stops)).all(axis=1))


def choose_part(
    frame: Frame,
    itemsize: int,
    limit: int,
    *,
    region: tuple[slice, slice, slice] | None = None,
    factors: Zyx = (1, 1, 1),
    labelled: NDArray[np.int64] | None = None,
) -> Part:
    """What to export.

    Parameters
    ----------
    frame : Frame
    itemsize : int
        Bytes of a voxel of the image.
    limit : int
        Bytes that ITK-SNAP may take for image and segmentation.
    region : tuple of slice, optional
        z, y, x: what the user wants, whatever its size.
    factors : (z, y, x)
        How many voxels are put together.
    labelled : (n, 3) ndarray, optional
        Labelled voxels z, y, x, around which an image is cut.

    Raises
    ------
    SettingError
        If a factor is larger than the image, or the limit is less than a voxel.
    """
    if any(not 1 <= n <= extent for n, extent in zip(factors, frame.shape)):
        raise SettingError(
            f"downsampling by z, y, x = {factors} of an image of {frame.shape}", "--downsample", "give 1 or more"
        )
    each = itemsize + _SEGMENTATION
    most = min(limit // each, _MOST_VOXELS)
    whole = (slice(0, frame.shape[0]), slice(0, frame.shape[1]), slice(0, frame.shape[2]))
    wanted = Part(region or whole, factors, "")
    voxels = int(np.prod([float(n) for n in wanted.shape]))
    size = f"{show_memory(voxels * each)} in ITK-SNAP, {each} bytes per voxel for image and segmentation"
    told = f"limit {show_memory(limit)}" if limit // each <= _MOST_VOXELS else f"limit {_MOST_VOXELS:,} voxels"
    what = "the region that was asked for" if region else "the whole image"
    if voxels <= most:
        return Part(wanted.region, factors, f"{what} ({size}, {told})")
    if region is not None:
        return Part(region, factors, f"{what}, though it is more than ITK-SNAP may load easily ({size}, {told})")
    if most < 1:
        raise SettingError(f"a limit of {show_memory(limit)} is less than a voxel", "--limit", "give more, such as 4GB")
    extents = _cube(frame, most, factors)
    centre = np.array(frame.shape) / 2 if labelled is None or not len(labelled) else np.median(labelled, axis=0)
    starts = [int(np.clip(round(c - n / 2), 0, whole_n - n)) for c, n, whole_n in zip(centre, extents, frame.shape)]
    z, y, x = (slice(start, start + n) for start, n in zip(starts, extents))
    around = "the middle" if labelled is None or not len(labelled) else "the labels that are there"
    return Part(
        (z, y, x),
        factors,
        f"a crop around {around}, since the whole image would take {size} ({told}); --roi chooses another part,"
        " --limit another limit",
    )


def _cube(frame: Frame, most: int, factors: Zyx) -> Zyx:
    """Extents of the largest crop, as long along every axis as the image allows, in whole factors."""
    sizes = np.array(frame.voxel_size or (1.0, 1.0, 1.0))
    shape, steps = np.array(frame.shape), np.array(factors)

    def extents(edge: float) -> NDArray[np.int64]:
        whole: NDArray[np.int64] = np.maximum((edge / sizes // steps).astype(np.int64), 1) * steps
        return np.asarray(np.minimum(whole, shape))

    low, high = 0.0, float((shape * sizes).max() + sizes.max() * steps.max())
    for _ in range(60):
        middle = (low + high) / 2
        if float(np.prod(-(-extents(middle) // steps), dtype=float)) <= most:
            low = middle
        else:
            high = middle
    z, y, x = (int(n) for n in extents(low))
    return z, y, x
