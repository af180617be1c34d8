"""TIFF: pages, stacks, ImageJ and OME-TIFF.

An uncompressed stack is mapped into memory, otherwise only the strips or tiles of a block are decoded, and kept for the
next block; the first image (series) of the file is meant. Folders of planes are read by `tiff_planes`.

Written is uncompressed OME-TIFF, BigTIFF beyond 4 GB: axes in the order t, z, c, y, x, with voxel size in µm; other
axes are handed out in their order only as long as the volume is being written. Readers drop axes of extent 1. The data
range and attributes are not kept.
"""

from __future__ import annotations

import struct
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray

from ecc_rf.errors import AxesError, FormatError
from ecc_rf.volumes.array import ArrayVolume, reserve_space
from ecc_rf.volumes.axes import AxisView, check_axes, default_axes
from ecc_rf.volumes.base import BaseVolume, Slices, Source, Target, VoxelSize, check_voxels, damage_reported
from ecc_rf.volumes.chunk_cache import ChunkCache, assemble, bands
from ecc_rf.volumes.limits import check_claim, check_number_of_chunks, check_piece
from ecc_rf.volumes.tiff_check import check_tiff, guard_decoding
from ecc_rf.volumes.units import voxel_size_from

_ORDER = "tzcyx"
_DESCRIPTION = 270  # the tag ImageDescription
_OME_TYPES = frozenset(("int8", "int16", "int32", "uint8", "uint16", "uint32", "float32", "float64"))


class TiffVolume(BaseVolume):
    """A series of pages in pieces: compressed, tiled, or not in one run."""

    cache: ChunkCache

    def __init__(
        self,
        name: str,
        file: tifffile.TiffFile,
        series: tifffile.TiffPageSeries,
        axes: str,
        voxel_size: VoxelSize | None,
    ) -> None:
        # a view of the strips and tiles as chunks; tifffile locks its file for reading and decodes without the lock
        guard_decoding(series, name)
        self._store = series.aszarr(level=0)
        self._array = zarr.open_array(self._store, mode="r")
        check_piece(name, self._array.chunks, series.dtype.itemsize, "strips or tiles")
        check_number_of_chunks(name, series.shape, self._array.chunks, series.dtype.itemsize)
        chunks = bands(axes, series.shape, self._array.chunks)
        super().__init__(name, series.shape, series.dtype, axes, voxel_size=voxel_size, chunks=chunks)
        self._file = file
        self.cache = ChunkCache()

    def _read(self, slices: Slices) -> NDArray[Any]:
        def piece(at: tuple[int, ...], region: Slices) -> NDArray[Any]:
            return self.cache.get(at, lambda: np.asarray(self._array[region]))

        return assemble(slices, self.shape, self.chunks or (), self.dtype, piece)

    def _release(self) -> None:
        self.cache.clear()
        self._store.close()
        self._file.close()


def open_source(source: Source) -> TiffVolume | ArrayVolume:
    with damage_reported(source.name):
        check_tiff(source.path, source.name)
        file = tifffile.TiffFile(source.path)
        try:
            check_complete(file, source.name)
            series = file.series[0]
            check_voxels(source.name, series.shape, series.dtype)
            stored = sum(path.stat().st_size for path in {source.path, *_files(file)})
            check_claim(source.name, series.shape, series.dtype.itemsize, stored)
            stored_axes = series_axes(series)
            axes = check_axes(source.axes or stored_axes, len(series.shape), source.name)
            voxel_size = source.voxel_size or tiff_voxel_size(file, axes, stored_axes)
            if series.dataoffset is None or not series.keyframe.is_memmappable:
                return TiffVolume(source.name, file, series, axes, voxel_size)
            dtype = series.dtype.newbyteorder(file.byteorder)
            mapped = np.memmap(source.path, dtype, "r", offset=series.dataoffset, shape=series.shape)
        except BaseException:
            file.close()
            raise
        file.close()
        return ArrayVolume(source.name, mapped, axes, voxel_size=voxel_size)


def _files(file: tifffile.TiffFile) -> set[Path]:
    """Those that an OME description names, too."""
    return {Path(part.filehandle.path) for part in (file._files or {}).values()}


