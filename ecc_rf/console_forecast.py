"""What the command line shows of a job that is not done."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ecc_rf.blocks import show_memory
from ecc_rf.blocks.progress import show_seconds
from ecc_rf.printable import printable

if TYPE_CHECKING:
    from ecc_rf.forecast import Forecast
    from ecc_rf.forecast.stage import Storage


def print_forecasts(forecasts: Sequence[Forecast], cells: float | None = None) -> None:
    """The stages of a job, and what they take together."""
    for forecast in forecasts:
        _print_stage(forecast)
    if cells is not None:
        print(f"cells: about {float(f'{cells:.2g}'):,.0f}, from the blocks that were probed")
    known = [forecast.seconds for forecast in forecasts if forecast.seconds is not None]
    if len(known) == len(forecasts) > 1:
        print(f"time: about {show_seconds(sum(known))} in all")
    print("dry run: nothing was written")


def _print_stage(f: Forecast) -> None:
    halo = "" if f.halo is None else f" with halo {_times(f.halo)}"
    print(f"{f.stage}: {printable(f.source)}")
    print(f"  plan: {f.voxels:,} voxels in {f.blocks:,} blocks of {_times(f.block_shape)}{halo}, {f.workers} workers")
    if f.done:
        print(f"  an unfinished run of these settings lies there: {f.done:,} blocks are done")
    if f.planned is None:
        print(f"  memory: within {show_memory(f.budget)}")
    else:
        print(f"  memory: {show_memory(f.planned)} of {show_memory(f.budget)}")
    if f.storage is not None:
        _print_storage(f.storage)
    _print_probe(f)


def _print_storage(s: Storage) -> None:
    pieces = f", chunks of {_times(s.chunks)}" if s.chunks else ""
    pieces += f" in shards of {_times(s.shards)}" if s.shards else ""
    print(f"  output: {printable(s.path)}: {s.axes} {_times(s.shape)}, {s.dtype}{pieces}, {s.files:,} files")
    likely = "" if s.likely is None else f"about {show_memory(s.likely)}, "
    print(f"  disk: {likely}at most {show_memory(s.most)}; {show_memory(s.free)} are free")
    if s.too_large:
        print("  note: that is more than the disk has room for")


def _print_probe(f: Forecast) -> None:
    found = f.probe
    masked = f", {found.masked} masked" if found.masked else ""
    print(
        f"  probe: {found.looked_at} blocks looked at, {found.constant} of one value{masked};"
        f" {found.computed} of the others done in {found.seconds:.1f} s"
    )
    if found.rate:
        print(f"  rate: {found.rate / 1e6:.2f} Mvoxel/s in tissue, {100 * found.tissue:.0f} % of the blocks")
    print(f"  time: {'unknown' if f.seconds is None else 'about ' + show_seconds(f.seconds)}")


def _times(extents: Iterable[int]) -> str:
    return "×".join(map(str, extents))
