"""Every kind of error says what is wrong, where, and what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from ecc_rf import IlastikProject, PixelClassifier, errors, open_volume
from ecc_rf.blocks import parse_memory
from ecc_rf.blocks.owner import Owner
from ecc_rf.blocks.remote import Backend
from ecc_rf.volumes import create_volume

Provoke = Callable[[Path, Path], object]  # the fixtures' folder, an empty folder


def _classify(fixtures: Path, tmp: Path, image: np.ndarray | None = None, **options: object) -> object:
    source: Path | str = fixtures / "brain.h5"
    if image is not None:
        source = tmp / "image.npy"
        np.save(source, image)
    classifier = PixelClassifier.from_project(fixtures / "cells.ilp")
    return classifier.predict_volume(source, tmp / "out.npy", **options)  # type: ignore[arg-type]


def _without(fixtures: Path, tmp: Path, member: str, **replaced: bytes) -> IlastikProject:
    path = tmp / "p.ilp"
    path.write_bytes((fixtures / "cells.ilp").read_bytes())
    with h5py.File(path, "r+") as file:
        del file[member]
        for value in replaced.values():
            file[member] = value
    return IlastikProject.open(path)


def _unwritable(fixtures: Path, tmp: Path) -> object:
    (tmp / "file").touch()
    return create_volume(tmp / "file" / "out.npy", (4, 4), "u1", "yx")


def _exists(fixtures: Path, tmp: Path) -> object:
    (tmp / "out.npy").touch()
    return create_volume(tmp / "out.npy", (4, 4), "u1", "yx")


def _busy(fixtures: Path, tmp: Path) -> object:
    with Owner(tmp), Owner(tmp):
        pass


def _resumed(fixtures: Path, tmp: Path) -> object:
    """An unfinished output of another shape."""
    for rows in (4, 5):
        create_volume(tmp / "out.npy", (rows, 4), "u1", "yx", resume=True).suspend()
    return None


def _workers(fixtures: Path, tmp: Path) -> object:
    return _classify(fixtures, tmp, processes=Backend("dask", "nowhere"))


CASES: dict[type[errors.EccError], Provoke] = {
    errors.MissingFileError: lambda fixtures, tmp: open_volume(tmp / "absent.h5"),
    errors.FormatError: lambda fixtures, tmp: open_volume(tmp / "image.xyz"),
    errors.AxesError: lambda fixtures, tmp: open_volume(fixtures / "brain.h5", axes="zy"),
    errors.ShapeError: lambda fixtures, tmp: _classify(fixtures, tmp, np.ones((30, 30, 30, 3), np.uint8)),
    errors.ImageTooSmallError: lambda fixtures, tmp: _classify(fixtures, tmp, np.ones((30, 30, 5), np.uint8)),
    errors.ProjectError: lambda fixtures, tmp: _without(fixtures, tmp, "ilastikVersion"),
    errors.WorkflowError: lambda fixtures, tmp: _without(fixtures, tmp, "workflowName", new=b"Carving"),
    errors.NoForestError: lambda fixtures, tmp: _without(
        fixtures, tmp, "PixelClassification/ClassifierForests"
    ).forest(),
    errors.NoLaneError: lambda fixtures, tmp: IlastikProject.open(fixtures / "cells.ilp").lane("nobody"),
    errors.LabelError: lambda fixtures, tmp: _classify(fixtures, tmp, labels=["nobody"]),
    errors.SettingError: lambda fixtures, tmp: parse_memory("much"),
    errors.ImageValueError: lambda fixtures, tmp: _classify(fixtures, tmp, np.full((30, 30, 30), np.nan)),
    errors.OutputExistsError: _exists,
    errors.OutputError: _unwritable,
    errors.OutputBusyError: _busy,
    errors.ResumeError: _resumed,
    errors.WorkerError: _workers,
    errors.MemoryBudgetError: lambda fixtures, tmp: _classify(fixtures, tmp, memory="1MB"),
}


def _all(kind: type[errors.EccError]) -> set[type[errors.EccError]]:
    return {kind}.union(*(_all(child) for child in kind.__subclasses__()))


def test_every_class_has_a_case() -> None:
    own = {kind for kind in _all(errors.EccError) if kind.__module__ == errors.__name__}
    assert own - {errors.EccError} == set(CASES)


def test_classes_of_other_modules_are_kinds_of_these() -> None:
    """A damaged chunk, say, is a FormatError that knows its place: whoever catches the kinds catches them all."""
    for kind in _all(errors.EccError) - {errors.EccError}:
        assert any(issubclass(kind, known) for known in CASES), kind


@pytest.mark.parametrize("kind", CASES, ids=lambda kind: kind.__name__)
def test_what_where_and_what_to_do(tmp_path: Path, fixtures: Path, kind: type[errors.EccError]) -> None:
    with pytest.raises(errors.EccError) as caught:
        CASES[kind](fixtures, tmp_path)
    error = caught.value
    assert type(error) is kind
    assert error.what and error.where and error.do, error
    assert str(error) == f"{error.what}\n  where: {error.where}\n  what to do: {error.do}"
