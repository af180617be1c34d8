"""What the command line shows of a training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from ecc_rf.console import MOST_LANES, new_table, plain_console

if TYPE_CHECKING:
    from ecc_rf.feature_choice import Suggestion
    from ecc_rf.training_report import ImageReport, TrainingReport


def print_training(report: TrainingReport, output: str | Path) -> None:
    """The report as tables."""
    console = plain_console()
    seconds = sum(report.seconds.values())
    console.print(
        f"{escape(str(output))}: {report.trees} trees in {report.forests} forests, {len(report.features)} features,"
        f" {report.voxels:,} annotated voxels, seed {report.seed}, {seconds:.1f} s\n"
    )
    _print_labels(console, report)
    _print_confusion(console, report)
    if len(report.images) > 1:
        _print_images(console, report.images)
    _print_features(console, report)
    for warning in report.warnings:
        console.print(f"[yellow]warning:[/] {escape(warning)}")


def print_suggestion(found: Suggestion, output: str | Path | None, cells: int | None) -> None:
    """The nested selections as a table."""
    console = plain_console()
    choices = new_table(
        "Nested selections", "", "cells", "features", "error", "±", "s/Mvoxel", "halo", "without", "words"
    )
    for number, choice in enumerate(found.choices):
        choices.add_row(
            "→" if number == found.suggested else "",
            str(choice.cells),
            str(choice.features),
            percent(choice.error, 2),
            percent(choice.uncertainty, 2),
            f"{choice.seconds:.3f}",
            str(max(choice.halo)),
            choice.left_out,
            choice.words,
        )
    console.print(choices)
    first, last = found.choices[0], found.choices[found.suggested]
    console.print(
        f"\nSuggested: {last.cells} of {first.cells} cells, {last.seconds / first.seconds:.0%} of the time;"
        f" error {percent(last.error, 2)} instead of {percent(first.error, 2)}. Errors are out of bag, each selection"
        " trained anew;\non another brain they are larger."
    )
    if output is not None:
        written = found.choices[found.of_cells(cells)]
        console.print(f"{escape(str(output))}: {written.words}")


def percent(share: float | None, digits: int = 1) -> str:
    """
    >>> percent(0.0805), percent(None)
    ('8.1 %', '-')
    """
    return "-" if share is None else f"{100 * share:.{digits}f} %"


def _print_labels(console: Console, report: TrainingReport) -> None:
    shown = report.images if len(report.images) <= MOST_LANES else []
    labels = new_table("Annotated voxels", "", "label")
    for image in shown:
        labels.add_column(f"lane {image.index}", justify="right")
    labels.add_column("voxels", justify="right")
    for label in report.labels:
        counts = [f"{image.voxels.get(label.value, 0):,}" for image in shown]
        labels.add_row(str(label.value), escape(label.name), *counts, f"{label.voxels:,}")
    console.print(labels)
    console.print()


def _print_confusion(console: Console, report: TrainingReport) -> None:
    console.print(f"[bold]Out-of-bag error[/] {percent(report.error)} of {report.judged:,} voxels")
    names = {label.value: label.name for label in report.labels}
    confusion = new_table("", "annotated as")
    for value in report.classes:
        confusion.add_column(f"→ {value}", justify="right")
    confusion.add_column("wrong", justify="right")
    for value, row in zip(report.classes, report.confusion):
        confusion.add_row(f"{value} {escape(names[value])}", *(f"{n:,}" for n in row), _wrong(row, report, value))
    console.print(confusion)
    console.print()


def _wrong(row: Sequence[int], report: TrainingReport, value: int) -> str:
    total = sum(row)
    return percent(1 - row[report.classes.index(value)] / total if total else None)


def _print_images(console: Console, images: Sequence[ImageReport]) -> None:
    lanes = new_table("By lane", "", "image", "voxels", "error")
    for image in images:
        lanes.add_row(str(image.index), escape(image.name), f"{sum(image.voxels.values()):,}", percent(image.error))
    console.print(lanes)
    console.print()


def _print_features(console: Console, report: TrainingReport) -> None:
    console.print(
        "[bold]Features[/]  shuffled: rise of the out-of-bag error without knowing it (upper bound of the loss)"
    )
    cells = new_table("", "filter", "σ", "features", "shuffled")
    for cell in report.cells:
        cells.add_row(cell.filter, f"{cell.scale:g}", str(cell.features), percent(cell.shuffled, 2))
    console.print(cells)
    console.print()
