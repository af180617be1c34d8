"""What became of a study: tables for statistics, and a record."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ecc_rf.record import versions, write_json, write_text
from ecc_rf.studies.running import Outcome
from ecc_rf.studies.study import Study

LONG, WIDE, RECORD, FAILURES, PAGE = "study.csv", "study_wide.csv", "study.json", "failures.txt", "study.html"

_SUMMARY = (
    *("cells", "density", "examined", "examined_unit"),
    *("median_volume", "median_diameter_um", "median_intensity", "median_sbr"),
)
COLUMNS = ("marker", "brain", "group", "status", *_SUMMARY, "warnings", "seconds", "image", "folder", "error")
"""Of ``study.csv``: density is in cells per unit of what was examined."""


def rows(outcomes: Sequence[Outcome], output: Path) -> list[dict[str, Any]]:
    """One row for each run; what is not known is None."""
    found = []
    for outcome in outcomes:
        job, record = outcome.job, outcome.record
        summary = record.get("summary") or {}
        row: dict[str, Any] = {
            "marker": job.marker.name,
            "brain": job.brain.name,
            "group": job.brain.group,
            "status": outcome.status,
            **{name: summary.get(name) for name in _SUMMARY},
            "warnings": len(record["notes"]) if record else None,
            "seconds": round(record["seconds"]["total"], 1) if record else None,
            "image": job.image,
            "folder": os.path.relpath(job.folder, output).replace(os.sep, "/"),
            "error": outcome.error.splitlines()[0] if outcome.error else None,
        }
        found.append(row)
    return found


def write_tables(study: Study, outcomes: Sequence[Outcome], output: Path) -> None:
    """Write the tables, the record, and the list of failures (which is removed if there is none).

    Raises
    ------
    OutputError
        If they cannot be written.
    """
    table = rows(outcomes, output)
    write_text(output / LONG, _csv(list(COLUMNS), table))
    write_text(output / WIDE, _csv(*_wide(study, table)))
    counts = {status: sum(o.status == status for o in outcomes) for status in ("done", "kept", "failed", "not run")}
    write_json(
        output / RECORD,
        {
            "study": study.name,
            "file": str(study.path),
            "counts": counts,
            "runs": [
                {**row, "error": outcome.error or None, "notes": list(outcome.record.get("notes", ()))}
                for row, outcome in zip(table, outcomes)
            ],
            "versions": versions(),
        },
    )
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    if failed:
        write_text(output / FAILURES, "\n".join(_failure(outcome) for outcome in failed))
    else:
        (output / FAILURES).unlink(missing_ok=True)


def _failure(outcome: Outcome) -> str:
    details = f"\n{outcome.details}" if outcome.details else ""
    return f"{outcome.job.name}\n  image: {outcome.job.image}\n{_indented(outcome.error)}\n{_indented(details)}"


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" if line else "" for line in text.splitlines())


def _wide(study: Study, table: Sequence[dict[str, Any]]) -> tuple[list[str], list[dict[str, Any]]]:
    """One row for each brain, with the cells and densities of all markers beside each other."""
    columns = ["brain", "group"]
    for marker in study.markers:
        columns += [f"{marker.name}_cells", f"{marker.name}_density"]
    found = {brain.name: {"brain": brain.name, "group": brain.group} for brain in study.brains}
    for row in table:
        for value in ("cells", "density"):
            found[row["brain"]][f"{row['marker']}_{value}"] = row[value]
    return columns, list(found.values())


def _csv(columns: list[str], table: Sequence[dict[str, Any]]) -> str:
    """Empty where nothing is known; numbers with as many digits as they have."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in table:
        writer.writerow({name: "" if value is None else value for name, value in row.items()})
    return buffer.getvalue()
