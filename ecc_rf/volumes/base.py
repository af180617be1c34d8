"""What all volumes share: how an index is read, how damage is reported, how a finished output gets its name."""

from __future__ import annotations

import contextlib
import itertools
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ecc_rf.errors import EccError, FormatError, OutputError, ShapeError
from ecc_rf.notebook import Shown
from ecc_rf.volumes.unfinished import UnfinishedOutput

if TYPE_CHECKING:
    from ecc_rf.volumes.chunk_cache import ChunkCache
    from ecc_rf.volumes.pyramid import Level

VoxelSize = tuple[float, float, float]
Index = slice | tuple[slice, ...]
Slices = tuple[slice, ...]

_CANNOT_BE_READ = "the file cannot be read: "


@dataclass(frozen=True)
class Source:
    """A volume to be opened, as the user asked for it."""

    name: str
    path: Path
    inner: str = ""
    axes: str | None = None
    voxel_size: VoxelSize | None = None
    level: int | VoxelSize | None = None


@dataclass(frozen=True)
class Target:
    """A volume to be created; everything is checked, `shape`, `chunks` and `shards` are in the order of `axes`."""

    output: UnfinishedOutput
    inner: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    axes: str
    chunks: tuple[int, ...] | None = None
    shards: tuple[int, ...] | None = None
    pyramid: str | None = None
    compression: str = "none"
    voxel_size: VoxelSize | None = None
    drange: tuple[float, float] | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    build: Callable[[Sequence[Level]], None] | None = None


