"""NPZ files: an array of the archive, ``a.npz/key``, read into memory as a whole when it is first needed."""

from __future__ import annotations

import math
import threading
import zipfile
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from ecc_rf.errors import FormatError
from ecc_rf.volumes.axes import check_axes, default_axes
from ecc_rf.volumes.base import BaseVolume, Slices, Source, damage_reported
from ecc_rf.volumes.datasets import missing_dataset, only_dataset
from ecc_rf.volumes.limits import MOST_MEMBERS, check_whole
from ecc_rf.volumes.npy_header import check_header, read_header

_SAVE_ANEW = "save the array as .npy, which is read where a block needs it"


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
        if len(archive.infolist()) > MOST_MEMBERS:
            raise FormatError(
                f"the archive has {len(archive.infolist()):,} members; expected at most {MOST_MEMBERS:,}",
                source.name,
                _SAVE_ANEW,
            )
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
        check_header(shape, dtype, name)
        check_whole(name, math.prod(shape) * dtype.itemsize, _SAVE_ANEW)
        return NpzVolume(name, source, key, shape, dtype)


def _header(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> tuple[tuple[int, ...], np.dtype[Any]]:
    with archive.open(info) as file:
        shape, _, dtype = read_header(cast("BinaryIO", file), f"{archive.filename}/{info.filename}")
        needed = file.tell() + dtype.itemsize * math.prod(shape)
    if dtype.kind != "O" and needed != info.file_size:
        raise FormatError(
            f"{info.filename} holds {info.file_size} bytes, its header says {needed}", archive.filename or ""
        )
    return shape, dtype
