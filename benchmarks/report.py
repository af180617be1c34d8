"""docs/performance.md and its figure."""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path

from measuring import SYSTEM_PYTHON, Measurement
from workload import ROOT, Workload

from ecc_rf.record import versions

BLUE, ORANGE, GREY = "#0072B2", "#E69F00", "#999999"

PAGE = """# How fast

Printed by `python benchmarks/performance.py`: {rounds} rounds in which all take turns, on the same data, in {minutes:.0f} minutes.
Figures are medians over the rounds, ratios are taken round by round; in brackets the smallest and the largest. More
is better for a ratio (x), less for everything with *at most*.

![Ratios to the peers, time per voxel and peak memory](performance.svg)

{tables}
## What is compared

| | |
|---|---|
| data | {data} |
| features | the 16 channels of the recommended selection: Gaussian 0.3 0.7, gradient magnitude 0.7, difference of Gaussians 0.7 1.0 1.6 3.5, Hessian eigenvalues 1.0 1.6 3.5 |
| vigra | the same filters with the presmoothed images shared, threads over filters; its own forests as the project stores them, merged as ilastik merges them. The probabilities are compared and equal |
| scipy | the same filters, presmoothed images shared, but no eigenvalues |
| scikit-learn | the same trees, put into a `RandomForestClassifier`; its probabilities are compared and equal to 1e-5 |
| classify | `predict_volume`: from a compressed HDF5 file to a uint8 OME-Zarr, default memory budget (2 GiB); cubes other than the image's are cut from it or mirrored at its faces. Each run is a process of its own, which has loaded what is compiled before the clock starts |
| peak memory | largest resident set of that process, with Python, libraries and compiled code |

## Where it was measured

{machine}

## How to repeat it

```
python -m pip install ".[test]"       # scipy and scikit-learn
sudo apt install python3-vigra        # optional: the peer in the system's Python
python benchmarks/performance.py
```

The data beside the repository are used if they are there, otherwise the small brain in `data/fixtures`;
`--project` and `--image` name others. Nothing else should run on the machine.
"""  # noqa: E501

TITLES = {"features": "Features", "forest": "Forest", "classify": "The whole classification", "start": "Start-up"}


def plain(line: Measurement) -> str:
    """One measurement for the terminal."""
    return f"  {line.name:45} {_with_spread(line):32} {_wanted(line):18} {line.verdict}"


def write(folder: Path, found: list[Measurement], workload: Workload, rounds: int, seconds: float) -> None:
    """Write the page and the figure."""
    tables = []
    for part, title in TITLES.items():
        lines = [line for line in found if line.part == part]
        tables += [f"## {title}", "", "| | measured | floor | goal | reached |", "|---|---|---|---|---|"]
        tables += [_row(line) for line in lines] + [""]
    image = workload.image
    names = " and ".join(_shown(path) for path in (workload.project_path, workload.image_path))
    data = f"{names}: {image.dtype}, {'×'.join(map(str, image.shape))} voxels"
    page = PAGE.format(
        rounds=rounds, minutes=seconds / 60, tables="\n".join(tables), data=data, machine="\n".join(_machine())
    )
    (folder / "performance.md").write_text(page, encoding="utf-8")
    draw(found, folder / "performance.svg")


