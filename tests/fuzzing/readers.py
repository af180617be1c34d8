"""What is fuzzed with coverage as its guide: readers that take bytes, and good inputs to begin with.

A reader may raise an `EccError`, nothing else.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import struct
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import h5py
import imagecodecs
import numpy as np
import tifffile
import zarr

from ecc_rf import IlastikProject
from ecc_rf.errors import EccError, NoForestError
from ecc_rf.ilp.block_axes import parse_block_slice
from ecc_rf.ilp.stored_paths import likely_places, normalized, several_files
from ecc_rf.ilp.versions import version_key
from ecc_rf.ilp.vigra_trees import trees_from_arrays
from ecc_rf.volumes import open_volume
from ecc_rf.volumes.axes import axes_from_axistags, voxel_size_from_axistags
from ecc_rf.volumes.decoding import _DECODERS, decompressed
from ecc_rf.volumes.hdf5_heap import attribute_strings, dataset_strings
from ecc_rf.volumes.image_header import check_image
from ecc_rf.volumes.zarr_store import _check_metadata
from tests.conftest import ROOT

_WORK = Path(tempfile.mkdtemp(prefix="fuzz-"))
_IMAGE = np.arange(4 * 8 * 8, dtype=np.uint16).reshape(4, 8, 8)


@dataclass(frozen=True)
class Target:
    """A reader, and what it reads when all is well."""

    read: Callable[[bytes], object]
    seeds: Callable[[], list[bytes]]


_NUMBERS = (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\0\0\0\x80")


def attempt(target: Target, data: bytes) -> None:
    """Read, and be content with an error that a user can read."""
    try:
        target.read(data)
    except EccError as error:
        assert str(error)


def mutations(seeds: list[bytes], number: int, seed: int) -> Iterator[bytes]:
    """Seeds with a few bytes changed, cut off or repeated: for where no coverage guides."""
    random = Random(seed)
    for _ in range(number):
        data = bytearray(random.choice(seeds))
        for _ in range(random.choice((1, 1, 2, 5))):
            at = random.randrange(len(data) + 1)
            how = random.randrange(5)
            if how == 0:
                data[at : at + 1] = random.randbytes(1)
            elif how == 1:
                data[at : at + 4] = random.choice(
                    (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\0\0\0\x80")
                )
            elif how == 2:
                del data[at : at + random.choice((1, 4, 100))]
            elif how == 3:
                data[at:at] = data[at : at + random.choice((4, 30))] * random.choice((1, 3))
            else:
                data[at : at + 2] = random.randbytes(2)
        yield bytes(data)


def _text(read: Callable[[str], object]) -> Callable[[bytes], object]:
    return lambda data: read(data.decode("utf-8", "replace"))


def _links(text: str) -> None:
    path = normalized(text)
    several_files(path)
    likely_places(path, Path("/p"), [])


def _axistags(text: str) -> None:
    voxel_size_from_axistags("zyx", text, '{"z": "um", "y": "um", "x": "um"}')
    axes_from_axistags(text)


def _tree(data: bytes) -> None:
    half = len(data) // 2
    topology = np.frombuffer(data[: half // 4 * 4], np.int32)
    parameters = np.frombuffer(data[half : half + half // 8 * 8], np.float64)
    trees_from_arrays([topology], [parameters], 2)


def _trees() -> list[bytes]:
    with h5py.File(ROOT / "data/fixtures/cells.ilp", "r") as file:
        forest = file["PixelClassification/ClassifierForests/Forest0000"]
        tree = next(forest[name] for name in sorted(forest) if name.startswith("Tree_"))
        topology, parameters = tree["topology"][()].astype(np.int32), tree["parameters"][()]
    one, other = topology.tobytes(), parameters.astype(np.float64).tobytes()
    longest = max(len(one), len(other))
    return [one.ljust(longest, b"\0") + other.ljust(longest, b"\0")]


def _file(name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    def reader(data: bytes) -> object:
        path = _WORK / name
        path.write_bytes(data)
        return read(path)

    return reader


def _volume(path: Path) -> None:
    with open_volume(path) as volume:
        volume[tuple(slice(0, 4) for _ in volume.shape)]


def _project(path: Path) -> None:
    project = IlastikProject.open(path)
    project.describe()
    project.labels(0)
    with contextlib.suppress(NoForestError):
        project.forest()


def _strings(path: Path) -> None:
    try:
        file = h5py.File(path, "r")
    except OSError:
        return
    with file:
        try:
            node = file["x"]
            kind = h5py.check_string_dtype(node.dtype)
        except Exception:  # HDF5's part of the reading
            return
        if kind is not None and kind.length is None:
            dataset_strings(node, "x")
            attribute_strings(node, "a", "x")


def _written(name: str, write: Callable[[Path], object]) -> bytes:
    path = _WORK / f"seed-{name}"
    write(path)
    return path.read_bytes()


def _hdf5_strings(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["x"] = np.array([b"one", b"two", b"three"] * 5, object)
        file["x"].attrs["a"] = "text"


def _small_project(path: Path) -> None:
    from tests.ilp_projects import RawBlock, RawProject, lane

    block = RawBlock(np.ones((1, 2, 2, 1), np.uint8), (0, 0, 0, 0), "zyxc")
    RawProject(lanes=[lane(b"a.h5", "zyx", (9, 9, 9))], labels=[[block]]).write(path)


def _niftis() -> list[bytes]:
    head = bytearray(352)
    struct.pack_into("<i", head, 0, 348)
    struct.pack_into("<8h", head, 40, 3, 8, 8, 4, 1, 1, 1, 1)
    struct.pack_into("<2h", head, 70, 512, 16)
    struct.pack_into("<8f", head, 76, *[1] * 8)
    struct.pack_into("<f", head, 108, 352)
    head[344:348] = b"n+1\0"
    return [bytes(head) + _IMAGE.tobytes()]


def _tiffs() -> list[bytes]:
    options: list[dict[str, object]] = [
        {"ome": True, "metadata": {"axes": "ZYX"}},
        {"imagej": True},
        {"compression": "zlib", "tile": (16, 16)},
        {"bigtiff": True, "compression": "lzw", "predictor": 2},
    ]
    return [
        _written(f"{k}.tif", lambda path, k=k: tifffile.imwrite(path, _IMAGE, photometric="minisblack", **options[k]))
        for k in range(len(options))
    ]


def _zarr_metadata() -> list[bytes]:
    found = []
    for zarr_format in (2, 3):
        path = _WORK / f"seed-{zarr_format}.zarr"
        zarr.create_array(path, data=_IMAGE, chunks=(2, 4, 4), zarr_format=zarr_format, overwrite=True)
        found += [file.read_bytes() for file in (path / "zarr.json", path / ".zarray") if file.exists()]
    return found


def _npy() -> bytes:
    file = io.BytesIO()
    np.save(file, _IMAGE)
    return file.getvalue()


def _compressed(data: bytes) -> None:
    kinds = sorted(_DECODERS)
    if data:
        decompressed(kinds[data[0] % len(kinds)], data[1:], 4096)


def _compressions() -> list[bytes]:
    import bz2
    import lzma
    import zlib

    import numcodecs

    content = b"abcd" * 1024
    encoded = {
        "blosc": imagecodecs.blosc_encode(content),
        "bzip2": bz2.compress(content),
        "gzip": gzip.compress(content),
        "lz4": numcodecs.LZ4().encode(content),
        "lzf": imagecodecs.lzf_encode(content),
        "lzma": lzma.compress(content),
        "zlib": zlib.compress(content),
        "zstd": imagecodecs.zstd_encode(content),
    }
    return [bytes([number]) + bytes(encoded[kind]) for number, kind in enumerate(sorted(_DECODERS))]


def _flat_images() -> list[bytes]:
    image = _IMAGE[0].astype(np.uint8)
    return [
        bytes(encode(image)) for encode in (imagecodecs.png_encode, imagecodecs.jpeg_encode, imagecodecs.jpeg2k_encode)
    ]


TARGETS: dict[str, Target] = {
    "axistags": Target(_text(_axistags), lambda: [b'{"axes": [{"key": "y", "resolution": 2.5}, {"key": "x"}]}']),
    "block_slices": Target(_text(parse_block_slice), lambda: [b"[0:1,5:40,0:16,0:1]"]),
    "compressed": Target(_compressed, _compressions),
    "heap": Target(_file("a.h5", _strings), lambda: [_written("heap.h5", _hdf5_strings)]),
    "image_headers": Target(lambda data: check_image(data, "a.png"), _flat_images),
    "links": Target(_text(_links), lambda: [b"../a/b.h5/data", b"C:\\data\\a_*.png;b.png", b"a.h5/x:b.h5/x"]),
    "nifti": Target(_file("a.nii", _volume), _niftis),
    "nifti_compressed": Target(_file("a.nii.gz", _volume), lambda: [gzip.compress(_niftis()[0])]),
    "npy": Target(_file("a.npy", _volume), lambda: [_npy()]),
    "png": Target(_file("a.png", _volume), lambda: _flat_images()[:1]),
    "project": Target(_file("a.ilp", _project), lambda: [_written("a.ilp", _small_project)]),
    "tiff": Target(_file("a.tif", _volume), _tiffs),
    "trees": Target(_tree, _trees),
    "versions": Target(_text(version_key), lambda: [b"1.4.1b3", b"1.3"]),
    "zarr_metadata": Target(lambda data: _check_metadata(data, "zarr.json"), _zarr_metadata),
}
