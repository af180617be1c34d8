"""Folders of TIFF planes: their order, what is missing or does not belong, and how often each is decoded."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from ecc_rf.blocks import Grid
from ecc_rf.errors import FormatError, MissingFileError
from ecc_rf.volumes import DamagedChunkError, open_volume
from ecc_rf.volumes.chunk_cache import ChunkCache
from ecc_rf.volumes.tiff import TiffVolume
from ecc_rf.volumes.tiff_planes import PlanesVolume
from tests.test_volumes_writing import data

Array = np.ndarray[Any, Any]
IMAGE = data((12, 20, 30))


def write(folder: Path, array: Array = IMAGE, name: str = "z{:03d}.tif", first: int = 0, **options: Any) -> None:
    folder.mkdir(exist_ok=True)
    for number, plane in enumerate(array, first):
        tifffile.imwrite(folder / name.format(number), plane, **{"metadata": None, **options})


@pytest.mark.parametrize(
    ("name", "first"),
    [("z{:03d}.tif", 0), ("{}.tif", 5), ("z{}.TIFF", 95), ("a_000{:02d}_16bit.tif", 1), ("a-{}0.tif", 0)],
)
def test_planes_are_in_the_order_of_their_numbers(tmp_path: Path, name: str, first: int) -> None:
    write(tmp_path / "a", name=name, first=first)
    (tmp_path / "a" / "notes.txt").touch()
    (tmp_path / "a" / "._z000.tif").touch()  # as macOS leaves them
    for path in (tmp_path / "a", f"{tmp_path}/a/", tmp_path / "a" / f"*{Path(name).suffix}"):
        with open_volume(path) as volume:
            assert (volume.axes, volume.voxel_size) == ("zyx", None)
            np.testing.assert_array_equal(volume.read(), IMAGE)


def test_a_pattern_chooses_a_stack(tmp_path: Path) -> None:
    write(tmp_path / "a", name="z{:03d}_ch1.tif")
    write(tmp_path / "a", IMAGE + 1, name="z{:03d}_ch2.tif")
    np.testing.assert_array_equal(open_volume(tmp_path / "a" / "*_ch2.tif").read(), IMAGE + 1)
    with pytest.raises(FormatError, match=r"no number in the names(.|\n)*pattern"):
        open_volume(tmp_path / "a")
    with pytest.raises(MissingFileError, match="no TIFF file matches"):
        open_volume(tmp_path / "a" / "*_ch3.tif")
    write(tmp_path / "a", name="mask{:03d}.tif")
    with pytest.raises(FormatError, match=r"more than one stack: mask000.tif and z000_ch1.tif"):
        open_volume(tmp_path / "a")


@pytest.mark.parametrize("name", ["z{:03d}.tif", "z{}.tif", "a1_{:05d}_x7.tif"])
def test_a_missing_plane(tmp_path: Path, name: str) -> None:
    write(tmp_path / "a", name=name)
    (tmp_path / "a" / name.format(7)).unlink()
    with pytest.raises(FormatError, match=r"plane 7 is missing between .*6.* and .*8"):
        open_volume(tmp_path / "a")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (IMAGE[0, 1:], r"shape \(19, 30\), but \(20, 30\) in z000.tif"),
        (IMAGE[0].astype("u1"), "dtype uint8, but uint16 in z000.tif"),
        (np.stack([IMAGE[0]] * 3, -1), "planes differ: shape"),
        (IMAGE[:2], "holds a stack of shape"),
    ],
)
def test_a_plane_of_another_kind(tmp_path: Path, other: Array, message: str) -> None:
    write(tmp_path / "a")
    photometric = "rgb" if other.shape[-1] == 3 else "minisblack"
    tifffile.imwrite(tmp_path / "a" / "z005.tif", other, photometric=photometric)
    with pytest.raises(FormatError, match=rf"{message}(.|\n)*z005.tif"):
        open_volume(tmp_path / "a")


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_truncated_plane_is_found_at_once(tmp_path: Path, compression: str | None) -> None:
    write(tmp_path / "a", compression=compression)
    file = tmp_path / "a" / "z005.tif"
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(FormatError, match=r"truncated(.|\n)*z005.tif"):
        open_volume(tmp_path / "a")


def test_a_damaged_plane_is_named(tmp_path: Path) -> None:
    write(tmp_path / "a", compression="zlib")
    file = tmp_path / "a" / "z005.tif"
    stored = bytearray(file.read_bytes())
    with tifffile.TiffFile(file) as tiff:
        start = tiff.pages[0].dataoffsets[0]
    stored[start + 20 : start + 40] = bytes(20)
    file.write_bytes(stored)
    with open_volume(tmp_path / "a") as volume:
        np.testing.assert_array_equal(volume[6:], IMAGE[6:])
        with pytest.raises(DamagedChunkError, match=r"z=5:6, y=0:20, x=0:30(.|\n)*z005.tif") as caught:
            volume.read()
        assert caught.value.region[0] == slice(5, 6)


def test_voxel_size_of_planes(tmp_path: Path) -> None:
    write(tmp_path / "a", imagej=True, resolution=(1 / 2, 1 / 3), metadata={"unit": "um", "spacing": 5.0})
    assert open_volume(tmp_path / "a").voxel_size == pytest.approx((5.0, 3.0, 2.0))


@pytest.mark.parametrize("file", ["planes", "stack.tif"])
@pytest.mark.parametrize("rows", [None, 8])
def test_each_piece_is_decoded_once(tmp_path: Path, file: str, rows: int | None) -> None:
    """Blocks with halos, in the order of the engine, by threads; the cache holds what a row of blocks needs."""
    image = data((40, 150, 130))
    if file == "planes":
        write(tmp_path / file, image, compression="zlib", rowsperstrip=rows)
    else:
        tifffile.imwrite(tmp_path / file, image, compression="zlib", rowsperstrip=rows, metadata=None)
    with open_volume(tmp_path / file) as volume:
        assert isinstance(volume, PlanesVolume | TiffVolume)
        blocks = list(Grid(image.shape, (16, 32, 32), (4, 6, 6)))
        with ThreadPoolExecutor(4) as threads:
            read = list(threads.map(lambda block: volume[block.read], blocks))
        for block, voxels in zip(blocks, read):
            np.testing.assert_array_equal(voxels, image[block.read])
        pieces = [-(-extent // edge) for extent, edge in zip(image.shape, volume.chunks or ())]
        assert volume.cache.loads == np.prod(pieces)


def test_the_cache_keeps_to_its_limit() -> None:
    cache = ChunkCache(limit=100)
    for number in [*range(10), 9, 8, 7, 0]:
        piece = cache.get((number,), lambda number=number: np.full(30, number, "u1"))  # type: ignore[misc]
        assert (piece == number).all()
        assert sum(entry.array.nbytes for entry in cache._entries.values() if entry.array is not None) <= 100
    assert cache.loads == 11


def test_what_fails_is_tried_again() -> None:
    cache = ChunkCache()

    def fail() -> Array:
        raise OSError

    with pytest.raises(OSError):
        cache.get((0,), fail)
    assert (cache.get((0,), lambda: IMAGE[0]) == IMAGE[0]).all()
    assert cache.loads == 1
