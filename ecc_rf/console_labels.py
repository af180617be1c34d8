"""What the command line shows of labels that go to ITK-SNAP and come back, and of previews."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ecc_rf.console import print_notes

if TYPE_CHECKING:
    from ecc_rf.itksnap import ExportRecord, ImportedLabels
    from ecc_rf.project_preview import PreviewRecord


def print_export(record: ExportRecord, names: Sequence[str]) -> None:
    """What was written, and how it is opened."""
    print_notes(record.notes)
    size = "" if record.voxel_size is None else f", voxels of {', '.join(f'{n:g}' for n in record.voxel_size)} µm"
    where = f" from z, y, x = {record.start}" if any(record.start) else ""
    print(f"{', '.join(record.files)}: z, y, x = {record.shape}{where}{size}; {_listed(record.counts, names)}")
    labels, *others = record.files
    images = [file for file in others if file.lower().endswith((".nii", ".nii.gz"))]
    texts = [file for file in others if file not in images]
    if images:
        arguments = ["itksnap", "-g", images[0], "-s", labels, *(["-l", texts[0]] if texts else [])]
        print("  open them with: " + shlex.join(arguments))


def print_import(imported: ImportedLabels, output: str | Path) -> None:
    """What the new project holds."""
    print_notes(imported.notes)
    print(f"{output}: lane {imported.lane} gets {_listed(imported.counts, imported.label_names)}")
    print(f"  it now has {_listed(imported.labels.counts, imported.label_names)}")


def print_preview(record: PreviewRecord) -> None:
    """One figure in a line; at once, since more may follow."""
    print_notes(record.notes)
    print(f"{record.output}: drawn in {record.seconds:.1f} s", flush=True)


def print_failure(message: str) -> None:
    """An error after which one goes on."""
    print(f"ecc-rf: error: {message}\necc-rf: still watching", file=sys.stderr, flush=True)


def _listed(counts: Mapping[int, int], names: Sequence[str]) -> str:
    """
    >>> _listed({1: 1200, 3: 5}, ["cell", "vessel"])
    '1 (cell) 1,200, 3 5 voxels'
    """
    if not counts:
        return "no labelled voxels"
    named = (f"{value} ({names[value - 1]})" if value <= len(names) else str(value) for value in counts)
    return ", ".join(f"{name} {number:,}" for name, number in zip(named, counts.values())) + " voxels"
