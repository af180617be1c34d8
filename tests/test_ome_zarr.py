"""OME-Zarr: levels, hierarchies, shards, pyramids, and what others make of them."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from ome_zarr_models.v05.image import Image

from ecc_rf.blocks import memory
from ecc_rf.errors import FormatError, MissingFileError, SettingError, ShapeError
from ecc_rf.volumes import DamagedChunkError, create_volume, metadata, open_volume, shard_shape
from ecc_rf.volumes.pyramid import METHODS, pyramid_steps, reduce
from tests.test_volumes_writing import SIZE, data, stored_bytes

Array = np.ndarray[Any, Any]


def write_levels(group: zarr.Group, array: Array, *, version: str = "0.4", scales: bool = True) -> None:
    """An image of three levels, 5, 10, 20 µm in z and 1.5 … in y and x."""
    axes = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "zyx"]
    levels: list[dict[str, Any]] = []
    for number in range(3):
        level = array[tuple(slice(None, None, 2**number) for _ in range(3))]
        group.create_array(f"s{number}", data=level, chunks=(4, 5, 6))
        levels.append({"path": f"s{number}"})
        if scales:
            scale = [size * 2**number for size in SIZE]
            levels[-1]["coordinateTransformations"] = [{"type": "scale", "scale": scale}]
    image = {"axes": axes, "datasets": levels}
    if version == "0.5":
        group.attrs["ome"] = {"version": version, "multiscales": [image]}
    else:
        group.attrs["multiscales"] = [{**image, "version": version}]


@pytest.fixture(params=["0.4", "0.5"])
def image(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "a.ome.zarr"
    group = zarr.create_group(path, zarr_format=2 if request.param == "0.4" else 3)
    write_levels(group, data((9, 14, 15)), version=request.param)
    return path


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        *((0, 0), (1, 1), (2, 2)),
        *((SIZE, 0), ((10.0, 3.0, 2.5), 1), ((13, 4, 3.5), 1), ((15, 5, 4), 2), ((500, 500, 500), 2), ((0.1,) * 3, 0)),
    ],
)
def test_level_by_number_or_voxel_size(image: Path, wanted: Any, chosen: int) -> None:
    with open_volume(image, level=wanted) as volume:
        assert volume.name == f"{image}/s{chosen}"
        assert volume.voxel_size == tuple(size * 2**chosen for size in SIZE)
        np.testing.assert_array_equal(volume.read(), data((9, 14, 15))[tuple([slice(None, None, 2**chosen)] * 3)])
    with open_volume(volume.name) as again:
        assert (again.shape, again.voxel_size) == (volume.shape, volume.voxel_size)


def test_levels_that_are_not_there(image: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"no level 3(.|\n)*0 \(5 × 1.5 × 1.25 µm\), 1 \(10 × 3 × 2.5 µm\), 2"):
        open_volume(image, level=3)
    with pytest.raises(SettingError, match="names an array"):
        open_volume(image / "s1", level=0)
    with pytest.raises(SettingError, match="three positive"):
        open_volume(image, level=(1.0, 2.0))
    with create_volume(tmp_path / "a.h5", (4, 5, 6), "u1", "zyx"):
        pass
    with pytest.raises(SettingError, match="HDF5 images have no levels"):
        open_volume(tmp_path / "a.h5", level=0)


def test_voxel_sizes_that_are_not_known(tmp_path: Path) -> None:
    write_levels(zarr.create_group(tmp_path / "a.zarr", zarr_format=2), data((9, 14, 15)), scales=False)
    group = zarr.open_group(tmp_path / "a.zarr")
    described = group.attrs["multiscales"]
    for axis in described[0]["axes"]:
        del axis["unit"]
    group.attrs["multiscales"] = described
    assert open_volume(tmp_path / "a.zarr").voxel_size is None
    with pytest.raises(SettingError, match=r"does not say how large(.|\n)*from 0 to 2"):
        open_volume(tmp_path / "a.zarr", level=(1, 1, 1))


def test_labels_of_an_image(image: Path) -> None:
    labels = zarr.open_group(image).create_group("labels", attributes={"labels": ["cells"]})
    write_levels(labels.create_group("cells"), data((9, 14, 15)) + 1)
    np.testing.assert_array_equal(open_volume(image).read(), data((9, 14, 15)))
    for path in ("labels", "labels/cells", "labels/cells/s0"):
        np.testing.assert_array_equal(open_volume(image / path).read(), data((9, 14, 15)) + 1)
    with open_volume(image / "labels" / "cells", level=1) as volume:
        assert volume.name == f"{image}/labels/cells/s1"


def test_layout_of_bioformats2raw(tmp_path: Path) -> None:
    root = zarr.create_group(tmp_path / "a.zarr", zarr_format=2, attributes={"bioformats2raw.layout": 3})
    root.create_group("OME")
    write_levels(root.create_group("0"), data((9, 14, 15)))
    with open_volume(tmp_path / "a.zarr") as volume:
        assert (volume.name, volume.voxel_size) == (f"{tmp_path}/a.zarr/0", SIZE)
    with open_volume(tmp_path / "a.zarr", level=1) as volume:
        assert volume.name == f"{tmp_path}/a.zarr/0/s1"
    write_levels(root.create_group("1"), data((9, 14, 15)) + 1)
    with pytest.raises(FormatError, match="holds 2 images: 0, 1"):
        open_volume(tmp_path / "a.zarr")
    np.testing.assert_array_equal(open_volume(tmp_path / "a.zarr" / "1").read(), data((9, 14, 15)) + 1)


def test_multi_scale_export_of_ilastik(tmp_path: Path) -> None:
    """Zarr 2 with nested keys, five axes, one channel per chunk, blosc; the crop's place as a translation."""
    array = data((1, 2, 9, 14, 15), "u1")
    group = zarr.create_group(tmp_path / "a.zarr", zarr_format=2)
    levels = []
    for number in range(2):
        level = group.create_array(
            f"s{number}",
            data=array[:, :, :: 2**number, :: 2**number, :: 2**number],
            chunks=(1, 1, 9, 14, 15),
            compressors=numcodecs.Blosc(cname="lz4"),
            chunk_key_encoding={"name": "v2", "separator": "/"},
        )
        scale = [1.0, 1.0, *(size * 2**number for size in SIZE)]
        place = [0.0, 0.0, 10.0, 0.0, 3.0]
        steps = [{"type": "scale", "scale": scale}, {"type": "translation", "translation": place}]
        levels.append({"path": level.name.strip("/"), "coordinateTransformations": steps})
    types = {"t": "time", "c": "channel"}
    axes: list[dict[str, str]] = [{"name": axis, "type": types.get(axis, "space")} for axis in "tczyx"]
    for axis in axes[2:]:
        axis["unit"] = "micrometer"
    group.attrs["multiscales"] = [{"version": "0.4", "name": "exported_data", "axes": axes, "datasets": levels}]
    with open_volume(tmp_path / "a.zarr") as volume:
        assert (volume.axes, volume.voxel_size) == ("tczyx", SIZE)
        np.testing.assert_array_equal(volume.read(), array)
    with open_volume(tmp_path / "a.zarr", level=1) as volume:
        assert (volume.shape, volume.voxel_size) == ((1, 2, 5, 7, 8), (10.0, 3.0, 2.5))


