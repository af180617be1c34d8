"""Options that several commands share, and how their values are written. The commands are in `ecc_rf.commands`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from ecc_rf.argument_values import (  # handed on to the commands
    bad_value as bad_value,
)
from ecc_rf.argument_values import (
    parse_block as parse_block,
)
from ecc_rf.argument_values import (
    parse_factors as parse_factors,
)
from ecc_rf.argument_values import (
    parse_group as parse_group,
)
from ecc_rf.argument_values import (
    parse_lane_scales as parse_lane_scales,
)
from ecc_rf.argument_values import (
    parse_level as parse_level,
)
from ecc_rf.argument_values import (
    parse_mapping as parse_mapping,
)
from ecc_rf.argument_values import (
    parse_names as parse_names,
)
from ecc_rf.argument_values import (
    parse_offset as parse_offset,
)
from ecc_rf.argument_values import (
    parse_pairs as parse_pairs,
)
from ecc_rf.argument_values import (
    parse_part as parse_part,
)
from ecc_rf.argument_values import (
    parse_roi as parse_roi,
)
from ecc_rf.argument_values import (
    parse_scales as parse_scales,
)
from ecc_rf.argument_values import (
    parse_voxel_size as parse_voxel_size,
)

if TYPE_CHECKING:
    from ecc_rf.parsing import Parser

    Commands = argparse._SubParsersAction[Parser]

# What may be chosen, here once more: the modules that know are slow to import. A test holds the two together.
SPLITS = ("watershed", "maxima", "none")
CONNECTIVITIES = (6, 18, 26)
INTENSITIES = ("mean", "max", "local")
BACKENDS = ("native", "fastfilters")
NAN_CHOICES = ("refuse", "zero")
EXPORTS = ("probabilities", "mask", "segmentation", "uncertainty", "features")
DTYPES = ("float32", "uint16", "uint8")
ROUNDINGS = ("nearest", "truncate")
FORMATS = ("ome.zarr", "h5")
PYRAMIDS = ("mean", "mode", "max", "nearest")
COMPRESSIONS = ("zstd", "gzip", "none")
MERGES = ("replace", "keep", "overwrite")
PALETTES = ("project", "safe")


def add_command(
    commands: Commands,
    name: str,
    summary: str,
    example: str,
    run: Callable[[argparse.Namespace], int | None],
) -> argparse.ArgumentParser:
    """Add a command, which calls `run` with what was asked for; returns its parser, for the options.

    What `run` returns is the exit status; None is 0.
    """
    parser = commands.add_parser(
        name, help=summary, description=summary[0].upper() + summary[1:] + ".", epilog=f"Example: {example}"
    )
    parser.set_defaults(command=name, run=run)
    return parser


def reads(parser: argparse.ArgumentParser, *names: str) -> None:
    """Say which arguments name files that are read: they are looked for before anything heavy is imported."""
    parser.set_defaults(inputs=(*(parser.get_default("inputs") or ()), *names))


def given_inputs(arguments: argparse.Namespace) -> list[str]:
    """The files that were given for the arguments of `reads`, in their order.

    >>> asked = argparse.Namespace(inputs=("project", "images", "mask"), project="p", images=["a", "b"], mask=None)
    >>> given_inputs(asked)
    ['p', 'a', 'b']
    """
    found: list[str] = []
    for name in getattr(arguments, "inputs", ()):
        value = getattr(arguments, name)
        found += value if isinstance(value, list) else [] if value is None else [value]
    return found


def json_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the result as JSON; notes go to standard error")


def cell_options(parser: argparse.ArgumentParser) -> None:
    """Settings of `CellFinder` by their names; None is what was not said, so that files of settings come before."""
    group = parser.add_argument_group("cells")
    group.add_argument(
        "--threshold", type=float, metavar="P", help="voxels of a cell have a probability above this; default 0.7"
    )
    group.add_argument("--min-volume", type=int, metavar="N", help="drop objects of at most N voxels; default 2")
    group.add_argument("--max-volume", type=int, metavar="N", help="split objects of more than N voxels")
    group.add_argument("--split", choices=SPLITS, help="how objects are split; default watershed")
    group.add_argument(
        "--cell-diameter-um",
        type=float,
        metavar="D",
        help="expected diameter, the scale of splitting; default from --max-volume",
    )
    group.add_argument(
        "--connectivity", type=int, choices=CONNECTIVITIES, help="which voxels are neighbours; default 6"
    )
    group.add_argument("--mask", metavar="MASK", help="find no cells where this volume is not 0")
    group.add_argument(
        "--intensity",
        choices=INTENSITIES,
        help="signal of a cell: mean of its voxels (default), max or mean (local) around its centre",
    )
    group.add_argument(
        "--signal-radius",
        type=int,
        metavar="R",
        help="reach in voxels of max and local; default 1",
    )
    group.add_argument(
        "--background-radius",
        type=int,
        metavar="R",
        help="reach in voxels of a cell's surroundings; default 4",
    )
    group.add_argument(
        "--background-percentile",
        type=float,
        metavar="P",
        help="percentile of them that is the background; default 5",
    )
    group.add_argument("--smoothing-um", type=float, metavar="S", help="smooth the probability first; default 0: not")
    group.add_argument(
        "--low-threshold",
        type=float,
        metavar="P",
        help="hysteresis: cells reach out to this probability, at least one voxel is above --threshold",
    )
    group.add_argument(
        "--contrast", action="store_const", const=True, help="add columns of how cells stand out; needs the raw image"
    )
    group.add_argument("--min-contrast", type=float, metavar="C", help="drop cells of less contrast")
    group.add_argument("--objects-model", metavar="MODEL", help="object classifier that says what is a cell")
    group.add_argument("--object-cut", type=float, metavar="P", help="its least probability; default the model's own")
    group.add_argument("--settings", metavar="TOML", help="file of settings (TOML); options that are given overrule it")
    filter_options(parser)
    reads(parser, "mask", "objects_model", "settings")


def filter_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("which cells stay in the table")
    group.add_argument("--min-sbr", type=float, metavar="R", help="least signal-to-background ratio")
    group.add_argument("--min-intensity", type=float, metavar="I", help="least intensity above background (deltaI)")
    group.add_argument("--min-diameter-um", type=float, metavar="D", help="least diameter of the equal sphere")


def volume_options(parser: argparse.ArgumentParser, *, block: bool = True, nan: bool = True) -> None:
    group = parser.add_argument_group("volumes and machine")
    group.add_argument(
        "--axes", metavar="AXES", help="letters of tzyxc in the order of the image, if the file is wrong"
    )
    group.add_argument("--voxel-size", type=parse_voxel_size, metavar="Z,Y,X", help="in µm, if the file does not say")
    group.add_argument(
        "--level",
        type=parse_level,
        metavar="N|Z,Y,Xµm",
        help="of a multi-resolution OME-Zarr: its number from 0, or the level nearest to this voxel size in µm",
    )
    _budget_options(group)
    if block and nan:
        nan_option(group)
    if block:
        group.add_argument(
            "--block", type=parse_block, metavar="Z,Y,X", help="block in voxels; default from the budget"
        )
    _manner_options(group)


def nan_option(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--nan",
        choices=NAN_CHOICES,
        default="refuse",
        help="voxels that are NaN or infinite: refuse (default), or take them for zero",
    )


def machine_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("machine")
    _budget_options(group)
    _manner_options(group)


def _budget_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--workers", type=int, metavar="N", help="threads; default one per core")
    group.add_argument("--memory", metavar="SIZE", help="budget, for example 8GB; default 2GiB")


def _manner_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--overwrite", action="store_true", help="replace results that are there already")
    group.add_argument("-q", "--quiet", action="store_true", help="no progress")
    group.add_argument("-v", "--verbose", action="store_true", help="say what is planned before it is done")


def backend_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--backend",
        choices=BACKENDS,
        default="native",
        help="who computes the features: native (default), or fastfilters if installed",
    )


def marker_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--marker", default="", metavar="NAME", help="what is stained, such as cFos: told if the project is for another"
    )


def skip_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--skip-unreadable",
        action="store_true",
        help="take pieces of the image that cannot be read for 0, and name them",
    )


def resume_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("going on").add_mutually_exclusive_group()
    group.add_argument(
        "--resume", action="store_true", help="go on with an unfinished run of the same settings; the default"
    )
    group.add_argument("--restart", action="store_true", help="remove an unfinished run and begin anew")


def dry_run_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="check everything, say what memory, disk space and time it would take (from a probe of about 5 s), and"
        " write nothing",
    )


def parallel_options(
    parser: argparse.ArgumentParser, part: str = "compute part I of N only; the last part names the output"
) -> None:
    """How the work is shared; `part` says what a part does."""
    group = parser.add_argument_group("many processes and machines")
    part_option(group, part)
    group.add_argument("--processes", action="store_true", help="processes instead of threads")
    group.add_argument("--dask", metavar="ADDRESS", help="workers of this dask scheduler; local: start one here")


def part_option(group: argparse._ActionsContainer, help: str) -> None:
    group.add_argument("--part", type=parse_part, default=(1, 1), metavar="I/N", help=help)


def normalization_options(parser: argparse.ArgumentParser, *, several: bool = False) -> None:
    group = parser.add_argument_group("normalisation")
    group.add_argument(
        "--normalize", action="store_true", help="subtract the local background and divide by the brain's scale"
    )
    if several:
        group.add_argument("--together", action="store_true", help="the images are pieces of one brain: one scale")
    group.add_argument("--scale", type=parse_scales, metavar="S", help="of the brain, instead of what is estimated")
    group.add_argument(
        "--any-normalization", action="store_true", help="classify though project and image are normalised differently"
    )


def lane_normalization_options(parser: argparse.ArgumentParser) -> None:
    """How the images of a project are normalised; `commands.train.lane_choice` reads them."""
    group = parser.add_argument_group("normalisation of the project's images, as they are read")
    group.add_argument(
        "--normalize",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="subtract the local background and divide by the brain's scale; default what the project notes",
    )
    group.add_argument("--window-um", type=float, metavar="W", help="width of the background's window; default 75")
    group.add_argument("--together", action="store_true", help="all images are pieces of one brain: one scale")
    group.add_argument(
        "--group",
        type=parse_group,
        action="append",
        default=[],
        metavar="NAME=PATTERN",
        help="images that are pieces of one brain: a pattern of their nicknames, 'brain1=1008_*'; may be repeated",
    )
    group.add_argument(
        "--scale",
        action="append",
        default=[],
        metavar="[LANE=]S",
        help="of the brain, if it is known; of a lane, or of all; may be repeated",
    )
