"""A disk that is full, an image that is damaged: said, and nothing wrong under a final name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ecc_rf import PixelClassifier, create_volume, open_volume
from ecc_rf.cli import main
from tests.classifying import Job, Whole, written_at_once
from tests.jobs import limited
from tests.killing import tree


@pytest.fixture(scope="module")
def whole(fixtures: Path, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return written_at_once(Job(fixtures, tmp_path_factory.mktemp("resume")))


@pytest.fixture
def folder(fixtures: Path, tmp_path: Path) -> Job:
    """The job, into an empty folder."""
    return Job(fixtures, tmp_path)


def test_a_full_disk(folder: Job, whole: Whole) -> None:
    """A limit of the size of a file stands for it: what is written beyond it fails, as on a disk without room."""
    output = folder.output("a", "p.npy")  # one large file
    done = limited(folder.argv(output), 100_000)
    assert done.returncode == 2 and "cannot be written" in done.stderr and "Traceback" not in done.stderr
    assert not output.exists()
    assert main(folder.argv(output)) == 0
    assert tree(output) == whole("p.npy")


@pytest.fixture
def damaged(folder: Job, fixtures: Path) -> Path:
    """The image as OME-Zarr with a chunk that cannot be read."""
    image = folder.folder / "brain.ome.zarr"
    with (
        open_volume(fixtures / "brain.h5") as whole,
        create_volume(image, whole.shape, whole.dtype, whole.axes, chunks=(20, 48, 48)) as copy,
    ):
        copy[()] = whole.read()
    (image / "0/c/1/0/1").write_bytes(b"\x00 no chunk")
    return image


def test_a_chunk_that_cannot_be_read_is_named(folder: Job, damaged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = folder.output("a", "p.ome.zarr")
    assert main(folder.argv(output, image=str(damaged))) == 2
    message = capsys.readouterr().err
    assert "z=20:40, y=0:48, x=48:96" in message and "--skip-unreadable" in message
    assert not output.exists()


def test_a_chunk_that_cannot_be_read_is_skipped(
    folder: Job, damaged: Path, fixtures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = folder.output("a", "p.ome.zarr")
    assert main(folder.argv(output, image=str(damaged))) == 2  # as far as it goes
    capsys.readouterr()
    assert main(folder.argv(output, "--skip-unreadable", image=str(damaged))) == 0
    assert "could not be read and was taken for 0: z=20:40, y=0:48, x=48:96" in capsys.readouterr().err
    with open_volume(fixtures / "brain.h5") as whole:
        image = whole.read()
    image[20:40, 0:48, 48:96] = 0
    expected = PixelClassifier.from_project(folder.project).predict(image, "zyx")[..., 0]
    with open_volume(output) as found:
        assert np.array_equal(found.read()[..., 0], np.rint(expected * 255))
