"""Folders of TIFF files that hold a plane each: a stack along z, in the order of the numbers in their names.

Every file is looked at when the stack is opened, so that a plane that is missing, truncated or of another shape is
found at once. Uncompressed planes are read where a block needs them, others decoded in bands of rows that are kept for
the next block.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray

from ecc_rf.errors import EccError, FormatError, MissingFileError
from ecc_rf.volumes.axes import check_axes
from ecc_rf.volumes.base import BaseVolume, Slices, Source, VoxelSize, check_voxels, damage_reported
from ecc_rf.volumes.chunk_cache import ChunkCache, assemble, bands
from ecc_rf.volumes.tiff import check_complete, series_axes, tiff_voxel_size
from ecc_rf.volumes.tiff_check import check_tiff, guard_decoding


class _Plane(NamedTuple):
    """What one file holds; equal for all files of a stack but for the offset."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]  # as stored
    axes: str
    chunks: tuple[int, ...]
    offset: int | None  # of the voxels, if they are uncompressed in one run


class PlanesVolume(BaseVolume):
    """A stack of files."""

    cache: ChunkCache

    def __init__(
        self, name: str, files: list[Path], planes: list[_Plane], axes: str, voxel_size: VoxelSize | None
    ) -> None:
        first = planes[0]
        super().__init__(
            name,
            (len(files), *first.shape),
            first.dtype,
            axes,
            voxel_size=voxel_size,
            chunks=(1, *bands(axes[1:], first.shape, first.chunks)),
        )
        self._files = files
        self._planes = planes
        self.cache = ChunkCache()

    def _read(self, slices: Slices) -> NDArray[Any]:
        def piece(at: tuple[int, ...], region: Slices) -> NDArray[Any]:
            number = at[0]
            if self._planes[number].offset is not None:
                return self._mapped(number)[np.newaxis, *region[1:]]
            return self.cache.get(at, lambda: self._decode(number, region[1:])[np.newaxis])

        return assemble(slices, self.shape, self.chunks or (), self.dtype, piece)

    def _mapped(self, number: int) -> NDArray[Any]:
        plane = self._planes[number]
        return np.memmap(self._files[number], plane.dtype, "r", plane.offset or 0, plane.shape)

    def _decode(self, number: int, region: Slices) -> NDArray[Any]:
        with tifffile.TiffFile(self._files[number]) as file:
            series = file.series[0]
            guard_decoding(series, str(self._files[number]))
            with series.aszarr(level=0) as store:
                return np.asarray(zarr.open_array(store, mode="r")[region])

    def _chunk_file(self, slices: Slices) -> str:
        return str(self._files[slices[0].start])

    def _release(self) -> None:
        self.cache.clear()


def open_source(source: Source) -> PlanesVolume:
    folder, pattern = (source.path, "*") if source.path.is_dir() else (source.path.parent, source.path.name)
    with damage_reported(source.name):
        files = [
            file
            for file in folder.glob(pattern)
            if file.suffix.lower() in (".tif", ".tiff") and not file.name.startswith(".")
        ]
        if not files:
            raise MissingFileError("no TIFF file matches", source.name, "check the folder and the pattern")
        files = ordered(files, source.name)
        with ThreadPoolExecutor(8) as threads:  # it waits for the disk
            planes = list(threads.map(_describe, files))
        _refuse_mixed(files, planes)
        first = planes[0]
        shape = (len(files), *first.shape)
        check_voxels(source.name, shape, first.dtype)
        axes = check_axes(source.axes or "z" + first.axes, len(shape), source.name)
        voxel_size = source.voxel_size
        if voxel_size is None:
            with tifffile.TiffFile(files[0]) as file:
                voxel_size = tiff_voxel_size(file, axes, "z" + first.axes)
        return PlanesVolume(source.name, files, planes, axes, voxel_size)


def _describe(file: Path) -> _Plane:
    with damage_reported(str(file)):
        check_tiff(file, str(file))
    with damage_reported(str(file)), tifffile.TiffFile(file) as tiff:
        check_complete(tiff, str(file))
        series = tiff.series[0]
        axes = series_axes(series)
        if not set(axes) <= {"y", "x", "c"}:
            raise FormatError(
                f"the file holds a stack of shape {series.shape}, not one plane",
                str(file),
                "open the file itself, or move it out of the folder",
            )
        offset = series.dataoffset if series.keyframe.is_memmappable else None
        with series.aszarr(level=0) as store:
            chunks = zarr.open_array(store, mode="r").chunks if offset is None else series.shape
        dtype = series.dtype.newbyteorder(tiff.byteorder)
        return _Plane(tuple(series.shape), dtype, axes, tuple(chunks), offset)


def _refuse_mixed(files: Sequence[Path], planes: Sequence[_Plane]) -> None:
    first = planes[0]
    for file, plane in zip(files, planes):
        for what, own, expected in (
            ("shape", plane.shape, first.shape),
            ("dtype", plane.dtype.newbyteorder("="), first.dtype.newbyteorder("=")),
            ("axes", plane.axes, first.axes),
        ):
            if own != expected:
                raise FormatError(
                    f"the planes differ: {what} {own}, but {expected} in {files[0].name}",
                    str(file),
                    "move the file out of the folder, or give a pattern that leaves it out",
                )


def ordered(files: Sequence[Path], name: str) -> list[Path]:
    """Files in the order of the number that counts them, which must go up in equal steps.

    Raises
    ------
    FormatError
        If the names differ in more than numbers, none of the numbers tells the files apart, or one is left out.

    >>> [file.name for file in ordered([Path("a10.tif"), Path("a9.tif"), Path("a8.tif")], "a")]
    ['a8.tif', 'a9.tif', 'a10.tif']
    """
    if len(files) == 1:
        return list(files)
    parts = {file: re.split(r"(\d+)", file.name) for file in files}
    texts = {tuple(split[::2]) for split in parts.values()}
    advice = "give a pattern that matches the planes of one stack alone, such as 'folder/*_ch1.tif'"
    if len(texts) > 1:
        first, *others = sorted(files)
        other = next(file for file in others if parts[file][::2] != parts[first][::2])
        raise FormatError(f"the files are of more than one stack: {first.name} and {other.name}", name, advice)
    problem: EccError | None = None
    for field in range(1, len(next(iter(parts.values()))), 2):
        numbers = {int(split[field]): file for file, split in parts.items()}
        if len(numbers) < len(files):
            continue
        counted = sorted(numbers)
        steps = [b - a for a, b in itertools.pairwise(counted)]
        gap = next((i for i, step in enumerate(steps) if step != min(steps)), None)
        if gap is None:
            return [numbers[number] for number in counted]
        problem = problem or FormatError(
            f"plane {counted[gap] + min(steps)} is missing between {numbers[counted[gap]].name}"
            f" and {numbers[counted[gap + 1]].name}",
            name,
            "copy the missing plane, or give a pattern that matches the planes before or after it",
        )
    raise problem or FormatError("no number in the names counts the planes", name, advice)
