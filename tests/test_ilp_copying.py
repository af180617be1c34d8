"""What a changed project takes over from a stranger's is looked at before HDF5 copies it."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from ecc_rf.errors import FormatError
from ecc_rf.ilp import ProjectChanges, edit_project
from ecc_rf.ilp import copying as copying_module
from ecc_rf.ilp.limits import LARGEST_ATTRIBUTE


@pytest.fixture
def project(tmp_path: Path, fixtures: Path) -> Path:
    path = tmp_path / "p.ilp"
    path.write_bytes((fixtures / "cells.ilp").read_bytes())
    return path


def grown(path: Path, needle: bytes) -> None:
    """The length of a string in the heap, and in what points to it, becomes a gigabyte."""
    data = bytearray(path.read_bytes())
    at = data.index(needle)
    data[at - 8 : at] = (1 << 30).to_bytes(8, "little")
    path.write_bytes(data)


@pytest.mark.parametrize("place", ["/", "Input Data", "PixelClassification", "ilastikVersion"])
def test_damaged_strings_in_attributes(project: Path, place: str) -> None:
    with h5py.File(project, "r+") as file:
        file[place].attrs["note"] = "needle in the heap"
    grown(project, b"needle in the heap")
    with pytest.raises(FormatError, match="damaged") as caught:
        edit_project(project, project.with_name("new.ilp"), changes=ProjectChanges())
    assert "note" in caught.value.where
    assert not project.with_name("new.ilp").exists()


def test_damaged_strings_in_what_nobody_knows(project: Path) -> None:
    with h5py.File(project, "r+") as file:
        file["Other/notes"] = np.array([b"needle in the heap"], object)
    grown(project, b"needle in the heap")
    with pytest.raises(FormatError, match="damaged"):
        edit_project(project, project.with_name("new.ilp"), changes=ProjectChanges())


def test_types_that_lead_to_the_heap(project: Path) -> None:
    with h5py.File(project, "r+") as file:
        file.create_dataset("x", (3,), h5py.vlen_dtype("i4"))
    with pytest.raises(FormatError, match="is of a type that is not copied"):
        edit_project(project, project.with_name("new.ilp"), changes=ProjectChanges())


def test_named_types(project: Path) -> None:
    """HDF5 crashes when it copies one of strings, which a bit that fell over makes of a dataset."""
    with h5py.File(project, "r+") as file:
        file["type"] = h5py.string_dtype()
    with pytest.raises(FormatError, match="named type"):
        edit_project(project, project.with_name("new.ilp"), changes=ProjectChanges())


def test_large_attributes(project: Path) -> None:
    with h5py.File(project, "r+", libver="latest") as file:
        file.create_group("x", track_order=True).attrs["y"] = np.zeros(LARGEST_ATTRIBUTE + 8, np.uint8)
    with pytest.raises(FormatError, match="claims 1,048,584 bytes; expected at most 1,048,576"):
        edit_project(project, project.with_name("new.ilp"), changes=ProjectChanges())


def test_too_many_objects(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying_module, "MOST_OBJECTS", 10)
    with pytest.raises(FormatError, match="more than 10 groups and datasets"):
        edit_project(project, project.with_name("new.ilp"), changes=ProjectChanges())


def test_groups_that_hold_themselves_and_links_are_copied(project: Path) -> None:
    with h5py.File(project, "r+") as file:
        file["Other/self"] = file.create_group("Other") if "Other" not in file else file["Other"]
        file["Other/out"] = h5py.ExternalLink("/etc/passwd", "/x")
        file["Other"].attrs["text"] = "σ = 0.3"
        file["Other"].attrs["texts"] = ["a", "b"]
    edit_project(project, project.with_name("new.ilp"), changes=ProjectChanges())
    with h5py.File(project.with_name("new.ilp"), "r") as file:
        assert file["Other/self/self"] == file["Other"]
        assert isinstance(file["Other"].get("out", getlink=True), h5py.ExternalLink)
        assert file["Other"].attrs["text"] == "σ = 0.3" and list(file["Other"].attrs["texts"]) == ["a", "b"]
