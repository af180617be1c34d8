"""One marker of one brain: what is to be done, and whether it is done already."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ecc_rf._version import __version__
from ecc_rf.cell_settings import resolve
from ecc_rf.cells import CellFinder
from ecc_rf.errors import EccError
from ecc_rf.ilp import IlastikProject
from ecc_rf.image_normalization import NormalizationChoice
from ecc_rf.objects import ObjectModel
from ecc_rf.pipeline import RunSettings
from ecc_rf.record import file_hash, write_json
from ecc_rf.studies.study import Brain, Marker, Study, safe_name
from ecc_rf.volumes import open_volume
from ecc_rf.volumes.identity import volume_identity

DONE = "job.json"  # in a folder of results: what they are the results of
_RESULTS = ("cells.csv", "run.json")
_SKIPPING = "what cannot be read"


@dataclass(frozen=True)
class Job:
    """One run of a study.

    Attributes
    ----------
    marker, brain : Marker, Brain
    folder : Path
        Of its results.
    finder : CellFinder
    model : Path, optional
        Object classifier.
    project_hash, model_hash : str
        SHA-256 of the files; empty without a model.
    """

    marker: Marker
    brain: Brain
    folder: Path
    finder: CellFinder
    model: Path | None
    project_hash: str
    model_hash: str

    @property
    def name(self) -> str:
        """``MARKER/BRAIN``."""
        return f"{self.marker.name}/{self.brain.name}"

    @property
    def image(self) -> str:
        return self.brain.images[self.marker.name]

    def settings(self) -> RunSettings:
        """Those of the run, as far as the study says them."""
        marker, brain = self.marker, self.brain
        scales = None if marker.scale is None else (marker.scale,)
        return RunSettings(
            axes=brain.axes,
            voxel_size=brain.voxel_size,
            probability=marker.probability,
            mask=brain.mask,
            objects=marker.objects,
            overwrite=True,
            normalization=NormalizationChoice(marker.normalize, marker.any_normalization, scales=scales),
            objects_model=self.model,
            marker=marker.name,
            skip_unreadable=marker.skip_unreadable,
        )

    def loaded_model(self) -> ObjectModel | None:
        return None if self.model is None else ObjectModel.load(self.model)

    def fingerprint(self) -> dict[str, Any]:
        """Everything on which the results depend, in types of JSON.

        Raises
        ------
        EccError
            If the image or the mask cannot be opened.
        """
        brain, marker = self.brain, self.marker
        found = {
            "image": _identity(self.image, brain.axes),
            "mask": None if brain.mask is None else _identity(str(brain.mask), None),
            "voxel size": brain.voxel_size,
            "axes": brain.axes,
            "project": self.project_hash,
            "object classifier": self.model_hash,
            "settings of cells": asdict(self.finder),
            "limits": dict(marker.limits),
            "normalisation": [marker.normalize, marker.any_normalization, marker.scale],
            "what is stored": [marker.probability, marker.objects],
            _SKIPPING: marker.skip_unreadable,
            "version": __version__,
        }
        return dict(json.loads(json.dumps(found)))

    def to_do(self) -> str:
        """Why it has to be run; empty if its results are there, and those of the same inputs and settings."""
        if not all((self.folder / name).is_file() for name in _RESULTS):
            return "not done yet"
        try:
            stored = json.loads((self.folder / DONE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return "not finished"
        try:
            wanted = self.fingerprint()
        except EccError as error:
            return f"the image cannot be read: {error.what}"
        if not isinstance(stored, Mapping):
            return "not finished"
        if not stored.get(_SKIPPING):  # whatever is wanted now, there was nothing to skip
            wanted.pop(_SKIPPING)
        changed = [name for name in wanted if stored.get(name) != wanted[name]]
        return f"changed since: {', '.join(changed)}" if changed else ""

    def mark_done(self, fingerprint: Mapping[str, Any]) -> None:
        """Note of what the results are."""
        write_json(self.folder / DONE, dict(fingerprint))


def make_jobs(study: Study, output: Path) -> list[Job]:
    """All runs of a study, checked as far as that needs no image.

    Raises
    ------
    EccError
        If a project holds no classifier, or settings or an object classifier cannot be used; names the marker.
    """
    jobs = []
    for marker in study.markers:
        try:
            project = IlastikProject.open(marker.project)
            project.forest_summary()
            finder, model = resolve(marker.cells, marker.settings, marker.objects_model)
            if not marker.probability:
                finder.check_mask(finder.threshold, "a run that stores no probability")
            file = _model_of(marker)
        except EccError as error:
            raise type(error)(error.what, f"{error.where}, marker {marker.name} of {study.path}", error.do) from None
        project_hash, model_hash = file_hash(marker.project), "" if file is None else file_hash(file)
        jobs += [
            Job(
                marker,
                brain,
                output / safe_name(marker.name) / safe_name(brain.name),
                finder,
                file if model is not None else None,
                project_hash,
                model_hash,
            )
            for brain in study.brains
            if marker.name in brain.images
        ]
    return jobs


def with_machine(settings: RunSettings, workers: int | None, memory: str | None, *, report: bool = True) -> RunSettings:
    """The same run on so many threads and so much memory."""
    return replace(settings, workers=workers, memory=memory, report=report)


def _model_of(marker: Marker) -> Path | None:
    """The object classifier: the marker's own, or that of its file of settings."""
    if marker.objects_model is not None or marker.settings is None:
        return marker.objects_model
    from ecc_rf.cell_settings import read_settings

    return read_settings(marker.settings).model


def _identity(path: str, axes: str | None) -> dict[str, Any]:
    with open_volume(path, axes=axes) as volume:
        return volume_identity(volume)
