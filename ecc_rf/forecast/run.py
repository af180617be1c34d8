"""What the main job would take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecc_rf.blocks import Block, Grid, parse_memory, resolve_workers
from ecc_rf.cell_finding import voxels_as_unit
from ecc_rf.cells import CellFinder
from ecc_rf.classifier import PixelClassifier
from ecc_rf.errors import OutputExistsError, SettingError
from ecc_rf.forecast.cells import CellProbe, forecast_of, objects_volume
from ecc_rf.forecast.classify import forecast_order
from ecc_rf.forecast.outputs import check_folder
from ecc_rf.forecast.stage import Forecast, storage
from ecc_rf.ilp import IlastikProject
from ecc_rf.image_normalization import ImageReader
from ecc_rf.machine import Machine
from ecc_rf.ordering import make_order
from ecc_rf.pipeline import RunSettings, result_folders
from ecc_rf.run_folder import OBJECTS, results_in
from ecc_rf.volumes import open_volume

if TYPE_CHECKING:
    from ecc_rf.objects import ObjectModel


@dataclass(frozen=True)
class RunForecast:
    """One image of a run: its stages, and about how many cells it has."""

    stages: tuple[Forecast, ...]
    cells: float | None


def forecast_run(
    project: str | Path,
    images: Sequence[str | Path],
    output: str | Path,
    *,
    finder: CellFinder | None = None,
    model: ObjectModel | None = None,
    limits: Mapping[str, float | None] | None = None,
    settings: RunSettings | None = None,
) -> list[RunForecast]:
    """What `run` would take with the same arguments; nothing is written.

    Raises
    ------
    EccError
        Whatever the run itself would raise before its first block, and what a few blocks raise.
    """
    settings, finder = settings or RunSettings(), finder or CellFinder()
    opened = IlastikProject.open(project)
    if not images:
        raise SettingError("No image is given.", do="Name at least one image.")
    if not settings.probability:
        finder.check_mask(finder.threshold, "a run that stores no probability")
    classifier = PixelClassifier.from_project(opened, backend=settings.backend)
    reader = ImageReader(opened, images, settings.normalization, axes=settings.axes, voxel_size=settings.voxel_size)
    found = []
    for path, folder in zip(images, result_folders(images, Path(output))):
        there = results_in(folder)
        if there and not settings.overwrite:
            raise OutputExistsError(
                f"The folder holds results already: {', '.join(there)}.",
                where=str(folder),
                do="Give another folder, or --overwrite to replace them.",
            )
        check_folder(folder.absolute(), str(folder))
        found.append(_forecast_one(classifier, reader, path, folder, finder, model, limits or {}, settings))
    return found


def _forecast_one(
    classifier: PixelClassifier,
    reader: ImageReader,
    path: str | Path,
    folder: Path,
    finder: CellFinder,
    model: ObjectModel | None,
    limits: Mapping[str, float | None],
    settings: RunSettings,
) -> RunForecast:
    workers, budget = resolve_workers(settings.workers), parse_memory(settings.memory)
    probability = folder / f"{'probability' if settings.probability else 'mask'}.{settings.format}"
    with open_volume(path, axes=settings.axes, voxel_size=settings.voxel_size) as image:
        size = image.voxel_size or voxels_as_unit(finder, limits, [])
        order = make_order(
            classifier,
            image,
            probability,
            labels=[1],
            dtype="uint8",
            export="probabilities" if settings.probability else "mask",
            threshold=None if settings.probability else finder.threshold,
            block_shape=settings.block_shape,
            nan=settings.nan,
            overwrite=settings.overwrite,
            normalization=reader.normalization(image, path) or False,
        )
        attributes = {"ecc_rf": {"export": order.export.kind, "threshold": order.export.threshold}}
        trial = CellProbe(finder, model, size, order.export.drange, attributes)
        kept: list[tuple[NDArray[Any], NDArray[Any]]] = []

        def watch(block: Block, raw: NDArray[Any], values: NDArray[Any]) -> None:
            if len(kept) < workers:  # so many blocks are looked through for cells
                kept.append((np.ascontiguousarray(raw[0]), np.ascontiguousarray(values[0])))

        classification = forecast_order(order, Machine(settings.workers, settings.memory), watch)
        extents = dict(zip(image.axes, image.shape))
    shape = tuple(extents.get(axis, 1) for axis in "zyx")
    for raw, values in kept[:1]:
        replace(trial).find(values, raw)  # everything is compiled and loaded then
    for raw, values in kept:
        trial.find(values, raw)
    probed = classification.probe
    rate = workers * trial.voxels / trial.seconds if trial.seconds else None
    # where there is nothing to be found, reading is what costs: it was measured with the classification
    found = replace(probed, rate=rate, stored=None)
    grid = Grid(shape, tuple(min(128, n) for n in shape))
    stored = None
    if settings.objects:
        stored = storage(folder / OBJECTS, objects_volume(shape), found)
    cells = forecast_of(str(probability), grid, workers, budget, found, stored)
    count = found.tissue * grid.voxels * trial.cells / trial.voxels if trial.voxels else None
    return RunForecast((classification, cells), count)
