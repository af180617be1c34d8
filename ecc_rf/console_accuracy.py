"""What the commands about accuracy show."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ecc_rf.printable import printable

if TYPE_CHECKING:
    from ecc_rf.evaluation import Evaluation, Score
    from ecc_rf.judging import Sheet
    from ecc_rf.objects import ObjectModel
    from ecc_rf.suggesting import Suggestions
    from ecc_rf.tuning import Tuning


def wide_console() -> Console:
    """As wide as the terminal; a pipe is not taken for one of 80 columns."""
    return Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 200)


def print_evaluation(evaluation: Evaluation) -> None:
    """A row per volume, per group, and one for all."""
    console = wide_console()
    table = Table(box=None, padding=(0, 1))
    for heading in ("", "group", "cells", "detections", "matched", "precision", "recall", "F1"):
        table.add_column(heading, justify="left" if heading in ("", "group") else "right")
    for result in evaluation.results:
        table.add_row(escape(result.case.name), escape(result.case.group), *_figures(result.score))
    for name, score in evaluation.groups.items():
        table.add_row(f"[bold]{escape(name)}[/]", "", *_figures(score))
    if len(evaluation.results) > 1:
        table.add_row("[bold]all[/]", "", *_figures(evaluation.pooled))
    console.print(table)
    console.print(f"Rule: {evaluation.rule.describe()}.")


def print_sheet(sheet: Sheet) -> None:
    """What was drawn, of which strata, and what to do with it."""
    console = wide_console()
    console.print(f"{len(sheet.table)} of {sheet.candidates:,} candidates were drawn:")
    table = Table(box=None, padding=(0, 1))
    for heading in ("stratum", "candidates", "drawn", "each stands for"):
        table.add_column(heading, justify="left" if heading == "stratum" else "right")
    for (stratum, size, weight), drawn in sheet.table.groupby(["stratum", "stratum_size", "weight"], sort=True):
        table.add_row(escape(printable(str(stratum))), f"{size:,}", f"{len(drawn):,}", f"{weight:.4g}")
    console.print(table)
    csv, page = sheet.files
    console.print(escape(printable(f"Open {page} in a browser, judge, and download judged.csv ({csv} is the table).")))


def print_suggestions(suggestions: Suggestions) -> None:
    """A row per place."""
    if not len(suggestions.table):
        print("Nothing is wrong or uncertain: no place is suggested.")
        return
    table = Table(box=None, padding=(0, 1))
    for heading in ("place", "image", "z", "y", "x", "score", "reason"):
        table.add_column(heading, justify="left" if heading in ("image", "reason") else "right")
    for row in suggestions.table.itertuples():
        values = [str(row.place), escape(printable(str(row.name))), str(row.z), str(row.y), str(row.x)]
        table.add_row(*values, f"{row.score:.4g}", str(row.reason))
    console = wide_console()
    console.print(table)
    console.print(escape(printable(f"Crops for ITK-SNAP, places.csv and places.png are in {suggestions.folder}.")))


def print_judged(counts: Mapping[str, int]) -> None:
    """How many judgements there are of each kind."""
    print(
        f"{counts['cell']} judged cells, {counts['not']} not; left out: {counts['unsure']} unsure,"
        f" {counts['open']} not judged"
    )


def print_object_model(path: str, model: ObjectModel) -> None:
    """What a model was trained on, and what is to be expected of it at some cuts."""
    training = model.training
    print(f"{path}: trained on {training['cells']} cells and {training['others']} others, cut {model.cut:g}")
    shares = training["out_of_bag"]
    weighted = ", each weighted by the candidates it stands for" if training["weighted"] else ""
    print(f"  out of bag, of the candidates{weighted} (what is no candidate is not counted):")
    print(
        f"  at the cut: accuracy {shares['accuracy']:.3f}, precision {shares['precision']:.3f},"
        f" recall {shares['recall']:.3f}, F1 {shares['f1']:.3f}"
    )
    table = Table(box=None, padding=(0, 1))
    for heading in ("cut", "accuracy", "precision", "recall", "F1", ""):
        table.add_column(heading, justify="right")
    for point in training["curve"]:
        suggested = point["cut"] == training["suggested_cut"]
        if suggested or round(point["cut"] * 100) % 10 == 0:
            values = [f"{point[name]:.3f}" for name in ("accuracy", "precision", "recall", "f1")]
            table.add_row(f"{point['cut']:.2f}", *values, "suggested" if suggested else "")
    wide_console().print(table)


def print_normalized(written: Iterable[tuple[Path, tuple[float, ...]]]) -> None:
    """Each image in a line."""
    for path, scales in written:
        print(f"{path}: scale {', '.join(f'{scale:g}' for scale in scales)}")


def print_tuning(tuning: Tuning) -> None:
    """The choice, what it is worth by group, and the curve of each setting."""
    console = wide_console()
    chosen = [f"{name} {_value(getattr(tuning.chosen, name))}" for name in tuning.grid.varied]
    console.print(
        f"[bold]Chosen[/] of {len(tuning.finders):,} combinations: {', '.join(chosen) or 'nothing is tried'}\n"
    )
    table = Table(box=None, padding=(0, 1))
    for heading in ("", "F1", "by the others", "its own best", "±", "cells", "settings of the others"):
        table.add_column(heading, justify="left" if heading in ("", "settings of the others") else "right")
    for name, result in tuning.groups.items():
        other = result.settings
        told = "" if other is None else ", ".join(f"{s} {_value(getattr(other, s))}" for s in tuning.grid.varied)
        left_out = show_ratio(math.nan if result.left_out is None else result.left_out.f1)
        table.add_row(
            escape(name),
            show_ratio(result.chosen.f1),
            left_out if result.transfers else f"[red]{left_out}[/]",
            show_ratio(result.best.f1),
            show_ratio(result.uncertainty),
            f"{result.chosen.cells:,}",
            told,
        )
    if len(tuning.groups) > 1 and tuning.left_out is not None:
        ratios = show_ratio(tuning.score.f1), show_ratio(tuning.left_out.f1)
        table.add_row("[bold]all[/]", *ratios, "", "", f"{tuning.score.cells:,}", "")
    console.print(table)
    for setting in tuning.grid.varied:
        _print_curve(console, tuning, setting)
    console.print(f"Rule: {tuning.rule.describe()}.")


def _print_curve(console: Console, tuning: Tuning, setting: str) -> None:
    """F1 by value and group, all other settings as chosen."""
    curve = tuning.curve(setting)
    table = Table(title=f"F1 by {setting}", title_justify="left", title_style="bold", box=None, padding=(0, 1))
    for heading in ("", *map(_value, curve)):
        table.add_column(heading, justify="right" if heading else "left")
    for group in (*tuning.groups, ""):
        figures = [
            f"[bold]{show_ratio(scores[group].f1)}[/]"
            if value == getattr(tuning.chosen, setting)
            else show_ratio(scores[group].f1)
            for value, scores in curve.items()
        ]
        table.add_row(escape(group) or "[bold]all[/]", *figures)
    console.print(table)


def _value(value: float | None) -> str:
    return "none" if value is None else f"{value:g}"


def _figures(score: Score) -> list[str]:
    ratios = [show_ratio(value) for value in (score.precision, score.recall, score.f1)]
    return [f"{score.cells:,}", f"{score.detections:,}", f"{score.matched:,}", *ratios]


def show_ratio(value: float) -> str:
    """
    >>> show_ratio(0.7531), show_ratio(float("nan"))
    ('0.753', '–')
    """
    return "–" if math.isnan(value) else f"{value:.3f}"
