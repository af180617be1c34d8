"""What the command line shows of a study."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

from ecc_rf.console import escape, new_table, plain_console, print_notes
from ecc_rf.reporting.scene import show
from ecc_rf.studies import Outcome, Plan
from ecc_rf.studies.tables import FAILURES, LONG, PAGE, rows


def example() -> str:
    """A study file with comments."""
    return files("ecc_rf.studies").joinpath("example.toml").read_text(encoding="utf-8")


def print_plan(plan: Plan) -> None:
    """What would be run, and why."""
    console = plain_console()
    table = new_table("", "run", "image", "")
    wanted = plan.to_do()
    for job, reason in wanted:
        table.add_row(escape(job.name), escape(job.image), escape(reason) if reason else "[dim]there already[/]")
    console.print(table)
    console.print(f"{sum(bool(reason) for _, reason in wanted)} of {len(wanted)} would be run")


def print_study(plan: Plan, outcomes: Sequence[Outcome]) -> None:
    """All counts, and what failed."""
    console = plain_console()
    found = rows(outcomes, plan.output)
    units = sorted({row["examined_unit"] for row in found if row["examined_unit"]})
    unit = units[0] if len(units) == 1 else "unit"
    table = new_table("", "marker", "brain", "group", "status")
    for heading in ("cells", f"per {unit}", "warnings", "s"):
        table.add_column(heading, justify="right")
    for row in found:
        failed = row["status"] == "failed"
        table.add_row(
            *(escape(row[name]) for name in ("marker", "brain", "group")),
            f"[red]{row['status']}[/]" if failed else row["status"],
            "-" if row["cells"] is None else f"{row['cells']:,}",
            show(row["density"]),
            str(row["warnings"] or ""),
            "-" if row["seconds"] is None else f"{row['seconds']:.1f}",
        )
    console.print(table)
    print_notes(f"{o.job.name}: {note}" for o in outcomes if o.status == "done" for note in o.record["notes"])
    failures = [outcome for outcome in outcomes if outcome.status == "failed"]
    for outcome in failures:
        console.print(f"[red]failed:[/] {escape(outcome.job.name)}: {escape(outcome.error)}")
    more = f", {FAILURES} says why {len(failures)} failed" if failures else ""
    console.print(f"\n{escape(str(plan.output))}: {PAGE} and {LONG}{more}")
