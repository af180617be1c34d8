"""Volumes that are created: what is stored, and under which name it is to be found when."""

from __future__ import annotations

import errno
import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
import zarr

from ecc_rf.errors import AxesError, FormatError, OutputError, OutputExistsError, SettingError, ShapeError
from ecc_rf.volumes import AxisView, WritableVolume, create_volume, open_volume
from ecc_rf.volumes.base import BaseVolume

FILES = [
    "out.h5",
    "out.hdf5/deep/er",
    "out.ome.zarr",
    "out.zarr",
    "out.npy",
    "out.ome.tif",
    "out.tiff",
    "out.nii",
    "out.nii.gz",
]
SIZE = (5.0, 1.5, 1.25)


@pytest.fixture(params=FILES)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / str(request.param)


def named(path: Path) -> set[str]:
    """What lies in the output's folder."""
    folder = next(parent for parent in path.parents if parent.is_dir() and parent.suffix != ".zarr")
    return {file.name for file in folder.iterdir()}


def final_path(path: Path) -> Path:
    return next(parent for parent in (path, *path.parents) if parent.name.startswith("out."))


def final_name(path: Path) -> str:
    return final_path(path).name


def stored_bytes(path: Path) -> dict[str, bytes]:
    files = path.rglob("*") if path.is_dir() else [path]
    return {str(file.relative_to(path)): file.read_bytes() for file in files if file.is_file()}


def data(shape: tuple[int, ...], dtype: str = "u2") -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(0, 100, shape).astype(dtype)


def create(path: Path, array: np.ndarray[Any, Any], axes: str, **options: Any) -> None:
    with create_volume(path, array.shape, array.dtype, axes, **options) as volume:
        volume[()] = array


@pytest.mark.parametrize("axes", ["yx", "zyx", "xyz", "zyxc", "czyx", "tzyxc", "xytzc"])
@pytest.mark.parametrize("dtype", ["u1", "i1", ">u2", "f4"])
def test_round_trip(path: Path, axes: str, dtype: str) -> None:
    extents = {"t": 2, "z": 7, "y": 11, "x": 13, "c": 3}
    array = data(tuple(extents[axis] for axis in axes), dtype)
    with create_volume(path, array.shape, dtype, axes, voxel_size=SIZE, drange=(0, 255)) as volume:
        assert (volume.axes, volume.shape, volume.voxel_size, volume.drange) == (axes, array.shape, SIZE, (0, 255))
        volume[:5] = array[:5]
        volume[5:, 2:] = array[5:, 2:]
        volume[5:, :2] = array[5:, :2]
        np.testing.assert_array_equal(volume.read(), array)
        np.testing.assert_array_equal(volume[1:3, 2:9], array[1:3, 2:9])
    keeps_order = path.suffix not in (".tif", ".tiff", ".npy", ".nii", ".gz")
    with open_volume(path, axes=axes if path.suffix == ".npy" else None) as volume:
        if keeps_order:
            assert (volume.axes, volume.drange) == (axes, (0, 255))
        if path.suffix != ".npy":
            assert volume.voxel_size == (SIZE if "z" in axes else (1.0, *SIZE[1:]))
        view = AxisView(volume, axes)
        assert view.dtype == np.dtype(dtype).newbyteorder("=")
        np.testing.assert_array_equal(view.read(), array)


@pytest.mark.parametrize("dtype", ["?", "u8", "i8", "f2", "f8"])
def test_every_number_or_a_refusal(path: Path, dtype: str) -> None:
    array = data((5, 6, 7), dtype)
    if path.suffix in (".tif", ".tiff") and dtype != "f8":
        with pytest.raises(FormatError, match="OME-TIFF holds no"):
            create(path, array, "zyx")
        return
    if path.suffix in (".nii", ".gz") and dtype in "?f2":
        with pytest.raises(FormatError, match="NIfTI holds no"):
            create(path, array, "zyx")
        return
    create(path, array, "zyx")
    np.testing.assert_array_equal(open_volume(path).read(), array, strict=True)


def test_has_no_name_before_it_is_finished(path: Path) -> None:
    with create_volume(path, (4, 5, 6), "u1", "zyx") as volume:
        assert named(path) == {final_name(path) + ".unfinished"}
        volume[()] = data((4, 5, 6), "u1")
        assert named(path) == {final_name(path) + ".unfinished"}
    assert named(path) == {final_name(path)}


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_exception_leaves_nothing(path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), create_volume(path, (4, 5, 6), "u1", "zyx") as volume:
        volume[:2] = data((2, 5, 6), "u1")
        raise error
    assert named(path) == set()


