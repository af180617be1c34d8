"""Outputs that are left unfinished, by choice or by a kill, and gone on with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecc_rf.errors import OutputExistsError, ResumeError
from ecc_rf.volumes import AxisView, WritableVolume, create_volume, open_volume
from tests.test_volumes_writing import SIZE, data, named, stored_bytes

FILES = ["out.h5", "out.ome.zarr", "out.npy", "out.ome.tif", "out.nii", "out.nii.gz"]
ARRAY = data((9, 10, 12))
TARGET: dict[str, Any] = {
    "shape": ARRAY.shape,
    "dtype": "u2",
    "axes": "zyx",
    "chunks": (4, 5, 6),
    "voxel_size": SIZE,
    "drange": (0, 255),
    "attributes": {"trees": 100, "labels": ["cell", "ü"]},
}


@pytest.fixture(params=FILES)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / str(request.param)


@pytest.fixture
def whole(path: Path) -> dict[str, bytes]:
    """The bytes of an output that was written in one go."""
    twin = path.parent / "twin" / path.name
    with create_volume(twin, **TARGET) as volume:
        volume[()] = ARRAY
    return stored_bytes(twin)


def unfinished(path: Path) -> Path:
    return path.with_name(path.name + ".unfinished")


def resume(path: Path, **options: Any) -> WritableVolume:
    return create_volume(path, **{**TARGET, "resume": True, **options})


def test_goes_on_where_it_was_left(path: Path, whole: dict[str, bytes]) -> None:
    volume = resume(path)
    assert volume.resumable and not volume.resumed
    volume[:4] = ARRAY[:4]
    volume.suspend()
    assert named(path) == {unfinished(path).name, "twin"}
    with pytest.raises(ValueError, match="is closed"):
        volume.sync()
    with resume(path) as volume:
        assert volume.resumed
        np.testing.assert_array_equal(volume[:4], ARRAY[:4])
        volume[4:] = ARRAY[4:]
    assert named(path) == {path.name, "twin"}
    assert stored_bytes(path) == whole


@pytest.mark.parametrize("axes", ["xyz", "zyxc"])
def test_views_go_on_too(path: Path, axes: str) -> None:
    array = data((9, 10, 12, 3)[: len(axes)])
    options: dict[str, Any] = {"shape": array.shape, "axes": axes, "chunks": (4, 5, 6, 1)[: len(axes)]}
    view = AxisView(resume(path, **options))
    view[:, :4] = AxisView(resume(path, **options))[:, :4] * 0 + 7
    view.sync(np.s_[:, :4])
    view.suspend()
    with AxisView(resume(path, **options), axes) as view:
        assert view.resumed
        seven = AxisView(view)[:, :4]
        assert (seven == 7).all() and seven.size
        view[()] = array
    with open_volume(path, axes=axes if path.suffix == ".npy" else None) as volume:
        np.testing.assert_array_equal(AxisView(volume, axes).read(), array)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_exception_leaves_it_unfinished(path: Path, error: type[BaseException], whole: dict[str, bytes]) -> None:
    with pytest.raises(error), resume(path) as volume:
        volume[:4] = ARRAY[:4]
        raise error
    assert named(path) == {unfinished(path).name, "twin"}
    with resume(path) as volume:
        np.testing.assert_array_equal(volume[:4], ARRAY[:4])
        volume[4:] = ARRAY[4:]
    assert stored_bytes(path) == whole


def test_a_killed_process(path: Path, whole: dict[str, bytes]) -> None:
    """What was synced is there; what was being written is written again."""
    script = (
        "import os, signal, threading\n"
        "from pathlib import Path\n"
        "from tests.test_volumes_resume import ARRAY, resume\n"
        f"volume = resume(Path({str(path)!r}))\n"
        "volume[:4] = ARRAY[:4]\n"
        "volume.sync((slice(0, 4),))\n"
        "print('synced', flush=True)\n"
        "while True:\n"
        "    volume[4:] = ARRAY[4:] + 1\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"synced\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    with resume(path) as volume:
        np.testing.assert_array_equal(volume[:4], ARRAY[:4])
        volume[4:] = ARRAY[4:]
    assert stored_bytes(path) == whole


def test_half_written_chunks_are_swept_away(tmp_path: Path) -> None:
    path = tmp_path / "out.ome.zarr"
    resume(path).suspend()
    stray = unfinished(path) / "0" / "c" / "0.abc.partial"
    stray.parent.mkdir(exist_ok=True)
    stray.touch()
    resume(path).close()
    assert not list(path.rglob("*.partial"))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"dtype": "u1"}, r"uint8|u1"),
        ({"shape": (9, 10, 13)}, "13"),
        ({"chunks": (3, 5, 6)}, "chunk"),
        ({"voxel_size": (1, 1, 1)}, ""),
        ({"drange": (0, 1)}, "drange"),
        ({"attributes": {"trees": 99}}, "trees|labels"),
    ],
)
def test_refuses_another_output(path: Path, options: dict[str, Any], reason: str) -> None:
    """As far as the format stores what is different: NPY has shape and dtype alone, TIFF and NIfTI also the size."""
    resume(path).suspend()
    before = stored_bytes(unfinished(path))
    no_more = {"dtype", "shape", "voxel_size"}
    stores = {".npy": {"dtype", "shape"}, ".tif": no_more, ".nii": no_more, ".gz": no_more}
    if set(options) <= stores.get(path.suffix, set(TARGET)):
        with pytest.raises(ResumeError, match=f"another one: its .*({reason})"):
            resume(path, **options)
    else:
        resume(path, **options).suspend()
    assert stored_bytes(unfinished(path)) == before
    assert named(path) == {unfinished(path).name}


def test_refuses_a_damaged_one(path: Path) -> None:
    resume(path).suspend()
    for name in stored_bytes(unfinished(path)):
        file = unfinished(path) / name if unfinished(path).is_dir() else unfinished(path)
        file.write_bytes(b"junk")
    with pytest.raises(ResumeError, match="damaged"):
        resume(path)


def test_a_fresh_start_removes_it(path: Path) -> None:
    with pytest.raises(RuntimeError), resume(path) as volume:
        volume[()] = ARRAY
        raise RuntimeError
    (path.parent / f"{path.name}.unfinished-12345678").touch()  # of a process that was killed at its very start
    with create_volume(path, **TARGET) as volume:
        assert not volume.resumed
        assert not volume.read().any()
    assert named(path) == {path.name}


def test_finished_outputs_are_not_resumed(path: Path) -> None:
    resume(path).close()
    with pytest.raises(OutputExistsError):
        resume(path)


def test_many_start_at_once(path: Path, whole: dict[str, bytes]) -> None:
    """One makes it, the others join; each writes its own chunks, and one gives it its name."""
    with ThreadPoolExecutor(8) as threads:
        volumes = list(threads.map(lambda _: resume(path), range(8)))
    assert sum(not volume.resumed for volume in volumes) == 1
    for number, volume in enumerate(volumes):
        halves = ((np.s_[:4], np.s_[4:]), (np.s_[:5], np.s_[5:]), (np.s_[:6], np.s_[6:]))
        z, y, x = (half[number >> axis & 1] for axis, half in enumerate(halves))
        volume[z, y, x] = ARRAY[z, y, x]
        volume.sync((z, y, x))
    for volume in volumes[1:]:
        volume.suspend()
    volumes[0].close()
    assert named(path) == {path.name, "twin"}
    assert stored_bytes(path) == whole


def test_sync_reaches_every_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: set[str] = set()
    fsync = os.fsync

    def record(descriptor: int) -> None:
        synced.add(os.path.realpath(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    if not Path("/proc/self/fd").exists():
        pytest.skip("finds out what is synced by /proc")
    for name in ("out.h5", "out.ome.zarr"):
        volume = resume(tmp_path / name)
        volume[()] = ARRAY
        monkeypatch.setattr(os, "fsync", record)
        synced.clear()
        volume.sync(np.s_[:4, 5:])
        monkeypatch.undo()
        chunks = {file for file in synced if Path(file).is_file()}
        assert len(chunks) == 2  # of 1 x 1 x 2 that are touched
        for file in chunks:
            parents = {str(parent) for parent in Path(file).parents if unfinished(tmp_path / name) in parent.parents}
            assert parents <= synced
        volume.discard()