def create_target(target: Target) -> ArrayVolume | AxisView:
    if target.dtype.name not in _OME_TYPES:
        raise FormatError(
            f"OME-TIFF holds no {target.dtype}", target.output.name, "choose " + ", ".join(sorted(_OME_TYPES))
        )
    stored = "".join(axis for axis in _ORDER if axis in target.axes)
    metadata: dict[str, Any] = {
        "axes": stored.upper(),
        # tifffile would draw one at random; the same result is to give the same bytes
        "UUID": str(uuid.uuid5(uuid.NAMESPACE_URL, target.output.final.name)),
    }
    for axis, size in zip("ZYX", target.voxel_size or ()):
        metadata |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": "µm"}
    shape = tuple(target.shape[target.axes.index(axis)] for axis in stored)

    def write(path: Path) -> None:
        tifffile.memmap(path, shape=shape, dtype=target.dtype, ome=True, photometric="minisblack", metadata=metadata)

    path = target.output.path
    target.output.begin(write, _describe)
    reserve_space(path)
    with tifffile.TiffFile(path) as file:
        array = np.memmap(path, target.dtype, "r+", offset=file.series[0].dataoffset or 0, shape=shape)
    volume = ArrayVolume(
        target.output.name,
        array,
        stored,
        voxel_size=target.voxel_size,
        drange=target.drange,
        output=target.output,
    )
    return volume if stored == target.axes else AxisView(volume, target.axes)


def _describe(path: Path) -> dict[str, Any]:
    with tifffile.TiffFile(path) as file:
        series = file.series[0]
        return {"shape": series.get_shape(False), "dtype": str(series.dtype), "metadata": file.ome_metadata}


def check_complete(file: tifffile.TiffFile, name: str) -> None:
    """Refuse a file that ends before its pages do; tifffile would go on with what is left."""
    handle, tiff = file.filehandle, file.tiff
    handle.seek(file.pages.next_page_offset or 0)
    (more_pages,) = struct.unpack(tiff.offsetformat, handle.read(tiff.offsetsize))
    last = file.pages[-1]
    ends = [offset + count for offset, count in zip(last.dataoffsets, last.databytecounts)]
    # the description, with axes and sizes, may be stored behind the pages; it is dropped when it is not whole
    first = file.pages.first
    handle.seek(first.offset)
    (n_tags,) = struct.unpack(tiff.tagnoformat, handle.read(tiff.tagnosize))
    tags = [struct.unpack_from(tiff.byteorder + "H", handle.read(tiff.tagsize))[0] for _ in range(n_tags)]
    lost = _DESCRIPTION in tags and _DESCRIPTION not in first.tags
    if more_pages or lost or max(ends, default=0) > handle.size:
        raise FormatError(
            f"the file is truncated: it goes on beyond its end at byte {handle.size}", name, "copy it anew"
        )


def series_axes(series: tifffile.TiffPageSeries) -> str:
    """As the file says, samples being channels; ilastik's rule if it has axes that are none of ours."""
    axes = series.axes.lower().replace("s", "c")
    try:
        return check_axes(axes, len(series.shape))
    except AxesError:
        return default_axes(series.shape)


def tiff_voxel_size(file: tifffile.TiffFile, axes: str, stored_axes: str) -> VoxelSize | None:
    if file.ome_metadata is not None:
        return voxel_size_from(axes, stored_axes, *_ome_sizes(file.ome_metadata))
    if file.is_imagej:
        return voxel_size_from(axes, stored_axes, *_imagej_sizes(file))
    return None


def _ome_sizes(xml: str) -> tuple[dict[str, float], dict[str, str]]:
    image = tifffile.xml2dict(xml)["OME"]["Image"]
    pixels = (image[0] if isinstance(image, list) else image)["Pixels"]
    sizes = {axis: pixels.get(f"PhysicalSize{axis.upper()}", 0) for axis in "zyx"}
    units = {axis: pixels.get(f"PhysicalSize{axis.upper()}Unit", "µm") for axis in "zyx"}  # OME's default
    return sizes, units


def _imagej_sizes(file: tifffile.TiffFile) -> tuple[dict[str, float], dict[str, str]]:
    metadata = file.imagej_metadata or {}
    sizes = {"z": metadata.get("spacing", 0)}
    for axis, tag in (("y", "YResolution"), ("x", "XResolution")):
        pixels, lengths = file.pages.first.tags.valueof(tag, (0, 0))  # pixels per unit, as a fraction
        sizes[axis] = lengths / pixels if pixels else 0
    return sizes, dict.fromkeys("zyx", metadata.get("unit", ""))
