"""What a careful colleague would say about annotations before trusting what was trained on them."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from ecc_rf.gathering import TrainingRows

FEWEST_CELL_VOXELS = 5000
"""Annotated voxels of cells that the original ecc's documentation asks for."""

LARGEST_IMBALANCE = 20
"""Ratio of voxels beyond which a label is so rare in a bootstrap that trees hardly see it."""

_NO_CELL = re.compile(
    r"\b(back\W?ground|bg|false|noise|art[ei]facts?|tissue|vessels?|nothing|rest|outside|negative)", re.I
)
_CELL = re.compile(r"\b(cells?|nucle(us|i)|neurons?|somas?|somata|objects?|foreground|fg|positive|signal)\b", re.I)


def advice(rows: TrainingRows, label_names: Sequence[str]) -> list[str]:
    """Remarks on labels and features; none if there is nothing to say.

    Parameters
    ----------
    rows : TrainingRows
    label_names : sequence of str
        Label v has the name ``label_names[v - 1]``.
    """
    counts = [int(np.count_nonzero(rows.labels == value)) for value in range(1, len(label_names) + 1)]
    remarks = [*_names(label_names), *_brightness(rows, label_names)]
    if counts[0] < FEWEST_CELL_VOXELS:
        remarks.append(
            f"label 1 ({label_names[0]}) has {counts[0]:,} annotated voxels; {FEWEST_CELL_VOXELS:,} or more are advised"
        )
    for value, (name, count) in enumerate(zip(label_names, counts), start=1):
        if not count:
            remarks.append(f"label {value} ({name}) has no annotation: its probability is 0 everywhere")
    some = {value: count for value, count in enumerate(counts, start=1) if count}
    least, most = min(some, key=lambda value: some[value]), max(some, key=lambda value: some[value])
    if some[most] > LARGEST_IMBALANCE * some[least]:
        remarks.append(
            f"the labels are unbalanced: label {most} ({label_names[most - 1]}) has {some[most]:,} annotated voxels, "
            f"label {least} ({label_names[least - 1]}) {some[least]:,}"
        )
    if len(np.unique(rows.image)) == 1:
        remarks.append("only one image is annotated: how well other brains are classified cannot be told")
    constant = [name for name, flat in zip(rows.names, (rows.features == rows.features[0]).all(axis=0)) if flat]
    if constant:
        remarks.append(f"the same for all annotated voxels, and of no use: {', '.join(constant)}")
    return remarks


def _names(names: Sequence[str]) -> list[str]:
    """Whether label 1 seems to be the cells.

    >>> _names(["background", "cells"])[0]
    "label 1 is called 'background', but label 1 is what is counted as cells; label 2 is called 'cells'"
    >>> _names(["cell", "false signal", "background"]), _names(["Label 1", "Label 2"])
    ([], [])
    """
    cells = [value for value, name in enumerate(names, start=1) if _CELL.search(name) and not _NO_CELL.search(name)]
    if 1 in cells or not (cells or _NO_CELL.search(names[0])):
        return []
    other = f"; label {cells[0]} is called {names[cells[0] - 1]!r}" if cells else ""
    return [f"label 1 is called {names[0]!r}, but label 1 is what is counted as cells{other}"]


def _brightness(rows: TrainingRows, names: Sequence[str]) -> list[str]:
    """Whether label 1 is darker than the rest, in every channel."""
    first = rows.labels == 1
    if not first.any() or first.all():
        return []
    inside, outside = (np.median(rows.brightness[which], axis=0) for which in (first, ~first))
    if not (inside < outside).all():
        return []
    return [
        f"label 1 ({names[0]}) is darker than the other labels (median {_listed(inside)} against {_listed(outside)}): "
        "it should be the cells"
    ]


def _listed(values: np.ndarray) -> str:
    return ", ".join(f"{value:g}" for value in values)
