"""One set of tests that every format must pass; the files are those of `tests.volume_samples`."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecc_rf.errors import AxesError, FormatError, MissingFileError, SettingError
from ecc_rf.volumes import AxisView, open_volume, transpose_to
from tests.volume_samples import CASES, Array, Case, Sample, random_array


@pytest.fixture(params=CASES, ids=lambda case: case.id)
def sample(request: pytest.FixtureRequest, tmp_path: Path) -> Sample:
    case: Case = request.param
    written = random_array(case.shape, case.dtype)
    file = tmp_path / case.file
    case.write(file, written)
    array = case.array(written)
    return Sample(case, file, f"{file}/{case.inner}".rstrip("/"), array.astype(array.dtype.newbyteorder("=")))


def random_slices(shape: tuple[int, ...], rng: np.random.Generator) -> tuple[slice, ...]:
    ends = [sorted(rng.integers(0, extent, 2, endpoint=True).tolist()) for extent in shape]
    return tuple(slice(start, stop) for start, stop in ends)


def same(read: Array, expected: Array) -> bool:
    np.testing.assert_array_equal(read, expected, strict=True)
    return type(read) is np.ndarray and read.flags.c_contiguous and read.dtype.isnative


def test_describes_itself(sample: Sample) -> None:
    with open_volume(sample.path) as volume:
        assert volume.shape == sample.array.shape
        assert volume.dtype == sample.array.dtype
        assert volume.dtype.isnative
        assert volume.axes == sample.case.axes
        assert volume.drange is None
        assert volume.name.startswith(sample.path)
        if sample.case.voxel_size is None:
            assert volume.voxel_size is None
        else:
            # NIfTI keeps sizes in float32, ImageJ the inverse of a fraction
            assert volume.voxel_size == pytest.approx(sample.case.voxel_size, rel=1e-6)
        if volume.chunks is not None:
            assert len(volume.chunks) == len(volume.shape)
            assert all(0 < chunk <= extent for chunk, extent in zip(volume.chunks, volume.shape))


def test_reads_what_was_written(sample: Sample) -> None:
    with open_volume(Path(sample.path)) as volume:
        assert same(volume.read(), sample.array)


def test_slices_as_numpy_does(sample: Sample) -> None:
    rng = np.random.default_rng(0)
    with open_volume(sample.path) as volume:
        for _ in range(12):
            index = random_slices(volume.shape, rng)
            assert same(volume[index], sample.array[index])
        assert same(volume[2:5], sample.array[2:5])
        assert same(volume[-3:, :-2], sample.array[-3:, :-2])
        assert same(volume[:, 3:1000], sample.array[:, 3:1000])
        assert same(volume[5:2], sample.array[5:2])
        assert same(volume[()], sample.array)


@pytest.mark.parametrize("index", [0, (slice(None), 1), (slice(0, 4, 2),), (Ellipsis,), [0, 1]])
def test_refuses_other_indices(sample: Sample, index: Any) -> None:
    with open_volume(sample.path) as volume, pytest.raises(TypeError, match="slices of step 1"):
        volume[index]


def test_refuses_too_many_slices(sample: Sample) -> None:
    with open_volume(sample.path) as volume, pytest.raises(IndexError):
        volume[(slice(None),) * (len(volume.shape) + 1)]


def test_what_was_read_is_the_reader_s_own(sample: Sample) -> None:
    with open_volume(sample.path) as volume:
        volume.read()[...] = 0
        assert same(volume.read(), sample.array)


def test_threads_may_share_it(sample: Sample) -> None:
    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(6):
            index = random_slices(volume.shape, rng)
            assert same(volume[index], sample.array[index])

    with open_volume(sample.path) as volume, ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(8)))


def test_is_closed_after_its_block(sample: Sample) -> None:
    with open_volume(sample.path) as volume:
        pass
    volume.close()  # twice does no harm
    with pytest.raises(ValueError, match="is closed"):
        volume.read()


def test_an_exception_passes_through(sample: Sample) -> None:
    with pytest.raises(KeyboardInterrupt), open_volume(sample.path):
        raise KeyboardInterrupt
    assert sample.file.exists()


def test_the_caller_knows_better(sample: Sample) -> None:
    ndim = sample.array.ndim
    axes = {2: "xy", 3: "xcy", 4: "yxzc", 5: "xyztc"}[ndim]
    with open_volume(sample.path, axes=axes, voxel_size=[3, 2, 1]) as volume:
        assert (volume.axes, volume.voxel_size) == (axes, (3.0, 2.0, 1.0))
        assert same(volume.read(), sample.array)
    for wrong in ("", axes[:-1], axes + "q", axes.replace("y", "q"), axes.replace("y", "x"), axes.upper()):
        with pytest.raises(AxesError):
            open_volume(sample.path, axes=wrong)
    with pytest.raises(SettingError, match="three positive numbers"):
        open_volume(sample.path, voxel_size=(1, 0, 1))


def test_in_the_canonical_order(sample: Sample) -> None:
    expected = transpose_to(sample.array, sample.case.axes, "tzyxc")
    rng = np.random.default_rng(0)
    with AxisView(open_volume(sample.path)) as view:
        assert (view.axes, view.shape) == ("tzyxc", expected.shape)
        assert same(view.read(), np.ascontiguousarray(expected))
        for _ in range(6):
            index = random_slices(view.shape, rng)
            assert same(view[index], np.ascontiguousarray(expected[index]))


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def test_missing(sample: Sample) -> None:
    remove(sample.file)
    with pytest.raises(MissingFileError, match="no such file"):
        open_volume(sample.path)


def test_wrong_extension(sample: Sample) -> None:
    if sample.case.file == "planes":
        pytest.skip("a folder of planes may have any name")
    other = sample.file.with_name("a.czi")
    sample.file.rename(other)
    with pytest.raises(FormatError, match=r"OME-Zarr \(\.zarr\)"):
        open_volume(other)


@pytest.mark.parametrize("part", [0.0, 0.02, 0.5, 0.95])
def test_truncated(sample: Sample, part: float) -> None:
    files = [sample.file] if sample.file.is_file() else [file for file in sample.file.rglob("*") if file.is_file()]
    for file in files:
        stored = file.read_bytes()
        file.write_bytes(stored[: int(len(stored) * part)])
    with pytest.raises(FormatError), open_volume(sample.path) as volume:
        volume.read()


def test_something_else_inside(sample: Sample) -> None:
    files = [sample.file] if sample.file.is_file() else [file for file in sample.file.rglob("*") if file.is_file()]
    for file in files:
        file.write_bytes(b"This is no image." * 200)
    with pytest.raises(FormatError), open_volume(sample.path) as volume:
        volume.read()


def test_file_and_folder_mixed_up(sample: Sample) -> None:
    was_file = sample.file.is_file()
    remove(sample.file)
    if was_file:
        sample.file.mkdir()
    else:
        sample.file.write_bytes(b"zarr")
    with pytest.raises((FormatError, MissingFileError)), open_volume(sample.path) as volume:
        volume.read()
