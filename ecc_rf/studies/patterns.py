"""One entry of a study for many brains: a ``*`` in the paths, which is the brains' name."""

from __future__ import annotations

import re
from glob import escape
from pathlib import Path

from ecc_rf.volumes.paths import FORMATS

_SUFFIXES = tuple(suffix for known in FORMATS for suffix in known.suffixes if suffix.startswith("."))


def file_of(path: str) -> tuple[str, str]:
    """File and dataset of a path, by its extensions alone: there need not be such a file.

    >>> file_of("data/*/brain.h5/raw/cfos"), file_of("planes/*"), file_of("a.ome.zarr/1")
    (('data/*/brain.h5', 'raw/cfos'), ('planes/*', ''), ('a.ome.zarr', '1'))
    """
    parts = Path(path).parts
    for number in range(len(parts), 0, -1):
        if parts[number - 1].lower().endswith(_SUFFIXES):
            return str(Path(*parts[:number])), "/".join(parts[number:])
    return path, ""


def matches(pattern: str, folder: Path) -> list[str]:
    """What ``*`` stands for in the files that match, sorted; each ``*`` of a pattern stands for the same text.

    Parameters
    ----------
    pattern : str
        As `file_of` takes it, with ``*`` in the file.
    folder : Path
        To which it is relative.
    """
    file, _ = file_of(pattern)
    whole = str(folder / Path(file).expanduser())
    first, *rest = whole.split("*")
    expression = (
        re.escape(first)
        + "([^/]+)"
        + "".join(re.escape(part) + ("\\1" if number < len(rest) - 1 else "") for number, part in enumerate(rest))
    )
    root = Path(whole).anchor
    searched = "*".join(escape(part) for part in (first.removeprefix(root), *rest))
    found = (re.fullmatch(expression, str(path)) for path in Path(root).glob(searched))
    return sorted({match[1] for match in found if match is not None})
