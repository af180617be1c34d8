"""Where the voxels of a label file lie in the image that they annotate.

A NIfTI file says so by its affine: a crop has another origin, a coarser copy larger voxels, a reoriented file other
directions. ITK-SNAP passes on the affine of the image that it was given. What the affine says is believed if all voxels
of the file then are voxels of the image; without an affine, or with one that belongs elsewhere, a file must have the
image's extents, or its place must be given.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecc_rf.errors import ShapeError
from ecc_rf.itksnap.frame import Frame, Zyx

_SAME = 0.01  # voxel sizes that differ by less are the same: they are typed in, rounded, and kept in float32
_ON_VOXEL = 0.25  # of a voxel: an origin is kept in float32, and converted between units on the way
_FORGOTTEN = (
    "the origin is taken to be in µm: ITK before 5.4 converts the voxel size of such images, and not the origin"
)
_STRAIGHT = 0.02  # of a direction: files hold quaternions and matrices in float32


@dataclass(frozen=True)
class Placement:
    """Where the voxels of a file go. Everything is in the order z, y, x.

    Attributes
    ----------
    start : tuple of int
        First voxel of the image that the file covers.
    order : tuple of int
        Which axis of the file is the image's z, y and x.
    flipped : tuple of bool
        Which axes of the image run the other way in the file.
    scale : tuple of int
        How many voxels of the image a voxel of the file covers.
    notes : tuple of str
        What the user should know.
    """

    start: Zyx
    order: Zyx = (0, 1, 2)
    flipped: tuple[bool, bool, bool] = (False, False, False)
    scale: Zyx = (1, 1, 1)
    notes: tuple[str, ...] = ()

    def covered(self, file_shape: Zyx, image_shape: Zyx) -> tuple[slice, slice, slice]:
        """The part of the image that the file covers."""
        stops = (self.start[i] + self.scale[i] * file_shape[self.order[i]] for i in range(3))
        z, y, x = (slice(start, min(stop, n)) for start, stop, n in zip(self.start, stops, image_shape))
        return z, y, x

    def apply(
        self, voxels: NDArray[np.int64], file_shape: Zyx, image_shape: Zyx
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Voxels of the image for voxels (n, 3) of the file, and for each the row that it comes from.

        >>> Placement((0, 0, 10), scale=(1, 1, 2)).apply(np.array([[0, 3, 1]]), (1, 5, 5), (1, 5, 20))[0].tolist()
        [[0, 3, 12], [0, 3, 13]]
        """
        columns = []
        for start, source, flipped, scale in zip(self.start, self.order, self.flipped, self.scale):
            column = voxels[:, source]
            columns.append(start + scale * (file_shape[source] - 1 - column if flipped else column))
        corners = np.stack(columns, axis=1)
        steps = np.array(list(itertools.product(*(range(n) for n in self.scale))), np.int64)
        all_voxels = (corners[:, None] + steps).reshape(-1, 3)
        rows = np.repeat(np.arange(len(voxels)), len(steps))
        inside = (all_voxels < image_shape).all(axis=1)  # the last voxels of a coarser copy may reach beyond the image
        return all_voxels[inside], rows[inside]


