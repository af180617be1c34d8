"""A study file read and checked as a whole: all that is wrong with it is told at once, with its lines."""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from ecc_rf.cells import CellFinder
from ecc_rf.errors import EccError, FormatError, MissingFileError, SettingError
from ecc_rf.small_files import read_small
from ecc_rf.studies.locating import Place, line_of, lines_of
from ecc_rf.studies.patterns import file_of, matches
from ecc_rf.studies.study import Brain, Marker, Study, VoxelSize, safe_name

_STUDY = ("name", "voxel_size", "skip_unreadable", "marker", "brain")
_MARKER = (
    *("name", "project", "settings", "objects_model", "cells", "limits", "dataset", "normalize"),
    *("any_normalization", "scale", "probability", "objects", "skip_unreadable"),
)
_BRAIN = ("name", "group", "image", "images", "voxel_size", "axes", "mask")
_CELLS = tuple(field.name for field in fields(CellFinder))
_LIMITS = ("min_sbr", "min_intensity", "min_diameter_um")
_MOST_TOLD = 30  # problems; more are not read


def read_study(path: str | Path) -> Study:
    """Read a study file.

    Parameters
    ----------
    path : path
        TOML, as ``ecc-rf batch --example`` prints one. Paths in it are relative to its folder.

    Raises
    ------
    MissingFileError
        If there is no such file, or files are missing that it names: all of them are listed.
    FormatError
        If it is no TOML.
    SettingError
        If it says what is not understood; every such place is told.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise MissingFileError(
            "There is no such study file.", where=str(path), do="Check the path, or begin with ecc-rf batch --example."
        )
    try:
        text = read_small(file)
        stored = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FormatError(f"This is no TOML: {error}.", where=str(path), do="Mend the line that is named.") from error
    reader = _Reader(file, stored, lines_of(text))
    study = reader.study()
    if reader.problems:
        raise SettingError(
            f"{_counted(reader.problems, 'thing')} in the study file cannot be used:{_listed(reader.problems)}",
            where=str(path),
            do="Mend these lines; ecc-rf batch --example shows all that can be said.",
        )
    if reader.missing:
        raise MissingFileError(
            f"{_counted(reader.missing, 'file')} that the study names {_are(reader.missing)} not there:"
            f"{_listed(reader.missing)}",
            where=str(path),
            do=f"Check the paths; they are relative to {file.absolute().parent}.",
        )
    return study


class _Reader:
    """Goes through the tables, and notes what is wrong instead of stopping at it."""

    def __init__(self, file: Path, stored: dict[str, Any], lines: dict[Place, int]) -> None:
        self._file = file
        self._folder = file.absolute().parent
        self._stored = stored
        self._lines = lines
        self.problems: list[str] = []
        self.missing: list[str] = []

    def study(self) -> Study:
        stored = self._stored
        self._known(stored, _STUDY, (), "the study")
        name = self._text(stored, "name", ()) or self._file.stem
        size = self._voxel_size(stored, ())
        skip = self._flag(stored, "skip_unreadable", (), False)
        markers = [self._marker(table, ("marker", i), skip) for i, table in enumerate(self._tables("marker"))]
        names = [marker.name for marker in markers]
        brains: list[Brain] = []
        for i, table in enumerate(self._tables("brain")):
            brains += self._brains(table, ("brain", i), markers, size)
        self._unique(names, "marker")
        self._unique([brain.name for brain in brains], "brain")
        return Study(name, self._file, tuple(markers), tuple(brains))

    def _problem(self, place: Place, what: str) -> None:
        line = line_of(self._lines, place)
        self.problems.append(f"line {line}: {what}" if line else what)

    def _tables(self, name: str) -> list[dict[str, Any]]:
        found = self._stored.get(name)
        if not isinstance(found, list) or not found or not all(isinstance(table, dict) for table in found):
            self._problem((name,), f"expected at least one table [[{name}]]")
            return []
        return found

    def _known(self, table: Mapping[str, Any], known: tuple[str, ...], place: Place, what: str) -> None:
        for name in table:
            if name in known:
                continue
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            self._problem((*place, name), f"{what} has no {name!r}; {hint}")

    def _value(self, table: Mapping[str, Any], name: str, place: Place, kind: type, expected: str) -> Any:
        value = table.get(name)
        if value is None:
            return None
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if not isinstance(value, kind) or (isinstance(value, str) and not value.strip()):
            self._problem((*place, name), f"{name} is {value!r}; expected {expected}")
            return None
        return value

    def _text(self, table: Mapping[str, Any], name: str, place: Place) -> str:
        return self._value(table, name, place, str, "a text") or ""

    def _flag(self, table: Mapping[str, Any], name: str, place: Place, default: bool) -> bool:
        value = self._value(table, name, place, bool, "true or false")
        return default if value is None else bool(value)

    def _path(self, table: Mapping[str, Any], name: str, place: Place, what: str) -> Path | None:
        text = self._text(table, name, place)
        return self._found(text, (*place, name), what) if text else None

    def _found(self, text: str, place: Place, what: str) -> Path:
        path = self._folder / Path(text).expanduser()
        file = Path(file_of(str(path))[0])
        if not file.exists():
            line = line_of(self._lines, place)
            self.missing.append(f"{f'line {line}: ' if line else ''}{what}: {text}")
        return path

    def _voxel_size(self, table: Mapping[str, Any], place: Place) -> VoxelSize | None:
        value = table.get("voxel_size")
        if value is None:
            return None
        good = isinstance(value, list) and len(value) == 3
        if not good or not all(isinstance(v, int | float) and 0 < v < math.inf for v in value):
            self._problem((*place, "voxel_size"), f"voxel_size is {value!r}; expected [z, y, x] in µm")
            return None
        return float(value[0]), float(value[1]), float(value[2])

    def _marker(self, table: dict[str, Any], place: Place, skip: bool) -> Marker:
        self._known(table, _MARKER, place, "a marker")
        name = self._text(table, "name", place)
        if not name:
            self._problem(place, "the marker has no name")
        if "project" not in table:
            self._problem(place, f"the marker {name} has no project")
        project = self._path(table, "project", place, f"project of {name}")
        cells, limits = (self._table(table, part, place) for part in ("cells", "limits"))
        self._known(cells, _CELLS, (*place, "cells"), "cells")
        self._known(limits, _LIMITS, (*place, "limits"), "limits")
        for limit in limits:
            if limit in _LIMITS:
                self._value(limits, limit, (*place, "limits"), float, "a number")
        scale = self._value(table, "scale", place, float, "a number")
        try:
            CellFinder(**{key: value for key, value in cells.items() if key in _CELLS})
        except (EccError, TypeError) as error:
            self._problem(
                (*place, "cells"), error.what if isinstance(error, EccError) else f"of the wrong kind: {error}"
            )
        return Marker(
            name=name,
            project=project or Path(),
            settings=self._path(table, "settings", place, f"settings of {name}"),
            objects_model=self._path(table, "objects_model", place, f"object classifier of {name}"),
            cells=cells,
            limits=limits,
            dataset=self._text(table, "dataset", place).strip("/"),
            normalize=self._flag(table, "normalize", place, False),
            any_normalization=self._flag(table, "any_normalization", place, False),
            scale=scale,
            probability=self._flag(table, "probability", place, True),
            objects=self._flag(table, "objects", place, False),
            skip_unreadable=self._flag(table, "skip_unreadable", place, skip),
        )

    def _table(self, table: Mapping[str, Any], name: str, place: Place) -> dict[str, Any]:
        found = table.get(name, {})
        if isinstance(found, dict):
            return found
        self._problem((*place, name), f"{name} must be a table, [{place[0]}.{name}]")
        return {}

    def _brains(
        self, table: dict[str, Any], place: Place, markers: list[Marker], size: VoxelSize | None
    ) -> list[Brain]:
        """The brain of a table, or all that its pattern matches."""
        self._known(table, _BRAIN, place, "a brain")
        images = self._images(table, place, markers)
        name = self._text(table, "name", place)
        mask, group, axes = (self._text(table, key, place) for key in ("mask", "group", "axes"))
        if not images:
            return []
        patterns = [image for image in images.values() if "*" in image]
        stars = [""]
        if patterns:
            stars = sorted(set().union(*(matches(pattern, self._folder) for pattern in patterns)))
            if not stars:
                line = line_of(self._lines, (*place, "images"))
                self.missing.append(f"line {line}: nothing matches {' or '.join(patterns)}")
            name = name or "*"
            if "*" not in name and len(stars) > 1:
                self._problem((*place, "name"), f"{len(stars)} brains match and would all be {name!r}; put * in it")
                return []
        elif not name:
            self._problem(place, "the brain has no name")
        found = []
        for star in stars:
            called = name.replace("*", star)
            at = {
                marker: str(self._found(image.replace("*", star), (*place, "images", marker), f"{marker} of {called}"))
                for marker, image in images.items()
            }
            masked = self._found(mask.replace("*", star), (*place, "mask"), f"mask of {called}") if mask else None
            found.append(Brain(called, at, group, self._voxel_size(table, place) or size, axes or None, masked))
        return found

    def _images(self, table: dict[str, Any], place: Place, markers: list[Marker]) -> dict[str, str]:
        """The path of each marker, still with stars."""
        one, each = self._text(table, "image", place), self._table(table, "images", place)
        if bool(one) == bool(each):
            self._problem(place, "a brain has either image (one for all markers) or images (one for each marker)")
            return {}
        self._known(each, tuple(marker.name for marker in markers), (*place, "images"), "the study")
        wanted = {marker.name: one for marker in markers} if one else each
        images = {}
        for marker in markers:
            if marker.name in wanted:
                path = self._text(wanted, marker.name, (*place, "images"))
                inner = f"/{marker.dataset}" if marker.dataset and not file_of(path)[1] else ""
                if path:
                    images[marker.name] = path + inner
        return images

    def _unique(self, names: list[str], what: str) -> None:
        taken: dict[str, str] = {}
        for name in names:
            folder = safe_name(name).casefold()
            if folder in taken and name:
                other = taken[folder]
                clash = "twice" if other == name else f"beside {other!r}, and both would have the same folder"
                self._problem((), f"the {what} {name!r} occurs {clash}")
            taken[folder] = name


def _listed(items: list[str]) -> str:
    more = [f"and {len(items) - _MOST_TOLD} more"] if len(items) > _MOST_TOLD else []
    return "".join(f"\n    {item}" for item in [*items[:_MOST_TOLD], *more])


def _counted(items: list[str], what: str) -> str:
    return f"{len(items)} {what}{'' if len(items) == 1 else 's'}"


def _are(items: list[str]) -> str:
    return "is" if len(items) == 1 else "are"
