"""What a run writes down about itself: enough to repeat it."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecc_rf.environment import versions
from ecc_rf.volumes.base import write_errors
from ecc_rf.volumes.unfinished import UnfinishedOutput

if TYPE_CHECKING:
    from ecc_rf.volumes import Volume

__all__ = ["file_hash", "image_record", "plain", "versions", "write_json", "write_text"]


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def image_record(volume: Volume) -> dict[str, Any]:
    """What identifies an image without reading all of it."""
    record: dict[str, Any] = {
        "path": volume.name,
        "shape": list(volume.shape),
        "axes": volume.axes,
        "dtype": str(volume.dtype),
        "voxel_size_um_zyx": list(volume.voxel_size) if volume.voxel_size else None,
    }
    path = Path(volume.name)
    while not path.exists() and path != path.parent:  # the name may go on inside the file
        path = path.parent
    if path.is_file():
        stat = path.stat()
        record |= {"bytes": stat.st_size, "modified": stat.st_mtime}
    return record


def write_json(path: Path, record: dict[str, Any]) -> None:
    """Write a record as JSON; the file appears under its name when it is complete.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    text = json.dumps(plain(record), indent=2, ensure_ascii=False) + "\n"
    write_text(path, text)


def write_text(path: Path, text: str) -> None:
    """Write a text file at once or not at all; UTF-8.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    output = UnfinishedOutput(path, str(path), overwrite=True)
    try:
        with write_errors(str(path)):
            output.path.write_text(text, encoding="utf-8", errors="backslashreplace")
    except BaseException:
        output.discard()
        raise
    output.commit()


def plain(value: Any) -> Any:
    """Only what JSON knows.

    >>> plain({"a": (1, float("nan")), "b": Path("x")})
    {'a': [1, None], 'b': 'x'}
    """
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return value.item() if hasattr(value, "item") else str(value)