def place_by_transforms(
    transforms: Mapping[str, NDArray[np.float64]], file_shape: Zyx, axes: str, frame: Frame, name: str
) -> Placement:
    """The place of a file that has one or two affines.

    Parameters
    ----------
    transforms : mapping of str to (4, 4) ndarray
        From voxel x, y, z to the world in mm, by name.
    file_shape : (z, y, x)
    axes : str
        Of the file, for the hint.
    frame : Frame
        Of the image.
    name : str
        The file, for messages.

    Raises
    ------
    ShapeError
        If no affine puts all voxels on voxels of the image, or two disagree.
    """
    found: dict[str, Placement] = {}
    reasons = []
    for kind, affine in transforms.items():
        place = _place(affine, file_shape, frame)
        if isinstance(place, Placement):
            found[kind] = place
        else:
            reasons.append(f"{kind}: {place}")
    places = list(found.values())
    if not places:
        hint = likely_axes(file_shape, axes, frame.shape)
        raise ShapeError(
            f"labels of extents z, y, x = {file_shape} for an image of {frame.shape}; " + "; ".join(reasons),
            f"{name}, {frame.name}",
            f"its axes look like {hint}: --axes {hint}"
            if hint and file_shape != frame.shape
            else "say where the labels lie, --offset Z,Y,X, or take the voxels as they are stored, --ignore-affine",
        )
    if len({(place.start, place.order, place.flipped, place.scale) for place in places}) > 1:
        raise ShapeError(
            "the two affines of the file, sform and qform, put the labels at different places: "
            + ", ".join(f"{kind} at z, y, x = {p.start}{_direction(p)}" for kind, p in found.items()),
            f"{name}, {frame.name}",
            "give the place, --offset Z,Y,X, or take the voxels as they are stored, --ignore-affine",
        )
    return places[0]


def place_as_stored(file_shape: Zyx, axes: str, frame: Frame, name: str, offset: Zyx | None = None) -> Placement:
    """The place of a file whose voxels run as the image's do.

    Parameters
    ----------
    file_shape : (z, y, x)
    axes : str
        Of the file, for the hint.
    frame : Frame
    name : str
    offset : (z, y, x), optional
        The first voxel; without it the file must have the image's extents.

    Raises
    ------
    ShapeError
        If the file does not fit; the message tells which axes would.
    """
    where = f"{name}, {frame.name}"
    if offset is None and file_shape != frame.shape:
        hint = likely_axes(file_shape, axes, frame.shape)
        do = (
            f"its axes look like {hint}: --axes {hint}"
            if hint
            else "say where the labels lie: --offset Z,Y,X"
            if all(n <= m for n, m in zip(file_shape, frame.shape))
            else "give the labels of this image"
        )
        raise ShapeError(f"labels of extents z, y, x = {file_shape} for an image of {frame.shape}", where, do)
    start = offset or (0, 0, 0)
    if any(at < 0 or at + n > whole for at, n, whole in zip(start, file_shape, frame.shape)):
        raise ShapeError(
            f"labels of extents z, y, x = {file_shape} at {start} reach out of the image of {frame.shape}",
            where,
            "give another --offset Z,Y,X",
        )
    return Placement(start)


def likely_axes(file_shape: Zyx, axes: str, image_shape: Zyx) -> str:
    """Axis letters by which a file would have the image's extents; empty if there are none.

    >>> likely_axes((30, 20, 10), "zyx", (10, 20, 30)), likely_axes((9, 9, 9), "zyx", (10, 20, 30))
    ('xyz', '')
    """
    for order in itertools.permutations(range(3)):
        if tuple(file_shape[source] for source in order) == image_shape:
            renamed = {"zyx"[source]: letter for source, letter in zip(order, "zyx")}
            return "".join(renamed.get(axis, axis) for axis in axes)
    return ""


def _place(affine: NDArray[np.float64], file_shape: Zyx, frame: Frame) -> Placement | str:
    """The place by one affine, or why there is none."""
    own = frame.affine[:3, :3] / np.linalg.norm(frame.affine[:3, :3], axis=0)
    references = [(own, frame.affine[:3, 3], "")]
    if not frame.own:
        remark = "the affine is that of a file made without orientation: the voxels are taken as they are stored"
        references.append((np.eye(3), np.zeros(3), remark))
    reasons = []
    for directions, origin, remark in references:
        place = _relative(affine, directions, origin, file_shape, frame)
        if isinstance(place, Placement):
            notes = (remark, *place.notes) if remark else place.notes
            return Placement(place.start, place.order, place.flipped, place.scale, notes)
        reasons.append(place)
    return reasons[0]


