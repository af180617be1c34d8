"""Zarr and N5 folders that attack their reader."""

from __future__ import annotations

import bz2
import json
import lzma
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import zarr

from tests.fuzzing.attacks import GIGABYTES, NOISE, attack, zeros_deflated


def zarr_array(folder: Path, zarr_format: int = 3, **changes: Any) -> Path:
    """An array of noise with its metadata changed."""
    path = folder / "a.zarr"
    zarr.create_array(path, data=NOISE, chunks=(16, 16, 16), zarr_format=zarr_format)
    name = path / ("zarr.json" if zarr_format == 3 else ".zarray")
    name.write_text(json.dumps(json.loads(name.read_text()) | changes))
    return path


def grid(edge: int) -> dict[str, Any]:
    return {"name": "regular", "configuration": {"chunk_shape": [edge] * 3}}


def gzipped(path: Path, content: bytes, kind: str = "gzip", **configuration: Any) -> Path:
    """All chunks are these bytes."""
    bytes_codec = {"name": "bytes", "configuration": {"endian": "little"}}
    codec = {"name": kind, "configuration": configuration}
    name = path / "zarr.json"
    name.write_text(json.dumps(json.loads(name.read_text()) | {"codecs": [bytes_codec, codec]}))
    for chunk in (path / "c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(content)
    return path


@attack
def zarr_of_huge_extents(folder: Path) -> Path:
    """voxels along an axis"""
    return zarr_array(folder, shape=[10**18] * 3)


@attack
def zarr_of_large_extents(folder: Path) -> Path:
    """claims 1,000,000,000,000,000,000 bytes by its shape"""
    return zarr_array(folder, shape=[10**6] * 3)


@attack
def zarr_huge_chunk(folder: Path) -> Path:
    """chunks of 8,589,934,592 bytes"""
    return zarr_array(folder, chunk_grid=grid(2048))


@attack
def zarr_gzip_bomb(folder: Path) -> Path:
    """stored in|more than the 4,096 bytes"""
    return gzipped(zarr_array(folder), zeros_deflated(GIGABYTES, 31), level=5)


@attack
def zarr_small_gzip_bomb(folder: Path) -> Path:
    """the gzip data are more than the 4,096 bytes"""
    return gzipped(zarr_array(folder), zeros_deflated(1 << 29, 31), level=5)


@attack
def zarr_zstd_bomb(folder: Path) -> Path:
    """the zstd data are more than the 4,096 bytes"""
    return gzipped(zarr_array(folder), imagecodecs.zstd_encode(bytes(1 << 30)), "zstd", level=0, checksum=False)


@attack
def zarr_blosc_bomb(folder: Path) -> Path:
    """the blosc data are more than the 4,096 bytes"""
    stored = imagecodecs.blosc_encode(bytes(1 << 29), compressor="zstd")
    options: dict[str, Any] = {"typesize": 1, "cname": "zstd", "clevel": 5, "shuffle": "noshuffle", "blocksize": 0}
    return gzipped(zarr_array(folder), stored, "blosc", **options)


@attack
def zarr_blosc_beyond_its_end(folder: Path) -> Path:
    """where:"""
    stored = bytearray(imagecodecs.blosc_encode(NOISE[:4].tobytes(), compressor="lz4"))
    struct.pack_into("<III", stored, 4, 4096, 64, 1 << 30)
    options: dict[str, Any] = {"typesize": 1, "cname": "lz4", "clevel": 5, "shuffle": "noshuffle", "blocksize": 0}
    return gzipped(zarr_array(folder), bytes(stored[:100]), "blosc", **options)


@attack
def zarr_of_old_zlib_bomb(folder: Path) -> Path:
    """the zlib data are more than the 4,096 bytes"""
    path = zarr_array(folder, 2, compressor={"id": "zlib", "level": 1})
    for chunk in path.glob("[0-9]*"):
        chunk.write_bytes(zeros_deflated(1 << 29))
    return path


@attack
def zarr_shard_index_lies(folder: Path) -> Path:
    """where:"""
    zarr.create_array(folder / "a.zarr", data=NOISE, chunks=(8, 8, 8), shards=(16, 16, 16))
    for shard in (folder / "a.zarr" / "c").rglob("*"):
        if shard.is_file():
            stored = bytearray(shard.read_bytes())
            for k in range(8):
                struct.pack_into("<QQ", stored, len(stored) - 4 - 16 * (8 - k), 1 << 40, 1 << 50)
            index = bytes(stored[-132:-4])
            stored[-4:] = struct.pack("<I", _crc32c(index))
            shard.write_bytes(stored)
    return folder / "a.zarr"


def _crc32c(data: bytes) -> int:
    import google_crc32c

    return int.from_bytes(google_crc32c.Checksum(data).digest(), "big")


@attack
def zarr_shard_of_many_chunks(folder: Path) -> Path:
    """chunks in a shard|small|chunks of 1 bytes"""
    zarr.create_array(folder / "a.zarr", shape=(256, 256, 256), dtype="u1", chunks=(1, 1, 1), shards=(256, 256, 256))
    return folder / "a.zarr"


@attack
def zarr_codec_pickle(folder: Path) -> Path:
    """with the codec 'pickle', which is not read"""
    path = zarr_array(folder, 2, compressor=None, filters=[{"id": "pickle"}])
    for chunk in path.glob("[0-9]*"):
        chunk.write_bytes(pickle.dumps(np.zeros(4)))
    return path


@attack
def zarr_codec_of_a_plug_in(folder: Path) -> Path:
    """with the codec 'numcodecs.pickle', which is not read"""
    return gzipped(zarr_array(folder), b"", "numcodecs.pickle")


@attack
def zarr_of_objects(folder: Path) -> Path:
    """where:"""
    return zarr_array(folder, 2, dtype="|O", filters=[{"id": "json2"}], fill_value=None)


@attack
def zarr_filter_to_long_texts(folder: Path) -> Path:
    """a filter of the image is for what is no number"""
    return zarr_array(folder, 2, filters=[{"id": "astype", "encode_dtype": "|u1", "decode_dtype": "|S100000000"}])


@attack
def zarr_metadata_of_a_gigabyte(folder: Path) -> Path:
    """1,073,741,824 bytes of metadata"""
    path = zarr_array(folder)
    os.truncate(path / "zarr.json", 1 << 30)
    return path


@attack
def zarr_deep_metadata(folder: Path) -> Path:
    """where:"""
    path = zarr_array(folder)
    (path / "zarr.json").write_text("[" * 1_000_000)
    return path


@attack
def zarr_metadata_in_a_pipe(folder: Path) -> Path:
    """pipe"""
    path = zarr_array(folder)
    (path / "zarr.json").unlink()
    os.mkfifo(path / "zarr.json")
    return path


@attack
def zarr_chunk_in_a_pipe(folder: Path) -> Path:
    """pipe"""
    path = zarr_array(folder)
    (path / "c/0/0/0").unlink()
    os.mkfifo(path / "c/0/0/0")
    return path


@attack
def zarr_chunk_that_leads_out(folder: Path) -> Path:
    """leads out of the image's folder"""
    path = zarr_array(folder)
    (path / "c/0/0/0").unlink()
    (path / "c/0/0/0").symlink_to("/etc/passwd")
    return path


@attack
def zarr_folder_that_leads_out(folder: Path) -> Path:
    """leads out of the image's folder"""
    path = zarr_array(folder)
    (path / "c").rename(folder / "c")
    (path / "c").symlink_to(folder / "c")
    return path


@attack
def zarr_level_that_leads_out(folder: Path) -> Path:
    """where:"""
    zarr.create_array(folder / "b.zarr", data=NOISE)
    image = {"axes": [{"name": axis, "type": "space"} for axis in "zyx"], "datasets": [{"path": "../b.zarr"}]}
    zarr.create_group(folder / "a.zarr", attributes={"ome": {"version": "0.5", "multiscales": [image]}})
    return folder / "a.zarr"


@attack
def zarr_folder_in_a_circle(folder: Path) -> Path:
    """where:"""
    zarr.create_group(folder / "a.zarr/b")
    for name in "cdefgh":
        (folder / "a.zarr" / name).symlink_to(folder / "a.zarr")
    zarr.create_group(folder / "a.zarr")
    return folder / "a.zarr"


@attack
def zarr_chunk_of_a_gigabyte(folder: Path) -> Path:
    """a chunk is stored in 1,073,741,824 bytes"""
    path = zarr_array(folder)
    os.truncate(path / "c/0/0/0", 1 << 30)
    return path


def n5(folder: Path, content: bytes | None = None, **changes: Any) -> Path:
    """A dataset of one block."""
    path = folder / "a.n5"
    (path / "0/0").mkdir(parents=True)
    attributes = {"dimensions": [32, 32, 32], "blockSize": [32, 32, 32], "dataType": "uint8"}
    (path / "attributes.json").write_text(json.dumps(attributes | {"compression": {"type": "raw"}} | changes))
    head = struct.pack(">HHIII", 0, 3, 32, 32, 32)
    (path / "0/0/0").write_bytes(head + (NOISE.tobytes() if content is None else content))
    return path


@attack
def n5_of_huge_extents(folder: Path) -> Path:
    """voxels along an axis"""
    return n5(folder, dimensions=[10**18] * 3)


@attack
def n5_of_large_extents(folder: Path) -> Path:
    """claims 1,000,000,000,000,000,000 bytes"""
    return n5(folder, dimensions=[10**6] * 3)


@attack
def n5_huge_block(folder: Path) -> Path:
    """chunks of 8,589,934,592 bytes"""
    return n5(folder, blockSize=[2048] * 3)


@attack
def n5_of_negative_blocks(folder: Path) -> Path:
    """claims the shape|damaged"""
    return n5(folder, blockSize=[-32, -32, 32])


@attack
def n5_attributes_that_are_a_list(folder: Path) -> Path:
    """damaged"""
    path = n5(folder)
    (path / "attributes.json").write_text("[1]")
    return path


@attack
def n5_gzip_bomb(folder: Path) -> Path:
    """the gzip data are more than|stored in"""
    return n5(folder, zeros_deflated(1 << 29, 31), compression={"type": "gzip"})


@attack
def n5_bzip2_bomb(folder: Path) -> Path:
    """the bzip2 data are more than"""
    return n5(folder, bz2.compress(bytes(1 << 28)), compression={"type": "bzip2"})


@attack
def n5_xz_bomb(folder: Path) -> Path:
    """the lzma data are more than"""
    return n5(folder, lzma.compress(bytes(1 << 28), preset=0), compression={"type": "xz"})


@attack
def n5_zstd_bomb(folder: Path) -> Path:
    """the zstd data are more than"""
    return n5(folder, imagecodecs.zstd_encode(bytes(1 << 30)), compression={"type": "zstd"})


@attack
def n5_blosc_bomb(folder: Path) -> Path:
    """the blosc data are more than"""
    stored = imagecodecs.blosc_encode(bytes(1 << 29), compressor="zstd")
    return n5(folder, stored, compression={"type": "blosc"})


@attack
def n5_block_that_leads_out(folder: Path) -> Path:
    """leads out of the image's folder"""
    path = n5(folder)
    (path / "0/0/0").unlink()
    (path / "0/0/0").symlink_to("/etc/passwd")
    return path


@attack
def n5_block_in_a_pipe(folder: Path) -> Path:
    """pipe"""
    path = n5(folder)
    (path / "0/0/0").unlink()
    os.mkfifo(path / "0/0/0")
    return path


@attack
def n5_long_attributes(folder: Path) -> Path:
    """1,073,741,824 bytes of metadata"""
    path = n5(folder)
    os.truncate(path / "attributes.json", 1 << 30)
    return path
