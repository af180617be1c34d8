"""report.html: what a run found, on one page that needs nothing but itself."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecc_rf.figures import histograms, overview, places, profiles, section
from ecc_rf.record import image_name, write_text
from ecc_rf.volumes import Volume, open_volume

if TYPE_CHECKING:
    import pandas as pd

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; margin: 2rem auto; max-width: 62rem; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { font-size: 1.2rem; margin-top: 2rem; } h3 { font-size: 1rem; }
img { max-width: 100%; height: auto; } table { border-collapse: collapse; } .wide { overflow-x: auto; }
th, td { text-align: left; padding: .15rem 1rem .15rem 0; vertical-align: top; overflow-wrap: anywhere; }
.count { font-size: 3rem; font-weight: 600; color: #0072B2; } .note { background: #fdf3dc; padding: .4rem .8rem; }
.muted { color: #666; }
"""

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{style}</style></head><body>
{body}
</body></html>
"""


def write_report(
    path: Path, record: Mapping[str, Any], cells: pd.DataFrame, *, raw: Volume, probability: str | Path
) -> None:
    """Write the report of one image.

    Parameters
    ----------
    path : Path
        ``report.html``; it appears when it is complete.
    record : mapping
        What ``run.json`` holds.
    cells : DataFrame
        The table of cells.
    raw : Volume
        The image.
    probability : path
        Label 1's probability.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    z_size, y_size, x_size = record["voxel_size_um_zyx"]
    extent = dict(zip(raw.axes, raw.shape))
    extents_um = (extent.get("z", 1) * z_size, extent["y"] * y_size, extent["x"] * x_size)
    volume_mm3 = extents_um[0] * extents_um[1] * extents_um[2] / 1e9
    parts = [
        f"<h1>{_text(image_name(record['image']['path']))}</h1>",
        f'<p class="muted">{_text(record["image"]["path"])}, classified with {_text(record["project"]["path"])},'
        f" {_text(record['started'])}</p>",
        f'<p><span class="count">{len(cells):,}</span> cells, {len(cells) / volume_mm3:,.0f} per mm³'
        f" ({volume_mm3:.4g} mm³)</p>",
        *(f'<p class="note">{_text(note)}</p>' for note in record["notes"]),
    ]
    if not cells.empty:
        threshold = record["settings"]["cells"]["threshold"]
        with open_volume(probability) as seen:
            level = threshold if seen.dtype.kind == "f" else threshold * (seen.drange or (0, 255))[1]
            sections = [section(place, raw, seen, cells, level, (z_size, y_size, x_size)) for place in places(cells)]
        parts += [
            "<h2>Sections</h2>",
            '<p class="muted">Left the image, right with the outlines of label 1 above the threshold (orange) and the'
            " centres of the cells in this plane (blue; the ring is the place that was chosen).</p>",
            *sections,
            "<h2>Cells</h2>",
            histograms(cells),
            "<h2>Along each axis</h2>",
            profiles(cells, extents_um),
            "<h2>Where they are</h2>",
            overview(cells, extents_um),
        ]
    parts += ["<h2>Settings</h2>", _table(_settings(record)), "<h2>Versions</h2>", _table(record["versions"].items())]
    page = _PAGE.format(title=f"{len(cells)} cells", style=_STYLE, body="\n".join(parts))
    write_text(path, page)


def _settings(record: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    image, prediction = record["image"], record["prediction"]
    yield "image", f"{image['axes']} {image['shape']}, {image['dtype']}"
    yield "voxel size z, y, x (µm)", record["voxel_size_um_zyx"]
    yield "labels", ", ".join(record["project"]["label_names"])
    yield "trees", record["project"]["trees"]
    yield from record["settings"]["cells"].items()
    yield "blocks", f"{prediction['blocks']} of {prediction['block_shape']}, halo {prediction['halo']}"
    yield "workers", prediction["workers"]
    yield "seconds", ", ".join(f"{name} {value:.1f}" for name, value in record["seconds"].items())


def _table(rows: Iterable[tuple[str, Any]]) -> str:
    lines = "".join(f"<tr><th>{_text(name)}</th><td>{_text(value)}</td></tr>" for name, value in rows)
    return f'<div class="wide"><table>{lines}</table></div>'


def _text(value: Any) -> str:
    return html.escape(", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value))
