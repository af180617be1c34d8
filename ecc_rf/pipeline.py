"""The main job: a project and an image in, a folder with probability, cells, report and record out."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecc_rf.blocks import Progress
from ecc_rf.cell_tables import WITHOUT_PROBABILITY, noted, voxels_as_unit
from ecc_rf.cells import CellFinder, filter_cells, write_cells
from ecc_rf.classifier import PixelClassifier
from ecc_rf.errors import OutputError, OutputExistsError, SettingError
from ecc_rf.ilp import IlastikProject
from ecc_rf.image_normalization import ImageReader, NormalizationChoice
from ecc_rf.prediction import CANONICAL
from ecc_rf.record import file_hash, image_name, image_record, versions, write_json
from ecc_rf.reporting import masked_share, summary, write_report
from ecc_rf.trained_on import TrainedOn, fit_notes, trained_on, training_summary
from ecc_rf.volumes import AxisView, open_volume
from ecc_rf.voxel_values import check_nan_choice

if TYPE_CHECKING:
    import pandas as pd

    from ecc_rf.objects import ObjectModel

FORMATS = ("ome.zarr", "h5")
OBJECTS = "objects.ome.zarr"


@dataclass(frozen=True)
class RunSettings:
    """Settings of the main job beside those of `CellFinder`.

    Parameters
    ----------
    axes : str, optional
        Override the image's axes.
    voxel_size : tuple of float, optional
        ``(z, y, x)`` in µm; default: what the image says.
    format : {'ome.zarr', 'h5'}
        Of the probability volume.
    probability : bool
        Whether ``probability.ome.zarr`` is stored. Otherwise ``mask.ome.zarr`` is: 1 where the probability is above the
        finder's threshold, which is found faster. The table of cells is the same, but for the columns of probability.
    backend : {'native', 'fastfilters'}
        Who computes the features.
    workers : int, optional
        Threads; default one per core.
    memory : str or int, optional
        Budget such as ``"8GB"``; default 2 GiB.
    block_shape : tuple of int, optional
        Extents ``z y x`` of a block.
    nan : {'refuse', 'zero'}
        What becomes of voxels that are NaN or infinite.
    mask : str or Path, optional
        Volume; where it is not 0 no cell is looked for.
    objects : bool
        Whether ``objects.ome.zarr`` is written, in which each voxel bears its cell's label.
    report : bool
        Whether ``report.html`` is written.
    overwrite : bool
        Replace results that are there already.
    normalization : NormalizationChoice
        Whether images are normalised as they are read.
    objects_model : path, optional
        Of the object model, for the record.
    marker : str
        What is stained in the images, if it is known: compared with what the project was trained on.
    """

    axes: str | None = None
    voxel_size: tuple[float, float, float] | None = None
    format: str = "ome.zarr"
    probability: bool = True
    backend: str = "native"
    workers: int | None = None
    memory: str | int | None = None
    block_shape: tuple[int, int, int] | None = None
    nan: str = "refuse"
    mask: str | Path | None = None
    objects: bool = False
    report: bool = True
    overwrite: bool = False
    normalization: NormalizationChoice = NormalizationChoice()  # noqa: RUF009 (frozen)
    objects_model: str | Path | None = None
    marker: str = ""

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise SettingError(
                f"{self.format!r} is no format of the probability volume.",
                where="format",
                do=f"Choose {' or '.join(FORMATS)}.",
            )
        check_nan_choice(self.nan)


@dataclass(frozen=True)
class RunResult:
    """What one image gave.

    Attributes
    ----------
    directory : Path
        Where the results are.
    cells : DataFrame
        The table of cells, as in ``cells.csv``.
    record : dict
        As in ``run.json``.
    """

    directory: Path
    cells: pd.DataFrame = field(repr=False)
    record: dict[str, Any] = field(repr=False)


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
        Bad input is found before the first block is computed.
    """
    settings = settings or RunSettings()
    finder = finder or CellFinder()
    paths = [images] if isinstance(images, (str, Path)) else list(images)
    if not paths:
        raise SettingError("No image is given.", do="Name at least one image.")
    if not isinstance(project, IlastikProject):
        project = IlastikProject.open(project)
    if not settings.probability:
        finder.check_mask(finder.threshold, "a run that stores no probability")
    classifier = PixelClassifier.from_project(project, backend=settings.backend)
    reader = ImageReader(project, paths, settings.normalization, axes=settings.axes, voxel_size=settings.voxel_size)
    folders = result_folders(paths, Path(output))
    for path, folder in zip(paths, folders):
        with open_volume(path, axes=settings.axes, voxel_size=settings.voxel_size) as volume:
            _ = volume.voxel_size or voxels_as_unit(finder, limits or {}, [])
            classifier.plan(AxisView(volume, CANONICAL).shape, volume.name)
        prepare_folder(folder, overwrite=settings.overwrite)
    # Once for all images: every label of the project is read for it.
    known = [*project.notes, *(f"The stored forest is stale: {reason}." for reason in project.stale())]
    trained = trained_on(project)
    return [
        _run_one(
            *(project, known, trained, classifier, reader, path, folder),
            *(finder, model, dict(limits or {}), settings, progress),
        )
        for path, folder in zip(paths, folders)
    ]