def draw(found: list[Measurement], path: Path) -> None:
    """Ratios with their floors and goals; time per voxel and memory against size."""
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams["svg.hashsalt"] = "ecc_rf"  # the same figures give the same file
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, middle, right = figure.subplots(1, 3, gridspec_kw={"width_ratios": [2.4, 1, 1]})
    bars = [line for line in found if line.unit == "x" and line.floor is not None]
    names = [f"{line.part}: {line.name}" if line.part != "classify" else line.name for line in bars]
    places = range(len(bars))[::-1]
    left.barh(places, [line.median for line in bars], color=BLUE, height=0.6)
    for place, line in zip(places, bars):
        left.plot([line.floor] * 2, [place - 0.4, place + 0.4], color=GREY, label="floor" if not place else None)
        left.plot([line.goal] * 2, [place - 0.4, place + 0.4], color=ORANGE, label="goal" if not place else None)
        left.annotate(f"{line.median:.3g}", (line.median, place), (3, 0), textcoords="offset points", va="center")
    left.set(yticks=list(places), yticklabels=names, xscale="log", xlim=(1, 300), xlabel="times as fast")
    left.legend(loc="lower right", frameon=False)
    edges = (128, 256, 512)
    times = [_median(found, f"{edge}³, time per voxel") for edge in edges]
    middle.plot(edges, times, "o-", color=BLUE)
    middle.set(ylim=(0, 1.3 * max(times)), ylabel="ns per voxel, 2 threads")
    right.plot(edges[1:], [_median(found, f"peak memory, {edge}³") for edge in edges[1:]], "o-", color=BLUE)
    right.axhline(0.6, color=GREY)
    right.axhline(0.4, color=ORANGE)
    right.set(ylim=(0, 0.8), ylabel="peak memory (GB)")
    for axes in (middle, right):
        axes.set(xscale="log", xlabel="edge (voxels)", xticks=edges, xticklabels=edges, xlim=(110, 600))
        axes.minorticks_off()
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _median(found: list[Measurement], name: str) -> float:
    return next(line.median for line in found if line.name == name)


def _row(line: Measurement) -> str:
    name = line.name + (f" ({line.remark})" if line.remark else "")
    return (
        f"| {name} | {_with_spread(line)} | {_limit(line, line.floor)} | {_limit(line, line.goal)} | {line.verdict} |"
    )


def _with_spread(line: Measurement) -> str:
    low, high = min(line.values), max(line.values)
    spread = f" ({_number(low)} to {_number(high)})" if len(line.values) > 1 else ""
    return f"{_number(line.median)} {line.unit}{spread}"


def _wanted(line: Measurement) -> str:
    return f"{_limit(line, line.floor)} / {_limit(line, line.goal)}" if line.floor is not None else ""


def _limit(line: Measurement, limit: float | None) -> str:
    if limit is None:
        return ""
    return f"{'at most ' if line.at_most else ''}{limit:g} {line.unit}"


def _number(value: float) -> str:
    """Three digits.

    >>> _number(0.12345), _number(12.345), _number(123.4)
    ('0.123', '12.3', '123')
    """
    return f"{value:#.3g}".rstrip(".")


def _machine() -> list[str]:
    """The machine and what ran on it, as a table."""
    found = versions()
    peers = ", ".join(f"{name} {version(name)}" for name in ("scipy", "scikit-learn"))
    ours = ", ".join(f"{name} {found[name]}" for name in ("ecc_rf", "python", "numpy", "numba", "h5py", "zarr"))
    lines = ["| | |", "|---|---|", f"| processor | {_processor()}, {os.cpu_count()} cores |"]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return [*lines, f"| memory | {memory:.0f} GB |", f"| versions | {ours} |", f"| peers | {peers}, {_vigra()} |"]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            kinds = [kind for kind in ("avx512f", "avx2") if kind in Path("/proc/cpuinfo").read_text()]
            return f"{line.partition(':')[2].strip()} ({kinds[0] if kinds else 'no avx2'})"
    import platform

    return platform.processor() or platform.machine()


def _vigra() -> str:
    import subprocess

    code = "import vigra; print(vigra.__version__.version)"
    try:
        done = subprocess.run([SYSTEM_PYTHON, "-c", code], capture_output=True, text=True)
    except OSError:
        return "no vigra"
    return f"vigra {done.stdout.strip()}" if done.returncode == 0 else "no vigra"


def _shown(path: str) -> str:
    """A path as seen from the repository."""
    relative = os.path.relpath(path, ROOT)
    return f"`{relative}`"
