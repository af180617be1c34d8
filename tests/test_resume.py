"""Runs that are cut off: killed at any step, interrupted, in parts; the bytes at the end are the same."""

from __future__ import annotations

import os
import random
import shutil
import signal
from pathlib import Path

import h5py
import pytest

from ecc_rf.blocks.checkpoint import ledger_folder
from ecc_rf.cli import main
from tests.classifying import Job, Whole, written_at_once
from tests.jobs import hold
from tests.killing import run_killed, tree

OUTPUTS = ("p.ome.zarr", "p.h5")


@pytest.fixture(scope="module")
def whole(fixtures: Path, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return written_at_once(Job(fixtures, tmp_path_factory.mktemp("resume")))


@pytest.fixture
def folder(fixtures: Path, tmp_path: Path) -> Job:
    """The job, into an empty folder."""
    return Job(fixtures, tmp_path)


@pytest.mark.parametrize("name", OUTPUTS)
def test_killed_at_any_step(folder: Job, whole: Whole, name: str) -> None:
    output = folder.output("a", name)
    random_ = random.Random(name)
    # About 250 steps lie between the start and the end; a run that goes on has fewer.
    kills = [("point", random_.randrange(250 - 30 * i)) for i in range(5)]
    report = run_killed(folder.argv(output), output, [*kills, ("seconds", 0.4)])
    assert report["statuses"].count(-9) >= 2
    assert tree(output) == whole(name)
    assert [path.name for path in output.parent.iterdir()] == [name]


def test_ctrl_c_keeps_what_is_done(folder: Job, whole: Whole, capsys: pytest.CaptureFixture[str]) -> None:
    output = folder.output("a", "p.ome.zarr")
    process = folder.start(output)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "blocks of" in errors and "run the same command again to go on" in errors and "Traceback" not in errors
    assert sorted(path.name for path in output.parent.iterdir()) == ["p.ome.zarr.ledger", "p.ome.zarr.unfinished"]
    assert main(folder.argv(output)) == 0
    computed = int(capsys.readouterr().out.split("\n  ")[1].split(" voxels")[0].replace(",", ""))
    assert 0 < computed < 40 * 96 * 96
    assert tree(output) == whole("p.ome.zarr")


def test_parts_in_any_order_one_killed(folder: Job, whole: Whole, capsys: pytest.CaptureFixture[str]) -> None:
    output = folder.output("a", "p.ome.zarr")
    first = folder.start(output, "--part", "2/3")
    second = folder.start(output, "--part", "3/3")
    first.send_signal(signal.SIGKILL)
    first.communicate()
    _, errors = second.communicate(timeout=60)
    assert second.returncode == 0, errors
    assert main(folder.argv(output, "--part", "1/3")) == 0
    assert "blocks are left to other parts" in capsys.readouterr().out
    assert not output.exists()
    assert main(folder.argv(output, "--part", "2/3")) == 0
    assert tree(output) == whole("p.ome.zarr")
    assert [path.name for path in output.parent.iterdir()] == ["p.ome.zarr"]


def test_two_runs_on_one_output(folder: Job, whole: Whole, capsys: pytest.CaptureFixture[str]) -> None:
    output = folder.output("a", "p.ome.zarr")
    process = hold(folder.start(output))  # or it might come to its end before the others have tried
    assert main(folder.argv(output)) == 2
    message = capsys.readouterr().err
    assert f"Another run is at work on this output: process {process.pid}" in message
    assert main(folder.argv(output, "--restart")) == 2
    process.send_signal(signal.SIGCONT)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert tree(output) == whole("p.ome.zarr")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (["--dtype", "uint16"], 'export.dtype was "uint8" and is "uint16"'),
        (["--labels", "2"], "export.labels was [1] and is [2]"),
        (["--roi", "z=0:20"], "region was"),
        (["--block", "20,48,48"], "has blocks of 16,32,32, not of 20,48,48"),
    ],
)
def test_other_settings_are_refused(
    folder: Job, capsys: pytest.CaptureFixture[str], change: list[str], reason: str, interrupted: Path
) -> None:
    output = shutil.copytree(interrupted, folder.folder / "a") / "p.ome.zarr"
    assert main([*folder.argv(output), *change]) == 2
    message = capsys.readouterr().err
    assert reason in message and "--restart" in message
    assert main([*folder.argv(output), *change, "--restart"]) == 0
    assert output.exists()


