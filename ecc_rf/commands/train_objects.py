"""``ecc-rf train-objects``: an object classifier from marked cells or judged candidates."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ecc_rf.arguments import add_command, bad_value, cell_options, json_option, reads, volume_options
from ecc_rf.commands.evaluate import rule_options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ecc_rf.arguments import Commands
    from ecc_rf.cells import CellFinder
    from ecc_rf.objects import ObjectModel


def add(commands: Commands) -> None:
    train = add_command(
        commands,
        "train-objects",
        "an object classifier from cells that a person marked, or candidates that were judged",
        "ecc-rf train-objects prob.ome.zarr --raw brain.h5 --judged judged.csv -o model.h5 --voxel-size 6,1.62,1.62",
        _run,
    )
    train.add_argument("probabilities", metavar="PROB", nargs="+", help="probability volumes, or crops of them")
    train.add_argument("--raw", metavar="IMAGE", nargs="+", required=True, help="raw images, in the same order")
    source = train.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--truth",
        metavar="TRUTH",
        nargs="+",
        help="in the same order: a volume that is not 0 in cells, or a list of points; all cells must be marked",
    )
    source.add_argument(
        "--judged",
        metavar="CSV",
        nargs="+",
        help="tables that the page of ecc-rf candidates saved; candidates are found as they were for them",
    )
    train.add_argument("-o", "--output", metavar="MODEL", required=True, help="the model, .h5")
    train.add_argument("--seed", type=int, default=0, metavar="N", help="the same seed gives the same bytes; default 0")
    train.add_argument(
        "--cut",
        type=parse_cut,
        metavar="P",
        help="least probability of a cell; default 0.25; suggested: the best by what was marked or judged, out of bag",
    )
    json_option(train)
    reads(train, "probabilities", "raw", "truth", "judged")
    rule_options(train)
    cell_options(train)
    volume_options(train, block=False)


def parse_cut(text: str) -> float | str:
    """
    >>> parse_cut("0.3"), parse_cut("suggested")
    (0.3, 'suggested')
    """
    if text == "suggested":
        return text
    try:
        return float(text)
    except ValueError:
        raise bad_value(text, "cut", "Give a probability such as 0.25, or suggested.") from None


def refuse_filters(a: argparse.Namespace) -> None:
    """Options of `cells` that make no sense for several volumes, or for all that might be a cell."""
    from ecc_rf.errors import SettingError

    for option in ("mask", "min_sbr", "min_intensity", "min_diameter_um", "level", "axes"):
        if getattr(a, option, None) is not None:
            raise SettingError(
                "Candidates are looked for in whole volumes, and all of them count.",
                where=f"--{option.replace('_', '-')}",
                do="Leave it out.",
            )


def candidate_finder(
    a: argparse.Namespace, stored: Mapping[str, Any] | None = None
) -> tuple[CellFinder, ObjectModel | None]:
    """How candidates are found, and the object model if one was named: the options, then a file's settings or those
    of the model, then `stored`, then what is usual for candidates."""
    from dataclasses import fields

    from ecc_rf.cell_settings import resolve
    from ecc_rf.cells import CellFinder
    from ecc_rf.object_training import CANDIDATES

    refuse_filters(a)
    said = {field.name: getattr(a, field.name, None) for field in fields(CellFinder)}
    usual = {
        field.name: getattr(CANDIDATES if stored is None else CellFinder(), field.name) for field in fields(CellFinder)
    }
    if a.settings is None and a.objects_model is None:
        base = usual | dict(stored or {})
        said = {name: base.get(name) if value is None else value for name, value in said.items()}
    return resolve(said, a.settings, a.objects_model)


def _run(a: argparse.Namespace) -> None:
    from ecc_rf import console, console_accuracy
    from ecc_rf.evaluation import MatchingRule
    from ecc_rf.judging import read_judgements
    from ecc_rf.object_training import Machine, train_from_judgements, train_from_volumes
    from ecc_rf.objects.training import DEFAULT_CUT

    cut = {None: DEFAULT_CUT, "suggested": None}.get(a.cut, a.cut)
    machine = Machine(a.voxel_size, a.workers, a.memory, console.progress(a))
    if a.judged:
        judgements, stored = read_judgements(a.judged)
        model, counts, notes = train_from_judgements(
            a.probabilities,
            a.raw,
            judgements,
            a.output,
            finder=candidate_finder(a, stored)[0],
            seed=a.seed,
            cut=cut,
            machine=machine,
            overwrite=a.overwrite,
        )
        console.print_notes(notes)
        console_accuracy.print_judged(counts)
    else:
        model = train_from_volumes(
            a.probabilities,
            a.raw,
            a.truth,
            a.output,
            finder=candidate_finder(a)[0],
            rule=MatchingRule(a.radius_um, a.depth_um),
            seed=a.seed,
            cut=cut,
            machine=machine,
            overwrite=a.overwrite,
        )
    if a.json:
        console.print_json({"output": a.output, "cut": model.cut, **model.training})
    else:
        console_accuracy.print_object_model(a.output, model)
