"""``ecc-rf labels export`` and ``ecc-rf labels import``: annotations to ITK-SNAP and back."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ecc_rf.arguments import (
    MERGES,
    add_command,
    json_option,
    parse_factors,
    parse_mapping,
    parse_offset,
    parse_roi,
    reads,
)

if TYPE_CHECKING:
    from ecc_rf.arguments import Commands
    from ecc_rf.itksnap import ImportSettings


def add(commands: Commands) -> None:
    labels = commands.add_parser(
        "labels",
        help="annotations to ITK-SNAP and back",
        description="Annotations of a project to ITK-SNAP and back.",
        epilog="Example: ecc-rf labels export PV.ilp 0 -o labels.nii.gz --image-out image.nii.gz",
    )
    parts = labels.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_export(parts)
    _add_import(parts)


def _add_export(commands: Commands) -> None:
    export = add_command(
        commands,
        "export",
        "labels of a lane, its image and the labels' names for ITK-SNAP",
        "ecc-rf labels export PV.ilp 0 -o labels.nii.gz --image-out image.nii.gz --names-out labels.txt",
        _export,
    )
    _lane_arguments(export)
    export.add_argument("-o", "--output", metavar="OUT", required=True, help="labels, .nii.gz or .nii")
    export.add_argument("--image-out", metavar="OUT", help="the image, .nii.gz or .nii, voxel for voxel on the labels")
    export.add_argument("--names-out", metavar="OUT", help="ITK-SNAP's label description: names and colours, .txt")
    export.add_argument(
        "--roi", type=parse_roi, metavar="ROI", help="region, for example z=10:50,y=0:512,x=0:512; default what fits"
    )
    export.add_argument(
        "--downsample",
        type=parse_factors,
        default=(1, 1, 1),
        metavar="Z,Y,X",
        help="so many voxels become one, or one number for y and x; default 1",
    )
    export.add_argument(
        "--limit",
        default="4GiB",
        metavar="SIZE",
        help="memory that ITK-SNAP may take for image and labels; a larger image is cropped; default 4GiB",
    )
    export.add_argument("--time", type=int, metavar="T", help="time step, from 0, of an image with several")
    export.add_argument("--channel", type=int, metavar="C", help="channel, from 0, of an image with several")
    export.add_argument("--overwrite", action="store_true", help="replace files that are there already")
    json_option(export)


def _add_import(commands: Commands) -> None:
    importing = add_command(
        commands,
        "import",
        "a project with the labels of a file in one of its lanes",
        "ecc-rf labels import PV.ilp 0 labels.nii.gz -o PV2.ilp --map 5=cell,9=background",
        _import,
    )
    _lane_arguments(importing)
    importing.add_argument("file", metavar="LABELS", help="labels: NIfTI, HDF5, OME-Zarr, TIFF or NPY")
    importing.add_argument("-o", "--output", metavar="NEW.ilp", required=True, help="the new project")
    label_file_options(importing)
    importing.add_argument("--overwrite", action="store_true", help="replace a project that is there already")
    json_option(importing)
    reads(importing, "file")


def _lane_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("project", metavar="PROJECT", help="ilastik project (.ilp)")
    parser.add_argument("lane", metavar="LANE", help="image of the project: its number from 0, or its nickname")
    parser.add_argument("--search", metavar="DIR", action="append", default=[], help="look here for lost images too")
    reads(parser, "project")


def label_file_options(parser: argparse.ArgumentParser) -> None:
    """How label files are to be understood; `import_settings` reads them."""
    group = parser.add_argument_group("what the values mean")
    group.add_argument(
        "--map",
        type=parse_mapping,
        metavar="VALUE=LABEL,…",
        help="label of each value, by number or name, such as 5=1,9=background; 0 leaves a value out",
    )
    group.add_argument("--names", metavar="FILE", help="ITK-SNAP's label description: values by the names of labels")
    group.add_argument(
        "--new-label", metavar="NAME", action="append", default=[], help="add a label to the project; may be repeated"
    )
    group.add_argument(
        "--new-labels", action="store_true", help="add the labels of --names and --map that the project lacks"
    )
    group = parser.add_argument_group("where the labels lie")
    group.add_argument("--offset", type=parse_offset, metavar="Z,Y,X", help="voxel of the image where they begin")
    group.add_argument("--axes", metavar="AXES", help="letters of tzyxc in the order of the file, if it is wrong")
    group.add_argument("--ignore-affine", action="store_true", help="take the voxels of NIfTI as they are stored")
    group.add_argument("--time", type=int, metavar="T", help="time step of the image that they annotate, from 0")
    group.add_argument(
        "--merge",
        choices=MERGES,
        default="replace",
        help="with labels that are there: replace (default) those where the file lies, keep them, or overwrite"
        " those that the file labels too",
    )
    reads(parser, "names")


def import_settings(a: argparse.Namespace) -> ImportSettings:
    """The settings that `label_file_options` asks for."""
    from ecc_rf.itksnap import ImportSettings

    return ImportSettings(
        mapping=a.map,
        names=a.names,
        new_labels=a.new_label,
        create_labels=a.new_labels,
        offset=a.offset,
        axes=a.axes,
        ignore_affine=a.ignore_affine,
        time=a.time,
        merge=a.merge,
    )


def _export(a: argparse.Namespace) -> None:
    from dataclasses import asdict

    from ecc_rf import console, console_labels
    from ecc_rf.ilp import IlastikProject
    from ecc_rf.itksnap import ExportSettings, export_labels

    project = IlastikProject.open(a.project, search=a.search)
    record = export_labels(
        project,
        a.lane,
        a.output,
        image_output=a.image_out,
        names_output=a.names_out,
        settings=ExportSettings(a.roi, a.downsample, a.time, a.channel, a.limit),
        overwrite=a.overwrite,
    )
    if a.json:
        console.print_notes(record.notes)
        console.print_json(asdict(record))
    else:
        console_labels.print_export(record, project.label_names)


def _import(a: argparse.Namespace) -> None:
    from ecc_rf import console, console_labels
    from ecc_rf.itksnap import import_into_project

    settings = import_settings(a)
    imported = import_into_project(
        a.project, a.lane, a.file, a.output, settings, search=a.search, overwrite=a.overwrite
    )
    if a.json:
        console.print_notes(imported.notes)
        console.print_json(
            {
                "output": a.output,
                "lane": imported.lane,
                "counts": imported.counts,
                "table": imported.table,
                "label_names": imported.label_names,
                "notes": imported.notes,
            }
        )
    else:
        console_labels.print_import(imported, a.output)
