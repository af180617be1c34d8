"""Values of a project file in all the ways they are stored, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from ecc_rf.cli import main
from ecc_rf.errors import FormatError, MissingFileError
from ecc_rf.ilp import encoding


@pytest.fixture
def file(tmp_path: Path) -> Iterator[h5py.File]:
    with h5py.File(tmp_path / "values.ilp", "w") as opened:
        yield opened


@pytest.mark.parametrize(
    "value",
    [
        "σ=0.3",
        "σ=0.3".encode(),
        np.bytes_("σ=0.3".encode()),
        np.void("σ=0.3".encode()),
        np.array(["σ=0.3".encode()]),
        np.bytes_("σ=0.3".encode() + b"\0\0"),
    ],
)
def test_one_string_in_many_encodings(file: h5py.File, value: object) -> None:
    file["text"] = value
    assert encoding.read_text(file, "text") == "σ=0.3"


def test_a_string_of_python_2_on_windows(file: h5py.File) -> None:
    file["text"] = "C:/Bücher".encode("latin-1")
    assert encoding.read_text(file, "text") == "C:/Bücher"


def test_lists_of_strings(file: h5py.File) -> None:
    names = ["a", "b σ"]
    file["fixed"] = np.array([name.encode() for name in names])
    file.create_dataset("variable", data=names, dtype=h5py.string_dtype())
    assert encoding.read_texts(file, "fixed") == encoding.read_texts(file, "variable") == names
    assert encoding.read_texts(file, "absent") is None


def test_a_list_marked_as_empty_is_not_looked_at(file: h5py.File) -> None:
    file["slot"] = np.array([6.93948331e-310])
    file["slot"].attrs["isEmpty"] = True
    assert encoding.read_texts(file, "slot") is None
    assert encoding.read_array(file, "slot") is None
    file["slot"].attrs["isEmpty"] = False
    with pytest.raises(FormatError, match="expected a string"):
        encoding.read_texts(file, "slot")


def test_strings_that_are_written_can_be_read(file: h5py.File) -> None:
    encoding.write_text(file, "text", "σ")
    encoding.write_texts(file, "texts", ["", "σ"])
    assert encoding.read_text(file, "text") == "σ"
    assert encoding.read_texts(file, "texts") == ["", "σ"]
    assert h5py.check_string_dtype(file["text"].dtype).length is None


def test_numbers_of_another_kind_are_refused(file: h5py.File) -> None:
    file["number"] = 3.5
    file["cube"] = np.zeros((2, 2, 2))
    with pytest.raises(FormatError, match="expected a string"):
        encoding.read_text(file, "number")
    with pytest.raises(FormatError, match="unexpected float64"):
        encoding.read_array(file, "number", kinds="iu")
    with pytest.raises(FormatError, match="unexpected float64"):
        encoding.read_array(file, "cube", max_ndim=2)
    with pytest.raises(FormatError, match="is no group"):
        encoding.group_in(file, "number")
    file.create_group("group")
    with pytest.raises(FormatError, match="is no dataset"):
        encoding.dataset_in(file, "group")


def test_links_are_not_followed(file: h5py.File, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as other:
        other["data"] = b"secret"
    file["data"] = b"here"
    file["soft"] = h5py.SoftLink("/data")
    file["external"] = h5py.ExternalLink("secret.h5", "/data")
    file["nowhere"] = h5py.SoftLink("/nowhere")
    for name in ("soft", "external", "nowhere"):
        with pytest.raises(FormatError, match="is a link"):
            encoding.read_text(file, name)
    file["folder"] = h5py.ExternalLink("secret.h5", "/")
    with pytest.raises(FormatError, match="no name of a member"):
        encoding.read_text(file, "folder/data")


def test_storage_in_other_files_is_not_followed(file: h5py.File, tmp_path: Path) -> None:
    (tmp_path / "secret.raw").write_bytes(b"12345678")
    file.create_dataset("external", (8,), "u1", external=[(str(tmp_path / "secret.raw"), 0, 8)])
    layout = h5py.VirtualLayout((4,), "u1")
    layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "data", shape=(4,))
    file.create_virtual_dataset("virtual", layout)
    for name in ("external", "virtual"):
        with pytest.raises(FormatError, match="stored in other datasets or files"):
            encoding.read_array(file, name)


def test_a_dataset_that_claims_more_than_is_stored(file: h5py.File) -> None:
    file.create_dataset("contiguous", (1 << 40,), "i4")
    file.create_dataset("chunked", (1 << 40,), "i4", chunks=(1 << 10,), compression="gzip")
    file["chunked"][:1024] = 1
    for name in ("contiguous", "chunked"):
        with pytest.raises(FormatError, match="claims"):
            encoding.read_array(file, name)
    file.create_dataset("compressed", data=np.zeros(1 << 22, np.uint8), compression="gzip")
    array = encoding.read_array(file, "compressed", most=1 << 22)
    assert array is not None and array.size == 1 << 22


def test_files_that_are_no_projects(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no such project"):
        encoding.open_project_file(tmp_path / "absent.ilp")
    (tmp_path / "text.ilp").write_text("hello")
    with pytest.raises(FormatError, match="no HDF5 file"):
        encoding.open_project_file(tmp_path / "text.ilp")
    (tmp_path / "folder.ilp").mkdir()
    with pytest.raises(FormatError):
        encoding.open_project_file(tmp_path / "folder.ilp")


@pytest.mark.skipif(
    os.environ.get("HDF5_USE_FILE_LOCKING", "").upper() in ("FALSE", "0"), reason="HDF5's file locks are switched off"
)
def test_a_project_that_another_program_writes_to(file: h5py.File) -> None:
    file.flush()
    script = (
        "import sys; from pathlib import Path; from ecc_rf.ilp.encoding import open_project_file\n"
        "from ecc_rf.errors import ProjectError\n"
        "try: open_project_file(Path(sys.argv[1]))\n"
        "except ProjectError as error: print(error.what)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, file.filename], capture_output=True, text=True, check=True, timeout=60
    )
    assert "open for writing in another program" in done.stdout


def test_names_of_members_that_are_no_text(fixtures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As a bit that fell over leaves them; h5py has bytes for such a name."""
    path = tmp_path / "p.ilp"
    path.write_bytes((fixtures / "cells.ilp").read_bytes().replace(b"labels000\0", b"labels\xff00\0"))
    with h5py.File(path, "r") as file, pytest.raises(FormatError, match="name is no text"):
        encoding.names_in(file["PixelClassification/LabelSets"])
    assert main(["info", str(path)]) in (0, 2)
    assert main(["train", str(path), "-o", str(tmp_path / "new.ilp"), "--trees", "1", "-q"]) == 2
    assert "name is no text" in capsys.readouterr().err
