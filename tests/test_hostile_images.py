"""Images that attack their reader end in an error that gives the figure: in seconds, in little memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import imagecodecs
import numpy as np
import pytest
import tifffile

from ecc_rf.errors import FormatError
from ecc_rf.volumes import limits, open_volume
from ecc_rf.volumes.decoding import decompressed
from ecc_rf.volumes.hdf5_chunks import read_region
from tests.conftest import ROOT

FORMATS = ("hdf5", "np", "nifti", "png", "jpeg", "bmp", "tiff", "zarr", "n5")


def attacked(*arguments: str) -> list[str]:
    """What is told of each command; in a process of its own: it forks, which a process with threads must not."""
    script = [sys.executable, str(ROOT / "scripts" / "attack_images.py"), *arguments]
    done = subprocess.run(script, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    lines = done.stdout.splitlines()
    assert all(" attacks, 0 bad" in line and ": 0 attacks" not in line for line in lines), done.stdout
    return lines


@pytest.mark.parametrize("beginning", FORMATS)
def test_attacks(beginning: str) -> None:
    assert len(attacked("--only", beginning)) == 1


def test_attacks_through_every_command() -> None:
    """Few of them; `--command all` without `--only` is the long form."""
    assert len(attacked("--command", "classify", "run", "preview", "cells", "raw", "--only", "tiff_jpeg")) == 5


def test_every_attack_is_of_a_format() -> None:
    from tests.fuzzing.hostile_images import ATTACKS

    assert all(name.startswith(FORMATS) for name in ATTACKS)
    assert all(attack.__doc__ for attack in ATTACKS.values())


@pytest.mark.parametrize("dtype", ["u1", "u2", ">u2", "i4", "f4", ">f8", "?"])
@pytest.mark.parametrize("options", [{}, {"shuffle": True}, {"fletcher32": True}, {"lzf": True}, {"none": True}])
def test_chunks_decoded_here_are_those_of_hdf5(tmp_path: Path, dtype: str, options: dict[str, bool]) -> None:
    array = np.random.default_rng(0).integers(0, 200, (25, 20, 15)).astype(dtype)
    lzf, plain = options.pop("lzf", False), options.pop("none", False)
    compression = None if plain else "lzf" if lzf else "gzip"
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset(
            "x", (25, 20, 15), dtype, chunks=(8, 8, 8), compression=compression, fillvalue=1, **options
        )
        dataset[:20] = array[:20]
        for region in ((), (slice(3, 22), slice(0, 20), slice(7, 8))):
            ours, theirs = read_region(dataset, region), dataset[region]
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)


def test_numbers_that_numpy_has_not_are_left_to_hdf5(tmp_path: Path) -> None:
    """Such as 12 bits in a field of 16."""
    kind = h5py.h5t.STD_U16LE.copy()
    kind.set_precision(12)
    kind.set_offset(4)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((4, 4))
        plist.set_deflate(4)
        h5py.h5d.create(file.id, b"x", kind, h5py.h5s.create_simple((8, 8)), plist)
        file["x"][...] = np.arange(64).reshape(8, 8) * 60
        np.testing.assert_array_equal(read_region(file["x"]), np.arange(64).reshape(8, 8) * 60)


@pytest.mark.parametrize("kind", ["gzip", "zlib", "bzip2", "lzma", "zstd", "blosc", "lz4", "lzf"])
def test_decompression_ends(kind: str) -> None:
    import bz2
    import gzip
    import lzma
    import zlib

    import numcodecs

    content = b"abcdefgh" * 4000
    encode = {
        "gzip": gzip.compress,
        "zlib": zlib.compress,
        "bzip2": bz2.compress,
        "lzma": lzma.compress,
        "zstd": imagecodecs.zstd_encode,
        "blosc": imagecodecs.blosc_encode,
        "lz4": lambda data: numcodecs.LZ4().encode(data),
        "lzf": imagecodecs.lzf_encode,
    }
    stored = bytes(encode[kind](content))
    assert decompressed(kind, stored, len(content)) == content
    with pytest.raises(FormatError):
        decompressed(kind, stored, len(content) // 2)
    for damaged in (b"junk" * 100, stored[: len(stored) // 2]):
        with pytest.raises(FormatError):
            decompressed(kind, damaged, len(content))
    if kind in ("gzip", "bzip2", "lzma", "zstd"):  # programs that compress in parallel write one stream after the other
        assert decompressed(kind, stored + stored, 2 * len(content)) == 2 * content


@pytest.mark.parametrize("compression", ["jpeg", "jpeg2000", "zlib", "lzw", "zstd", "lzma", "packbits", None])
@pytest.mark.parametrize("tile", [None, (64, 64)])
def test_compressed_tiff_is_still_read(tmp_path: Path, compression: str | None, tile: tuple[int, int] | None) -> None:
    y, x = np.mgrid[:200, :300]
    image = ((np.sin(y / 30) + np.cos(x / 40)) * 50 + 128).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", image, compression=compression, tile=tile, photometric="minisblack")
    with open_volume(tmp_path / "a.tif") as volume:
        assert np.abs(volume.read().astype(int) - image).max() <= (8 if compression == "jpeg" else 0)


def test_an_image_may_be_mostly_background(tmp_path: Path) -> None:
    """Chunks that hold one value shrink ten thousandfold, and need not be stored."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("data", (2048, 2048, 2048), "u1", chunks=(64, 64, 64), compression="gzip")
        dataset[1000:1100, 1000:1100, 1000:1100] = np.random.default_rng(0).integers(0, 255, (100, 100, 100))
    with open_volume(tmp_path / "a.h5") as volume:
        assert volume[1050:1060, 1050:1060, 1050:1060].any()


def test_limits_are_said_with_their_figures() -> None:
    with pytest.raises(FormatError, match=r"claims 2,000,000,000 bytes by its shape .* of which 10 are stored"):
        limits.check_claim("a.h5", (1000, 2_000_000), 1, 10)
    limits.check_claim("a.h5", (1000, 2_000_000), 1, 20_000)
    with pytest.raises(FormatError, match="chunks of 1,000,000,000 bytes"):
        limits.check_piece("a.h5", (1000, 1000, 1000), 1)
    with pytest.raises(FormatError, match="8,000,000 chunks of 4 bytes"):
        limits.check_number_of_chunks("a.h5", (200, 200, 200), (1, 1, 1), 4)
