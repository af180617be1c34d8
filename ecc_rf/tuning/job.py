"""Tuning by files, and the file of settings that comes of it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ecc_rf.blocks import Progress
from ecc_rf.cell_settings import read_settings, resolve, write_settings
from ecc_rf.cells import CellFinder
from ecc_rf.errors import OutputExistsError, SettingError
from ecc_rf.evaluation import MatchingRule, read_truth
from ecc_rf.evaluation.evaluate import assign_groups, unique_names
from ecc_rf.evaluation.matching import VoxelSize
from ecc_rf.tuning.grid import FILTERED, SEARCHED, SettingsGrid
from ecc_rf.tuning.tune import TruthVolume, Tuning, tune
from ecc_rf.volumes import open_volume
from ecc_rf.volumes.user_paths import is_there


@dataclass(frozen=True)
class TuneSettings:
    """What is tried, and what is not.

    Parameters
    ----------
    groups : mapping of str to str
        Name of each brain and a shell pattern of its truths' names; none: each volume is a brain of its own.
    rule : MatchingRule
    given : mapping
        Settings of `CellFinder` that the user has chosen, which are not tried; what is None was not chosen.
    tried : mapping of str to sequence
        Values instead of the usual ones.
    base, model : path, optional
        File of settings to begin with; object model.
    voxel_size, workers, memory, overwrite
        As everywhere.
    """

    groups: Mapping[str, str] = field(default_factory=dict)
    rule: MatchingRule = MatchingRule()  # noqa: RUF009 (frozen)
    given: Mapping[str, Any] = field(default_factory=dict)
    tried: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    base: str | Path | None = None
    model: str | Path | None = None
    voxel_size: VoxelSize | None = None
    workers: int | None = None
    memory: str | int | None = None
    overwrite: bool = False


def tune_files(
    probabilities: Sequence[str | Path],
    truths: Sequence[str | Path],
    raws: Sequence[str | Path] | None = None,
    *,
    output: str | Path | None = None,
    settings: TuneSettings | None = None,
    progress: Progress | None = None,
) -> tuple[Tuning, list[str]]:
    """Choose settings, and write them.

    Parameters
    ----------
    probabilities, truths, raws : sequences of paths
        As many of each, in the same order; for truths see `read_truth`.
    output : path, optional
        Settings that `cells` and `run` take.
    settings : TuneSettings, optional
    progress : Progress, optional

    Returns
    -------
    Tuning
    list of str
        What the user should know.

    Raises
    ------
    EccError
        Bad input is found before the first volume is searched.
    """
    settings = settings or TuneSettings()
    for name, paths in (("--truth", truths), ("--raw", raws)):
        if paths is not None and len(paths) != len(probabilities):
            raise SettingError(
                f"There are {len(probabilities)} probability volumes and {len(paths)} of {name}.",
                where=name,
                do="Give one for each probability volume, in the same order.",
            )
    if output is not None and is_there(Path(output)) and not settings.overwrite:
        raise OutputExistsError(
            "The settings are there already.", where=str(output), do="Give another name, or --overwrite."
        )
    base, model = resolve(settings.given, settings.base, settings.model)
    if model is not None and raws is None:
        raise SettingError("An object model needs the raw images.", where="--objects-model", do="Give --raw.")
    grid = _grid(base, settings, raw=raws is not None, model=model is not None)
    names = unique_names(truths)
    groups = assign_groups(names, settings.groups) if settings.groups else names
    volumes = [
        _volume(name, group, paths, settings.voxel_size)
        for name, group, paths in zip(names, groups, zip(probabilities, truths, raws or itertools.repeat(None)))
    ]
    tuning = tune(
        volumes,
        grid,
        model=model,
        rule=settings.rule,
        workers=settings.workers,
        memory=settings.memory,
        progress=progress,
    )
    if output is not None:
        path = settings.model or (read_settings(settings.base).model if settings.base else None)
        relative = None if path is None else os.path.relpath(path, Path(output).absolute().parent)
        write_settings(output, _written(tuning, model is not None), model=relative, notes=_summary(tuning))
    return tuning, warnings_of(tuning)


def _grid(base: CellFinder, settings: TuneSettings, *, raw: bool, model: bool) -> SettingsGrid:
    names = SEARCHED + FILTERED
    fixed = [name for name in names if settings.given.get(name) is not None]
    for name in settings.tried:
        if name in fixed:
            raise SettingError(
                f"{name} is both fixed and to be tried.", where=name, do="Give its value, or the values to be tried."
            )
    if model:
        wrong = [name for name in settings.tried if name != "object_cut"]
        if wrong:
            raise SettingError(
                "An object model is for candidates found as when it was trained; only its cut can be chosen.",
                where=wrong[0],
                do="Train another model on other candidates.",
            )
    usual = SettingsGrid.usual(base, raw=raw, model=model, kept=fixed)
    tried = {name: tuple(getattr(usual, name)) for name in names} | {
        name: tuple(values) for name, values in settings.tried.items()
    }
    if not raw and any(value is not None for value in tried["min_contrast"]):
        raise SettingError("Contrasts are measured in the raw images.", where="min_contrast", do="Give --raw.")
    if not model and tried["object_cut"]:
        raise SettingError("There is no object model to cut.", where="object_cut", do="Give --objects-model.")
    return SettingsGrid(base, **tried)


def _volume(
    name: str, group: str, paths: tuple[str | Path, str | Path, str | Path | None], voxel_size: VoxelSize | None
) -> TruthVolume:
    probability, truth, raw = paths
    size = voxel_size
    for path in (probability, raw):
        if size is None and path is not None:
            with open_volume(path) as volume:
                size = volume.voxel_size
    if size is None:
        raise SettingError("The voxel size is not known.", where=str(probability), do="Give --voxel-size Z,Y,X.")
    return TruthVolume(name, group, probability, raw, read_truth(truth, size), size)


def _written(tuning: Tuning, model: bool) -> dict[str, Any]:
    """What differs from the defaults, and what was tried; an object model brings its own settings with it."""
    chosen, usual = asdict(tuning.chosen), asdict(CellFinder())
    if model:
        return {name: chosen[name] for name in tuning.grid.varied}
    return {name: value for name, value in chosen.items() if value != usual[name] or name in tuning.grid.varied}


def _summary(tuning: Tuning) -> str:
    expected = "" if tuning.left_out is None else f", {tuning.left_out.f1:.3f} leaving out each brain in turn"
    lines = [f"Chosen by ecc-rf tune: F1 {tuning.score.f1:.3f}{expected} ({', '.join(tuning.groups)})."]
    return "\n".join([*lines, *warnings_of(tuning)])


def warnings_of(tuning: Tuning) -> list[str]:
    """What is doubtful about a choice, and why."""
    if tuning.left_out is None:
        return ["All volumes are of one brain: how the settings do on another one is not known."]
    found = []
    for name, result in tuning.groups.items():
        if result.transfers:
            continue
        wishes = ", ".join(f"{setting} {value} (F1 +{gain:.3f})" for setting, value, gain in result.wishes[:3])
        found.append(
            f"The choice does not transfer to {name}: by settings of the others its F1 is"
            f" {_f1(result.left_out)}, by its own {result.best.f1:.3f} ± {result.uncertainty:.3f}; more than 0.05 and"
            " two standard errors lie between. It may be imaged or marked differently."
            + (f" For it alone: {wishes}." if wishes else "")
        )
    return found


def _f1(score: Any) -> str:
    return "–" if score is None else f"{score.f1:.3f}"