def _relative(
    affine: NDArray[np.float64],
    directions: NDArray[np.float64],
    origin: NDArray[np.float64],
    file_shape: Zyx,
    frame: Frame,
) -> Placement | str:
    """The place in an image whose axes x, y, z run along `directions` from `origin`."""
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    turn = directions.T @ (affine[:3, :3] / sizes)
    whole = np.rint(turn)
    if np.abs(turn - whole).max() > _STRAIGHT or not (np.abs(whole).sum(axis=0) == 1).all():
        return "its axes run obliquely to the image's"
    sources = np.abs(whole).argmax(axis=1)  # the file's axis for each of the image's, x, y, z
    flipped = whole[range(3), sources] < 0
    counts, extents = np.array(file_shape)[::-1][sources], np.array(frame.shape)[::-1]
    fitted = _scales(sizes[sources], frame, counts, extents)
    if isinstance(fitted, str):
        return fitted
    size, scale, notes = fitted
    reason = ""
    for unit, remark in ((1.0, ""), (1e-3, _FORGOTTEN)):
        at = directions.T @ (affine[:3, 3] * unit - origin) / size
        first = np.where(flipped, at - scale * (counts - 1), at) - (scale - 1) / 2
        start = np.rint(first).astype(int)
        # a thousandth of any small offset is nearly 0: the second reading must be exact but for float32
        tolerance = 4e-4 + 2.5e-7 * np.abs(first) if remark else _ON_VOXEL
        if (np.abs(first - start) > tolerance).any():
            reason = reason or f"its voxels lie between the image's: it begins at {_rounded(first)}"
        elif (start < 0).any() or (start + scale * counts > extents + scale - 1).any():
            reason = reason or f"it would begin at z, y, x = {_zyx(start)} and reach out of the image"
        else:
            notes += (
                [f"the labels begin at z, y, x = {_zyx(start)} of the image"]
                if (scale * counts < extents).any()
                else []
            )
            order = tuple(2 - int(source) for source in sources[::-1])
            place = Placement(_zyx(start), order, tuple(map(bool, flipped[::-1])), _zyx(scale))  # type: ignore[arg-type]
            notes += [f"the affine turns the labels:{_direction(place)}"] if _direction(place) else []
            if (scale > 1).any():
                notes += [f"a voxel of the labels covers z, y, x = {_zyx(scale)} of the image, which all get its label"]
            return Placement(place.start, place.order, place.flipped, place.scale, tuple(notes))
    return reason


def _scales(
    sizes: NDArray[np.float64], frame: Frame, counts: NDArray[np.int64], extents: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64], list[str]] | str:
    """Size of the image's voxels in the file's units, and how many of them a voxel of the file covers; x, y, z."""
    one = np.ones(3, np.int64)
    if frame.voxel_size is None and not frame.own:
        return sizes, one, []
    expected = np.linalg.norm(frame.affine[:3, :3], axis=0)
    ratio = sizes / expected
    for power in (0, 3, -3, 6, -6):
        if np.abs(ratio / 10.0**power - 1).max() < _SAME:
            notes = [f"the voxel sizes differ by a factor of 10^{power}: another unit is meant"] if power else []
            return expected * 10.0**power, one, notes
    whole = np.maximum(np.rint(ratio), 1).astype(np.int64)
    if np.abs(ratio / whole - 1).max() < _SAME and (whole * counts <= extents + whole - 1).all():
        return expected, whole, []
    told = f"voxels of z, y, x = {_rounded(sizes * 1e3)} µm, the image's are {_rounded(expected * 1e3)} µm"
    if (counts == extents).all():
        return sizes, one, [f"the labels have {told}; their extents are the image's, and they are taken voxel by voxel"]
    return f"it has {told}"


def _direction(place: Placement) -> str:
    swapped = "" if place.order == (0, 1, 2) else " axes z, y, x are " + ", ".join("zyx"[i] for i in place.order)
    flips = [axis for axis, flipped in zip("zyx", place.flipped) if flipped]
    return swapped + (f" {', '.join(flips)} flipped" if flips else "")


def _zyx(values: NDArray[np.int64]) -> Zyx:
    x, y, z = (int(value) for value in values)
    return z, y, x


def _rounded(values: Sequence[float] | NDArray[np.float64]) -> str:
    return ", ".join(f"{value:.4g}" for value in reversed([float(v) for v in values]))
