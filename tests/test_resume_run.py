"""The main job cut off: killed at any step, interrupted, in parts, over several images; the same results at the end."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from pathlib import Path

import h5py
import pytest

from ecc_rf import create_volume, open_volume
from ecc_rf.blocks.checkpoint import ledger_folder
from ecc_rf.blocks.remote import Backend
from ecc_rf.cli import main
from ecc_rf.pipeline import RunSettings, run
from tests.dying import Killing
from tests.jobs import Job, hold, limited, start_slowly
from tests.killing import run_killed, tree

RESULTS = ["cells.csv", "objects.ome.zarr", "probability.ome.zarr", "run.json"]
POINTS = 230  # steps between the start and the end, about


@pytest.fixture(scope="module")
def image(fixtures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corner of the fixture, so that a run takes a second."""
    path = tmp_path_factory.mktemp("image") / "corner.h5"
    with (
        open_volume(fixtures / "brain.h5") as whole,
        create_volume(path, (28, 64, 64), whole.dtype, "zyx", voxel_size=whole.voxel_size) as corner,
    ):
        corner[()] = whole[4:32, 16:80, 16:80]
    return path


@pytest.fixture(scope="module")
def job(fixtures: Path, image: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    command = ("run", str(fixtures / "cells.ilp"), str(image), "--objects", "--no-report")
    return Job(command, tmp_path_factory.mktemp("run"), "classify")


@pytest.fixture(scope="module")
def whole(job: Job) -> Path:
    """Results made in one go."""
    output = job.folder / "whole"
    assert main(job.argv(output)) == 0
    assert names(output) == RESULTS
    return output


@pytest.fixture(scope="module")
def interrupted(job: Job) -> Path:
    """A run that was killed while it classified."""
    output = job.folder / "killed"
    process = start(job, output)
    process.kill()
    process.communicate()
    return output


def start(job: Job, output: Path, *more: str) -> subprocess.Popen[str]:
    return job.start(output, *more, ledger=ledger_folder(output / "probability.ome.zarr"))


@pytest.fixture
def left(interrupted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(interrupted, tmp_path / "left"))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def same(output: Path, whole: Path) -> bool:
    """Whether the results are those of one go; the record, which holds times, tells as many cells."""
    one, other = (json.loads((folder / "run.json").read_text()) for folder in (output, whole))
    return one["cells"] == other["cells"] and all(
        tree(output / name) == tree(whole / name) for name in RESULTS if name != "run.json"
    )


def test_killed_at_any_step(job: Job, whole: Path, tmp_path: Path) -> None:
    output = tmp_path / "a"
    kills = [("point", point) for point in (3, 61, 40, 75, 33)]
    report = run_killed(job.argv(output), output / "run.json", kills)
    assert report["statuses"].count(-9) >= 3
    assert same(output, whole)
    assert main(job.argv(output)) == 2
    assert names(output) == RESULTS


def test_ctrl_c_keeps_what_is_done(job: Job, whole: Path, tmp_path: Path) -> None:
    output = tmp_path / "a"
    process = start(job, output)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130 and "run the same command again to go on" in errors
    assert "run.json.ledger" in names(output) and "run.json" not in names(output)
    assert main(job.argv(output)) == 0
    assert same(output, whole)


def test_a_finished_result_is_refused_and_can_be_taken_over(
    job: Job, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(job.argv(whole)) == 2
    message = capsys.readouterr().err
    assert "--overwrite" in message and "of another run" not in message
    assert main([*job.argv(whole), "--threshold", "0.6"]) == 2
    assert "They are of another run: cells.threshold was 0.7 and is 0.6" in capsys.readouterr().err
    settings = RunSettings(objects=True, report=False, skip_finished=True)
    (result,) = run(job.command[1], job.command[2], whole, settings=settings)
    assert result.skipped and len(result.cells) == result.record["cells"] > 5


def test_other_settings_are_refused(job: Job, left: Path, whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for change in (["--overwrite"], []):
        assert main([*job.argv(left), "--threshold", "0.6", *change]) == 2
        assert "cells.threshold was 0.7 and is 0.6" in capsys.readouterr().err
    assert main(job.argv(left)) == 0
    assert same(left, whole)


def test_restart_removes_what_is_left(job: Job, left: Path) -> None:
    assert main([*job.argv(left), "--threshold", "0.6", "--restart"]) == 0
    assert names(left) == RESULTS
    assert json.loads((left / "run.json").read_text())["settings"]["cells"]["threshold"] == 0.6


def test_a_changed_image_is_found_out(job: Job, image: Path, left: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed = Path(shutil.copy2(image, left.parent / "changed.h5"))
    with h5py.File(changed, "r+") as file:
        file["data"][20, 50, 50] += 1
    argv = ["run", job.command[1], str(changed), *job.argv(left)[3:]]
    assert main(argv) == 2
    assert "image.sample was" in capsys.readouterr().err and "cells.csv" not in names(left)


def test_nothing_old_lies_beside_new_results(job: Job, whole: Path, tmp_path: Path) -> None:
    output = Path(shutil.copytree(whole, tmp_path / "a"))
    (output / "report.html").write_text("old")
    (output / "notes.txt").write_text("mine")
    argv = [*job.argv(output, "--no-probability", "--overwrite")]
    argv.remove("--objects")
    process = start_slowly(argv, ledger_folder(output / "mask.ome.zarr"), "classify")
    assert names(output) == ["mask.ome.zarr.ledger", "mask.ome.zarr.unfinished", "notes.txt", "run.json.ledger"]
    process.kill()
    process.communicate()
    assert main(argv) == 0
    assert names(output) == ["cells.csv", "mask.ome.zarr", "notes.txt", "run.json"]


def test_of_several_images_those_that_are_finished_are_skipped(
    job: Job, image: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    second = Path(shutil.copy2(image, tmp_path / "second.h5"))
    output = tmp_path / "out"
    argv = ["run", job.command[1], str(image), str(second), *job.argv(output)[3:]]
    process = start_slowly(argv, ledger_folder(output / "second/probability.ome.zarr"), "classify")
    process.kill()
    process.communicate()
    before = (output / "corner/run.json").stat().st_mtime_ns
    assert main(argv) == 0
    assert "finished before" in capsys.readouterr().out
    assert (output / "corner/run.json").stat().st_mtime_ns == before
    assert same(output / "corner", whole) and same(output / "second", whole)
    assert main(argv) == 2
    shutil.rmtree(output / "second")
    assert main(argv) == 0
    assert (output / "corner/run.json").stat().st_mtime_ns == before


def test_parts_and_finish(job: Job, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "a"
    process = hold(start(job, output, "--part", "2/3"))
    assert main(job.argv(output, "--part", "1/3")) == 0
    assert "left to other parts" in capsys.readouterr().out
    assert main(job.argv(output)) == 2
    assert "part 2 of 3" in capsys.readouterr().err
    process.kill()
    process.communicate()
    assert main(["finish", str(output)]) == 2
    assert "parts 2, 3 of 3" in capsys.readouterr().err
    # The classification of the other two, without what the last part does after it.
    probability = ["classify", *job.command[1:3], "-o", str(output / "probability.ome.zarr"), *job.argv(output)[-3:]]
    for part in ("2/3", "3/3"):
        assert main([*probability, "--labels", "1", "--dtype", "uint8", "--part", part]) == 0
    assert (output / "probability.ome.zarr").exists()


def test_the_last_part_does_the_rest(job: Job, whole: Path, tmp_path: Path) -> None:
    output = tmp_path / "a"
    for part in ("3/3", "1/3", "2/3"):
        assert main(job.argv(output, "--part", part)) == 0
    assert same(output, whole) and names(output) == RESULTS


def test_finish_does_the_last_steps(job: Job, whole: Path, left: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ecc_rf.cells.search.Search.table", interrupt)
    assert main(job.argv(left)) == 130
    assert "probability.ome.zarr" in names(left) and "cells.csv" not in names(left)
    monkeypatch.undo()
    assert main(["finish", str(left), "-q"]) == 0
    assert same(left, whole) and names(left) == RESULTS
    assert main(["finish", str(left), "-q"]) == 0


def test_two_runs_on_one_output(job: Job, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "a"
    process = hold(start(job, output))  # or it might come to its end before the others have tried
    for more in ([], ["--restart"], ["--overwrite"]):
        assert main(job.argv(output, *more)) == 2
        assert "at work on this output" in capsys.readouterr().err
    process.send_signal(signal.SIGCONT)
    process.communicate(timeout=120)
    assert process.returncode == 0 and same(output, whole)


def test_results_that_were_removed_are_missed(job: Job, left: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ecc_rf.cells.search.Search.table", interrupt)
    assert main(job.argv(left)) == 130
    monkeypatch.undo()
    shutil.rmtree(left / "probability.ome.zarr")
    assert main(job.argv(left)) == 2
    assert "probability.ome.zarr is gone" in capsys.readouterr().err and "cells.csv" not in names(left)


def test_a_full_disk(job: Job, whole: Path, tmp_path: Path) -> None:
    output = tmp_path / "a"
    done = limited(job.argv(output), 3000)
    assert done.returncode == 2 and "cannot be written" in done.stderr and "Traceback" not in done.stderr
    left = names(output) if output.is_dir() else []
    assert "cells.csv" not in left and "run.json" not in left
    assert main(job.argv(output)) == 0
    assert same(output, whole)


def test_a_dask_worker_dies(job: Job, whole: Path, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        killing = Killing(lambda: [worker.pid for worker in cluster.workers.values()])
        settings = RunSettings(
            objects=True,
            report=False,
            block_shape=(16, 32, 32),
            processes=Backend("dask", cluster.scheduler_address),
        )
        run(job.command[1], job.command[2], tmp_path / "a", settings=settings, progress=killing)
    assert killing.killed
    assert same(tmp_path / "a", whole)
