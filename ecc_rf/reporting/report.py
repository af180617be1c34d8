"""report.html: what a run found in an image, on one page that needs nothing but itself. See docs/report.md."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecc_rf.cells.inputs import Channel, ProbabilityScale
from ecc_rf.errors import EccError
from ecc_rf.record import write_text
from ecc_rf.reporting import page
from ecc_rf.reporting.charts import histograms, profiles
from ecc_rf.reporting.drawing import grid
from ecc_rf.reporting.maps import maps
from ecc_rf.reporting.places import places
from ecc_rf.reporting.projections import Projections, project
from ecc_rf.reporting.scene import Scene, show
from ecc_rf.reporting.sections import LOWER, section
from ecc_rf.volumes import Volume
from ecc_rf.volumes.paths import image_name

if TYPE_CHECKING:
    import pandas as pd


def write_report(
    path: Path,
    record: Mapping[str, Any],
    cells: pd.DataFrame,
    *,
    raw: Volume | None,
    probability: str | Path | Volume | None,
    workers: int | None = None,
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
    raw : Volume, optional
        The image; what needs it is left out without it, and the page says so.
    probability : path or Volume, optional
        Label 1's probability, or the mask in its place.
    workers : int, optional
        Threads; default one per core. The page does not depend on it.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    scene = Scene.of(record)
    threshold = float(record["settings"]["cells"]["threshold"])
    remarks: list[str] = []
    with ExitStack() as stack:
        seen = None if raw is None else _raw_channel(raw, record)
        found = None
        if probability is not None:
            found = Channel(probability, "probability")
            stack.callback(found.close)
        projections = None
        if seen is None:
            remarks.append("The image was not there when this page was drawn: it shows the cells alone.")
        else:
            projections = project(seen, scene.voxel_size, workers=workers)
            if projections.unreadable:
                remarks.append(f"{projections.unreadable} pieces of the image could not be read to be shown.")
        parts = [
            *_headline(record, cells, scene),
            *_notes(record, remarks),
            *_where(cells, scene, projections),
            *_distributions(cells, scene, threshold),
            *_sections(cells, scene, seen, found, threshold, remarks),
            *_training(record),
            *_about(record, scene),
        ]
    title = f"{image_name(record['image']['path'])}: {len(cells):,} cells"
    write_text(path, page.page(title, parts))


def _raw_channel(raw: Volume, record: Mapping[str, Any]) -> Channel | None:
    """The channel in which cells were measured, the first if there are several."""
    chosen = record["settings"]["cells"].get("raw_channel")
    several = dict(zip(raw.axes, raw.shape)).get("c", 1) > 1
    return Channel(raw, "raw", (chosen or 1) - 1 if several else None)


def _headline(record: Mapping[str, Any], cells: pd.DataFrame, scene: Scene) -> Iterator[str]:
    project = record["project"]
    labels = project.get("label_names") or []
    marker = record.get("marker")
    yield f"<h1>{page.text(image_name(record['image']['path']))}</h1>"
    yield (
        f'<p class="muted">{page.text(record["image"]["path"])}<br>classified with {page.text(project["path"])}'
        f"{', marker ' + page.text(marker) if marker else ''}<br>{page.text(record['started'][:16].replace('T', ' '))}"
        f" UTC, ecc_rf {page.text(record['versions']['ecc_rf'])}</p>"
    )
    amount, unit = scene.examined
    single = {"mm³": "mm³", "mm²": "mm²"}.get(unit, "million voxels")
    size = " × ".join(f"{length:g}" for length in scene.voxel_size)
    z, y, x = (show(extent * scene.factor) for extent in scene.extents)
    extents = f"{y} × {x}" if scene.flat else f"{z} × {y} × {x}"
    entries = [
        (f"{len(cells):,}", f"cells (label {labels[0]})" if labels else "cells"),
        (show(scene.density(len(cells))), f"cells per {single}"),
        (f"{show(amount)} {unit}", f"examined, without {scene.masked:.1%} masked" if scene.masked else "examined"),
        (f"{size} µm" if scene.known else "unknown", "voxel size, z × y × x"),
        (f"{extents} {scene.unit}", "extents, y × x" if scene.flat else "extents, z × y × x"),
    ]
    if len(cells) and scene.known and not scene.flat:
        entries.append((f"{show(float(cells['diameter_um'].median()))} µm", "median diameter"))
    yield page.tiles(entries)


def _notes(record: Mapping[str, Any], remarks: list[str]) -> Iterator[str]:
    unreadable = record["prediction"].get("unreadable") or ()
    said = [*record["notes"], *remarks]
    said += [f"Could not be read and was taken for 0: {piece}." for piece in unreadable if not _told(piece, said)]
    if said:
        yield page.notes("What to know about this run", said)
    else:
        yield '<section class="notes fine">Nothing was skipped, and there was nothing to warn of.</section>'


def _told(piece: str, said: Iterable[str]) -> bool:
    return any(piece in note for note in said)


def _where(cells: pd.DataFrame, scene: Scene, projections: Projections | None) -> Iterator[str]:
    if not len(cells) and projections is None:
        return
    yield "<h2>Where the cells are</h2>"
    yield (
        '<p class="muted small">Grey levels run from the 1st to the 99.8th percentile of what is shown.'
        " The first two have the same frame.</p>"
    )
    yield grid(maps(cells, scene, projections))
    if len(cells):
        yield "<h2>Along each axis</h2>"
        yield grid(profiles(cells, scene))


def _distributions(cells: pd.DataFrame, scene: Scene, threshold: float) -> Iterator[str]:
    if len(cells):
        yield "<h2>What the cells are like</h2>"
        yield grid(histograms(cells, scene, threshold))


def _sections(
    cells: pd.DataFrame,
    scene: Scene,
    raw: Channel | None,
    probability: Channel | None,
    threshold: float,
    remarks: list[str],
) -> Iterator[str]:
    chosen = places(cells, scene)
    if not chosen or (raw is None and probability is None):
        return
    levels, legend = _levels(probability, threshold)
    yield "<h2>Sections</h2>"
    yield (
        '<p class="muted small">Left the image, right the same with what was found. <span class="key"></span>'
        f" {legend} Blue crosses are the centres of the cells that cross the section; an outline without one is none"
        " of the counted cells, or its centre lies outside of the frame. The blue ring is the chosen place.</p>"
    )
    for place in chosen:
        try:
            pair = section(place, scene, cells, raw=raw, probability=probability, levels=levels)
            rule = f'<p class="muted small">{page.text(place.rule[0].upper() + place.rule[1:])}</p>'
            yield f"<h3>{page.text(place.title)}</h3>{rule}{grid(pair)}"
        except EccError as error:  # a piece that cannot be read
            yield page.notes(place.title, [error.what])


def _levels(probability: Channel | None, threshold: float) -> tuple[tuple[float, float | None], str]:
    """The threshold in the stored units, the lower one, and what is said of them."""
    if probability is None:
        return (0.0, None), "Outlines are missing: the probability was not there."
    if probability.mask_threshold is not None:
        return (0.0, None), f"outlines what is more probable than {threshold:g} (label 1)."
    scale = ProbabilityScale.of(probability)
    low = threshold - LOWER if threshold > LOWER else None
    legend = f"outlines what is more probable than {threshold:g} (label 1)"
    if low is not None:
        legend += f', <span class="key dashed"></span> than {low:.3g}: what a lower threshold would add'
    limits = (float(scale.limit(threshold)), None if low is None else float(scale.limit(low)))
    return limits, legend + "."


def _training(record: Mapping[str, Any]) -> Iterator[str]:
    training = record.get("training")
    if not training:
        return
    yield "<h2>What the classifier was trained on</h2>"
    total = sum(training["labels"].values())
    rows = [
        (number, name, f"{voxels:,}", f"{voxels / total:.0%}" if total else "-")
        for number, (name, voxels) in enumerate(training["labels"].items(), start=1)
    ]
    yield page.table(("label", "name", "annotated voxels", "share"), rows, numbers=(2, 3))
    error = training.get("out_of_bag_error")
    scales: dict[str, list[str]] = {}
    for name, scale in training["features"]:
        scales.setdefault(name, []).append(f"{scale:g}")
    yield page.pairs(
        [
            ("images with annotations", training["images"]),
            ("trees", record["project"]["trees"]),
            (
                "out-of-bag error",
                "not known (ecc-rf train tells it)"
                if error is None
                else f"{100 * error:.1f} % of the annotated voxels",
            ),
            *((f"feature {name}", f"σ {', '.join(sigmas)}") for name, sigmas in scales.items()),
            *([("marker", training["marker"])] if training.get("marker") else []),
        ]
    )


def _about(record: Mapping[str, Any], scene: Scene) -> Iterator[str]:
    image, project, prediction = record["image"], record["project"], record["prediction"]
    yield "<h2>Settings</h2>"
    finder = record["settings"]["cells"]
    yield page.pairs(
        [
            *((name.replace("_", " "), value) for name, value in finder.items() if value is not None),
            *((name.replace("_", " "), value) for name, value in record["settings"].get("limits", {}).items() if value),
            ("mask", record["settings"]["run"].get("mask")),
            ("normalised", record.get("normalization") or "no"),
            ("object classifier", (record.get("objects_model") or {}).get("path")),
        ]
    )
    yield "<h2>Files, times and versions</h2>"
    seconds = {name: f"{value:.1f} s" for name, value in record["seconds"].items()}
    yield page.pairs(
        [
            ("image", image["path"]),
            ("axes, extents, type", f"{image['axes']}, {' × '.join(map(str, image['shape']))}, {image['dtype']}"),
            ("project", f"{project['path']} (ilastik {project['ilastik']})"),
            ("project's SHA-256", project["sha256"]),
            ("labels", project["label_names"]),
            ("times", seconds),
            (
                "blocks",
                f"{prediction['blocks']} of {' × '.join(map(str, prediction['block_shape']))} voxels,"
                f" halo {' × '.join(map(str, prediction['halo']))}, {prediction['workers']} workers",
            ),
            *record["versions"].items(),
        ]
    )


def summary(record: Mapping[str, Any], cells: pd.DataFrame) -> dict[str, Any]:
    """The figures of a run that studies compare, in types of JSON; `record` is what ``run.json`` holds."""
    scene = Scene.of(record)
    amount, unit = scene.examined
    medians = {}
    for name, column in (("volume", "vol"), ("diameter_um", "diameter_um"), ("intensity", "deltaI"), ("sbr", "sbr")):
        values = cells[column].to_numpy(float)
        values = values[np.isfinite(values)]
        medians[f"median_{name}"] = float(np.median(values)) if values.size else None
    return {
        "cells": len(cells),
        "examined": amount,
        "examined_unit": unit,
        "density": scene.density(len(cells)),
    } | medians
