"""``ecc-rf normalize``: images with their background subtracted, on one scale per brain."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ecc_rf.arguments import FORMATS, add_command, json_option, parse_scales, reads, volume_options

if TYPE_CHECKING:
    from ecc_rf.arguments import Commands


def add(commands: Commands) -> None:
    normalize = add_command(
        commands,
        "normalize",
        "images with the local background subtracted, divided by one scale per brain",
        "ecc-rf normalize brain1.h5 brain2.h5 -o normalized --voxel-size 6,1.62,1.62",
        _run,
    )
    normalize.add_argument("images", metavar="IMAGE", nargs="+", help="images; each is one brain unless --together")
    normalize.add_argument("-o", "--output", metavar="DIR", required=True, help="folder; the names are kept")
    normalize.add_argument("--format", choices=FORMATS, default="h5", help="default h5 (dataset `data`)")
    normalize.add_argument("--together", action="store_true", help="the images are pieces of one brain: one scale")
    normalize.add_argument(
        "--scale", type=parse_scales, metavar="S", help="of the brain, one per channel, instead of what is estimated"
    )
    normalize.add_argument("--window-um", type=float, default=75.0, metavar="W", help="of the local median; default 75")
    json_option(normalize)
    reads(normalize, "images")
    volume_options(normalize, block=False)


def _run(a: argparse.Namespace) -> None:
    from ecc_rf import console, console_accuracy
    from ecc_rf.normalization import Normalization
    from ecc_rf.normalization.writing import normalize_images

    written = normalize_images(
        a.images,
        a.output,
        Normalization(a.window_um),
        format=a.format,
        together=a.together,
        scales=a.scale,
        axes=a.axes,
        voxel_size=a.voxel_size,
        workers=a.workers,
        memory=a.memory,
        overwrite=a.overwrite,
        progress=console.progress(a),
    )
    if a.json:
        console.print_json({"results": [{"output": path, "scales": scales} for path, scales in written]})
    else:
        console_accuracy.print_normalized(written)
