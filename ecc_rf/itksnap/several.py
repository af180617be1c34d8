"""Annotations of several images at once: a label file for each of some lanes, and one meaning of the values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ecc_rf.errors import LabelError, SettingError
from ecc_rf.ilp import IlastikProject, LaneLabels
from ecc_rf.itksnap.description import Color
from ecc_rf.itksnap.importing import ImportedLabels, ImportSettings, import_labels


@dataclass(frozen=True, eq=False)
class LabelFiles:
    """Labels of some lanes with those of their files.

    Attributes
    ----------
    labels : dict of int to LaneLabels
        All labels of these lanes as they now are, by lane index.
    label_names, label_colors : list, or None
        Of all labels of the project, the new ones last; None if there are no new ones.
    notes : list of str
        What was chosen, and what the user should know, with the file.
    """

    labels: dict[int, LaneLabels]
    label_names: list[str] | None
    label_colors: list[Color] | None
    notes: list[str]


def import_label_files(
    project: IlastikProject, files: Mapping[int | str, str | Path], settings: ImportSettings | None = None
) -> LabelFiles:
    """Read label files for lanes; nothing is written.

    Parameters
    ----------
    project : IlastikProject
    files : mapping of int or str to path
        By lane: its number from 0, or its nickname.
    settings : ImportSettings, optional
        For all files. ilastik's rule, which takes values by rank, holds for a single file only: among several, the
        same value could become another label in each.

    Raises
    ------
    SettingError
        If a lane is named twice.
    LabelError
        If values of several files are no label numbers and no mapping is given.
    EccError
        As `import_labels`.
    """
    settings = settings or ImportSettings()
    found: list[ImportedLabels] = []
    notes: list[str] = []
    for key, path in files.items():
        lane = project.lane(key)
        if any(earlier.lane == lane.index for earlier in found):
            raise SettingError(f"{lane} is named twice", str(path), "give one label file for each lane")
        imported = import_labels(project, key, path, settings, after=found[-1] if found else None)
        unmapped = settings.mapping is None and settings.names is None
        if len(files) > 1 and unmapped and any(value != label for value, label in imported.table.items()):
            values = ", ".join(map(str, sorted(imported.table)))
            raise LabelError(
                f"the values {values} are no label numbers of the project",
                str(path),
                "say what they mean: --map or --names",
            )
        found.append(imported)
        notes += [f"{path}: {note}" for note in imported.notes]
        settings = replace(settings, new_labels=())  # they are there now
    names = found[-1].label_names if found else project.label_names
    new = names != project.label_names
    return LabelFiles(
        labels={imported.lane: imported.labels for imported in found},
        label_names=names if new else None,
        label_colors=found[-1].label_colors if new else None,
        notes=notes,
    )
