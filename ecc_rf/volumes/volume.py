"""What a volume is, and how one is opened or created whatever its format.

The rest of the package sees volumes only through the protocols below. The formats live in a file each,
imported when a file of theirs is met.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ecc_rf.errors import FormatError, MissingFileError, SettingError, ShapeError
from ecc_rf.near import missing_file
from ecc_rf.volumes.axes import AxisView, check_axes
from ecc_rf.volumes.base import Index, Source, Target, VoxelSize, check_voxels, write_errors
from ecc_rf.volumes.paths import FORMATS, split_path
from ecc_rf.volumes.pyramid import Level, check_method
from ecc_rf.volumes.unfinished import UnfinishedOutput
from ecc_rf.volumes.user_paths import expanded, is_there

if TYPE_CHECKING:
    from ecc_rf.volumes.chunk_cache import ChunkCache


class Volume(Protocol):
    """An image of 2 to 5 dimensions that is read block by block, from several threads at once if need be."""

    @property
    def name(self) -> str:
        """File and dataset as the user knows them, such as ``brain.h5/data``: for messages."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents in voxels, one per letter of `axes`."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Integer, float or bool, in the machine's byte order."""
        ...

    @property
    def axes(self) -> str:
        """One letter of ``tzyxc`` per axis, in order."""
        ...

    @property
    def voxel_size(self) -> VoxelSize | None:
        """(z, y, x) in µm, None when unknown; an axis that the image does not have counts 1 µm."""
        ...

    @property
    def drange(self) -> tuple[float, float] | None:
        """The range of the data as ilastik writes it, such as (0, 255) for a probability in uint8."""
        ...

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """The pieces in which it is stored; None if any block is read equally well.

        Whoever writes from several threads must give each its own chunks; of an output with shards these are meant.
        """
        ...

    @property
    def cache(self) -> ChunkCache | None:
        """Decoded pieces that are kept for the next blocks, if the format needs any; its limit may be set."""
        ...

    @property
    def reading_bytes(self) -> int:
        """Bytes that a thread needs while it reads, beside what it hands out and what is kept in `cache`."""
        ...

    @property
    def attributes(self) -> dict[str, Any]:
        """What else the file says, JSON-able, of what `create_volume` stores."""
        ...

    def __getitem__(self, index: Index) -> NDArray[Any]:
        """A new array, in C order.

        Parameters
        ----------
        index : slice or tuple of slices
            Steps of 1; axes that are not mentioned are read whole.

        Raises
        ------
        FormatError
            If the file turns out to be damaged.
        """
        ...

    def read(self) -> NDArray[Any]:
        """All of it."""
        ...

    def close(self) -> None:
        """Release the file; the end of a with-block does it, too."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class WritableVolume(Volume, Protocol):
    """A volume that is being written. It gets its final name when it is closed."""

    @property
    def resumable(self) -> bool:
        """Whether it can be gone on with after `suspend`, or after the process was killed."""
        ...

    @property
    def shareable(self) -> bool:
        """Whether processes on several machines may write at once, each its own chunks.

        Threads and processes of one machine always may.
        """
        ...

    @property
    def assembled(self) -> bool:
        """Whether the finished output is made of the unfinished one when it is closed, rather than renamed."""
        ...

    @property
    def resumed(self) -> bool:
        """Whether the unfinished output was there before, rather than made by this call of `create_volume`."""
        ...

    def __setitem__(self, index: Index, array: NDArray[Any]) -> None:
        """Write a block.

        Parameters
        ----------
        index : slice or tuple of slices
            As for reading.
        array : ndarray
            Exactly of the region's shape, of a dtype that the volume's holds without loss.

        Raises
        ------
        ShapeError
            If the array does not fit the region.
        OutputError
            If it cannot be written, such as on a full disk.
        """
        ...

    def sync(self, index: Index = ()) -> None:
        """Return when all that was written in a region is safe on disk, even from a power cut.

        Formats that store chunks (OME-Zarr, and HDF5 while it is unfinished) wait for the region's chunks, memory
        maps (NPY, TIFF) for everything that was written.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        ...

    def suspend(self) -> None:
        """Close it, synced, and leave it under its unfinished name: `create_volume` with `resume` goes on with it."""
        ...

    def discard(self) -> None:
        """Close it and remove what was written; what an exception inside a with-block does (not with `resume`)."""
        ...


