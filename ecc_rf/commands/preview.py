"""``ecc-rf preview``: sections through a point with probabilities, outlines and strokes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ecc_rf.arguments import (
    PALETTES,
    add_command,
    json_option,
    nan_option,
    normalization_options,
    parse_level,
    parse_mapping,
    parse_offset,
    parse_voxel_size,
    reads,
)

if TYPE_CHECKING:
    from ecc_rf.arguments import Commands
    from ecc_rf.preview import PreviewSettings


def add(commands: Commands) -> None:
    preview = add_command(
        commands,
        "preview",
        "sections through a point of an image, with probabilities, outlines and strokes",
        "ecc-rf preview PV.ilp brain.h5/data --at 20,500,400 -o preview.png",
        _run,
    )
    preview.add_argument("project", metavar="PROJECT", help="ilastik project (.ilp)")
    preview.add_argument("image", metavar="IMAGE", help="image, one of the project or another")
    preview.add_argument("-o", "--output", metavar="OUT", required=True, help=".png, .pdf or .svg")
    preview.add_argument("--at", type=parse_offset, metavar="Z,Y,X", help="the point, in voxels; default the middle")
    preview.add_argument("--size", type=int, default=512, metavar="N", help="voxels along x and y; default 512")
    preview.add_argument("--planes", metavar="P,P", default="xy,xz,yz", help="some of xy,xz,yz; default all")
    preview.add_argument("--threshold", type=float, default=0.7, metavar="P", help="of the outline; default 0.7")
    preview.add_argument("--outline", default="1", metavar="LABEL", help="label that is outlined; default 1")
    preview.add_argument(
        "--palette", choices=PALETTES, default="project", help="project (default), or safe for colour-blind readers"
    )
    preview.add_argument("--time", type=int, default=0, metavar="T", help="time step; default 0")
    preview.add_argument("--channel", type=int, default=0, metavar="C", help="channel that is shown; default 0")
    strokes = preview.add_argument_group("strokes and training")
    strokes.add_argument("--lane", metavar="LANE", help="lane whose strokes are shown; default that of the image")
    strokes.add_argument("--labels", metavar="FILE", help="strokes of a label file that is not imported yet")
    strokes.add_argument("--map", type=parse_mapping, metavar="VALUE=LABEL,…", help="of that file, as in labels import")
    strokes.add_argument("--names", metavar="FILE", help="ITK-SNAP's label description of that file")
    strokes.add_argument("--train", action="store_true", help="train on the strokes, even if there is a forest")
    strokes.add_argument("--watch", action="store_true", help="draw anew when project or labels change, until Ctrl-C")
    normalization_options(preview)
    volumes = preview.add_argument_group("volumes and machine")
    volumes.add_argument("--axes", metavar="AXES", help="letters of tzyxc in the order of the image, if it is wrong")
    volumes.add_argument("--voxel-size", type=parse_voxel_size, metavar="Z,Y,X", help="in µm, if the file does not say")
    volumes.add_argument(
        "--level", type=parse_level, metavar="N|Z,Y,Xµm", help="of a multi-resolution OME-Zarr; default the finest"
    )
    nan_option(volumes)
    volumes.add_argument("--workers", type=int, metavar="N", help="threads; default one per core")
    volumes.add_argument("--overwrite", action="store_true", help="replace a figure that is there already")
    json_option(preview)
    reads(preview, "project", "image", "labels", "names")


def _run(a: argparse.Namespace) -> None:
    from dataclasses import asdict

    from ecc_rf import console, console_labels
    from ecc_rf.preview import check_output, watch
    from ecc_rf.project_preview import write_preview

    settings = _settings(a)
    overwrite = a.overwrite

    def draw() -> None:
        nonlocal overwrite
        record = write_preview(a.project, a.image, a.output, settings, overwrite=overwrite)
        overwrite = True  # the next one replaces our own
        if a.json:
            console.print_notes(record.notes)
            console.print_json(asdict(record))
        else:
            console_labels.print_preview(record)

    if not a.watch:
        draw()
        return
    check_output(a.output, overwrite)
    files = [Path(file).expanduser() for file in (a.project, a.labels, a.names) if file is not None]
    watch(draw, files, console_labels.print_failure)


def _settings(a: argparse.Namespace) -> PreviewSettings:
    from ecc_rf.image_normalization import NormalizationChoice
    from ecc_rf.itksnap import ImportSettings
    from ecc_rf.preview import PreviewSettings

    return PreviewSettings(
        at=a.at,
        size=a.size,
        planes=a.planes.split(","),
        time=a.time,
        channel=a.channel,
        threshold=a.threshold,
        outline=a.outline,
        palette=a.palette,
        lane=a.lane,
        label_file=a.labels,
        label_settings=ImportSettings(mapping=a.map, names=a.names, time=a.time or None),
        train=a.train,
        axes=a.axes,
        voxel_size=a.voxel_size,
        level=a.level,
        nan=a.nan,
        workers=a.workers,
        normalization=NormalizationChoice(a.normalize, a.any_normalization, scales=a.scale),
    )
