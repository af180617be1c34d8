"""Processes and workers that compute blocks elsewhere, and die."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ecc_rf import PixelClassifier, open_volume
from ecc_rf.blocks.remote import Backend
from ecc_rf.cli import main
from tests.classifying import Job, Whole, written_at_once
from tests.dying import Killing, children
from tests.killing import tree


@pytest.fixture(scope="module")
def whole(fixtures: Path, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return written_at_once(Job(fixtures, tmp_path_factory.mktemp("resume")))


@pytest.fixture
def folder(fixtures: Path, tmp_path: Path) -> Job:
    """The job, into an empty folder."""
    return Job(fixtures, tmp_path)


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
