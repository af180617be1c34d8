"""Draw docs/picture.png, the picture of the README: a section, the probability of label 1, the cells.

    python scripts/make_picture.py [PROJECT IMAGE [--plane Z] [--voxel-size Z,Y,X]] [-o docs/picture.png]

Without a project it draws the small brain of data/fixtures. The committed picture shows a human-annotated patch of a
cleared mouse brain, cFos, light sheet (DELiVR, MIT licence, doi:10.1038/s41592-024-02245-2), classified by an ilastik
project that has not seen it.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from ecc_rf import CellFinder, open_volume, run
from ecc_rf.arguments import parse_voxel_size
from ecc_rf.pipeline import RunSettings

ROOT = Path(__file__).resolve().parents[1]
FIXTURES = ROOT / "data" / "fixtures"
TITLES = ("image", "probability of label 1", "cells")
CELL = "#e69f00"  # of Okabe and Ito's palette, which colour-blind readers can tell apart
MARK = "#56b4e9"
NEAR_UM = 6.0  # cells whose centre is so near the plane are marked


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", nargs="?", default=FIXTURES / "cells.ilp", type=Path)
    parser.add_argument("image", nargs="?", default=FIXTURES / "brain.h5", type=Path)
    parser.add_argument("--plane", type=int, help="default the one with most cells")
    parser.add_argument("--voxel-size", type=parse_voxel_size, help="in µm, if the image does not say")
    parser.add_argument("--threshold", type=float, default=0.7)
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "docs" / "picture.png")
    a = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = RunSettings(voxel_size=a.voxel_size, report=False, overwrite=True)
        run(a.project, a.image, folder, finder=CellFinder(threshold=a.threshold), settings=settings)
        figure = draw(a.image, Path(folder), a.plane, a.voxel_size, a.threshold)
    figure.savefig(a.output, dpi=110, metadata={"Software": None})


def draw(
    image: Path, results: Path, plane: int | None, voxel_size: tuple[float, float, float] | None, threshold: float
) -> Figure:
    """Three panels of one plane."""
    import pandas as pd

    with open_volume(image) as volume, open_volume(results / "probability.ome.zarr") as probabilities:
        size = voxel_size or volume.voxel_size or (1.0, 1.0, 1.0)
        cells = pd.read_csv(results / "cells.csv")
        z = int(cells["z"].round().mode()[0]) if plane is None else plane
        raw, probability = volume[z : z + 1][0], probabilities[z : z + 1][0, ..., 0] / 255
    cells = cells[(cells["z"] - z).abs() * size[0] < NEAR_UM]
    height, width = raw.shape
    extent = (0, width * size[2], height * size[1], 0)
    low, high = np.percentile(raw, (1, 99.7))

    figure = Figure(figsize=(9.6, 3.45), layout="constrained", facecolor="white")
    panels = figure.subplots(1, 3)
    for panel, title in zip(panels, TITLES):
        panel.set_title(title, fontsize=11)
        panel.set_axis_off()
    panels[0].imshow(raw, cmap="gray", vmin=low, vmax=high, extent=extent, interpolation="nearest")
    shown = panels[1].imshow(probability, cmap="cividis", vmin=0, vmax=1, extent=extent, interpolation="nearest")
    panels[2].imshow(raw, cmap="gray", vmin=low, vmax=high, extent=extent, interpolation="nearest")
    x, y = ((np.arange(n) + 0.5) * s for n, s in ((width, size[2]), (height, size[1])))
    panels[2].contour(x, y, probability, [threshold], colors=[CELL], linewidths=1.2)
    panels[2].plot(cells["X"] + size[2] / 2, cells["Y"] + size[1] / 2, "+", color=MARK, markersize=6)
    figure.colorbar(shown, ax=panels[1], shrink=0.8, pad=0.02)
    bar = 50 if width * size[2] > 120 else 20
    panels[0].plot([8, 8 + bar], [extent[2] - 8] * 2, color="white", linewidth=3, solid_capstyle="butt")
    panels[0].text(8 + bar / 2, extent[2] - 11, f"{bar} µm", color="white", ha="center", va="bottom", fontsize=9)
    return figure


if __name__ == "__main__":
    matplotlib.use("Agg")
    main()
