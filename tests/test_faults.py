"""What may go wrong under way of `convert` and `classify`: a clear error or the right result, never a wrong volume."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ecc_rf.blocks import Block, checkpoint
from ecc_rf.blocks.checkpoint import ledger_folder
from ecc_rf.cli import main
from ecc_rf.conversion import running as conversion_run
from ecc_rf.conversion.running import CHECK, OpenConversion
from ecc_rf.prediction import Prediction
from ecc_rf.volumes import Level, Volume, create_volume, open_volume
from ecc_rf.volumes.ome_zarr_writing import ZarrTarget
from tests.kill_cases import CASES, make_inputs
from tests.killing import ROOT, tree

OUTPUTS = ("c.ome.zarr", "c.h5", "c.tif", "c.nii.gz", "c.npy")
LIMIT = 20_000
"""Bytes of the largest file, where one stands for a full disk."""


@dataclass(frozen=True)
class Job:
    """A command with the folder of its inputs."""

    inputs: Path
    command: str

    def argv(self, output: Path, *more: str) -> list[str]:
        if self.command == "classify":
            return [*CASES["classify"].argv(self.inputs, output), *more]
        pyramid = ["--pyramid"] if output.name.endswith(".zarr") else []
        return [*CASES["convert to HDF5"].argv(self.inputs, output), *pyramid, *more]

    @property
    def image(self) -> Path:
        return self.inputs / ("brain.h5" if self.command == "classify" else "large.npy")

    @property
    def output(self) -> str:
        return "p.ome.zarr" if self.command == "classify" else "c.ome.zarr"

    def elsewhere(self, folder: Path) -> Job:
        """The same with inputs of its own, which may be changed."""
        shutil.copytree(self.inputs, folder / "inputs", copy_function=shutil.copy2)
        return Job(folder / "inputs", self.command)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(params=["convert", "classify"])
def job(inputs: Path, request: pytest.FixtureRequest) -> Job:
    return Job(inputs, request.param)


@pytest.fixture(scope="module")
def whole(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, bytes]]:
    """What an output is that was written in one go."""
    folder = tmp_path_factory.mktemp("whole")

    def of(name: str) -> dict[str, bytes]:
        if not (folder / name).exists():
            job = Job(inputs, "classify" if name.startswith("p") else "convert")
            assert main(job.argv(folder / name)) == 0
        return tree(folder / name)

    return of


Whole = Callable[[str], dict[str, bytes]]


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run a command that is interrupted at its fifth block; returns its status."""

    def run(argv: list[str], blocks: int = 5) -> int:
        count = [0]

        def counted(*arguments: object) -> None:
            count[0] += 1
            if count[0] > blocks:
                time.sleep(0.5)  # those before are noted, on a fast machine too
                raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(checkpoint, "COMMIT_SECONDS", 0.0)
            for kind, name in ((OpenConversion, "convert"), (Prediction, "compute")):
                original = getattr(kind, name)
                patched.setattr(kind, name, lambda *a, original=original: (counted(), original(*a))[1])
            return main(argv)

    return run