def test_a_view_finishes_and_discards_too(path: Path) -> None:
    with AxisView(create_volume(path, (4, 5, 6), "u1", "zyx")) as view:
        view[:, 1:3] = data((1, 2, 5, 6, 1), "u1")
    np.testing.assert_array_equal(open_volume(path)[1:3], data((2, 5, 6), "u1"))
    before = named(path)
    with pytest.raises(KeyboardInterrupt), AxisView(create_volume(path, (4, 5, 6), "u1", "zyx", overwrite=True)):
        raise KeyboardInterrupt
    AxisView(create_volume(path, (4, 5, 6), "u1", "zyx", overwrite=True)).discard()
    assert named(path) == before


def test_an_existing_output_is_kept(path: Path) -> None:
    old, new = data((4, 5, 6)), data((4, 5, 6)) + 1
    create(path, old, "zyx")
    with pytest.raises(OutputExistsError):
        create(path, new, "zyx")
    np.testing.assert_array_equal(open_volume(path).read(), old)
    with pytest.raises(RuntimeError), create_volume(path, (4, 5, 6), "u2", "zyx", overwrite=True) as volume:
        volume[()] = new
        np.testing.assert_array_equal(open_volume(path).read(), old)
        raise RuntimeError
    np.testing.assert_array_equal(open_volume(path).read(), old)
    create(path, new, "zyx", overwrite=True)
    np.testing.assert_array_equal(open_volume(path).read(), new)
    assert named(path) == {final_name(path)}


def test_an_output_that_appeared_meanwhile_is_kept(path: Path) -> None:
    volume = create_volume(path, (4, 5, 6), "u2", "zyx")
    final = final_path(path)
    final.write_bytes(b"somebody else's")
    with pytest.raises(OutputExistsError, match="the new result is complete"):
        volume.close()
    assert final.read_bytes() == b"somebody else's"
    rest = {final.name + ".unfinished-gz"} if path.suffix == ".gz" else set()
    assert named(path) == {final.name, final.name + ".unfinished", *rest}


def test_a_stale_unfinished_output_goes(path: Path) -> None:
    create_volume(path, (4, 5, 6), "u2", "zyx")  # as a killed process leaves it
    create(path, data((4, 5, 6)), "zyx")
    np.testing.assert_array_equal(open_volume(path).read(), data((4, 5, 6)))
    assert named(path) == {final_name(path)}


def test_a_file_replaces_a_folder_and_the_reverse(tmp_path: Path) -> None:
    (tmp_path / "out.h5").mkdir()
    (tmp_path / "out.h5" / "x").touch()
    (tmp_path / "out.zarr").touch()
    for name in ("out.h5", "out.zarr"):
        create(tmp_path / name, data((4, 5, 6)), "zyx", overwrite=True)
        np.testing.assert_array_equal(open_volume(tmp_path / name).read(), data((4, 5, 6)))
    assert named(tmp_path / "out.h5") == {"out.h5", "out.zarr"}


def test_makes_missing_folders(path: Path) -> None:
    deeper = path.parent / "new" / "folders" / path.name if path.name == final_name(path) else path
    create(deeper, data((4, 5, 6)), "zyx")
    np.testing.assert_array_equal(open_volume(deeper).read(), data((4, 5, 6)))


def test_a_folder_that_cannot_be_written(path: Path, tmp_path: Path) -> None:
    (tmp_path / "no folder").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        create(tmp_path / "no folder" / path.relative_to(tmp_path), data((4, 5, 6)), "zyx")


def test_a_full_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    volume = create_volume(path, (4, 5, 6), "u2", "zyx")
    for kind in BaseVolume.__subclasses__():
        if kind is not AxisView:
            monkeypatch.setattr(kind, "_write", full)
    with pytest.raises(OutputError, match="No space left"), volume:
        volume[()] = data((4, 5, 6))
    assert named(path) == set()


def test_a_disk_that_is_full_only_when_the_file_is_closed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    volume = create_volume(path, (4, 5, 6), "u2", "zyx")
    for kind in BaseVolume.__subclasses__():
        monkeypatch.setattr(kind, "_release", full)
    with pytest.raises(OutputError, match="No space left"), volume:
        pass
    assert named(path) == set()


def test_a_block_that_does_not_fit(path: Path) -> None:
    volume: WritableVolume
    with create_volume(path, (4, 5, 6), "u1", "zyx") as volume:
        with pytest.raises(ShapeError):
            volume[:2] = data((1, 5, 6), "u1")
        with pytest.raises(TypeError):
            volume[:2] = data((2, 5, 6), "f4")  # would be cut to integers
        volume[2:2] = data((0, 5, 6), "u1")
        assert not volume.read().any()


