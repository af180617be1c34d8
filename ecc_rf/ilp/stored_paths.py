"""The paths that a project stores for its images, and where such an image may be now.

A stored path may have been written on another computer: with backslashes and drive letters, relative to the project's
folder or absolute, going on inside a container (``brain.h5/volume/data``), naming several files, or as a pattern.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

from ecc_rf.errors import FormatError
from ecc_rf.volumes.paths import split_path

_DRIVE = re.compile(r"[A-Za-z]:/")
_FILE_URL = re.compile(r"file://(?:localhost)?(?=/)", re.IGNORECASE)


def normalized(stored: str) -> str:
    """With forward slashes; the URL of a local file becomes its path.

    >>> normalized(r"D:\\data\\brain.h5/raw"), normalized("file:///data/a%20b.zarr"), normalized("file:///C:/b.zarr")
    ('D:/data/brain.h5/raw', '/data/a b.zarr', 'C:/b.zarr')
    """
    path = stored.strip().replace("\\", "/")
    url = _FILE_URL.match(path)
    if url:
        path = unquote(path[url.end() :])
        path = path[1:] if _DRIVE.match(path, 1) else path
    return path


def is_url(path: str) -> bool:
    """Whether a normalized path is an address in the net."""
    return "://" in path


def is_absolute(path: str) -> bool:
    """Whether a normalized path is absolute on the computer that wrote it.

    >>> is_absolute("/data/a.h5"), is_absolute("D:/a.h5"), is_absolute("~/a.h5"), is_absolute("patches/a.h5/data")
    (True, True, True, False)
    """
    return path.startswith(("/", "~")) or _DRIVE.match(path) is not None


def several_files(path: str) -> list[str]:
    """The files that a normalized path names, joined by ``:`` or ``;``.

    >>> several_files("/a/1.png:/a/2.png"), several_files("C:/1.png;D:/2.png"), several_files("http://host:8080/x")
    (['/a/1.png', '/a/2.png'], ['C:/1.png', 'D:/2.png'], ['http://host:8080/x'])
    """
    names, begin = [], 0
    for match in re.finditer("[:;]", path):
        at, rest = match.start(), path[match.end() :]
        drive = at == begin + 1 and path[begin].isalpha() and rest.startswith("/")
        if match[0] == ":" and (drive or re.match(r"//|\d{1,5}(?!\d)", rest)):
            continue
        names.append(path[begin:at])
        begin = at + 1
    return [name for name in (*names, path[begin:]) if name]


def is_pattern(path: str) -> bool:
    """Whether a path has wildcards."""
    return any(mark in path for mark in "*?[")


def outer_and_inner(path: str) -> tuple[str, str]:
    """The file, and the dataset inside it.

    >>> outer_and_inner("a/b.h5/volume/data"), outer_and_inner("a/b.tif"), outer_and_inner("a.h5/b")
    (('a/b.h5', 'volume/data'), ('a/b.tif', ''), ('a.h5', 'b'))
    """
    try:
        inner = split_path(path).inner
    except FormatError:  # a format we cannot read, but may find
        inner = ""
    return (path.removesuffix(inner).rstrip("/"), inner) if inner else (path, "")


def stored_places(path: str, folder: Path) -> Iterator[Path]:
    """Where a normalized path points to, seen from the project's folder; nothing for the drives of another system."""
    if not is_absolute(path):
        yield folder / path
        return
    try:
        place = Path(path).expanduser()
    except RuntimeError:  # the home of a user who does not exist here
        return
    if place.is_absolute():
        yield place


def likely_places(path: str, folder: Path, search: Sequence[Path]) -> Iterator[Path]:
    """Where the image may have gone: beside the project, further down in a moved tree, in the folders to search.

    >>> [str(place) for place in likely_places("C:/x/a.h5/data", Path("/p"), [Path("/s")])]
    ['/p/a.h5/data', '/p/x/a.h5/data', '/p/a.h5/data', '/s/x/a.h5/data', '/s/a.h5/data']
    """
    outer, inner = outer_and_inner(path)
    parts = [part for part in outer.split("/") if part not in ("", ".", "..", "~") and not part.endswith(":")]
    tails = ["/".join([*parts[k:], *([inner] if inner else [])]) for k in range(len(parts))]
    if tails:
        yield folder / tails[-1]
    for root in (folder, *search):
        for tail in tails:
            yield root / tail


def matching_files(pattern: str) -> list[str]:
    """What an absolute pattern fits, sorted; inside a container the pattern is not looked into.

    A double asterisk counts as a single one: a project must not make us walk through a whole disk.
    """
    outer, inner = outer_and_inner(pattern)
    place = Path(re.sub(r"\*\*+", "*", outer))
    try:
        found = sorted(str(match) for match in Path(place.anchor).glob(str(place.relative_to(place.anchor))))
    except (OSError, ValueError, NotImplementedError):
        return []
    return [f"{match}/{inner}" if inner else match for match in found]