@pytest.mark.parametrize("name", OUTPUTS)
def test_ctrl_c(inputs: Path, tmp_path: Path, cut: Callable[..., int], whole: Whole, name: str, capsys) -> None:
    job, output = Job(inputs, "convert"), tmp_path / name
    assert cut(job.argv(output)) == 130
    message = capsys.readouterr().err
    assert "pieces of" in message and "run the same command again to go on" in message and "Traceback" not in message
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{name}.ledger", f"{name}.unfinished"]
    argv = [option for option in job.argv(output) if option != "-q"]
    assert main(argv) == 0
    converted = re.search(r"\n  ([\d,]+) voxels in", capsys.readouterr().out)
    assert converted is not None and 0 < int(converted[1].replace(",", "")) < 160 * 192 * 192
    assert tree(output) == whole(name)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_ctrl_c_before_anything_is_done_leaves_nothing(
    job: Job, tmp_path: Path, cut: Callable[..., int], capsys
) -> None:
    assert cut(job.argv(tmp_path / job.output), 0) == 130
    assert "nothing unfinished was left behind" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_levels_and_checks_that_are_done_stay_done(
    inputs: Path, tmp_path: Path, whole: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off while it is read back: neither pieces nor levels are made again, and the rest alone is read back."""
    job, output = Job(inputs, "convert"), tmp_path / "c.ome.zarr"
    expected = whole("c.ome.zarr")  # before anything is replaced
    monkeypatch.setattr(checkpoint, "COMMIT_SECONDS", 0.0)
    read, built, converted = [], [], []

    def stop(data: bytes) -> int:
        read.append(1)
        if len(read) == 5:
            raise KeyboardInterrupt
        return zlib.crc32(data)

    convert, build = OpenConversion.convert, ZarrTarget._levels
    compare = conversion_run.Running._compare

    def comparing(self: conversion_run.Running, finished: Volume) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(conversion_run, "zlib", SimpleNamespace(crc32=stop))
            compare(self, finished)

    with monkeypatch.context() as patched:
        patched.setattr(conversion_run.Running, "_compare", comparing)
        assert main(job.argv(output, "--workers", "1")) == 130

    def levels(self: ZarrTarget) -> list[Level]:
        return [
            Level(one.number, one.shape, one.pieces, one.bytes_needed, lambda region: built.append(region))
            for one in build(self)
        ]

    def converting(self: OpenConversion, block: Block) -> np.ndarray:
        converted.append(block.index)
        return convert(self, block)

    read.clear()
    monkeypatch.setattr(ZarrTarget, "_levels", levels)
    monkeypatch.setattr(OpenConversion, "convert", converting)
    checked = len(list(ledger_folder(output).glob(f"{CHECK}-*.journal")))
    assert checked == 1
    assert main(job.argv(output)) == 0
    assert converted == [] and built == []
    assert tree(output) == expected


def test_other_settings_are_refused(inputs: Path, tmp_path: Path, cut: Callable[..., int], capsys) -> None:
    job, output = Job(inputs, "convert"), tmp_path / "c.ome.zarr"
    assert cut(job.argv(output)) == 130
    for change, reason in (
        (["--dtype", "float32"], 'dtype was "uint16" and is "float32"'),
        (["--roi", "z=0:20"], "region was"),
        (["--pyramid", "max"], 'pyramid was "mean" and is "max"'),
        (["--voxel-size", "3,2,1"], "voxel_size was"),
    ):
        capsys.readouterr()
        assert main([*job.argv(output), *change, "--memory", "400MB"]) == 2
        message = capsys.readouterr().err
        assert reason in message and "--restart" in message
    assert main([*job.argv(output), "--dtype", "float32", "--memory", "400MB", "--restart"]) == 0
    assert open_volume(output).dtype == np.float32


def test_less_memory_goes_on_with_fewer_workers(
    inputs: Path, tmp_path: Path, cut: Callable[..., int], whole: Whole, capsys
) -> None:
    """Pieces stay as they were cut; a budget that does not hold one of them is refused with one that does."""
    job, output = Job(inputs, "convert"), tmp_path / "c.h5"
    assert cut([*job.argv(output), "--memory", "2GB", "--workers", "1"], 1) == 130
    capsys.readouterr()
    assert main([*job.argv(output), "--memory", "272MB", "--workers", "1"]) == 2
    message = capsys.readouterr().err
    assert "One worker needs at least" in message and "--restart" in message
    least = message.partition("Give --memory ")[2].split()[0]
    assert int(least.removesuffix("MB")) < 278
    assert cut([*job.argv(output), "--memory", least, "--workers", "1"], 1) == 130
    capsys.readouterr()
    assert main([*job.argv(output), "--memory", "278MB", "--workers", "4"]) == 0
    assert "1 workers" in capsys.readouterr().out
    assert tree(output) == whole("c.h5")


def test_a_changed_image_is_found_out(job: Job, tmp_path: Path, cut: Callable[..., int], whole: Whole, capsys) -> None:
    job, output = job.elsewhere(tmp_path), tmp_path / job.output
    stat = job.image.stat()
    assert cut(job.argv(output)) == 130
    content = bytearray(job.image.read_bytes())
    os.utime(job.image, (stat.st_atime, stat.st_mtime + 10))
    capsys.readouterr()
    assert main(job.argv(output)) == 2
    assert "image.modified was" in capsys.readouterr().err
    job.image.write_bytes(content[:-1] + bytes([content[-1] ^ 1, 0]))
    os.utime(job.image, (stat.st_atime, stat.st_mtime))
    assert main(job.argv(output)) == 2
    assert "image.bytes was" in capsys.readouterr().err
    job.image.write_bytes(content)
    os.utime(job.image, (stat.st_atime, stat.st_mtime))
    assert main(job.argv(output)) == 0
    assert tree(output) == whole(job.output)


def test_a_clock_that_was_set_back(
    job: Job, tmp_path: Path, cut: Callable[..., int], whole: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the first run left is of the future, and time goes backwards in the second."""
    output = tmp_path / job.output
    assert cut(job.argv(output)) == 130
    future = time.time() + 10 * 365 * 86400
    for path in (*tmp_path.rglob("*"), *tmp_path.iterdir()):
        os.utime(path, (future, future))
    now = [time.time()]

    def backwards() -> float:
        now[0] -= 3600
        return now[0]

    monkeypatch.setattr(time, "time", backwards)
    assert main(job.argv(output)) == 0
    assert tree(output) == whole(job.output)


@pytest.mark.parametrize("what", ["journal", "job", "unfinished"])
def test_damage(job: Job, tmp_path: Path, cut: Callable[..., int], whole: Whole, what: str, capsys) -> None:
    output = tmp_path / job.output
    assert cut(job.argv(output)) == 130
    ledger = ledger_folder(output)
    if what == "journal":  # costs its blocks
        for journal in ledger.glob("*.journal"):
            content = bytearray(journal.read_bytes())
            content[len(content) // 2] ^= 255
            journal.write_bytes(content)
    else:
        if what == "job":
            (ledger / "job.json").write_text('{"fingerprint": 1')
        else:
            shutil.rmtree(output.with_name(f"{output.name}.unfinished"))
        capsys.readouterr()
        assert main(job.argv(output)) == 2
        assert "--restart" in capsys.readouterr().err
        assert not output.exists()
    assert main(job.argv(output, *(["--restart"] if what != "journal" else []))) == 0
    assert tree(output) == whole(job.output)
    assert [path.name for path in tmp_path.iterdir()] == [output.name]


SLOW = """
import sys, time
from ecc_rf.blocks import checkpoint
from ecc_rf.cli import main
from ecc_rf.conversion.running import OpenConversion
checkpoint.COMMIT_SECONDS = 0.0
convert = OpenConversion.convert
def slow(*arguments):
    time.sleep(0.5)
    return convert(*arguments)
OpenConversion.convert = slow
sys.exit(main(sys.argv[1:]))
"""


def start(argv: list[str], output: Path) -> subprocess.Popen[str]:
    """Convert in a process of its own; returns when it has finished a piece."""
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, *argv], cwd=ROOT, text=True, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not any(path.stat().st_size for path in ledger_folder(output).glob("convert-*.journal")):
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process


def test_two_at_once_and_the_folder_is_removed(inputs: Path, tmp_path: Path, capsys) -> None:
    """The second is refused while the first is at work; the first finds out when its output is taken away."""
    job, output = Job(inputs, "convert"), tmp_path / "a" / "c.ome.zarr"
    argv = [option for option in job.argv(output) if option not in ("--workers", "4")]
    process = start([*argv, "--workers", "1"], output)
    assert main(job.argv(output)) == 2
    assert f"Another run is at work on this output: process {process.pid}" in capsys.readouterr().err
    assert main(job.argv(output, "--restart")) == 2
    (tmp_path / "a").rename(tmp_path / "b")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2 and "Traceback" not in errors
    assert "removed or renamed while" in errors or "cannot be written" in errors
    assert not output.exists() and not (tmp_path / "b" / "c.ome.zarr").exists()


def limited(argv: list[str]) -> subprocess.CompletedProcess[str]:
    """A limit of the size of a file stands for a full disk: what is written beyond it fails."""
    code = (
        "import resource, signal, sys\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({LIMIT}, {LIMIT}))\n"
        "from ecc_rf.cli import main\nsys.exit(main(sys.argv[1:]))"
    )
    return subprocess.run([sys.executable, "-c", code, *argv], capture_output=True, text=True, cwd=ROOT)


@pytest.mark.parametrize(("command", "name"), [("convert", "c.ome.zarr"), ("convert", "c.tif"), ("classify", "p.h5")])
def test_a_full_disk(inputs: Path, tmp_path: Path, whole: Whole, command: str, name: str) -> None:
    job, output = Job(inputs, command), tmp_path / name
    done = limited(job.argv(output))
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert "cannot be written" in done.stderr and "space" in done.stderr
    assert not output.exists()
    assert main(job.argv(output)) == 0
    assert tree(output) == whole(name)


@pytest.fixture
def damaged(tmp_path: Path, inputs: Path) -> Path:
    """An image with a chunk that cannot be read."""
    image = tmp_path / "in.ome.zarr"
    with (
        open_volume(inputs / "brain.h5") as brain,
        create_volume(image, brain.shape, brain.dtype, brain.axes, chunks=(20, 48, 48)) as copy,
    ):
        copy[()] = brain.read()
    (image / "0/c/1/0/1").write_bytes(b"\x00 no chunk")
    return image


@pytest.mark.parametrize("name", ["c.ome.zarr", "c.nii.gz"])
def test_a_chunk_that_cannot_be_read(inputs: Path, tmp_path: Path, damaged: Path, name: str, capsys) -> None:
    output = tmp_path / name
    argv = ["convert", str(damaged), str(output)]
    assert main(argv) == 2
    message = capsys.readouterr().err
    assert "z=20:40, y=0:48, x=48:96" in message and "--skip-unreadable" in message and "c/1/0/1" in message
    assert not output.exists()
    assert main([*argv, "--skip-unreadable"]) == 0
    assert "could not be read and was taken for 0: z=20:40, y=0:48, x=48:96" in capsys.readouterr().err
    with open_volume(inputs / "brain.h5") as brain, open_volume(output) as found:
        expected = brain.read()
        expected[20:40, 0:48, 48:96] = 0
        np.testing.assert_array_equal(found.read(), expected)


def test_what_was_skipped_is_told_by_the_run_that_goes_on(
    tmp_path: Path, damaged: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr(conversion_run, "CHUNK", 16)  # more pieces
    monkeypatch.setattr(checkpoint, "COMMIT_SECONDS", 0.0)
    argv = ["convert", str(damaged), str(tmp_path / "c.npy"), "--skip-unreadable", "--workers", "1"]
    convert, count = OpenConversion.convert, [0]

    def stop(self: OpenConversion, block: Block) -> np.ndarray:
        count[0] += 1
        if block.index == len(self.grid) - 1:
            raise KeyboardInterrupt
        return convert(self, block)

    with monkeypatch.context() as patched:
        patched.setattr(OpenConversion, "convert", stop)
        assert main(argv) == 130
    capsys.readouterr()
    assert main(argv) == 0
    assert "was taken for 0: z=20:40, y=0:48, x=48:96" in capsys.readouterr().err