class BaseVolume(Shown, ABC):
    """A volume whose format says only how a block is read (`_read`) and perhaps written (`_write`).

    Voxels are handed out as fresh C-ordered arrays in the machine's own byte order, however they are stored.
    """

    cache: ChunkCache | None = None  # of decoded pieces, if it keeps any
    assembled = False  # the finished output is made of the unfinished one, all at once
    resumable = True  # an unfinished one can be gone on with
    shareable = False  # processes on several machines may write at once, each its own chunks

    def __init__(
        self,
        name: str,
        shape: Sequence[int],
        dtype: DTypeLike,
        axes: str,
        *,
        voxel_size: VoxelSize | None = None,
        drange: tuple[float, float] | None = None,
        chunks: Sequence[int] | None = None,
        attributes: dict[str, Any] | None = None,
        output: UnfinishedOutput | None = None,
    ) -> None:
        self.name = name
        self.shape = tuple(int(extent) for extent in shape)
        self.dtype = np.dtype(dtype).newbyteorder("=")
        self.axes = axes
        self.voxel_size = voxel_size
        self.drange = drange
        self.chunks = None if chunks is None else tuple(int(extent) for extent in chunks)
        self.attributes = dict(attributes or {})
        self._output = output
        self._writable = output is not None
        self._closed = False

    @abstractmethod
    def _read(self, slices: Slices) -> NDArray[Any]:
        """Voxels of a block that is not empty; any strides and byte order."""

    def _write(self, slices: Slices, array: NDArray[Any]) -> None:
        """Write a block that is not empty; only for formats that can be created."""
        raise NotImplementedError

    def _release(self) -> None:
        """Close what is open."""

    def _sync(self, slices: Slices) -> None:
        """Make what was written in a region safe on disk; only for formats that can be created."""
        raise NotImplementedError

    def _complete(self) -> Path | None:
        """Last work on an output whose voxels are all there; the result, if it is a part of the unfinished output."""
        return None

    def __getitem__(self, index: Index) -> NDArray[Any]:
        self._refuse_closed()
        slices, shape = normalized_index(index, self.shape)
        if 0 in shape:
            return np.empty(shape, self.dtype)
        try:
            return self._voxels(slices)
        except FormatError as error:
            raise self._located(slices, error) from error

    def _voxels(self, slices: Slices) -> NDArray[Any]:
        with damage_reported(self.name):
            return np.ascontiguousarray(self._read(slices), dtype=self.dtype)

    def _located(self, slices: Slices, error: FormatError) -> FormatError:
        """The error of the first chunk of a region that cannot be read; the error itself if that is not known."""
        for chunk in chunks_of(slices, self.shape, self.chunks):
            try:
                self._voxels(chunk)
            except FormatError as damage:
                what = damage.what.removeprefix(_CANNOT_BE_READ)
                return DamagedChunkError.at(chunk, self.axes, self.name, self._chunk_file(chunk), what)
        return error

    def _chunk_file(self, slices: Slices) -> str:
        """The file in which a chunk is, if it is not the volume's own."""
        return ""

    def __setitem__(self, index: Index, array: NDArray[Any]) -> None:
        self._refuse_closed()
        if not self._writable:
            raise TypeError(f"{self.name} was opened for reading")
        slices, shape = normalized_index(index, self.shape)
        if array.shape != shape:
            raise ShapeError(f"a block of shape {array.shape} does not fit the region of shape {shape}", self.name)
        if 0 in shape:
            return
        with write_errors(self.name):
            self._write(slices, array.astype(self.dtype, casting="safe", copy=False))

    def sync(self, index: Index = ()) -> None:
        """Return when what was written in a region is safe on disk."""
        self._refuse_closed()
        slices, shape = normalized_index(index, self.shape)
        if self._writable and 0 not in shape:
            with write_errors(self.name):
                self._sync(slices)

    @property
    def resumed(self) -> bool:
        """Whether the unfinished output was there before."""
        return self._output is not None and self._output.resumed

    @property
    def reading_bytes(self) -> int:
        """Bytes that a thread needs while it reads, beside what it hands out: a chunk, stored and decoded."""
        return 0 if self.chunks is None else 2 * self.dtype.itemsize * math.prod(self.chunks)

    def _refuse_closed(self) -> None:
        if self._closed:
            raise ValueError(f"{self.name} is closed")

    def read(self) -> NDArray[Any]:
        return self[()]

    def close(self) -> None:
        """Close the file; a volume that was being written gets its final name."""
        if self._closed:
            return
        self._closed = True
        if self._output is None:
            self._release()
            return
        try:
            with write_errors(self.name):
                result = self._complete()
                self._release()
        except BaseException:
            if not self._output.resume:
                self._output.discard()
            raise
        self._output.commit(result)

    def suspend(self) -> None:
        """Close the file; a volume that was being written stays as it is under its unfinished name."""
        if self._closed:
            return
        try:
            self.sync()
        finally:
            self._closed = True
            with write_errors(self.name):
                self._release()

    def discard(self) -> None:
        """Close the file; a volume that was being written is removed."""
        if self._closed:
            return
        self._closed = True
        # the error that brought us here is the one to be seen, not that of a file which cannot be closed cleanly
        with contextlib.suppress(Exception):
            self._release()
        if self._output is not None:
            self._output.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        elif self._output is not None and self._output.resume:
            # the error that brought us here is the one to be seen
            with contextlib.suppress(Exception):
                self.suspend()
        else:
            self.discard()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} {self.axes} {self.shape} {self.dtype}>"


class DamagedChunkError(FormatError):
    """A chunk that cannot be read.

    Attributes
    ----------
    region : tuple of slice
        Its place, in voxels of the volume that raises it.
    """

    region: Slices = ()
    _told = ("", "", "", "")

    @classmethod
    def at(cls, region: Slices, axes: str, name: str, file: str, damage: str) -> DamagedChunkError:
        """The error for a region of a volume of these axes, of this name, that is stored in this file."""
        place = ", ".join(f"{axis}={part.start}:{part.stop}" for axis, part in zip(axes, region))
        error = cls(
            f"the chunk at {place} cannot be read: {damage}",
            f"{name}, in {file}" if file else name,
            "copy the file anew from where it came from",
        )
        error.region, error._told = region, (axes, name, file, damage)
        return error

    def seen_as(self, axes: str) -> DamagedChunkError:
        """The error of a view of other axes."""
        own, *rest = self._told
        places = dict(zip(own, self.region))
        return DamagedChunkError.at(tuple(places.get(axis, slice(0, 1)) for axis in axes), axes, *rest)