def open_volume(
    path: str | Path,
    *,
    axes: str | None = None,
    voxel_size: Sequence[float] | None = None,
    level: int | Sequence[float] | None = None,
) -> Volume:
    """Open an image; its voxels are read when they are asked for.

    Parameters
    ----------
    path : str or Path
        The extension decides on the format, whatever its case; a folder of TIFF planes, or a pattern such as
        ``"planes/*_ch1.tif"``, is a stack along z. Inside HDF5, NPZ and Zarr a dataset is named by going
        on with the path, ``brain.h5/raw/data``; without, the only image of 2 to 5 dimensions in the file is meant.
    axes : str, optional
        Letters of ``tzyxc`` to read the axes by, instead of what the file says or ilastik's rule for its shape.
    voxel_size : (z, y, x), optional
        In µm, instead of what the file says.
    level : int or (z, y, x), optional
        Of a multi-resolution image (OME-Zarr): its number, 0 being the finest, or the voxel size in µm that the level's
        is to be nearest to. The volume's name says which it is.

    Raises
    ------
    MissingFileError
        If there is no such file or dataset.
    FormatError
        If the format is unknown, the file is damaged, leads out of itself, or holds several images.
    AxesError
        If the axes do not fit the image.
    SettingError
        If there is no such level.
    """
    whole = expanded(path)
    if not whole.suffix and not any(parent.suffix for parent in whole.parents) and not whole.exists():
        raise _no_such_file(str(path))  # nothing says which format it should have been
    parts = split_path(path)
    if axes is not None:
        check_axes(axes, len(axes), str(path))
    if not is_there(parts.file) and parts.format.module != "tiff_planes":  # a pattern is no file
        raise _no_such_file(str(path))
    if parts.file.exists() and not (parts.file.is_file() or parts.file.is_dir()):
        raise FormatError("it is a pipe or a device, no file", str(path), "save the image as a file")
    if level is not None and parts.format.module != "ome_zarr":
        raise SettingError(f"{parts.format.name} images have no levels", str(path), "leave the level out")
    wanted = level if level is None or isinstance(level, int) else _checked_size(level, str(path))
    source = Source(str(path), parts.file, parts.inner, axes, _checked_size(voxel_size, str(path)), wanted)
    volume: Volume = import_module(f"ecc_rf.volumes.{parts.format.module}").open_source(source)
    return volume