@pytest.fixture(scope="module")
def interrupted(fixtures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that was killed."""
    job = Job(fixtures, tmp_path_factory.mktemp("interrupted"))
    output = job.output("killed", "p.ome.zarr")
    process = job.start(output)
    process.kill()
    process.communicate()
    return output.parent


def copy_of(interrupted: Path, folder: Job) -> Path:
    return Path(shutil.copytree(interrupted, folder.folder / "a")) / "p.ome.zarr"


def test_a_moved_run_goes_on(folder: Job, whole: Whole, interrupted: Path) -> None:
    output = copy_of(interrupted, folder)
    assert main(folder.argv(output)) == 0
    assert tree(output) == whole("p.ome.zarr")


@pytest.mark.parametrize("keep_time", [False, True])
def test_a_changed_image_is_found_out(
    folder: Job, capsys: pytest.CaptureFixture[str], interrupted: Path, keep_time: bool
) -> None:
    output = copy_of(interrupted, folder)
    image = folder.folder / "brain.h5"
    shutil.copy2(folder.image, image)
    with h5py.File(image, "r+") as file:
        file["data"][20, 50, 50] += 1
    if keep_time:
        stat = Path(folder.image).stat()
        os.utime(image, (stat.st_atime, stat.st_mtime))
    assert main(folder.argv(output, image=str(image))) == 2
    message = capsys.readouterr().err
    assert "image.sample was" in message
    assert ("image.modified was" in message) != keep_time


def test_an_image_that_was_moved_is_the_same(folder: Job, whole: Whole, interrupted: Path) -> None:
    output = copy_of(interrupted, folder)
    image = folder.folder / "elsewhere.h5"
    shutil.copy2(folder.image, image)
    assert main(folder.argv(output, image=str(image))) == 0
    assert tree(output) == whole("p.ome.zarr")


def test_a_damaged_ledger_costs_its_blocks(folder: Job, whole: Whole, interrupted: Path) -> None:
    output = copy_of(interrupted, folder)
    for journal in ledger_folder(output).glob("*.journal"):
        content = bytearray(journal.read_bytes())
        content[len(content) // 2] ^= 255
        journal.write_bytes(content)
    assert main(folder.argv(output)) == 0
    assert tree(output) == whole("p.ome.zarr")


def test_a_damaged_job_is_an_error(folder: Job, whole: Whole, interrupted: Path, capsys) -> None:
    output = copy_of(interrupted, folder)
    (ledger_folder(output) / "job.json").write_text("{}")
    assert main(folder.argv(output)) == 2
    assert "--restart" in capsys.readouterr().err
    assert main(folder.argv(output, "--restart")) == 0
    assert tree(output) == whole("p.ome.zarr")


def test_an_output_that_was_removed_is_an_error(folder: Job, interrupted: Path, capsys) -> None:
    output = copy_of(interrupted, folder)
    shutil.rmtree(output.with_name("p.ome.zarr.unfinished"))
    assert main(folder.argv(output)) == 2
    assert "is gone" in capsys.readouterr().err
    assert not output.exists()


def test_without_a_ledger_nothing_is_believed(folder: Job, whole: Whole, interrupted: Path) -> None:
    output = copy_of(interrupted, folder)
    shutil.rmtree(ledger_folder(output))
    for chunk in output.with_name("p.ome.zarr.unfinished").glob("0/c/**/0"):
        if chunk.is_file():
            chunk.write_bytes(b"junk")
    assert main(folder.argv(output)) == 0
    assert tree(output) == whole("p.ome.zarr")


@pytest.mark.parametrize("what", ["output", "ledger", "both"])
def test_removed_under_way(folder: Job, what: str) -> None:
    output = folder.output("a", "p.ome.zarr")
    process = folder.start(output)
    unfinished = output.with_name("p.ome.zarr.unfinished")
    for path in {"output": [unfinished], "ledger": [ledger_folder(output)], "both": [output.parent]}[what]:
        path.rename(folder.folder / f"removed-{path.name}")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2 and "removed or renamed while" in errors, errors
    assert not output.exists()