@pytest.mark.parametrize(
    "damage",
    [
        lambda image: image.pop("datasets"),
        lambda image: image.update(datasets=[]),
        lambda image: image.update(datasets=[{"name": "s0"}]),
        lambda image: image.update(axes=[{"type": "space"}] * 3),
        lambda image: image["datasets"][0].update(coordinateTransformations=[{"type": "scale", "scale": [1, 2]}]),
        lambda image: image["datasets"][0].update(path="s9"),
    ],
)
def test_damaged_metadata(image: Path, damage: Any) -> None:
    file = image / ("zarr.json" if (image / "zarr.json").exists() else ".zattrs")
    stored = json.loads(file.read_text())
    damage(stored.get("attributes", {"ome": stored})["ome"]["multiscales"][0])
    file.write_text(json.dumps(stored))
    with pytest.raises(FormatError, match="metadata"):
        open_volume(image)


def test_a_missing_level(image: Path) -> None:
    shutil.rmtree(image / "s0")
    with pytest.raises(FormatError, match="'s0' of the image, which its metadata name, is not there"):
        open_volume(image)
    with pytest.raises(MissingFileError):
        open_volume(image / "s0")
    assert open_volume(image, level=1).shape == (5, 7, 8)


def test_a_missing_chunk_is_nought(image: Path) -> None:
    (chunk,) = (image / "s0" / name for name in ("1.1.1", "c/1/1/1") if (image / "s0" / name).exists())
    chunk.unlink()
    expected = data((9, 14, 15))
    expected[4:8, 5:10, 6:12] = 0
    np.testing.assert_array_equal(open_volume(image).read(), expected)


