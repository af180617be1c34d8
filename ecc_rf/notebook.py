"""How objects show themselves in a notebook and at the prompt: a title and rows of what matters."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from ecc_rf.classifier import PixelClassifier
    from ecc_rf.ilp import IlastikProject
    from ecc_rf.training_report import TrainingReport
    from ecc_rf.volumes import Volume

Row = tuple[str, object]
Table = list[list[object]]


class Shown:
    """Shows itself as `_DESCRIPTIONS` says; a base of the classes that people hold in their hands."""

    def __repr__(self) -> str:
        rows, _ = self._described()
        return as_text(type(self).__name__, rows)

    def _repr_html_(self) -> str:
        rows, table = self._described()
        return as_html(type(self).__name__, rows, table)

    def _described(self) -> tuple[list[Row], Table]:
        known = next(kind.__name__ for kind in type(self).__mro__ if kind.__name__ in _DESCRIPTIONS)
        described: tuple[list[Row], Table] = _DESCRIPTIONS[known](self)
        return described


def as_text(title: str, rows: Iterable[Row]) -> str:
    """For the prompt.

    >>> print(as_text("IlastikProject", [("path", "PV.ilp"), ("lanes", 2)]))
    <IlastikProject
      path: PV.ilp
      lanes: 2>
    """
    return "<" + "\n  ".join([title, *(f"{name}: {value}" for name, value in rows)]) + ">"


def as_html(title: str, rows: Iterable[Row], table: Sequence[Sequence[object]] = ()) -> str:
    """For a notebook; texts are escaped, for they may be from a file.

    Parameters
    ----------
    title : str
    rows : iterable of (name, value)
    table : sequence of rows, optional
        Below them; the first is the heading.

    >>> as_html("A", [("b", "<i>")])
    '<b>A</b><table><tr><th style="text-align:left">b</th><td style="text-align:left">&lt;i&gt;</td></tr></table>'
    """
    left = 'style="text-align:left"'
    lines = [
        f"<tr><th {left}>{html.escape(name)}</th><td {left}>{html.escape(str(value))}</td></tr>" for name, value in rows
    ]
    shown = f"<b>{html.escape(title)}</b><table>{''.join(lines)}</table>"
    if table:
        below = []
        for number, row in enumerate(table):
            tag = "td" if number else "th"
            below.append("".join(f"<{tag} {left}>{html.escape(str(value))}</{tag}>" for value in row))
        shown += f"<table>{''.join(f'<tr>{row}</tr>' for row in below)}</table>"
    return shown


def _project(project: IlastikProject) -> tuple[list[Row], Table]:
    rows: list[Row] = [
        ("file", project.path),
        ("saved by ilastik", project.ilastik_version),
        ("lanes", len(project.lanes)),
        ("labels", _labels(project.label_names)),
        *(("note", note) for note in project.notes),
    ]
    lanes: Table = [["lane", "nickname", "axes", "shape", "stored path"]]
    lanes += [
        [lane.index, lane.nickname, lane.axes, _times(lane.shape or ()), lane.stored_path or ""]
        for lane in project.lanes
    ]
    return rows, lanes


def _classifier(classifier: PixelClassifier) -> tuple[list[Row], Table]:
    forest = classifier.forest
    rows: list[Row] = [
        ("from", classifier.name),
        ("labels", _labels(classifier.label_names)),
        ("forest", f"{forest.n_trees} trees, {forest.n_features} features"),
    ]
    if classifier.training is not None and classifier.training.error is not None:
        rows.append(("out-of-bag error", f"{classifier.training.error:.2%}"))
    scales = classifier.selection.scales
    table: Table = [["filter", *(f"σ {scale:g}" for scale in scales)]]
    for name, chosen in zip(classifier.selection.feature_ids, classifier.selection.matrix):
        table.append([name, *("×" if ticked else "·" for ticked in chosen)])
    return rows, table


def _training(report: TrainingReport) -> tuple[list[Row], Table]:
    error = "unknown" if report.error is None else f"{report.error:.2%} of {report.judged:,} voxels"
    rows: list[Row] = [
        ("from", report.source),
        ("annotated voxels", ", ".join(f"{label.value} ({label.name}) {label.voxels:,}" for label in report.labels)),
        ("forest", f"{report.trees} trees, {len(report.features)} features, seed {report.seed}"),
        ("out-of-bag error", error),
        *(("warning", warning) for warning in report.warnings),
    ]
    table: Table = [["annotated as", *(f"→ {value}" for value in report.classes)]]
    table += [[value, *row] for value, row in zip(report.classes, report.confusion)]
    return rows, table


def _volume(volume: Volume) -> tuple[list[Row], Table]:
    size = volume.voxel_size
    rows: list[Row] = [
        ("name", volume.name),
        ("axes", volume.axes),
        ("shape", _times(volume.shape)),
        ("voxels", f"{volume.dtype}, {math.prod(volume.shape) * volume.dtype.itemsize / 1e6:,.1f} MB in memory"),
        ("voxel size", "unknown" if size is None else f"{' × '.join(f'{length:g}' for length in size)} µm (z, y, x)"),
    ]
    if volume.chunks is not None:
        rows.append(("chunks", _times(volume.chunks)))
    return rows, []


_DESCRIPTIONS: dict[str, Callable[[Any], tuple[list[Row], Table]]] = {
    "IlastikProject": _project,
    "PixelClassifier": _classifier,
    "TrainingReport": _training,
    "BaseVolume": _volume,
}


def _labels(names: Sequence[str]) -> str:
    return ", ".join(f"{value} ({name})" for value, name in enumerate(names, start=1))


def _times(extents: Iterable[int]) -> str:
    return " × ".join(map(str, extents))


def summary(cells: pd.DataFrame) -> pd.DataFrame:
    """What a table of cells holds, in a few rows: a look before any statistics.

    Parameters
    ----------
    cells : DataFrame
        As `CellFinder.find` gives it, or read from ``cells.csv``.

    Returns
    -------
    DataFrame
        A row for each measure that the table has: number of values, median, and the percentiles 5 and 95; its index
        names measure and unit. The number of cells is that of the rows of `cells`.

    >>> import pandas as pd
    >>> summary(pd.DataFrame({"vol": [10.0, 20.0, 90.0]})).loc["volume (µm³)"].tolist()
    [3.0, 11.0, 20.0, 83.0]
    """
    import pandas as pd  # late: `import ecc_rf` must not pay for it

    measures = {
        "vol": "volume (µm³)",
        "diameter_um": "diameter (µm)",
        "deltaI": "intensity above background",
        "BG": "background",
        "sbr": "signal to background",
        "peak_probability": "peak probability",
        "mean_probability": "mean probability",
        "X": "X (µm)",
        "Y": "Y (µm)",
        "Z": "Z (µm)",
    }
    rows: dict[str, list[Any]] = {}
    for column, name in measures.items():
        if column in cells:
            values = cells[column].dropna()
            rows[name] = [float(len(values)), *(float(values.quantile(share)) for share in (0.05, 0.5, 0.95))]
    return pd.DataFrame.from_dict(rows, orient="index", columns=["cells", "5 %", "median", "95 %"])
