"""NPY and NPZ files that attack their reader."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np

from tests.fuzzing.attacks import GIGABYTES, SHAPE, attack


def npy(path: Path, header: str, data: bytes = b"", version: bytes = b"\x01\x00") -> Path:
    """An array with a header of one's own."""
    text = header.encode("latin-1")
    width = "<H" if version == b"\x01\x00" else "<I"
    path.write_bytes(b"\x93NUMPY" + version + struct.pack(width, len(text)) + text + data)
    return path


def described(descr: str, shape: str) -> str:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n"


@attack
def npy_larger_than_the_file(folder: Path) -> Path:
    """truncated: 1.. bytes of 1,000,000,0"""
    return npy(folder / "a.npy", described("'|u1'", "(1000, 1000, 1000)"), bytes(100))


@attack
def npy_of_huge_extents(folder: Path) -> Path:
    """claims the shape .*e\\+30"""
    return npy(folder / "a.npy", described("'|u1'", f"(4, {10**30}, 4)"), bytes(100))


@attack
def npy_of_negative_extents(folder: Path) -> Path:
    """claims the shape"""
    return npy(folder / "a.npy", described("'|u1'", "(-4, -4, 16)"), bytes(256))


@attack
def npy_of_objects(folder: Path) -> Path:
    """voxels must be integers, floats or booleans"""
    array = np.empty(SHAPE, object)
    np.save(folder / "a.npy", array, allow_pickle=True)
    return folder / "a.npy"


@attack
def npy_header_of_many_brackets(folder: Path) -> Path:
    """where:"""
    return npy(folder / "a.npy", described("'|u1'", "(" * 4000), bytes(100))


@attack
def npy_header_of_many_signs(folder: Path) -> Path:
    """where:"""
    return npy(folder / "a.npy", described("'|u1'", "(" + "-" * 9000 + "1,)"), bytes(100))


@attack
def npy_header_of_many_dimensions(folder: Path) -> Path:
    """an image has 2 to 5 dimensions"""
    return npy(folder / "a.npy", described("'|u1'", "(" + "1," * 60 + ")"), bytes(100))


@attack
def npy_long_header(folder: Path) -> Path:
    """claims 200,000,000 characters"""
    path = npy(folder / "a.npy", "x", version=b"\x02\x00")
    with path.open("r+b") as file:
        file.seek(8)
        file.write(struct.pack("<I", 200_000_000))
        file.truncate(220_000_000)
    return path


@attack
def npy_of_a_nested_type(folder: Path) -> Path:
    """where:"""
    return npy(folder / "a.npy", described("[('a', '|u1', (100000, 100000))]", "(4, 4)"), bytes(100))


@attack
def npz_bomb(folder: Path) -> Path:
    """claims 3,221,225,472 bytes, and its format is decoded as a whole"""
    header = npy(folder / "h", described("'|u1'", "(3, 1024, 1048576)")).read_bytes()
    with (
        zipfile.ZipFile(folder / "a.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("data.npy", "w", force_zip64=True) as file,
    ):
        file.write(header)
        zeros = bytes(1 << 24)
        for _ in range(GIGABYTES >> 24):
            file.write(zeros)
    return folder / "a.npz"


@attack
def npz_of_objects(folder: Path) -> Path:
    """voxels must be integers, floats or booleans"""
    np.savez(folder / "a.npz", data=np.empty((4, 4), object))
    return folder / "a.npz"


@attack
def npz_of_many_members(folder: Path) -> Path:
    """6,000 members"""
    with zipfile.ZipFile(folder / "a.npz", "w") as archive:
        for number in range(6000):
            archive.writestr(f"{number}.npy", b"")
    return folder / "a.npz"
