"""NPZ files: an array of the archive, ``a.npz/key``, read into memory as a whole when it is first needed."""

from __future__ import annotations

import math
import threading
import zipfile
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from ecc_rf.errors import FormatError
from ecc_rf.volumes.axes import check_axes, default_axes
from ecc_rf.volumes.base import BaseVolume, Slices, Source, check_voxels, damage_reported
from ecc_rf.volumes.datasets import missing_dataset, only_dataset


class NpzVolume(BaseVolume):
    """One array of an archive."""

    def __init__(self, name: str, source: Source, key: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        axes = check_axes(source.axes or default_axes(shape), len(shape), name)
        super().__init__(name, shape, dtype, axes, voxel_size=source.voxel_size)
        self._path = source.path
        self._key = key
        self._loaded: NDArray[Any] | None = None
        self._lock = threading.Lock()

    def _read(self, slices: Slices) -> NDArray[Any]:
        with self._lock:
            if self._loaded is None:
                with np.load(self._path, allow_pickle=False) as archive:
                    self._loaded = archive[self._key]
            return np.array(self._loaded[slices], dtype=self.dtype, order="C")

    def _release(self) -> None:
        self._loaded = None


def open_source(source: Source) -> NpzVolume:
    with damage_reported(source.name), zipfile.ZipFile(source.path) as archive:
        images = {
            info.filename.removesuffix(".npy"): _header(archive, info)
            for info in archive.infolist()
            if info.filename.endswith(".npy")
        }
        candidates = [key for key, (shape, _) in images.items() if 2 <= len(shape) <= 5]
        key = source.inner or only_dataset(candidates, source.name)
        name = source.name if source.inner else f"{source.name}/{key}"
        if key not in images:
            raise missing_dataset(key, candidates, name)
        shape, dtype = images[key]
        check_voxels(name, shape, dtype)
        return NpzVolume(name, source, key, shape, dtype)


def _header(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> tuple[tuple[int, ...], np.dtype[Any]]:
    with archive.open(info) as file:
        version = npy_format.read_magic(file)
        read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
        shape, _, dtype = read(file)
        needed = file.tell() + dtype.itemsize * math.prod(shape)
    if dtype.kind != "O" and needed != info.file_size:
        raise FormatError(
            f"{info.filename} holds {info.file_size} bytes, its header says {needed}", archive.filename or ""
        )
    return shape, dtype
