"""What the command line shows."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape as escape_markup
from rich.table import Table

from ecc_rf.blocks import Progress, SilentProgress, TerminalProgress, show_memory
from ecc_rf.blocks.progress import voxel_rate
from ecc_rf.compiling import announce
from ecc_rf.printable import printable
from ecc_rf.record import plain

if TYPE_CHECKING:
    from ecc_rf.cell_finding import CellTable
    from ecc_rf.conversion import ConversionRecord
    from ecc_rf.finishing import Finished
    from ecc_rf.pipeline import RunResult
    from ecc_rf.prediction import PredictionRecord


def escape(text: str) -> str:
    """A text from a file: no markup, and no commands to the terminal."""
    return escape_markup(printable(text))


MOST_LANES = 8  # with a column of their own in the table of labels: more do not fit a terminal


def progress(arguments: argparse.Namespace) -> Progress:
    """A bar on a terminal, unless the user wants none."""
    announce(None if arguments.quiet else lambda text: print(f"ecc-rf: {text}", file=sys.stderr, flush=True))
    if arguments.quiet:
        return SilentProgress()
    return TerminalProgress(verbose=arguments.verbose)


def print_json(record: Mapping[str, Any]) -> None:
    """For scripts: one object on standard output, to which nothing else is written; what is no number is null."""
    print(json.dumps(plain(dict(record)), indent=2, ensure_ascii=False, allow_nan=False))


def print_project(info: Mapping[str, Any], *, as_json: bool) -> None:
    """What a project holds, for people or for scripts."""
    if as_json:
        print_json(info)
    else:
        print_info(info)


def print_notes(notes: Iterable[str]) -> None:
    """What the user should know, on standard error."""
    for note in notes:
        print(f"note: {printable(note)}", file=sys.stderr)


def at_level(path: str, level: int | tuple[float, float, float] | None) -> str:
    """The path of an image's level, which is echoed; the path itself if no level was asked for."""
    if level is None:
        return path
    from ecc_rf.volumes import open_volume

    with open_volume(path, level=level) as volume:
        print_notes([f"reading {_described(volume.name, volume.axes, volume.shape, volume.dtype, volume.voxel_size)}"])
        return volume.name


def print_conversion(record: ConversionRecord) -> None:
    """One conversion in a few lines."""
    print_notes(f"could not be read and was taken for 0: {piece}" for piece in record.unreadable)
    for way, volume in (("from", record.source), ("to", record.target)):
        print(f"{way:>4} {_described(**asdict(volume))}")
    print(
        f"  {record.computed:,} voxels in {record.seconds:.1f} s ({voxel_rate(record.computed, record.seconds)};"
        f" {record.blocks} blocks of {_times(record.block_shape)}, {record.workers} workers,"
        f" memory budget {show_memory(record.memory)})"
    )
    if record.check_seconds is None:
        print("  not read back")
    else:
        print(f"  read back and found equal, block by block: {record.check_seconds:.1f} s of these")


def _described(
    name: str, axes: str, shape: Iterable[int], dtype: object, voxel_size: tuple[float, float, float] | None
) -> str:
    size = f"{' × '.join(f'{length:g}' for length in voxel_size)} µm" if voxel_size else "voxel size unknown"
    return f"{name}: {axes} {_times(shape)}, {dtype}, {size}"


def print_run(result: RunResult) -> None:
    """One image's results in a few lines."""
    record = result.record
    if result.missing:
        print(f"{result.directory}: {others(result.missing, result.blocks)}")
        return
    print_notes(record["notes"])
    prediction = record["prediction"]
    rate = voxel_rate(prediction["voxels"], prediction["seconds"])
    seconds = record["seconds"]
    print(f"{record['image']['path']}: {record['cells']} cells")
    if result.skipped:
        print(f"  finished before, in {result.directory}{_separator(result.directory)}")
        return
    print(
        f"  classified {prediction['voxels']:,} voxels in {seconds['classify']:.1f} s ({rate};"
        f" blocks of {_times(prediction['block_shape'])} with halo {_times(prediction['halo'])},"
        f" {prediction['workers']} workers, memory budget {show_memory(prediction['memory'])}),"
        f" found cells in {seconds['cells']:.1f} s, {seconds['total']:.1f} s in all"
    )
    print(f"  results in {result.directory}{_separator(result.directory)}")


def print_prediction(record: PredictionRecord) -> None:
    """One prediction in two lines."""
    print_notes(f"could not be read and was taken for 0: {piece}" for piece in record.unreadable)
    print(
        f"{record.output}: {record.axes} {_times(record.shape)}, {record.dtype}, {record.blocks} blocks of"
        f" {_times(record.block_shape)} with halo {_times(record.halo)}"
    )
    print(
        f"  {record.computed:,} voxels in {record.seconds:.1f} s ({voxel_rate(record.computed, record.seconds)},"
        f" {record.workers} workers, memory budget {show_memory(record.memory)})"
    )
    if record.missing:
        print(f"  {others(record.missing, record.blocks)}")


def print_cells(table: CellTable, path: str | Path) -> None:
    """One table of cells in a line."""
    if table.missing:
        print(f"{path}: {others(table.missing, table.blocks)}")
    else:
        print(f"{path}: {len(table.cells)} cells")


