"""Settings of the search for cells: defaults, those of an object model, of a file, of the command line, in this order.

The file is TOML::

    objects_model = "model.h5"        # beside this file; may be left out

    [cells]
    smoothing_um = 1.62               # any setting of CellFinder
    threshold = 0.5
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ecc_rf.cells import CellFinder
from ecc_rf.errors import FormatError, SettingError
from ecc_rf.near import advice, missing_file
from ecc_rf.objects import ObjectModel
from ecc_rf.record import write_text
from ecc_rf.small_files import read_small

_NAMES = tuple(field.name for field in fields(CellFinder))


@dataclass(frozen=True)
class CellSettings:
    """What a file of settings holds."""

    finder: Mapping[str, Any]
    model: Path | None = None


def read_settings(path: str | Path) -> CellSettings:
    """Read a file of settings.

    Raises
    ------
    MissingFileError, FormatError, SettingError
        If there is no such file, it is not TOML, or a name in it is not known.
    """
    file = Path(path)
    if not file.is_file():
        raise missing_file(path)
    try:
        stored = tomllib.loads(read_small(file))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FormatError(
            f"This is no file of settings: {error}",
            where=str(path),
            do="Give one that ecc-rf tune has written (.toml).",
        ) from error
    cells, model = stored.pop("cells", {}), stored.pop("objects_model", None)
    if not isinstance(cells, dict) or not isinstance(model, str | None):
        raise FormatError("Expected the table [cells] and the text objects_model.", where=str(path))
    unknown = [*stored, *(name for name in cells if name not in _NAMES)]
    if unknown:
        raise SettingError(
            f"There is no setting {unknown[0]!r}.",
            where=str(path),
            do=advice(unknown[0], _NAMES, f"Known are {', '.join(_NAMES)}."),
        )
    return CellSettings(cells, None if model is None else file.parent / model)


def write_settings(path: str | Path, finder: Mapping[str, Any], *, model: str | None = None, notes: str = "") -> None:
    """Write a file that `read_settings` reads; what is None is left out.

    Parameters
    ----------
    path : path
    finder : mapping
        Settings of `CellFinder`.
    model : str, optional
        Path of the object model, as seen from the file's folder.
    notes : str
        Written above as a comment.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    lines = [f"# {line}".rstrip() for line in notes.splitlines()]
    if model is not None:
        lines.append(f"objects_model = {json.dumps(model, ensure_ascii=False)}")
    lines += ["", "[cells]", *(f"{name} = {json.dumps(value)}" for name, value in finder.items() if value is not None)]
    write_text(Path(path), "\n".join(lines).lstrip("\n") + "\n")


def resolve(
    given: Mapping[str, Any], settings: str | Path | None = None, model: str | Path | None = None
) -> tuple[CellFinder, ObjectModel | None]:
    """The settings that hold, and the object model.

    Parameters
    ----------
    given : mapping
        What the user said; what is None was not said.
    settings, model : path, optional
        File of settings; object model, instead of the one that the file names.

    Raises
    ------
    EccError
    """
    stored = CellSettings({}) if settings is None else read_settings(settings)
    chosen = model or stored.model
    loaded = None if chosen is None else ObjectModel.load(chosen)
    said = {name: value for name, value in given.items() if name in _NAMES and value is not None}
    trained = loaded.finder if loaded is not None else {}
    merged = {**trained, **stored.finder, **said}
    try:
        return CellFinder(**{name: value for name, value in merged.items() if name in _NAMES}), loaded
    except TypeError as error:
        raise SettingError(f"A setting is of the wrong kind: {error}", where=str(settings or chosen)) from error
