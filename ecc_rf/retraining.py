"""From a project to the same project with a new forest."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ecc_rf.blocks import Progress
from ecc_rf.errors import OutputExistsError, SettingError
from ecc_rf.ilp import IlastikProject, LaneLabels, NewLink, ProjectChanges, edit_project
from ecc_rf.itksnap import ImportSettings, import_label_files
from ecc_rf.lane_normalization import LaneChoice
from ecc_rf.record import versions, write_json
from ecc_rf.trained_on import TrainedOn
from ecc_rf.training import Training, TrainingSettings, train_project
from ecc_rf.volumes.user_paths import expanded, is_there


def retrain(
    project: str | Path,
    output: str | Path,
    settings: TrainingSettings | None = None,
    *,
    images: Mapping[int | str, str | Path] | None = None,
    search: Sequence[str | Path] = (),
    labels: Mapping[int, LaneLabels] | None = None,
    label_names: Sequence[str] | None = None,
    label_files: Mapping[int | str, str | Path] | None = None,
    label_settings: ImportSettings | None = None,
    normalization: LaneChoice | None = None,
    report: str | Path | None = None,
    marker: str = "",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Training:
    """Train on a project's labels and write the project with the new forest; the old one is not changed.

    Links that were mended by `images` or `search` are written mended.

    Parameters
    ----------
    project : str or Path
        The .ilp file.
    output : str or Path
        The new .ilp file.
    settings : TrainingSettings, optional
    images, search
        As `IlastikProject.open`.
    labels : mapping of int to LaneLabels, optional
        New labels of lanes, by lane index; they are written too.
    label_names : sequence of str, optional
        New names of all labels.
    label_files : mapping of int or str to path, optional
        Label files of lanes, such as ITK-SNAP's, by number or nickname, in place of `labels` and `label_names`.
    label_settings : ImportSettings, optional
        How they are to be understood.
    normalization : LaneChoice, optional
        Whether and how the images are normalised as they are read; default as the project notes. The new project
        notes it.
    report : str or Path, optional
        The training report as JSON; by default beside the new project, as ``NAME.training.json``.
    marker : str
        What is stained, such as ``cFos``: noted in the project, and compared when it is used.
    overwrite : bool
        Replace files of these names, once the new ones are complete.
    progress : Progress, optional

    Raises
    ------
    OutputExistsError
        If there is a file of these names and `overwrite` is False; before anything is computed.
    EccError
        As `train_project` and `edit_project`.
    """
    started = time.perf_counter()
    report_path = report_path_of(output) if report is None else expanded(report)
    for path in (output, report_path):
        refuse_existing(path, overwrite)
    opened = IlastikProject.open(project, images=images, search=search)
    colors, notes = None, list[str]()
    if label_files:
        if labels or label_names is not None:
            raise SettingError("labels and label files are given", str(project), "give one of them")
        read = import_label_files(opened, label_files, label_settings)
        labels, label_names, colors, notes = read.labels, read.label_names, read.label_colors, read.notes
    training = train_project(
        opened,
        settings,
        labels=labels,
        label_names=label_names,
        remarks=notes,
        normalization=normalization,
        progress=progress,
    )
    changes = ProjectChanges(
        labels=labels or {},
        label_names=label_names,
        label_colors=colors,
        forest=training.forest,
        feature_names=training.feature_names,
        n_rows=len(training.rows.labels),
        normalization=training.normalization,
        links=mended_links(opened),
        training=TrainedOn(training.images, marker, len(training.rows.labels), training.report.error).text(),
    )
    edit_project(project, output, changes=changes, overwrite=overwrite)
    record = training.report.as_dict()
    record["output"] = str(output)
    record["normalization"] = None if training.normalization is None else training.normalization.as_dict()
    record["seconds"]["total"] = time.perf_counter() - started
    write_json(report_path, {**record, "versions": versions()})
    return training


def refuse_existing(path: str | Path, overwrite: bool) -> None:
    """Find out now what would otherwise be found out when all is computed.

    Raises
    ------
    OutputExistsError
        If there is a file of this name and `overwrite` is False.
    """
    if is_there(expanded(path)) and not overwrite:
        raise OutputExistsError(
            "there is a file of this name already", str(path), "give another name, or replace it with --overwrite"
        )


def report_path_of(output: str | Path) -> Path:
    """Where the training report of a new project is.

    >>> report_path_of("out/NEW.ilp").as_posix()
    'out/NEW.training.json'
    """
    return expanded(output).with_suffix(".training.json")


def mended_links(project: IlastikProject) -> dict[int, NewLink]:
    """Links of images that are not where the project says, but were given or found in a folder to search."""
    if not any(lane.override is not None or lane.search for lane in project.lanes):
        return {}
    plain = IlastikProject.open(project.path)
    links = {}
    for lane, before in zip(project.lanes, plain.lanes):
        found = lane.override or (lane.location.path if lane.search and before.location.path is None else None)
        if found is not None:
            links[lane.index] = NewLink(found)
    return links
