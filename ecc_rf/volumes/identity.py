"""What tells one image from another without reading all of it: for going on with an unfinished run.

Three things must agree, none of which is the path, so that a volume may be moved between two runs:

* shape, type and axes;
* size and time of last change of all its files. A copy keeps the time if it is asked to (``cp -p``, ``rsync -a``).
  Times are compared in whole seconds: some file systems keep no more;
* the voxels of a small sample that is spread over the volume: against a file that was changed and given back its time.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecc_rf.errors import EccError

if TYPE_CHECKING:
    from ecc_rf.volumes.volume import Volume

_WHOLE = 2**20  # voxels up to which the sample is the whole volume
_PLACES, _EXTENT = {"z": 8, "y": 2, "x": 2, "t": 2, "c": 2}, {"z": 1, "y": 64, "x": 64, "t": 1, "c": 1}


def volume_identity(volume: Volume) -> dict[str, Any]:
    """What identifies a volume, JSON-able.

    Parameters
    ----------
    volume : Volume
        Opened.
    """
    return {
        "shape": list(volume.shape),
        "dtype": str(volume.dtype),
        "axes": volume.axes,
        **_files(volume.name),
        "sample": _sample(volume),
    }


def _files(name: str) -> dict[str, Any]:
    path = Path(name).expanduser()
    while not path.exists() and path != path.parent:  # the name may go on inside the file
        path = path.parent
    if path == path.parent or path == Path():
        return {}  # an array in memory
    found = sorted(_walk(path, path)) if path.is_dir() else [("", path.stat().st_size, int(path.stat().st_mtime))]
    newest = max((modified for _, _, modified in found), default=0)
    return {
        "files": len(found),
        "bytes": sum(size for _, size, _ in found),
        "modified": datetime.fromtimestamp(newest, UTC).isoformat(),
        "state": hashlib.sha256(repr(found).encode()).hexdigest(),
    }


def _walk(folder: Path, root: Path) -> Iterator[tuple[str, int, int]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _walk(Path(entry.path), root)
            else:
                stat = entry.stat()
                yield os.path.relpath(entry.path, root), stat.st_size, int(stat.st_mtime)


def _sample(volume: Volume) -> str:
    digest = hashlib.sha256()
    if np.prod(volume.shape, dtype=float) <= _WHOLE:
        boxes: Iterator[tuple[slice, ...]] = iter([tuple(slice(0, n) for n in volume.shape)])
    else:
        boxes = itertools.product(*(_spread(n, axis) for n, axis in zip(volume.shape, volume.axes)))
    for box in boxes:
        try:
            digest.update(volume[box].tobytes())
        except EccError:  # said, with its place, when the block is read
            digest.update(b"unreadable")
    return digest.hexdigest()


def _spread(n: int, axis: str) -> list[slice]:
    """Short pieces of an axis, evenly spread.

    >>> _spread(1000, "y"), _spread(3, "z")
    ([slice(218, 282, None), slice(718, 782, None)], [slice(0, 1, None), slice(1, 2, None), slice(2, 3, None)])
    """
    extent = min(_EXTENT[axis], n)
    places = min(_PLACES[axis], n // extent)
    middles = [(2 * i + 1) * n // (2 * places) for i in range(places)]
    return [slice(m - extent // 2, m - extent // 2 + extent) for m in middles]
