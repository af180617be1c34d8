"""``ecc-rf run``: the main job."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ecc_rf.arguments import (
    FORMATS,
    add_command,
    backend_option,
    cell_options,
    dry_run_option,
    json_option,
    marker_option,
    normalization_options,
    parallel_options,
    reads,
    resume_options,
    skip_option,
    volume_options,
)
from ecc_rf.commands.cells import finder, limits
from ecc_rf.commands.classify import processes

if TYPE_CHECKING:
    from ecc_rf.arguments import Commands


def add(commands: Commands) -> None:
    run = add_command(
        commands,
        "run",
        "the main job: classify images, find their cells, report",
        "ecc-rf run PV.ilp brain.h5/data -o results --voxel-size 6,1.62,1.62",
        _run,
    )
    run.add_argument("project", metavar="PROJECT", help="ilastik project (.ilp) with a trained classifier")
    run.add_argument("images", metavar="IMAGE", nargs="+", help="image; several images get one folder each")
    run.add_argument("-o", "--output", metavar="DIR", required=True, help="folder of the results")
    run.add_argument(
        "--format", choices=FORMATS, default="ome.zarr", help="of the probability volume; default ome.zarr"
    )
    run.add_argument(
        "--no-probability",
        action="store_true",
        help="store a mask of the voxels above --threshold instead, which is found faster; the cells are the same",
    )
    run.add_argument("--objects", action="store_true", help="write objects.ome.zarr: voxels bear their cell's label")
    run.add_argument("--no-report", action="store_true", help="do not write report.html")
    marker_option(run)
    backend_option(run)
    skip_option(run)
    json_option(run)
    reads(run, "project", "images")
    normalization_options(run, several=True)
    cell_options(run)
    volume_options(run)
    dry_run_option(run)
    resume_options(run)
    parallel_options(run, "classify part I of N only; the last part finds the cells and writes the report")


def _run(a: argparse.Namespace) -> None:
    from ecc_rf import console
    from ecc_rf.image_normalization import NormalizationChoice
    from ecc_rf.pipeline import RunSettings, run

    cells, model = finder(a)

    settings = RunSettings(
        axes=a.axes,
        voxel_size=a.voxel_size,
        format=a.format,
        probability=not a.no_probability,
        backend=a.backend,
        workers=a.workers,
        memory=a.memory,
        block_shape=a.block,
        nan=a.nan,
        mask=a.mask,
        objects=a.objects,
        report=not a.no_report,
        overwrite=a.overwrite,
        normalization=NormalizationChoice(a.normalize, a.any_normalization, a.together, a.scale),
        objects_model=a.objects_model,
        marker=a.marker,
        skip_unreadable=a.skip_unreadable,
        restart=a.restart,
        part=a.part,
        processes=processes(a),
    )
    images = [console.at_level(image, a.level) for image in a.images]
    if a.dry_run:
        from ecc_rf.console_forecast import print_forecasts
        from ecc_rf.forecast import forecast_run

        for told in forecast_run(
            a.project, images, a.output, finder=cells, model=model, limits=limits(a), settings=settings
        ):
            print_forecasts(told.stages, told.cells)
        return
    results = run(
        a.project,
        images,
        a.output,
        finder=cells,
        model=model,
        limits=limits(a),
        settings=settings,
        progress=console.progress(a),
    )
    if a.json:
        console.print_notes(dict.fromkeys(note for result in results for note in result.record["notes"]))
        console.print_json({"results": [{"directory": result.directory, **result.record} for result in results]})
        return
    for result in results:
        console.print_run(result)