def chunks_of(slices: Slices, shape: Sequence[int], chunks: Sequence[int] | None) -> Iterator[Slices]:
    """The chunks that a region touches, whole, in raster order; none if there are no chunks.

    >>> list(chunks_of((slice(3, 9),), (10,), (4,)))
    [(slice(0, 4, None),), (slice(4, 8, None),), (slice(8, 10, None),)]
    """
    if chunks is None:
        return
    for corner in itertools.product(
        *(range(part.start // edge * edge, part.stop, edge) for part, edge in zip(slices, chunks))
    ):
        yield tuple(slice(start, min(start + edge, n)) for start, edge, n in zip(corner, chunks, shape))


def normalized_index(index: Index, shape: Sequence[int]) -> tuple[Slices, tuple[int, ...]]:
    """Slices with start and stop for every axis, and the shape of what they select.

    >>> normalized_index(slice(-2, None), (10, 4))
    ((slice(8, 10, None), slice(0, 4, None)), (2, 4))
    """
    given = index if isinstance(index, tuple) else (index,)
    if len(given) > len(shape):
        raise IndexError(f"{len(given)} slices for {len(shape)} axes")
    if not all(isinstance(part, slice) and part.step in (None, 1) for part in given):
        raise TypeError(f"a volume is indexed with slices of step 1, not with {index!r}")
    slices = []
    for part, extent in zip((*given, *[slice(None)] * (len(shape) - len(given))), shape):
        start, stop, _ = part.indices(extent)
        slices.append(slice(start, max(start, stop)))
    return tuple(slices), tuple(part.stop - part.start for part in slices)


def check_voxels(name: str, shape: Sequence[int], dtype: np.dtype[Any]) -> None:
    """Refuse what is no image: other than 2 to 5 axes, no voxels, voxels that are not numbers.

    Raises
    ------
    FormatError
    """
    if not 2 <= len(shape) <= 5:
        raise FormatError(f"an image has 2 to 5 dimensions, this has {len(shape)}: shape {tuple(shape)}", name)
    if 0 in shape:
        raise FormatError(f"the image has no voxels: shape {tuple(shape)}", name)
    if dtype.kind not in "biuf":
        raise FormatError(f"voxels must be integers, floats or booleans, not {dtype}", name)


@contextlib.contextmanager
def damage_reported(name: str) -> Iterator[None]:
    """Whatever a library raises on a damaged file becomes a FormatError (they raise nearly every class there is)."""
    try:
        yield
    except (EccError, MemoryError):
        raise
    except Exception as error:
        if cut := re.search(r"truncated file: eof = (\d+).*stored_eof = (\d+)", str(error)):  # as HDF5 says it
            there, whole = (int(number) for number in cut.groups())
            what = f"{_CANNOT_BE_READ}it is cut off after {there:,} of {whole:,} bytes"
            raise FormatError(what, name, "copy it anew") from error
        raise FormatError(
            f"{_CANNOT_BE_READ}{type(error).__name__}: {error}",
            name,
            "check that the file is complete and can be opened by the program that wrote it",
        ) from error


@contextlib.contextmanager
def write_errors(name: str) -> Iterator[None]:
    """What the operating system refuses (full disk, no permission) becomes an OutputError."""
    try:
        yield
    except EccError:
        raise
    except (OSError, RuntimeError) as error:  # h5py reports a full disk as either
        why = (isinstance(error, OSError) and error.strerror) or error
        raise OutputError(
            f"the file cannot be written: {why}", name, "check the free space and the permissions of the folder"
        ) from error
