"""study.html: all brains of a study on one page."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from ecc_rf.record import write_text
from ecc_rf.reporting import page
from ecc_rf.reporting.drawing import GROUPS, Figure, drawing, grid
from ecc_rf.reporting.scene import show
from ecc_rf.studies.running import Outcome
from ecc_rf.studies.study import Study
from ecc_rf.studies.tables import FAILURES, LONG, PAGE, WIDE, rows

_MARKS = ("o", "s", "^", "D", "v", "P", "X")  # groups differ in shape, not in colour alone
_NAMED = 12  # brains of a group that bear their name


def write_page(study: Study, outcomes: Sequence[Outcome], output: Path) -> None:
    """Write the page of a study.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    table = rows(outcomes, output)
    parts = [
        *_headline(study, outcomes),
        *_troubles(outcomes),
        *_charts(study, table),
        *_table(outcomes, table),
        f'<p class="muted small">The same as tables: <a href="{LONG}">{LONG}</a> (a row for each run) and'
        f' <a href="{WIDE}">{WIDE}</a> (a row for each brain).</p>',
    ]
    write_text(output / PAGE, page.page(f"Study {study.name}", parts))


def _headline(study: Study, outcomes: Sequence[Outcome]) -> Iterator[str]:
    there = sum(outcome.status in ("done", "kept") for outcome in outcomes)
    failed = sum(outcome.status == "failed" for outcome in outcomes)
    missing = sum(outcome.status == "not run" for outcome in outcomes)
    yield f"<h1>{page.text(study.name)}</h1>"
    yield f'<p class="muted">{page.text(study.path)}</p>'
    entries = [
        (f"{there} of {len(outcomes)}", "results"),
        (str(failed), "failed"),
        *([(str(missing), "not run yet")] if missing else []),
        (str(len(study.markers)), "markers"),
        (str(len(study.brains)), "brains"),
    ]
    yield page.tiles(entries)


def _troubles(outcomes: Sequence[Outcome]) -> Iterator[str]:
    failed = [f"{o.job.name}: {' '.join(o.error.split())}" for o in outcomes if o.status == "failed"]
    yield page.notes(f"Failed (details in {FAILURES})", failed, kind="bad")
    # what is said of several brains is said once
    said: dict[str, list[str]] = {}
    for outcome in outcomes:
        for note in outcome.record.get("notes", ()):
            said.setdefault(note, []).append(outcome.job.name)
    yield page.notes("Warnings", [f"{', '.join(names)}: {note}" for note, names in said.items()])


def _charts(study: Study, table: Sequence[dict[str, Any]]) -> Iterator[str]:
    groups = list(dict.fromkeys(brain.group for brain in study.brains))
    for marker in study.markers:
        own = [row for row in table if row["marker"] == marker.name and row["cells"] is not None]
        if not own:
            continue
        units = {row["examined_unit"] for row in own}
        per = {"mm³": "mm³", "mm²": "mm²"}.get(own[0]["examined_unit"], "million voxels")
        figures = [_dots(own, groups, "cells", "cells", marker.name)]
        if len(units) == 1:
            figures.append(_dots(own, groups, "density", f"cells per {per}", marker.name))
        yield f"<h2>{page.text(marker.name)}</h2>"
        yield grid(figures)


def _dots(own: Sequence[dict[str, Any]], groups: Sequence[str], column: str, label: str, marker: str) -> Figure:
    """A dot for each brain, side by side in its group, and the group's mean."""
    told, means = [], []
    for group in groups:
        values = [row[column] for row in own if row["group"] == group and row[column] is not None]
        means.append(float(np.mean(values)) if values else None)
        if values:
            told.append(f"{group or 'all brains'}: n = {len(values)}, mean {show(means[-1])}")
    figure = Figure(f"{label} of {marker} in each brain: {'; '.join(told)}.", f"{page.text('; '.join(told))}.")
    with drawing(figure, height=3.1) as (_, axes):
        for at, (group, mean) in enumerate(zip(groups, means)):
            rows = sorted((row for row in own if row["group"] == group), key=lambda row: str(row["brain"]))
            rows = [row for row in rows if row[column] is not None]
            places = at + (np.linspace(-0.22, 0.22, len(rows)) if len(rows) > 1 else np.zeros(len(rows)))
            color, mark = GROUPS[at % len(GROUPS)], _MARKS[at % len(_MARKS)]
            axes.plot(places, [row[column] for row in rows], mark, color=color, markersize=8, markeredgecolor="#222222")
            if mean is not None:
                axes.plot([at - 0.32, at + 0.32], [mean, mean], color="#222222", linewidth=1.5)
            if len(rows) <= _NAMED // max(1, len(groups)) + 3:
                for x, row in zip(places, rows):
                    axes.annotate(
                        _short(row["brain"]),
                        (x, row[column]),
                        xytext=(0, 7 if mean is None or row[column] >= mean else -8),  # not on the line of the mean
                        textcoords="offset points",
                        ha="center",
                        va="bottom" if mean is None or row[column] >= mean else "top",
                        fontsize=8.5,
                        parse_math=False,
                    )
        axes.set_xlim(-0.6, len(groups) - 0.4)
        axes.set_ylim(0, max(max(row[column] or 0 for row in own) * 1.18, 1e-9))
        axes.set_xticks(range(len(groups)), [_short(group) or "all brains" for group in groups])
        for tick in axes.get_xticklabels():
            tick.set_parse_math(False)
        axes.set_ylabel(label)
    return figure


def _table(outcomes: Sequence[Outcome], table: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield "<h2>All runs</h2>"
    units = sorted({row["examined_unit"] for row in table if row["examined_unit"]})
    one = len(units) <= 1
    lines = []
    for outcome, row in zip(outcomes, table):
        report = outcome.job.folder / "report.html"
        name: Any = row["brain"]
        if outcome.record and report.is_file():
            name = page.Raw(f'<a href="{quote(row["folder"])}/report.html">{html.escape(str(name))}</a>')
        lines.append(
            (
                row["marker"],
                name,
                row["group"] or "-",
                row["status"],
                "-" if row["cells"] is None else f"{row['cells']:,}",
                show(row["density"]) if one else f"{show(row['density'])} per {row['examined_unit']}",
                show(row["median_diameter_um"]),
                show(row["median_intensity"]),
                show(row["median_sbr"]),
                row["warnings"] or "",
                row["seconds"],
            )
        )
    density = f"per {units[0]}" if units and one else "density"
    headings = ("marker", "brain", "group", "status", "cells", density, "diameter", "intensity", "signal/bg.")
    yield page.table((*headings, "warnings", "seconds"), lines, numbers=(4, 5, 6, 7, 8, 9, 10))
    yield '<p class="muted small">Diameter (µm), intensity above background and signal/background are medians.</p>'


def _short(name: str) -> str:
    return name if len(name) <= 14 else f"{name[:13]}…"
