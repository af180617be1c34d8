"""``ecc-rf tune``: settings of the search for cells, chosen by volumes in which all cells were marked."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ecc_rf.arguments import add_command, bad_value, cell_options, parse_group, volume_options
from ecc_rf.commands.evaluate import rule_options

if TYPE_CHECKING:
    from ecc_rf.arguments import Commands


def add(commands: Commands) -> None:
    tune = add_command(
        commands,
        "tune",
        "settings of the search for cells, chosen by marked cells, leaving out one brain at a time",
        "ecc-rf tune a/probability.ome.zarr b/probability.ome.zarr --raw a.h5 b.h5 --truth a.nii.gz b.csv -o best.toml",
        _run,
    )
    tune.add_argument("probabilities", metavar="PROB", nargs="+", help="probability volumes, or crops of them")
    tune.add_argument(
        "--truth",
        metavar="TRUTH",
        nargs="+",
        required=True,
        help="in the same order: a volume that is not 0 in cells, or a list of points; all cells must be marked",
    )
    tune.add_argument("--raw", metavar="IMAGE", nargs="+", help="raw images, in the same order; for contrasts")
    tune.add_argument("-o", "--output", metavar="TOML", help="write the settings, for --settings of cells and run")
    tune.add_argument(
        "--group",
        type=parse_group,
        metavar="NAME=PATTERN",
        action="append",
        default=[],
        help="truths of one brain, by a pattern of their names: 'brain1=1008_*'; default: each is a brain of its own",
    )
    tune.add_argument("--json", action="store_true", help="print JSON")
    tried = tune.add_argument_group("what is tried, with commas ('none': not at all); an option of cells fixes it")
    for name, parse, what in _TRIED:
        tried.add_argument(f"--try-{name}", type=parse, metavar="V,V,…", help=what)
    rule_options(tune)
    cell_options(tune)
    volume_options(tune, block=False)


def _values(kind: Callable[[str], Any]) -> Callable[[str], tuple[Any, ...]]:
    def parse(text: str) -> tuple[Any, ...]:
        try:
            return tuple(None if part.strip() == "none" else kind(part) for part in text.split(","))
        except ValueError:
            raise bad_value(text, "list of values", "Give numbers with commas, such as 0.5,0.6,0.7.") from None

    return parse


_TRIED = (
    ("threshold", _values(float), "default 0.3 to 0.9"),
    ("smoothing-um", _values(float), "default 0, 1.6 and 2.4"),
    ("min-volume", _values(int), "default 2, 3, 5, 8 and 11"),
    ("max-volume", _values(int), "larger objects are split; default none and 64"),
    ("min-contrast", _values(float), "default none and 1.5 to 4; needs --raw"),
    ("object-cut", _values(float), "of an object model; default 0.05 to 0.65"),
)


def _run(a: argparse.Namespace) -> None:
    from ecc_rf import console, console_accuracy
    from ecc_rf.evaluation import MatchingRule
    from ecc_rf.tuning.job import TuneSettings, tune_files

    tuning, notes = tune_files(
        a.probabilities,
        a.truth,
        a.raw,
        output=a.output,
        settings=TuneSettings(
            groups=dict(a.group),
            rule=MatchingRule(a.radius_um, a.depth_um),
            given=vars(a),
            tried={
                name.replace("-", "_"): values
                for name, *_ in _TRIED
                if (values := getattr(a, f"try_{name.replace('-', '_')}")) is not None
            },
            base=a.settings,
            model=a.objects_model,
            voxel_size=a.voxel_size,
            workers=a.workers,
            memory=a.memory,
            overwrite=a.overwrite,
        ),
        progress=console.progress(a),
    )
    if a.json:
        console.print_json(tuning.as_dict())
        return
    console_accuracy.print_tuning(tuning)
    console.print_notes(notes)
    if a.output:
        print(f"{a.output}: for --settings of cells and run")
