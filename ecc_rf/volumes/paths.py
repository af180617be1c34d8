"""Paths of volumes: which format, which file, and which dataset inside it."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from pathlib import Path

from ecc_rf.errors import FormatError
from ecc_rf.volumes.user_paths import expanded, is_there


@dataclass(frozen=True)
class Format:
    """A file format, and the module of this package that knows it."""

    name: str
    module: str
    suffixes: tuple[str, ...]
    new_suffixes: tuple[str, ...] = ()  # of files that can be created
    holds_datasets: bool = False  # whether a path may go on inside the file

    @property
    def described(self) -> str:
        return f"{self.name} ({' '.join(self.suffixes)})"


FORMATS = (
    Format("HDF5", "hdf5", (".h5", ".hdf5", ".hdf", ".ilp"), (".h5", ".hdf5", ".hdf"), holds_datasets=True),
    Format("OME-Zarr", "ome_zarr", (".zarr",), (".zarr",), holds_datasets=True),
    Format("TIFF", "tiff", (".tif", ".tiff"), (".tif", ".tiff")),
    Format("TIFF planes", "tiff_planes", ("/", "*.tif")),
    Format("N5", "n5", (".n5",), holds_datasets=True),
    Format("NPY", "npy", (".npy",), (".npy",)),
    Format("NPZ", "npz", (".npz",), holds_datasets=True),
    Format("NIfTI", "nifti", (".nii", ".nii.gz"), (".nii", ".nii.gz")),
    Format("PNG, JPEG, BMP", "image", (".png", ".jpg", ".jpeg", ".bmp")),
)


_MOST_LISTED = 8  # images of a folder
_MOST_READ = 10_000
_SUFFIXES = tuple(suffix for known in FORMATS for suffix in known.suffixes if suffix.startswith("."))


@dataclass(frozen=True)
class VolumePath:
    """A path taken apart: ``brain.h5/raw/data`` is the file ``brain.h5`` and the dataset ``raw/data``."""

    format: Format
    suffix: str
    file: Path
    inner: str


def split_path(path: str | Path) -> VolumePath:
    """Take a path apart by its extensions, whatever their case.

    If more than one part of the path could be the file, the last one that exists is taken, otherwise the last.

    Raises
    ------
    FormatError
        If no format has this extension.

    >>> split_path("out/brain.H5/raw/data").inner
    'raw/data'
    >>> split_path("labels.nii.gz").format.name
    'NIfTI'
    """
    whole = expanded(path)
    if is_planes(whole):
        return VolumePath(next(known for known in FORMATS if known.module == "tiff_planes"), "/", whole, "")
    found = []
    for file in (whole, *whole.parents):
        inner = "" if file == whole else whole.relative_to(file).as_posix()
        for known in FORMATS:
            suffix = next((s for s in known.suffixes if file.name.lower().endswith(s)), None)
            if suffix is not None and (known.holds_datasets or not inner):
                found.append(VolumePath(known, suffix, file, inner))
    if not found:
        raise _unknown(whole, str(path))
    return next((parts for parts in found if _can_be(parts)), found[0])


def _names_in(folder: Path) -> list[str]:
    """Some thousands of names at the most, for a project may name any folder; none if it may not be looked into."""
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in itertools.islice(entries, _MOST_READ)]
    except OSError:
        return []


def image_name(image: str | Path) -> str:
    """The name of an image's file without folders and the extension of its format; what else has a dot stays.

    >>> image_name("a/brain 1.h5/data"), image_name("x/y.ome.zarr"), image_name("brain.2.nii.gz"), image_name("..h5")
    ('brain 1', 'y', 'brain.2', 'image')
    """
    name = split_path(image).file.name
    for known in FORMATS:
        suffix = max((s for s in known.suffixes if name.lower().endswith(s)), key=len, default="")
        if suffix:
            name = name[: -len(suffix)]
            break
    if name.lower().endswith(".ome"):
        name = name[: -len(".ome")]
    return name.strip(". ") or "image"  # a folder must not be called .. or end in a dot


def _unknown(whole: Path, name: str) -> FormatError:
    """The error for a path by whose name no format is known."""
    formats = ", ".join(known.described for known in FORMATS)
    if is_there(whole) and whole.is_dir():
        images = sorted(name for name in _names_in(whole) if name.lower().endswith(_SUFFIXES))
        do = f"name an image in it: {', '.join(str(Path(name, image)) for image in images[:_MOST_LISTED])}"
        return FormatError(
            "this folder is no image", name, do if images else f"check the path; it holds none of {formats}"
        )
    what = f"no format is known by the extension of {whole.name!r}"
    if not is_there(whole):
        new = dict.fromkeys(suffix for known in FORMATS for suffix in known.new_suffixes)
        return FormatError(what, name, f"give a name that ends in one of {' '.join(new)}")
    return FormatError(what, name, f"convert it to one of {formats}")


def _can_be(parts: VolumePath) -> bool:
    """Whether there is something of the format: of a folder only formats that are folders."""
    folders = parts.format.module in ("ome_zarr", "n5")
    return is_there(parts.file) and (folders or not parts.file.is_dir())


def is_planes(path: Path) -> bool:
    """Whether a folder of TIFF planes is meant, or a pattern such as ``planes/*_ch1.tif``."""
    if any(letter in path.name for letter in "*?[") and path.suffix.lower() in (".tif", ".tiff"):
        return not is_there(path)
    if not is_there(path) or not path.is_dir() or any(path.name.lower().endswith(suffix) for suffix in _SUFFIXES):
        return False
    try:
        return any(file.suffix.lower() in (".tif", ".tiff") for file in path.iterdir())
    except OSError as error:
        why = f"this folder cannot be read: {error.strerror}"
        raise FormatError(why, str(path), "ask for permission to read it") from error
