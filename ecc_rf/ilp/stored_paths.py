"""The paths that a project stores for its images, and where such an image may be now.

A stored path may have been written on another computer: with backslashes and drive letters, relative to the project's
folder or absolute, going on inside a container (``brain.h5/volume/data``), naming several files, or as a pattern.
"""

from __future__ import annotations

import contextlib
import fnmatch
import itertools
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

from ecc_rf.errors import FormatError
from ecc_rf.volumes.paths import split_path

_DRIVE = re.compile(r"[A-Za-z]:/")
_NO_SEPARATOR = re.compile(r"//|\d{1,5}(?!\d)")  # of an address in the net, or the number of its port
_FILE_URL = re.compile(r"file://(?:localhost)?(?=/)", re.IGNORECASE)

_MOST_PARTS = 32  # folders of a path that are tried below another folder
_MOST_LISTED = 10_000  # files that a pattern is compared with: ten times the planes of a brain


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
        at, rest = match.start(), match.end()
        drive = at == begin + 1 and path[begin].isalpha() and path.startswith("/", rest)
        if match[0] == ":" and (drive or _NO_SEPARATOR.match(path, rest)):
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
    except (FormatError, OSError):  # a format we cannot read, but may find; a folder that may not be looked into
        inner = ""
    return (path.removesuffix(inner).rstrip("/"), inner) if inner else (path, "")


def stored_places(path: str, folder: Path) -> Iterator[Path]:
    """Where a normalized path points to, seen from the project's folder; nothing for the drives of another system."""
    for name in _spellings(path):
        if not is_absolute(name):
            yield folder / name
            continue
        try:
            place = Path(name).expanduser()
        except RuntimeError:  # the home of a user who does not exist here
            continue
        if place.is_absolute():
            yield place


def _spellings(path: str) -> Iterator[str]:
    """A path, and the file's name of the same bytes if those are no UTF-8: then they were read as Latin-1.

    >>> list(_spellings("café.h5")) == ["café.h5", os.fsdecode(b"caf\\xe9.h5")], list(_spellings("σ.h5"))
    (True, ['σ.h5'])
    """
    yield path
    with contextlib.suppress(UnicodeEncodeError):
        name = path.encode("latin-1").decode("utf-8", "surrogateescape")
        if os.name == "posix" and any("\udc80" <= letter <= "\udcff" for letter in name):
            yield name


def likely_places(path: str, folder: Path, search: Sequence[Path]) -> Iterator[Path]:
    """Where the image may have gone: beside the project, further down in a moved tree, in the folders to search.

    >>> [str(place) for place in likely_places("C:/x/a.h5/data", Path("/p"), [Path("/s")])]
    ['/p/a.h5/data', '/p/x/a.h5/data', '/p/a.h5/data', '/s/x/a.h5/data', '/s/a.h5/data']
    """
    for name in _spellings(path):
        yield from _likely_places(name, folder, search)


def _likely_places(path: str, folder: Path, search: Sequence[Path]) -> Iterator[Path]:
    outer, inner = outer_and_inner(path)
    parts = [part for part in outer.split("/") if part not in ("", ".", "..", "~") and not part.endswith(":")]
    first = max(0, len(parts) - _MOST_PARTS)
    tails = ["/".join([*parts[k:], *([inner] if inner else [])]) for k in range(first, len(parts))]
    if tails:
        yield folder / tails[-1]
    for root in (folder, *search):
        for tail in tails:
            yield root / tail


def matching_files(pattern: str) -> list[str]:
    """What an absolute pattern fits, sorted; inside a container the pattern is not looked into.

    A double asterisk counts as a single one, and after ten thousand files in all folders that fit so far there is no
    match: a project must not make us walk through a whole disk.
    """
    outer, inner = outer_and_inner(pattern)
    place = Path(re.sub(r"\*\*+", "*", outer))
    found, left = [Path(place.anchor)], _MOST_LISTED
    for part in place.parts[1:] if place.anchor else ():
        if not is_pattern(part):
            found = [folder / part for folder in found]
            continue
        fits = re.compile(fnmatch.translate(part)).match
        matching = []
        for folder in found:
            for name in _listing(folder, left):
                left -= 1
                if left < 0:
                    return []
                if fits(name) and (part.startswith(".") or not name.startswith(".")):
                    matching.append(folder / name)
        found = matching
    existing = sorted(str(match) for match in found if _exists(match))
    return [f"{match}/{inner}" if inner else match for match in existing]


def _listing(folder: Path, most: int) -> list[str]:
    """Names in a folder, some more than `most` at the most; none if it may not be looked into."""
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in itertools.islice(entries, most + 1)]
    except (OSError, ValueError):
        return []


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a folder that may not be looked into, a name that is too long
        return False