def _run_one(
    project: IlastikProject,
    known: list[str],
    trained: TrainedOn,
    classifier: PixelClassifier,
    reader: ImageReader,
    path: str | Path,
    folder: Path,
    finder: CellFinder,
    model: ObjectModel | None,
    limits: dict[str, float | None],
    settings: RunSettings,
    progress: Progress | None,
) -> RunResult:
    started = datetime.now(UTC)
    clock = time.perf_counter()
    notes = list(known) if settings.probability else [*known, WITHOUT_PROBABILITY]
    probability = folder / f"{'probability' if settings.probability else 'mask'}.{settings.format}"
    with open_volume(path, axes=settings.axes, voxel_size=settings.voxel_size) as image:
        voxel_size = image.voxel_size or voxels_as_unit(finder, limits, notes)
        normalization = reader.normalization(image, path)
        notes += fit_notes(image, trained, marker=settings.marker, intensity=normalization is None)
        with noted(notes):
            prediction = classifier.predict_volume(
                image,
                probability,
                labels=[1],
                dtype="uint8",
                export="probabilities" if settings.probability else "mask",
                threshold=None if settings.probability else finder.threshold,
                workers=settings.workers,
                memory=settings.memory,
                block_shape=settings.block_shape,
                nan=settings.nan,
                overwrite=settings.overwrite,
                progress=progress,
                normalization=normalization or False,
            )
        finding = time.perf_counter()
        with noted(notes):
            cells = finder.find(
                probability,
                raw=image,
                model=model,
                mask=settings.mask,
                voxel_size=voxel_size,
                workers=settings.workers,
                memory=settings.memory,
                progress=progress,
                objects=folder / OBJECTS if settings.objects else None,
                overwrite=settings.overwrite,
            )
            cells = filter_cells(cells, **limits)
        seconds = {"classify": prediction.seconds, "cells": time.perf_counter() - finding}
        write_cells(cells, folder / "cells.csv", overwrite=settings.overwrite)
        record: dict[str, Any] = {
            "started": started.isoformat(timespec="seconds"),
            "project": {
                "path": str(project.path),
                "sha256": file_hash(project.path),
                "ilastik": project.ilastik_version,
                "label_names": list(classifier.label_names),
                "trees": sum(classifier.forest.trees_per_forest),
            },
            "image": image_record(image),
            "voxel_size_um_zyx": list(voxel_size),
            "settings": {"cells": asdict(finder), "limits": limits, "run": asdict(settings)},
            "normalization": None if normalization is None else normalization.as_dict(),
            "objects_model": None if model is None else {"path": settings.objects_model, **model.training},
            "prediction": asdict(prediction),
            "training": training_summary(project),
            "marker": settings.marker,
            "masked_share": None if settings.mask is None else masked_share(settings.mask, settings.workers),
            "cells": len(cells),
            "seconds": seconds,
            "notes": notes,
            "versions": versions(),
        }
        record["summary"] = summary(record, cells)
        if settings.report:
            write_report(
                folder / "report.html", record, cells, raw=image, probability=probability, workers=settings.workers
            )
    record["seconds"]["total"] = time.perf_counter() - clock
    write_json(folder / "run.json", record)
    return RunResult(folder, cells, record)


def result_folders(images: Sequence[str | Path], output: Path) -> list[Path]:
    """Where the results of each image belong: the output folder itself, or a folder in it per image.

    >>> [str(p) for p in result_folders(["a/brain.h5/data", "b/brain.h5", "c.tif"], Path("out"))]
    ['out/brain', 'out/brain_2', 'out/c']
    """
    if len(images) == 1:
        return [output]
    taken: set[str] = set()
    folders = []
    for image in images:
        base = name = image_name(image)
        number = 1
        while name in taken:
            number += 1
            name = f"{base}_{number}"
        taken.add(name)
        folders.append(output / name)
    return folders


def results_in(folder: Path) -> list[str]:
    """Names of the results that are in a folder."""
    volumes = (f"{kind}.{format}" for kind in ("probability", "mask") for format in FORMATS)
    return [name for name in (*volumes, OBJECTS, "cells.csv", "report.html", "run.json") if (folder / name).exists()]


def prepare_folder(folder: Path, *, overwrite: bool) -> None:
    """Make the folder of the results, and find out now what would otherwise be found out after hours.

    Raises
    ------
    OutputExistsError
        If results are there and may not be replaced.
    OutputError
        If the folder cannot be made or written to.
    """
    there = results_in(folder)
    if there and not overwrite:
        raise OutputExistsError(
            f"The folder holds results already: {', '.join(there)}.",
            where=str(folder),
            do="Give another folder, or --overwrite to replace them.",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(
            f"The output folder cannot be written to: {error.strerror}.",
            where=str(folder),
            do="Give a folder in which you may write.",
        ) from error