def test_a_volume_opened_for_reading_is_not_written(path: Path) -> None:
    create(path, data((4, 5, 6)), "zyx")
    with open_volume(path) as volume, pytest.raises(TypeError, match="opened for reading"):
        volume[:1] = data((1, 5, 6))  # type: ignore[index]
    np.testing.assert_array_equal(open_volume(path).read(), data((4, 5, 6)))


@pytest.mark.parametrize("file", ["out.h5", "out.ome.zarr"])
def test_chunks_are_as_asked_for(tmp_path: Path, file: str) -> None:
    with create_volume(tmp_path / file, (7, 11, 13, 2), "u1", "zyxc", chunks=(3, 4, 50, 1)) as volume:
        assert volume.chunks == (3, 4, 13, 1)
    assert open_volume(tmp_path / file).chunks == (3, 4, 13, 1)


def test_threads_write_a_chunk_each(path: Path) -> None:
    array = data((13, 17, 19, 2))

    def write(corner: tuple[int, ...]) -> None:
        index = tuple(slice(start, start + edge) for start, edge in zip(corner, chunks))
        volume[index] = array[index]
        np.testing.assert_array_equal(volume[index], array[index])

    chunks = (4, 5, 6, 1)
    with create_volume(path, array.shape, array.dtype, "zyxc", chunks=chunks) as volume:
        assert volume.chunks in (chunks, None)
        corners = itertools.product(*(range(0, extent, edge) for extent, edge in zip(array.shape, chunks)))
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(write, corners))
    np.testing.assert_array_equal(
        AxisView(open_volume(path, axes="zyxc" if path.suffix == ".npy" else None), "zyxc").read(), array
    )


