"""What the commands about accuracy show."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from ecc_rf.evaluation import Evaluation, Score
    from ecc_rf.objects import ObjectModel


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


def print_object_model(path: str, model: ObjectModel) -> None:
    """What a model was trained on, in two lines."""
    training = model.training
    print(f"{path}: trained on {training['cells']} cells and {training['others']} others, cut {model.cut:g}")
    shares = training["out_of_bag"]
    print(f"  out of bag: precision {shares['precision']:.3f}, recall {shares['recall']:.3f} of the candidates")


def print_normalized(written: Iterable[tuple[Path, tuple[float, ...]]]) -> None:
    """Each image in a line."""
    for path, scales in written:
        print(f"{path}: scale {', '.join(f'{scale:g}' for scale in scales)}")


def _figures(score: Score) -> list[str]:
    ratios = [show_ratio(value) for value in (score.precision, score.recall, score.f1)]
    return [f"{score.cells:,}", f"{score.detections:,}", f"{score.matched:,}", *ratios]


def show_ratio(value: float) -> str:
    """
    >>> show_ratio(0.7531), show_ratio(float("nan"))
    ('0.753', '–')
    """
    return "–" if math.isnan(value) else f"{value:.3f}"