def create_volume(
    path: str | Path,
    shape: Sequence[int],
    dtype: DTypeLike,
    axes: str,
    *,
    chunks: Sequence[int] | None = None,
    shards: Sequence[int] | None = None,
    pyramid: str | None = None,
    voxel_size: Sequence[float] | None = None,
    drange: tuple[float, float] | None = None,
    attributes: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    resume: bool = False,
    dataset: str = "data",
    compression: str | None = None,
    verify: Callable[[Volume], None] | None = None,
    build: Callable[[Sequence[Level]], None] | None = None,
) -> WritableVolume:
    """Create a volume to be written block by block; use it in a with-block.

    It is written beside its final name, as ``NAME.unfinished``. It gets its name when the with-block is left, and is
    removed if an exception leaves it. Blocks that are never written are 0.

    Parameters
    ----------
    path : str or Path
        ``out.h5/name``, ``out.ome.zarr``, ``out.tif``, ``out.nii.gz`` or ``out.npy``. An HDF5 file is replaced as a
        whole, never added to. Missing folders are made. What each format stores is said in its module: only HDF5 and
        OME-Zarr keep everything, TIFF and NIfTI keep the voxel size, NPY the voxels alone.
    shape, axes, chunks, shards
        In the same order. Shards are files of many chunks (OME-Zarr only); whoever writes in parallel writes whole
        shards. See `shard_shape`.
    pyramid : {'mean', 'mode', 'max', 'nearest'}, optional
        OME-Zarr only: coarser levels are added when the volume is closed, voxels being the mean (of intensities), the
        most frequent (of labels), the largest, or the first of the finer ones.
    voxel_size : (z, y, x), optional
        In µm.
    drange : (low, high), optional
        The range of the data, as ilastik writes it.
    attributes : mapping, optional
        More to be stored, JSON-able.
    overwrite : bool
        Replace an output of that name, once the new one is complete.
    resume : bool
        Go on with an output that was left unfinished: what is in it stays. An exception that leaves the with-block
        then leaves it unfinished. Several processes may do so at once; the one that closes it gives it its name, the
        others `suspend` theirs before.
    dataset : str
        Name inside the HDF5 file if the path does not say it.
    compression : {'zstd', 'gzip', 'none'}, optional
        Default zstd for OME-Zarr, gzip for HDF5 (which has no zstd), none for the others (which have no other).
    verify : callable, optional
        Called with the finished output, opened for reading, before it gets its name; what it raises keeps it from that.
    build : callable, optional
        Called with the coarser levels of a pyramid, to build each from the one before; default one file after the
        other.

    Raises
    ------
    FormatError
        If the format cannot be written, or cannot hold such voxels.
    AxesError, ShapeError, SettingError
        If axes, chunks or attributes do not fit.
    OutputExistsError
        If there is an output of that name and `overwrite` is False.
    OutputError
        If it cannot be written.
    ResumeError
        If the unfinished output that is to be gone on with has another shape, dtype, axes, chunks or attributes.
    """
    name = str(path)
    parts = split_path(path)
    if parts.suffix not in parts.format.new_suffixes:
        new = ", ".join(f"{known.name} ({' '.join(known.new_suffixes)})" for known in FORMATS if known.new_suffixes)
        raise FormatError(f"{parts.suffix} files are not written", name, f"choose one of {new}")
    check_axes(axes, len(shape), name)
    check_voxels(name, shape, np.dtype(dtype))
    if chunks is not None and (len(chunks) != len(shape) or min(chunks) < 1):
        raise ShapeError(f"chunks {tuple(chunks)} do not fit the shape {tuple(shape)}", name)
    if pyramid is not None and parts.format.module != "ome_zarr":
        raise SettingError(f"{parts.format.name} holds no pyramid", name, "write .ome.zarr, or no pyramid")
    if shards is not None and (chunks is None or any(n % chunk for n, chunk in zip(shards, chunks))):
        raise ShapeError(f"shards {tuple(shards)} are not whole chunks of {chunks and tuple(chunks)}", name)
    try:
        json.dumps(attributes and dict(attributes), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise SettingError(f"attributes that are no JSON: {error}", name) from error
    known = {"ome_zarr": ("zstd", "gzip", "none"), "hdf5": ("gzip", "none")}.get(parts.format.module, ("none",))
    if compression is not None and compression not in known:
        raise SettingError(
            f"{parts.format.name} is not written with compression {compression!r}", name, f"choose {' or '.join(known)}"
        )
    size = _checked_size(voxel_size, name)
    output = UnfinishedOutput(parts.file, name, overwrite, resume)
    target = Target(
        output=output,
        inner=parts.inner or (dataset if parts.format.module == "hdf5" else ""),
        shape=tuple(int(extent) for extent in shape),
        dtype=np.dtype(dtype).newbyteorder("="),
        axes=axes,
        chunks=None if chunks is None else tuple(min(chunk, extent) for chunk, extent in zip(chunks, shape)),
        shards=None if shards is None else tuple(shards),
        pyramid=None if pyramid is None else check_method(pyramid),
        compression=compression or known[0],
        voxel_size=size,
        drange=drange,
        attributes=dict(attributes or {}),
        build=build,
    )
    module = import_module(f"ecc_rf.volumes.{parts.format.module}")
    if verify is not None:

        def check(path: Path) -> None:
            keeps_axes = parts.format.module in ("ome_zarr", "hdf5", "tiff", "nifti")
            source = Source(name, path, target.inner, None if keeps_axes else axes, size)
            with module.open_source(source) as finished:
                verify(AxisView(finished, axes))

        output.check = check
    try:
        with write_errors(name):
            volume: WritableVolume = module.create_target(target)
    except BaseException:
        if not resume:
            output.discard()
        raise
    return volume


def _no_such_file(name: str) -> MissingFileError:
    return missing_file(name, "there is no such file")


def _checked_size(voxel_size: Sequence[float] | None, name: str) -> VoxelSize | None:
    if voxel_size is None:
        return None
    if len(voxel_size) != 3 or not all(math.isfinite(size) and size > 0 for size in voxel_size):
        raise SettingError(
            f"voxel size {tuple(voxel_size)}: three positive numbers are needed", name, "give z, y, x in µm"
        )
    z, y, x = (float(size) for size in voxel_size)
    return z, y, x