# what is written


def test_a_damaged_chunk_is_named(tmp_path: Path) -> None:
    """The checksum finds a single wrong bit."""
    path = tmp_path / "out.ome.zarr"
    with create_volume(path, (9, 10, 12), "u2", "xyz", chunks=(4, 5, 6)) as volume:
        volume[()] = data((9, 10, 12))
    chunk = path / "0" / "c" / "0" / "1" / "2"  # stored as zyx
    stored = bytearray(chunk.read_bytes())
    stored[len(stored) // 2] ^= 1
    chunk.write_bytes(stored)
    with open_volume(path) as volume:
        np.testing.assert_array_equal(volume[:8], data((9, 10, 12))[:8])
        with pytest.raises(DamagedChunkError, match=r"x=8:9, y=5:10, z=0:6 (.|\n)*0/c/0/1/2") as caught:
            volume.read()
        assert caught.value.region == (slice(8, 9), slice(5, 10), slice(0, 6))  # in the volume's axes


def test_the_rule_for_shards() -> None:
    """A block of the engine is whole shards; few files have none."""
    assert (metadata.SHARD, metadata.SHARD_FLAT) == (memory.LARGEST, memory.LARGEST_FLAT)
    assert shard_shape("zyx", (1400,) * 3, (64,) * 3) == (128,) * 3
    assert shard_shape("zyx", (1300,) * 3, (64,) * 3) is None
    assert shard_shape("tzyxc", (900, 9, 200, 200, 3), (1, 9, 64, 64, 1)) == (1, 9, 128, 128, 1)
    assert shard_shape("yx", (30_000, 30_000), (256, 256)) == (1024, 1024)
    assert shard_shape("yx", (300_000, 30_000), (300, 1000)) == (900, 1000)


def test_shards(tmp_path: Path) -> None:
    array = data((9, 14, 15, 2))
    options: dict[str, Any] = {"chunks": (2, 3, 4, 1), "shards": (4, 6, 8, 1)}
    with create_volume(tmp_path / "out.ome.zarr", array.shape, "u2", "zyxc", **options) as volume:
        assert volume.chunks == (4, 6, 8, 1)
        for z, y, x, c in itertools.product(range(0, 9, 4), range(0, 14, 6), range(0, 15, 8), range(2)):
            block = np.s_[z : z + 4, y : y + 6, x : x + 8, c : c + 1]
            volume[block] = array[block]
            volume.sync(block)
    level = zarr.open_array(tmp_path / "out.ome.zarr" / "0", mode="r")
    assert (level.chunks, level.shards) == ((1, 2, 3, 4), (1, 4, 6, 8))
    assert len([file for file in (tmp_path / "out.ome.zarr" / "0" / "c").rglob("*") if file.is_file()]) == 2 * 3 * 3 * 2
    np.testing.assert_array_equal(level[...], array.transpose(3, 0, 1, 2))
    with open_volume(tmp_path / "out.ome.zarr") as volume:
        assert volume.chunks == (2, 3, 4, 1)
        np.testing.assert_array_equal(volume.read(), array)
    with pytest.raises(ShapeError, match="not whole chunks"):
        create_volume(tmp_path / "b.zarr", (9, 9), "u1", "yx", chunks=(2, 3), shards=(4, 4))


def test_a_pyramid(tmp_path: Path) -> None:
    """Level by level the reduction of the one before, whatever the pieces; described so that the levels coincide."""
    array = data((70, 131, 150), "u2")
    path = tmp_path / "out.ome.zarr"
    size = (6.0, 2.0, 2.0)
    options: dict[str, Any] = {"chunks": (16, 32, 16), "shards": (32, 32, 64), "voxel_size": size, "pyramid": "mean"}
    with create_volume(path, array.shape, "u2", "zyx", **options) as volume:
        volume[()] = array
    steps = pyramid_steps("zyx", array.shape, size)
    assert steps == [(1, 2, 2), (2, 2, 2)]
    factors = np.ones(3)
    group = zarr.open_group(path, mode="r")
    described = group.attrs["ome"]["multiscales"][0]
    assert described["type"] == "mean"
    for number, step in enumerate([(1, 1, 1), *steps]):
        array = reduce(array, step, "mean")
        factors *= step
        np.testing.assert_array_equal(group[str(number)][...], array)
        scale, *shift = described["datasets"][number]["coordinateTransformations"]
        assert scale["scale"] == list(factors * size)
        assert [step["translation"] for step in shift] == ([list((factors - 1) / 2 * size)] if number else [])
        with open_volume(path, level=number) as volume:
            assert volume.voxel_size == tuple(factors * size)
    model = Image.from_zarr(group)
    assert len(model.datasets[0]) == 3  # the first, and only, multi-resolution image


@pytest.mark.parametrize("axes", ["yx", "zyx", "xyz", "zyxc", "tzyxc", "cxy"])
@pytest.mark.parametrize("pyramid", [None, "max"])
def test_valid_in_the_eyes_of_ome_zarr_models(tmp_path: Path, axes: str, pyramid: str | None) -> None:
    extents = {"t": 2, "z": 7, "y": 70, "x": 13, "c": 3}
    array = data(tuple(extents[axis] for axis in axes), "u1")
    with create_volume(tmp_path / "a.zarr", array.shape, "u1", axes, voxel_size=SIZE, pyramid=pyramid) as volume:
        volume[()] = array
    image = Image.from_zarr(zarr.open_group(tmp_path / "a.zarr", mode="r"))
    (multiscale,) = image.ome_attributes.multiscales
    stored = [axis.name for axis in multiscale.axes]
    assert stored == [axis for axis in "tczyx" if axis in axes]
    assert [axis.unit for axis in multiscale.axes] == ["micrometer" if axis in "zyx" else None for axis in stored]
    assert len(multiscale.datasets) == (2 if pyramid else 1)


def test_only_ome_zarr_holds_pyramids(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="HDF5 holds no pyramid"):
        create_volume(tmp_path / "a.h5", (4, 5), "u1", "yx", pyramid="mean")
    with pytest.raises(SettingError, match="no way to make a pyramid"):
        create_volume(tmp_path / "a.zarr", (4, 5), "u1", "yx", pyramid="median")


def test_a_resumed_pyramid_has_the_same_bytes(tmp_path: Path) -> None:
    array = data((70, 75, 80))
    options: dict[str, Any] = {"chunks": (32,) * 3, "pyramid": "mode"}
    with create_volume(tmp_path / "a.zarr", array.shape, "u2", "zyx", **options) as volume:
        volume[()] = array
    volume = create_volume(tmp_path / "b" / "a.zarr", array.shape, "u2", "zyx", resume=True, **options)
    volume[()] = array
    volume.suspend()
    create_volume(tmp_path / "b" / "a.zarr", array.shape, "u2", "zyx", resume=True, **options).close()
    assert stored_bytes(tmp_path / "a.zarr") == stored_bytes(tmp_path / "b" / "a.zarr")


def slow_reduction(block: Array, step: tuple[int, ...], method: str) -> Array:
    """Voxel by voxel, in Python's own integers."""
    shape = tuple(-(-n // by) for n, by in zip(block.shape, step))
    out = np.empty(shape, block.dtype)
    for at in np.ndindex(shape):
        places = itertools.product(*(range(i * by, i * by + by) for i, by in zip(at, step)))
        values = [block[tuple(min(i, n - 1) for i, n in zip(place, block.shape))].item() for place in places]
        if method == "mean" and block.dtype.kind == "f":
            out[at] = sum(values) / len(values)
        elif method == "mean":
            out[at] = (2 * sum(values) + len(values)) // (2 * len(values))
        elif method == "mode":
            out[at] = max(values, key=lambda value: (values.count(value), value))
        else:
            out[at] = max(values) if method == "max" else values[0]
    return out


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["?", "u1", "i1", "u2", "i4", "u8", "i8", "f4", "f8"])
def test_reduction(method: str, dtype: str) -> None:
    rng = np.random.default_rng(0)
    kind = np.dtype(dtype).kind
    for shape, step in (((5, 6, 7), (2, 2, 2)), ((4, 5), (1, 2)), ((1, 3, 3), (2, 2, 2)), ((4, 4), (1, 1))):
        if kind == "f":  # sums of these are exact
            block = rng.integers(-50, 50, shape).astype(dtype) / 4
        elif kind == "b" or method == "mode":
            block = rng.integers(0, 2 if kind == "b" else 4, shape).astype(dtype)
        else:
            limits = np.iinfo(dtype)
            block = rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)
        np.testing.assert_array_equal(reduce(block, step, method), slow_reduction(block, step, method), strict=True)
