"""``ecc-rf convert``: an image in another format."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ecc_rf.arguments import (
    COMPRESSIONS,
    PYRAMIDS,
    add_command,
    bad_value,
    dry_run_option,
    json_option,
    parse_roi,
    reads,
    resume_options,
    volume_options,
)

if TYPE_CHECKING:
    from ecc_rf.arguments import Commands


def add(commands: Commands) -> None:
    convert = add_command(
        commands,
        "convert",
        "an image in another format, block by block",
        "ecc-rf convert planes/ brain.ome.zarr --voxel-size 6,1.62,1.62 --pyramid",
        _convert,
    )
    convert.add_argument(
        "image", metavar="IN", help="OME-Zarr, HDF5, TIFF, folder or 'pattern*.tif' of TIFF planes, N5, NIfTI, NPY, …"
    )
    convert.add_argument("output", metavar="OUT", nargs="?", help=".ome.zarr, .h5 (out.h5/name), .tif or .npy")
    convert.add_argument(
        "-o", "--output", metavar="OUT", dest="named_output", help="the same, as other commands have it"
    )
    convert.add_argument("--roi", type=parse_roi, metavar="ROI", help="region, for example z=10:50,y=0:512")
    convert.add_argument("--dtype", metavar="T", help="such as uint8; refused where a voxel would change")
    convert.add_argument(
        "--scale",
        type=_parse_scale,
        metavar="LOW,HIGH",
        help="with --dtype: LOW becomes 0 and HIGH the largest integer (1.0 for floats); beyond is clipped",
    )
    convert.add_argument(
        "--pyramid",
        nargs="?",
        const="mean",
        choices=PYRAMIDS,
        help="add coarser levels: by mean (default), mode (for labels), max or nearest; OME-Zarr only",
    )
    convert.add_argument("--compression", choices=COMPRESSIONS, help="default zstd for OME-Zarr, gzip for HDF5")
    convert.add_argument("--no-check", action="store_true", help="do not read the result back; it takes less time")
    convert.add_argument(
        "--skip-unreadable",
        action="store_true",
        help="take pieces of the image that cannot be read for 0, and name them",
    )
    json_option(convert)
    reads(convert, "image")
    volume_options(convert, block=False)
    resume_options(convert)
    dry_run_option(convert)


def _convert(a: argparse.Namespace) -> None:
    from dataclasses import asdict

    from ecc_rf import console
    from ecc_rf.conversion import convert
    from ecc_rf.errors import SettingError

    given = [output for output in (a.output, a.named_output) if output is not None]
    if len(given) != 1:
        raise SettingError(
            "No output is given." if not given else "Two outputs are given.",
            " and ".join(given) or "ecc-rf convert",
            "Name one: ecc-rf convert IN OUT",
        )
    (a.output,) = given
    if a.dry_run:
        _forecast(a)
        return
    record = convert(
        a.image,
        a.output,
        roi=a.roi,
        dtype=a.dtype,
        scale=a.scale,
        axes=a.axes,
        voxel_size=a.voxel_size,
        level=a.level,
        pyramid=a.pyramid,
        compression=a.compression,
        workers=a.workers,
        memory=a.memory,
        overwrite=a.overwrite,
        check=not a.no_check,
        restart=a.restart,
        skip_unreadable=a.skip_unreadable,
        progress=console.progress(a),
    )
    if a.json:
        console.print_json(asdict(record))
    else:
        console.print_conversion(record)


def _forecast(a: argparse.Namespace) -> None:
    from ecc_rf.console_forecast import print_forecasts
    from ecc_rf.conversion.running import ConversionOrder
    from ecc_rf.forecast import forecast_conversion

    order = ConversionOrder(
        *(a.image, a.output, a.roi, a.dtype, a.scale, a.axes, a.voxel_size, a.level, a.pyramid, a.compression),
        overwrite=a.overwrite,
        skip_unreadable=a.skip_unreadable,
    )
    told = forecast_conversion(order, workers=a.workers, memory=a.memory, check=not a.no_check, restart=a.restart)
    print_forecasts([told])


def _parse_scale(text: str) -> tuple[float, float]:
    """
    >>> _parse_scale("100,4000")
    (100.0, 4000.0)
    """
    try:
        low, high = (float(part) for part in text.split(","))
        if low < high:
            return low, high
    except ValueError:
        pass
    raise bad_value(text, "scale", "Give two numbers, the smaller first: LOW,HIGH.")
