"""``ecc-rf classify``: probabilities of an image."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ecc_rf.arguments import (
    DTYPES,
    EXPORTS,
    ROUNDINGS,
    add_command,
    backend_option,
    dry_run_option,
    json_option,
    marker_option,
    normalization_options,
    parallel_options,
    parse_names,
    parse_roi,
    reads,
    resume_options,
    skip_option,
    volume_options,
)

if TYPE_CHECKING:
    from ecc_rf.arguments import Commands
    from ecc_rf.blocks.remote import Backend
    from ecc_rf.classifier import PixelClassifier


def add(commands: Commands) -> None:
    classify = add_command(
        commands,
        "classify",
        "probabilities of an image",
        "ecc-rf classify PV.ilp brain.h5/data -o probability.ome.zarr --labels 1 --dtype uint8",
        _run,
    )
    classify.add_argument("project", metavar="PROJECT", help="ilastik project (.ilp) with a trained classifier")
    classify.add_argument(
        "image",
        metavar="IMAGE",
        help="image: HDF5, OME-Zarr, TIFF (a file or a folder of planes), N5, NIfTI, NPY, PNG or JPG",
    )
    classify.add_argument("-o", "--output", metavar="OUT", required=True, help=".ome.zarr, .h5, .npy or .tif")
    classify.add_argument(
        "--labels",
        type=parse_names,
        default="all",
        metavar="LABELS",
        help="labels to store, numbers from 1 or names, with commas; default all",
    )
    classify.add_argument(
        "--export",
        choices=EXPORTS,
        default="probabilities",
        help="probabilities (default), mask (1 where --labels, default 1, is above --threshold; for cells in .ome.zarr"
        " or .h5), segmentation, uncertainty or features",
    )
    classify.add_argument(
        "--threshold",
        type=float,
        metavar="P",
        help="of a mask, such as 0.7; --dtype is that of the probability then",
    )
    classify.add_argument("--dtype", choices=DTYPES, default="float32", help="of probabilities; default float32")
    classify.add_argument(
        "--rounding",
        choices=ROUNDINGS,
        default="nearest",
        help="to integers: nearest (default), or truncate, as ilastik before July 2025",
    )
    classify.add_argument("--roi", type=parse_roi, metavar="ROI", help="region, for example z=10:50,y=0:512,x=0:512")
    classify.add_argument("--mask", metavar="MASK", help="predict only where this is not 0, as in ilastik")
    marker_option(classify)
    backend_option(classify)
    skip_option(classify)
    json_option(classify)
    reads(classify, "project", "image", "mask")
    normalization_options(classify)
    volume_options(classify)
    resume_options(classify)
    parallel_options(classify)
    dry_run_option(classify)


def _run(a: argparse.Namespace) -> None:
    from dataclasses import asdict

    from ecc_rf import console
    from ecc_rf.classifier import PixelClassifier
    from ecc_rf.ilp import IlastikProject
    from ecc_rf.image_normalization import ImageReader, NormalizationChoice
    from ecc_rf.notes import noted
    from ecc_rf.trained_on import fit_notes, trained_on
    from ecc_rf.volumes import open_volume

    project = IlastikProject.open(a.project)
    classifier = PixelClassifier.from_project(project, backend=a.backend)
    path = console.at_level(a.image, a.level)
    choice = NormalizationChoice(a.normalize, a.any_normalization, scales=a.scale)
    reader = ImageReader(project, [path], choice, axes=a.axes, voxel_size=a.voxel_size)
    notes = list(project.notes)
    with noted(notes):
        with open_volume(path, axes=a.axes, voxel_size=a.voxel_size) as image:
            normalization = reader.normalization(image, path)
            notes += fit_notes(image, trained_on(project), marker=a.marker, intensity=normalization is None)
        options = {
            "labels": a.labels,
            "export": a.export,
            "dtype": a.dtype,
            "rounding": a.rounding,
            "threshold": a.threshold,
            "roi": a.roi,
            "mask": a.mask,
            "axes": a.axes,
            "voxel_size": a.voxel_size,
            "block_shape": a.block,
            "nan": a.nan,
            "overwrite": a.overwrite,
            "skip_unreadable": a.skip_unreadable,
            "normalization": normalization or False,
        }
        if a.dry_run:
            console.print_notes(notes)
            _forecast(a, classifier, path, options)
            return
        record = classifier.predict_volume(
            path,
            a.output,
            workers=a.workers,
            memory=a.memory,
            progress=console.progress(a),
            restart=a.restart,
            part=a.part,
            processes=processes(a),
            **options,
        )
    console.print_notes(notes)
    if a.json:
        console.print_json(asdict(record))
    else:
        console.print_prediction(record)


def _forecast(a: argparse.Namespace, classifier: PixelClassifier, path: str, options: dict[str, Any]) -> None:
    from ecc_rf.console_forecast import print_forecasts
    from ecc_rf.forecast import forecast_order
    from ecc_rf.machine import Machine
    from ecc_rf.ordering import make_order

    machine = Machine(a.workers, a.memory, processes(a), a.part, a.restart)
    print_forecasts([forecast_order(make_order(classifier, path, a.output, **options), machine)])


def processes(a: argparse.Namespace) -> Backend | None:
    """The processes that `arguments.parallel_options` asks for."""
    from ecc_rf.blocks.remote import Backend

    if a.dask:
        return Backend("dask", a.dask)
    return Backend("processes") if a.processes else None