def test_the_same_voxels_give_the_same_bytes(path: Path) -> None:
    twin = Path(str(path).replace("out.", "twin/out."))
    for file in (path, twin):
        create(file, data((13, 17, 19)), "zyx", chunks=(4, 5, 6), voxel_size=SIZE)
    assert stored_bytes(final_path(path)) == stored_bytes(final_path(twin))


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"axes": "zy"}, AxesError),
        ({"axes": "zyc"}, AxesError),
        ({"axes": "zyq"}, AxesError),
        ({"shape": (4, 0, 6)}, FormatError),
        ({"shape": (4, 5, 6, 1, 1, 1), "axes": "tzyxcc"}, AxesError),
        ({"dtype": "O"}, FormatError),
        ({"dtype": "c8"}, FormatError),
        ({"dtype": "S3"}, FormatError),
        ({"chunks": (1, 2)}, ShapeError),
        ({"chunks": (1, 2, 0)}, ShapeError),
        ({"voxel_size": (1, 2)}, SettingError),
        ({"voxel_size": (1, 2, float("nan"))}, SettingError),
        ({"attributes": {"a": object()}}, SettingError),
    ],
)
def test_refuses_before_anything_is_written(path: Path, options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        create_volume(path, **{"shape": (4, 5, 6), "dtype": "u1", "axes": "zyx", **options})
    assert named(path) == set()


@pytest.mark.parametrize("file", ["out.npz", "out.png", "out.ilp", "out", "out.xyz", "out.tif/data"])
def test_formats_that_are_not_written(tmp_path: Path, file: str) -> None:
    with pytest.raises(FormatError):
        create_volume(tmp_path / file, (4, 5, 6), "u1", "zyx")
    assert named(tmp_path / "x") == set()


def test_what_hdf5_stores(tmp_path: Path) -> None:
    array = data((7, 11, 13, 2), "u1")
    attributes = {"rounding": "nearest", "trees": 100, "labels": ["cell", "ü"], "more": {"a": None}}
    options: dict[str, Any] = {"voxel_size": SIZE, "drange": (0, 255), "attributes": attributes}
    create(tmp_path / "out.h5", array, "zyxc", dataset="probability", **options)
    with h5py.File(tmp_path / "out.h5") as file:
        assert list(file) == ["probability"]
        dataset = file["probability"]
        np.testing.assert_array_equal(dataset[()], array)
        assert (dataset.compression, dataset.compression_opts, dataset.chunks) == ("gzip", 1, (7, 11, 13, 1))
        tags = json.loads(dataset.attrs["axistags"])["axes"]
        assert [(tag["key"], tag["typeFlags"], tag["resolution"]) for tag in tags] == [
            *(("z", 2, 5.0), ("y", 2, 1.5), ("x", 2, 1.25)),
            ("c", 1, 0),
        ]
        assert json.loads(dataset.attrs["axis_units"]) == {"z": "um", "y": "um", "x": "um"}
        assert dataset.attrs["element_size_um"].tolist() == list(SIZE)
        assert dataset.attrs["drange"].tolist() == [0, 255]
        assert (dataset.attrs["rounding"], dataset.attrs["trees"]) == ("nearest", 100)
        assert json.loads(dataset.attrs["labels"]) == ["cell", "ü"]
        assert json.loads(dataset.attrs["more"]) == {"a": None}


def test_what_ome_zarr_stores(tmp_path: Path) -> None:
    array = data((7, 11, 13, 2), "u1")
    attributes = {"rounding": "nearest", "labels": ["cell", "ü"]}
    options: dict[str, Any] = {"voxel_size": SIZE, "drange": (0, 255), "attributes": attributes}
    create(tmp_path / "out.ome.zarr", array, "zyxc", chunks=(4, 5, 6, 1), **options)
    stored = json.loads((tmp_path / "out.ome.zarr" / "zarr.json").read_text())
    assert stored["zarr_format"] == 3
    assert stored["attributes"] == {
        **attributes,
        "drange": [0, 255],
        "ecc_rf": {"axes": "zyxc"},
        "ome": {
            "version": "0.5",
            "multiscales": [
                {
                    "name": "out.ome.zarr",
                    "axes": [
                        {"name": "c", "type": "channel"},
                        {"name": "z", "type": "space", "unit": "micrometer"},
                        {"name": "y", "type": "space", "unit": "micrometer"},
                        {"name": "x", "type": "space", "unit": "micrometer"},
                    ],
                    "datasets": [
                        {
                            "path": "0",
                            "coordinateTransformations": [{"type": "scale", "scale": [1.0, 5.0, 1.5, 1.25]}],
                        }
                    ],
                }
            ],
        },
    }
    level = zarr.open_array(tmp_path / "out.ome.zarr" / "0", mode="r")
    assert (level.chunks, level.metadata.dimension_names) == ((1, 4, 5, 6), ("c", "z", "y", "x"))
    np.testing.assert_array_equal(level[...], array.transpose(3, 0, 1, 2))


def test_what_tiff_stores(tmp_path: Path) -> None:
    array = data((7, 11, 13, 2), "u2")
    create(tmp_path / "out.ome.tif", array, "zyxc", voxel_size=SIZE)
    with tifffile.TiffFile(tmp_path / "out.ome.tif") as file:
        assert file.is_ome
        assert file.series[0].axes == "ZCYX"
        np.testing.assert_array_equal(file.asarray(), array.transpose(0, 3, 1, 2))
        assert 'PhysicalSizeZ="5.0" PhysicalSizeZUnit="µm"' in (file.ome_metadata or "")


def test_ome_zarr_holds_no_datasets(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no named datasets"):
        create_volume(tmp_path / "out.ome.zarr" / "data", (4, 5, 6), "u1", "zyx")
    assert named(tmp_path / "x") == set()


def test_beyond_four_gigabytes_it_is_bigtiff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sparse file: its space is not reserved here."""
    monkeypatch.setattr("ecc_rf.volumes.tiff.reserve_space", lambda path: None)
    corner = data((3, 20, 30))
    with create_volume(tmp_path / "out.tif", (48, 7000, 7000), "u2", "zyx", voxel_size=SIZE) as volume:
        volume[45:, 6980:, 6970:] = corner
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        assert file.is_bigtiff
    with open_volume(tmp_path / "out.tif") as volume:
        assert (volume.shape, volume.voxel_size) == ((48, 7000, 7000), SIZE)
        np.testing.assert_array_equal(volume[45:, 6980:, 6970:], corner)


def test_pages_of_a_map_are_let_go_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written is there all the same, for this process and for others."""
    monkeypatch.setattr("ecc_rf.volumes.array._MOST_TOUCHED", 1000)
    array = data((20, 50, 60))
    with create_volume(tmp_path / "out.npy", array.shape, "u2", "zyx") as volume, ThreadPoolExecutor(4) as threads:

        def write(z: int) -> None:
            volume[z : z + 1] = array[z : z + 1]
            np.testing.assert_array_equal(volume[z : z + 1], array[z : z + 1])

        list(threads.map(write, range(20)))
        np.testing.assert_array_equal(volume.read(), array)
    np.testing.assert_array_equal(open_volume(tmp_path / "out.npy").read(), array)
