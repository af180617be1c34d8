"""Crops of image and labels for ITK-SNAP, that lie where they were cut: strokes drawn in them find their way back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecc_rf.cells.inputs import Channel
from ecc_rf.errors import SettingError
from ecc_rf.ilp import IlastikProject
from ecc_rf.itksnap import ExportSettings, export_labels
from ecc_rf.itksnap.exporting import stored_type
from ecc_rf.itksnap.frame import image_frame, lane_frame
from ecc_rf.suggesting.places import Place
from ecc_rf.volumes import open_volume
from ecc_rf.volumes.base import VoxelSize, write_errors
from ecc_rf.volumes.nifti import write_planes
from ecc_rf.volumes.paths import split_path
from ecc_rf.volumes.unfinished import UnfinishedOutput

Box = tuple[slice, slice, slice]


def lanes_of(project: IlastikProject, images: Sequence[str | Path]) -> list[int]:
    """The lane of each image.

    Raises
    ------
    SettingError
        If an image is none of the project's.
    """
    at = {}
    for lane in project.lanes:
        path = lane.location.path
        if path is not None:
            at[split_path(path).file.resolve()] = lane.index
    lanes = []
    for image in images:
        lane_index = at.get(split_path(image).file.resolve())
        if lane_index is None:
            raise SettingError(
                "This image is not one of the project's.",
                where=str(image),
                do="Leave --project out, or give the project whose lanes the images are.",
            )
        lanes.append(lane_index)
    return lanes


def stroke_voxels(project: IlastikProject, lane: int) -> NDArray[np.int64]:
    """The labelled voxels of a lane, shape (n, 3), zyx."""
    labels = project.labels(lane)
    return lane_frame(project.lane(lane)).from_internal(labels.coords, labels.axes)[:, 1:]


def write_crops(
    places: Sequence[Place],
    raws: Sequence[str | Path],
    sizes: Sequence[VoxelSize],
    folder: Path,
    *,
    width_um: float,
    project: IlastikProject | None,
    lanes: Sequence[int] | None,
    channel: int | None,
    overwrite: bool,
) -> pd.DataFrame:
    """Write image and labels of every place; with a project the labels are its strokes, otherwise there are none.

    Returns
    -------
    DataFrame
        A row per place: lane, names of the files, first voxels and those after the last.
    """
    rows = []
    for number, place in enumerate(places, start=1):
        image, labels = (folder / f"place_{number:02d}_{what}.nii.gz" for what in ("image", "labels"))
        lane = None if lanes is None else lanes[place.volume]
        raw = raws[place.volume]
        with open_volume(raw) as volume:
            extents = dict(zip(volume.axes, volume.shape))
            frame = image_frame(volume, raw)
        box = crop_box(place, sizes[place.volume], (extents.get("z", 1), extents["y"], extents["x"]), width_um)
        if project is not None and lane is not None:
            roi = {axis: (s.start, s.stop) for axis, s in zip("zyx", box)}
            export_labels(
                project,
                lane,
                labels,
                image_output=image,
                names_output=folder / "names.txt" if number == 1 else None,
                settings=ExportSettings(roi, channel=None if channel is None else channel - 1),
                overwrite=overwrite,
            )
        else:
            affine = frame.affine.copy()
            affine[:3, 3] += affine[:3, :3] @ np.array([s.start for s in box[::-1]], float)
            one = Channel(raw, "raw", None if channel is None else channel - 1)
            try:
                voxels = one[box]
            finally:
                one.close()
            voxels = voxels.astype(stored_type(voxels.dtype, []), copy=False)
            sized = frame.voxel_size is not None or frame.own
            _write(image, voxels, affine, sized=sized, overwrite=overwrite)
            _write(labels, np.zeros(voxels.shape, np.uint8), affine, sized=sized, overwrite=overwrite)
        bounds = {f"{axis}{end}": value for axis, s in zip("zyx", box) for end, value in enumerate((s.start, s.stop))}
        rows.append({"lane": "" if lane is None else lane, "image": image.name, "labels": labels.name, **bounds})
    return pd.DataFrame(
        rows, columns=["lane", "image", "labels", *(f"{axis}{end}" for axis in "zyx" for end in (0, 1))]
    )


def crop_box(place: Place, size: VoxelSize, shape: tuple[int, int, int], width_um: float) -> Box:
    """The part of the image around a place, moved so that it lies inside.

    >>> from ecc_rf.suggesting.places import Points
    >>> nothing = Points(np.empty((0, 3)), (), np.empty(0), np.empty((0, 0)))
    >>> crop_box(Place(0, (1, 50, 99), 1.0, nothing), (5.0, 2.0, 2.0), (40, 100, 100), 40.0)
    (slice(0, 9, None), slice(40, 61, None), slice(79, 100, None))
    """
    parts = []
    for at, extent, n in zip(place.centre, size, shape):
        half = int(np.ceil(width_um / 2 / extent))
        start = min(max(at - half, 0), max(0, n - 2 * half - 1))
        parts.append(slice(start, min(start + 2 * half + 1, n)))
    z, y, x = parts
    return z, y, x


def _write(
    path: Path, voxels: NDArray[np.generic], affine: NDArray[np.float64], *, sized: bool, overwrite: bool
) -> None:
    target = UnfinishedOutput(path, str(path), overwrite)
    try:
        with write_errors(str(path)):
            z, y, x = voxels.shape
            write_planes(
                target.path, (z, y, x), voxels.dtype, affine, [voxels], sized=sized, compressed=True, name=str(path)
            )
    except BaseException:
        target.discard()
        raise
    target.commit()
