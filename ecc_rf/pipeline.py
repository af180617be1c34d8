"""The main job: a project and images in, a folder with probability, cells, report and record out for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ecc_rf.blocks import Progress
from ecc_rf.blocks.owner import WHOLE
from ecc_rf.cell_finding import voxels_as_unit
from ecc_rf.cells import CellFinder, read_cells
from ecc_rf.classifier import PixelClassifier
from ecc_rf.errors import SettingError
from ecc_rf.ilp import IlastikProject
from ecc_rf.image_normalization import ImageReader
from ecc_rf.prediction import CANONICAL
from ecc_rf.run_folder import CELLS, RunFolder
from ecc_rf.run_job import Job
from ecc_rf.run_settings import RunResult, RunSettings
from ecc_rf.trained_on import trained_on
from ecc_rf.volumes import AxisView, open_volume
from ecc_rf.volumes.paths import image_name

if TYPE_CHECKING:
    from ecc_rf.objects import ObjectModel

__all__ = ["RunResult", "RunSettings", "result_folders", "run"]


def run(
    project: str | Path | IlastikProject,
    images: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    finder: CellFinder | None = None,
    model: ObjectModel | None = None,
    limits: Mapping[str, float | None] | None = None,
    settings: RunSettings | None = None,
    progress: Progress | None = None,
) -> list[RunResult]:
    """Classify images, find their cells and write a report.

    Cut off, it goes on where it was when it is called again; see `ecc_rf.run_folder`.

    Parameters
    ----------
    project : path or IlastikProject
        A project with a stored forest. Label 1 is the cell.
    images : path or sequence of paths
        What `open_volume` reads. One image: the results lie in `output`; several: in one folder each, named after
        the image.
    output : path
        Folder; it is made if it is not there.
    finder : CellFinder, optional
        Settings of the cell detection; default ``CellFinder()``.
    model : ObjectModel, optional
        Says which of the cells are cells.
    limits : mapping, optional
        Which cells stay in the table: the limits of `filter_cells`.
    settings : RunSettings, optional
        Everything else.
    progress : Progress, optional
        Told of every finished block.

    Returns
    -------
    list of RunResult
        In the order of the images.

    Raises
    ------
    EccError
        Bad input is found before the first block is computed, and before older results are removed.
    Interrupted
        After Ctrl-C; the same call goes on.
    """
    settings = settings or RunSettings()
    finder = finder or CellFinder()
    limits = dict(limits or {})
    paths = [images] if isinstance(images, (str, Path)) else list(images)
    if not paths:
        raise SettingError("No image is given.", do="Name at least one image.")
    if not isinstance(project, IlastikProject):
        project = IlastikProject.open(project)
    if not settings.probability:
        finder.check_mask(finder.threshold, "a run that stores no probability")
    classifier = PixelClassifier.from_project(project, backend=settings.backend)
    reader = ImageReader(project, paths, settings.normalization, axes=settings.axes, voxel_size=settings.voxel_size)
    if settings.restart and settings.part != WHOLE:
        raise SettingError(
            "One part cannot begin all parts anew.",
            where="restart",
            do="Stop all parts, give --restart without --part, or remove the folder, and start them again.",
        )
    job = Job(project, classifier, reader, finder, model, limits, settings)
    folders = []
    for path, place in zip(paths, result_folders(paths, Path(output))):
        with open_volume(path, axes=settings.axes, voxel_size=settings.voxel_size) as volume:
            _ = volume.voxel_size or voxels_as_unit(finder, limits, [])
            classifier.plan(AxisView(volume, CANONICAL).shape, volume.name)
            folders.append(RunFolder(place, job.fingerprint(volume)))
    skipped = _prepare(folders, settings)
    order = job.order(paths, Path(output))
    for folder in folders:
        if folder not in skipped:
            folder.begin(order, settings.part, model)
    # Once for all images: every label of the project is read for it.
    known = [*project.notes, *(f"The stored forest is stale: {reason}." for reason in project.stale())]
    trained = trained_on(project)
    return [
        skipped[folder] if folder in skipped else job.carry_out(path, folder, known, trained, progress)
        for path, folder in zip(paths, folders)
    ]


def _prepare(folders: list[RunFolder], settings: RunSettings) -> dict[RunFolder, RunResult]:
    """Refuse folders that cannot be used; the results that are taken over."""
    for folder in folders:
        folder.end_complete()
    unfinished = any(folder.begun for folder in folders)
    # Of several images, those that are finished are no reason to do nothing, but not to be done again either.
    going_on = unfinished or not (settings.overwrite or all(folder.finished for folder in folders))
    skipped = {}
    for folder in folders:
        if folder.finished and (going_on or settings.skip_finished):
            assert folder.record is not None
            skipped[folder] = RunResult(folder.path, read_cells(folder.path / CELLS), folder.record, skipped=True)
        elif not settings.overwrite:
            folder.refuse_results()
    for folder in folders:
        if settings.restart:
            folder.remove_unfinished()
        folder.refuse_other()
    return skipped


def result_folders(images: Sequence[str | Path], output: Path) -> list[Path]:
    """Where the results of each image belong: the output folder itself, or a folder in it per image.

    Names that differ only in their case are one folder on some systems.

    >>> [str(p) for p in result_folders(["a/brain.h5/data", "b/Brain.h5", "c.tif"], Path("out"))]
    ['out/brain', 'out/Brain_2', 'out/c']
    """
    if len(images) == 1:
        return [output]
    taken: set[str] = set()
    folders = []
    for image in images:
        base = name = image_name(image)
        number = 1
        while name.casefold() in taken:
            number += 1
            name = f"{base}_{number}"
        taken.add(name.casefold())
        folders.append(output / name)
    return folders