def print_finished(done: Finished) -> None:
    """What has got its name."""
    print_notes(done.notes)
    for output in done.outputs:
        print(f"{output} is complete")


def others(missing: int, blocks: int) -> str:
    """What is left to other parts."""
    if missing > 0:
        return f"{missing} of {blocks} blocks are left to other parts; the last one names the output"
    return "all blocks are done; another part gives the output its name"


def print_filter(path: str | Path, before: int, kept: int) -> None:
    """What a filter left, in a line."""
    print(f"{path}: {kept} of {before} cells")


def plain_console() -> Console:
    """Tables are fitted to a terminal, but not to the 80 columns that a pipe is taken for."""
    return Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 200)


def print_info(info: Mapping[str, Any]) -> None:
    """Everything `ecc-rf info` knows of a project."""
    console = plain_console()
    console.print(f"[bold]{escape(info['path'])}[/]")
    console.print(f"{escape(info['workflow'])}, written by ilastik {escape(str(info['ilastik_version']))}\n")
    _print_lanes(console, info["lanes"])
    _print_features(console, info["features"])
    _print_labels(console, info)
    _print_forest(console, info["forest"])
    print_normalization(info["normalization"])
    for note in info["notes"]:
        console.print(f"[yellow]note:[/] {escape(note)}")


def _print_lanes(console: Console, lanes: list[Mapping[str, Any]]) -> None:
    console.print(f"[bold]Lanes[/] ({len(lanes)})" if lanes else "[bold]Lanes[/]: none")
    for lane in lanes:
        console.print(
            f"  {lane['index']}  {escape(lane['nickname'])}  ({lane['kind']}, {lane['axes'] or 'axes unknown'}"
            f" {_times(lane['shape'] or ())})"
        )
        if lane["path"]:
            console.print(f"     found: {escape(lane['path'])}")
        else:
            console.print(f"     [yellow]not found:[/] {escape(lane['stored_path'] or 'no path is stored')}")
            for tried in lane["tried"]:
                console.print(f"       tried {escape(tried)}")
        for note in lane["notes"]:
            console.print(f"     [yellow]note:[/] {escape(note)}")
    console.print()


def _print_features(console: Console, features: Mapping[str, Any]) -> None:
    if "problem" in features:
        console.print(f"[bold]Features[/]: {escape(features['problem'])}\n")
        return
    scales = features["scales"]
    table = new_table("Features", "")
    for scale, flat in zip(scales, features["compute_in_2d"] or [False] * len(scales)):
        table.add_column(f"σ {scale:g}{' 2D' if flat else ''}", justify="center")
    for name, row in zip(features["filters"], features["matrix"]):
        table.add_row(name, *("×" if chosen else "·" for chosen in row))
    console.print(table)
    console.print()


def _print_labels(console: Console, info: Mapping[str, Any]) -> None:
    lanes = info["lanes"]
    table = new_table("Labels", "", "name")
    for lane in lanes if len(lanes) <= MOST_LANES else ():
        table.add_column(f"lane {lane['index']}", justify="right")
    table.add_column("voxels", justify="right")
    for label in info["labels"]:
        counts = [(lane["labels"] or {}).get(str(label["value"]), 0) for lane in lanes]
        row = [f"{n:,}" for n in counts] if len(lanes) <= MOST_LANES else []
        table.add_row(str(label["value"]), escape(label["name"]), *row, f"{label['voxels']:,}")
    console.print(table)
    console.print()


def _print_forest(console: Console, forest: Mapping[str, Any]) -> None:
    if "problem" in forest:
        console.print(f"[bold]Classifier[/]: {escape(forest['problem'])}")
        return
    console.print(
        f"[bold]Classifier[/]: {forest['trees']} trees in {forest['forests']} forest(s), {forest['features']} features,"
        f" labels {', '.join(map(str, forest['classes']))}, trained on {forest['rows']:,} voxels"
    )
    for reason in forest["stale_reasons"]:
        console.print(f"  [yellow]stale:[/] {escape(reason)}")


def print_normalization(note: Mapping[str, Any] | None) -> None:
    """What a project notes of its images' normalisation; nothing if it does not."""
    if note is None:
        return
    console = plain_console()
    if "problem" in note:
        console.print(f"[bold]Normalisation[/]: {escape(note['problem'])}")
        return
    lanes = []
    for index, lane in note["lanes"].items():
        group = f" of {escape(lane['group'])}" if lane["group"] else ""
        lanes.append(f"lane {index}{group} {', '.join(f'{scale:g}' for scale in lane['scales'])}")
    console.print(
        f"[bold]Normalisation[/]: local median in {note['window_um']:g} µm"
        + (f"; scales: {'; '.join(lanes[:20])}" + (" …" if len(lanes) > 20 else "") if lanes else "")
    )
    if not note.get("forest_fits", True):
        console.print("  [yellow]the forest was not trained on images normalised so[/]")


def new_table(title: str, *headings: str) -> Table:
    """A table without lines."""
    new = Table(title=title or None, title_justify="left", title_style="bold", box=None, padding=(0, 1))
    for heading in headings:
        new.add_column(heading)
    return new


def _times(extents: Iterable[int]) -> str:
    """
    >>> _times((64, 128, 128))
    '64×128×128'
    """
    return "×".join(map(str, extents))


def _separator(path: Path) -> str:
    return "" if str(path).endswith("/") else "/"
