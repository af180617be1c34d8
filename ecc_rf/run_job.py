"""What is done with every image of a run: classified, its cells found, reported; each step goes on where it was."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecc_rf._version import __version__
from ecc_rf.blocks import Progress
from ecc_rf.blocks.owner import WHOLE
from ecc_rf.cell_finding import CellOrder, CellTable, make_cell_table, mask_identity, model_digest, voxels_as_unit
from ecc_rf.cells import COLUMNS, CellFinder, read_cells
from ecc_rf.classification import classify_volume
from ecc_rf.classifier import PixelClassifier
from ecc_rf.errors import EccError, Interrupted, OutputBusyError
from ecc_rf.export import Export, resolve_labels
from ecc_rf.ilp import IlastikProject
from ecc_rf.image_normalization import ImageReader
from ecc_rf.machine import Machine
from ecc_rf.notes import noted
from ecc_rf.order import Order, classifier_digest, whole_path
from ecc_rf.prediction import PredictionRecord
from ecc_rf.record import file_hash, image_record, versions, write_json
from ecc_rf.reporting import masked_share, summary, write_report
from ecc_rf.run_folder import CELLS, CLASSIFIED, FOUND, OBJECTS, RECORD, REPORT, RunFolder
from ecc_rf.run_settings import RunResult, RunSettings
from ecc_rf.trained_on import TrainedOn, fit_notes, training_summary
from ecc_rf.volumes import Volume, open_volume
from ecc_rf.volumes.base import VoxelSize
from ecc_rf.volumes.identity import volume_identity
from ecc_rf.volumes.unreadable import ForgivingVolume

if TYPE_CHECKING:
    import pandas as pd

    from ecc_rf.objects import ObjectModel


@dataclass(frozen=True)
class Job:
    """What is done with every image."""

    project: IlastikProject
    classifier: PixelClassifier
    reader: ImageReader
    finder: CellFinder
    model: ObjectModel | None
    limits: dict[str, float | None]
    settings: RunSettings

    def fingerprint(self, volume: Volume) -> dict[str, Any]:
        """Everything that the results of an image depend on."""
        settings = self.settings
        return {
            "command": "run",
            "version": __version__,
            "classifier": classifier_digest(self.classifier),
            "backend": settings.backend,
            "image": volume_identity(volume),
            "voxel_size": volume.voxel_size,
            "normalization": asdict(settings.normalization),
            "nan": settings.nan,
            "mask": None if settings.mask is None else mask_identity(settings.mask),
            "cells": asdict(self.finder),
            "limits": {name: limit for name, limit in self.limits.items() if limit is not None},
            "model": None if self.model is None else model_digest(self.model),
            "format": settings.format,
            "probability": settings.probability,
            "objects": settings.objects,
            "report": settings.report,
        }

    def order(self, images: Sequence[str | Path], output: Path) -> dict[str, Any]:
        """What it takes to do this again, JSON-able, with whole paths; the model is left out."""
        settings = asdict(self.settings)
        if self.settings.mask is not None:
            settings["mask"] = whole_path(self.settings.mask, "mask")
        settings["objects_model"] = self.settings.objects_model and str(self.settings.objects_model)
        return {
            "project": whole_path(self.project.path, "project"),
            "images": [whole_path(image, "image") for image in images],
            "output": whole_path(output, "output"),
            "finder": asdict(self.finder),
            "limits": self.limits,
            "settings": settings,
        }

    def carry_out(
        self, path: str | Path, folder: RunFolder, known: list[str], trained: TrainedOn, progress: Progress | None
    ) -> RunResult:
        """One image from the classification to the report, or what is left of that."""
        with folder.point:
            try:
                return self._steps(path, folder, known, trained, progress)
            except EccError:
                folder.drop_if_untouched()
                raise
            except KeyboardInterrupt as error:
                folder.drop_if_untouched()
                if isinstance(error, Interrupted) or not folder.begun:
                    raise
                raise Interrupted(
                    f"what is done in {folder.path} is kept; run the same command again to go on."
                ) from error

    def _steps(
        self, path: str | Path, folder: RunFolder, known: list[str], trained: TrainedOn, progress: Progress | None
    ) -> RunResult:
        started, clock = datetime.now(UTC), time.perf_counter()
        settings = self.settings
        notes = list(known)
        folder.point.own()
        with open_volume(path, axes=settings.axes, voxel_size=settings.voxel_size) as image:
            voxel_size = image.voxel_size or voxels_as_unit(self.finder, self.limits, notes)
            prediction, normalization = self._classify(path, image, folder, trained, notes, progress)
            if prediction["missing"]:
                return _unfinished(folder, prediction["missing"], prediction["blocks"])
            if settings.part != WHOLE:
                try:
                    folder.point.own_end()
                except OutputBusyError:
                    return _unfinished(folder, -1, prediction["blocks"])
            cells, found = self._find(image, voxel_size, folder, progress)
            record: dict[str, Any] = {
                "started": started.isoformat(timespec="seconds"),
                "project": {
                    "path": str(self.project.path),
                    "sha256": file_hash(self.project.path),
                    "ilastik": self.project.ilastik_version,
                    "label_names": list(self.classifier.label_names),
                    "trees": sum(self.classifier.forest.trees_per_forest),
                },
                "image": image_record(image),
                "voxel_size_um_zyx": list(voxel_size),
                "settings": {"cells": asdict(self.finder), "limits": self.limits, "run": asdict(settings)},
                "normalization": normalization,
                "objects_model": None
                if self.model is None
                else {"path": settings.objects_model, **self.model.training},
                "prediction": prediction,
                "training": training_summary(self.project),
                "marker": settings.marker,
                "masked_share": None if settings.mask is None else masked_share(settings.mask, settings.workers),
                "cells": len(cells),
                "seconds": {"classify": prediction["seconds"], "cells": found["seconds"]},
                "notes": list(dict.fromkeys([*notes, *found["notes"]])),
                "versions": versions(),
                "fingerprint": folder.fingerprint,
            }
            record["summary"] = summary(record, cells)
            if settings.report:
                write_report(
                    folder.path / REPORT,
                    record,
                    cells,
                    raw=image,
                    probability=self._probability(folder),
                    workers=settings.workers,
                )
        record["seconds"]["total"] = time.perf_counter() - clock
        folder.point.mark_complete()
        write_json(folder.path / RECORD, record)
        folder.point.end()
        return RunResult(folder.path, cells, record)

    def _probability(self, folder: RunFolder) -> Path:
        return folder.path / f"{'probability' if self.settings.probability else 'mask'}.{self.settings.format}"

    def _classify(
        self,
        path: str | Path,
        image: Volume,
        folder: RunFolder,
        trained: TrainedOn,
        notes: list[str],
        progress: Progress | None,
    ) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """What is recorded of the prediction, and of the normalisation."""
        settings, probability = self.settings, self._probability(folder)
        noted_before = folder.steps().record(CLASSIFIED, probability.name)
        if noted_before is not None:
            notes += noted_before["notes"]
            return noted_before["prediction"], noted_before["normalization"]
        how = self.reader.normalization(image, path)
        normalization = None if how is None else how.as_dict()
        told = fit_notes(image, trained, marker=settings.marker, intensity=how is None)

        def named(prediction: PredictionRecord) -> None:
            told.extend(f"could not be read and was taken for 0: {piece}" for piece in prediction.unreadable)
            step = {"prediction": asdict(prediction), "normalization": normalization, "notes": told}
            folder.steps().note(CLASSIFIED, step)

        with noted(notes):
            order = Order(
                classifier=self.classifier,
                image=path,  # not the open image: other processes open it themselves
                output=probability,
                export=Export(
                    kind="probabilities" if settings.probability else "mask",
                    labels=resolve_labels([1], self.classifier.label_names),
                    dtype="uint8",
                    threshold=None if settings.probability else self.finder.threshold,
                ),
                axes=settings.axes,
                voxel_size=settings.voxel_size,
                block_shape=settings.block_shape,
                skip_unreadable=settings.skip_unreadable,
                nan=settings.nan,
                normalization=how,
            )
            machine = Machine(settings.workers, settings.memory, settings.processes, settings.part)
            prediction = classify_volume(order, machine, progress, named)
        notes += told
        return asdict(prediction), normalization

    def _find(
        self, image: Volume, voxel_size: VoxelSize, folder: RunFolder, progress: Progress | None
    ) -> tuple[pd.DataFrame, dict[str, Any]]:
        """The table of cells, and what is recorded of it."""
        settings, started = self.settings, time.perf_counter()
        noted_before = folder.steps().record(FOUND, CELLS)
        if noted_before is not None:
            return read_cells(folder.path / CELLS), noted_before
        order = CellOrder(
            probability=self._probability(folder),
            output=folder.path / CELLS,
            raw=ForgivingVolume(image) if settings.skip_unreadable else image,
            mask=settings.mask,
            objects=folder.path / OBJECTS if settings.objects else None,
            finder=self.finder,
            model=self.model,
            limits=self.limits,
            voxel_size=voxel_size,
            block_shape=settings.block_shape,
        )
        found: dict[str, Any] = {}

        def named(table: CellTable) -> None:
            found.update(seconds=time.perf_counter() - started, notes=table.notes)
            folder.steps().note(FOUND, found)

        table = make_cell_table(order, Machine(settings.workers, settings.memory), progress, named)
        return table.cells, found


def _unfinished(folder: RunFolder, missing: int, blocks: int) -> RunResult:
    import pandas as pd

    return RunResult(folder.path, pd.DataFrame(columns=list(COLUMNS)), {}, missing=missing, blocks=blocks)
