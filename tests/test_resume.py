"""Runs that are cut off: killed at any step, interrupted, in parts; the bytes at the end are the same."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import h5py
import numpy as np
import pytest

from ecc_rf import PixelClassifier, create_volume, open_volume
from ecc_rf.blocks.checkpoint import ledger_folder
from ecc_rf.blocks.remote import Backend
from ecc_rf.cli import main
from tests.killing import ROOT, run_killed, tree

BLOCK = "16,32,32"  # 27 blocks
OUTPUTS = ("p.ome.zarr", "p.h5")


class Job:
    """``ecc-rf classify`` of the fixture, into folders of their own."""

    def __init__(self, fixtures: Path, folder: Path) -> None:
        self.project, self.image, self.folder = str(fixtures / "cells.ilp"), str(fixtures / "brain.h5"), folder

    def output(self, folder: str, name: str) -> Path:
        return self.folder / folder / name

    def argv(self, output: Path, *more: str, image: str | None = None) -> list[str]:
        common = ["--labels", "1", "--dtype", "uint8", "--block", BLOCK, "-q"]
        return ["classify", self.project, image or self.image, "-o", str(output), *common, *more]

    def start(self, output: Path, *more: str, image: str | None = None) -> subprocess.Popen[str]:
        """In a process of its own; returns when it has finished a block."""
        process = subprocess.Popen(
            [sys.executable, "-c", SLOW, *self.argv(output, *more, image=image)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            text=True,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while not any(f.stat().st_size for f in ledger_folder(output).glob("classify-*.journal")):
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return process


# A block takes a while, so that there is time to see what is under way.
SLOW = """
import sys, time
from ecc_rf.blocks import checkpoint
from ecc_rf.cli import main
from ecc_rf.prediction import Prediction
checkpoint.COMMIT_SECONDS = 0.0
compute = Prediction.compute
def slow(*arguments):
    time.sleep(0.2)
    return compute(*arguments)
Prediction.compute = slow
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def job(fixtures: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    return Job(fixtures, tmp_path_factory.mktemp("resume"))


@pytest.fixture(scope="module")
def whole(job: Job) -> Callable[[str], dict[str, bytes]]:
    """What an output is that was written in one go."""
    trees: dict[str, dict[str, bytes]] = {}

    def of(name: str) -> dict[str, bytes]:
        if name not in trees:
            assert main(job.argv(job.output("whole", name))) == 0
            trees[name] = tree(job.output("whole", name))
        return trees[name]

    return of


@pytest.fixture
def folder(tmp_path: Path, job: Job) -> Job:
    """The same job, into an empty folder."""
    fresh = Job.__new__(Job)
    fresh.project, fresh.image, fresh.folder = job.project, job.image, tmp_path
    return fresh


Whole = Callable[[str], dict[str, bytes]]


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
    process = folder.start(output)
    assert main(folder.argv(output)) == 2
    message = capsys.readouterr().err
    assert f"Another run is at work on this output: process {process.pid}" in message
    assert main(folder.argv(output, "--restart")) == 2
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
def interrupted(job: Job) -> Path:
    """A folder with a run that was killed."""
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


def test_a_full_disk(folder: Job, whole: Whole) -> None:
    """A limit of the size of a file stands for it: what is written beyond it fails, as on a disk without room."""
    output = folder.output("a", "p.npy")  # one large file
    limited = (
        "import resource, signal, sys\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "from ecc_rf.cli import main\nsys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", limited, *folder.argv(output)], capture_output=True, text=True, cwd=ROOT
    )
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


class Killing:
    """Progress that ends a worker when the first block is done."""

    def __init__(self, workers: Callable[[], list[int]]) -> None:
        self._workers = workers
        self.killed = 0

    @contextmanager
    def stage(self, name: str, total: int, done: int = 0) -> Iterator[Callable[[int], None]]:
        def advance(voxels: int) -> None:
            if not self.killed:
                self.killed = self._workers()[0]
                os.kill(self.killed, signal.SIGKILL)

        yield advance

    def message(self, text: str) -> None:
        pass


def children(name: str) -> list[int]:
    """Processes that this one has started, by a word of their command."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            ours = int(stat.read_text().rpartition(")")[2].split()[1]) == os.getpid()
            if ours and name in (stat.parent / "cmdline").read_text():
                found.append(int(stat.parent.name))
    return found


def compute_remotely(folder: Job, backend: Backend, progress: Killing) -> Path:
    output = folder.output("a", "p.ome.zarr")
    PixelClassifier.from_project(folder.project).predict_volume(
        folder.image,
        output,
        labels=[1],
        dtype="uint8",
        block_shape=(16, 32, 32),
        workers=2,
        processes=backend,
        progress=progress,
    )
    assert progress.killed
    return output


@pytest.mark.skipif(not Path("/proc").exists(), reason="finds the workers by /proc")
def test_a_process_dies(folder: Job, whole: Whole) -> None:
    killing = Killing(lambda: children("LokyProcess"))
    assert tree(compute_remotely(folder, Backend("processes"), killing)) == whole("p.ome.zarr")


def test_a_dask_worker_dies(folder: Job, whole: Whole) -> None:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        killing = Killing(lambda: [worker.pid for worker in cluster.workers.values()])
        backend = Backend("dask", cluster.scheduler_address)
        assert tree(compute_remotely(folder, backend, killing)) == whole("p.ome.zarr")


def test_dask_on_the_command_line(folder: Job, whole: Whole) -> None:
    output = folder.output("a", "p.ome.zarr")
    assert main(folder.argv(output, "--dask", "local", "--workers", "2")) == 0
    assert tree(output) == whole("p.ome.zarr")


def test_a_scheduler_that_is_not_there(folder: Job, capsys: pytest.CaptureFixture[str]) -> None:
    output = folder.output("a", "p.ome.zarr")
    assert main(folder.argv(output, "--dask", "nonsense://1")) == 2
    assert "scheduler" in capsys.readouterr().err


@pytest.mark.parametrize("blocks", ["16,32,32", "32,32,32"])
def test_shards_have_one_writer(folder: Job, monkeypatch: pytest.MonkeyPatch, blocks: str, tmp_path: Path) -> None:
    """Where several blocks share a file, threads take turns and parts get whole files."""
    monkeypatch.setattr(
        "ecc_rf.order.shard_shape", lambda axes, shape, chunks: (chunks[0] * 2, *[c * 2 for c in chunks[1:3]], 1)
    )
    one, three = tmp_path / "one/p.ome.zarr", tmp_path / "three/p.ome.zarr"
    plain = tmp_path / "plain.h5"
    for output in (one, plain):
        assert main([*folder.argv(output), "--block", blocks, "--workers", "3"]) == 0
    for part in ("3/3", "1/3", "2/3"):
        assert main([*folder.argv(three), "--block", blocks, "--part", part]) == 0
    assert tree(three) == tree(one)
    with open_volume(one) as sharded, open_volume(plain) as whole:
        assert np.array_equal(sharded.read(), whole.read())
    for refused in (["--processes"], ["--part", "1/99"]):
        assert main([*folder.argv(tmp_path / "p.ome.zarr"), "--block", blocks, *refused]) == 2
    assert not list(tmp_path.glob("p.*"))
