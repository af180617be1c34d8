"""NIfTI files that attack their reader."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

from tests.fuzzing.attacks import GIGABYTES, NOISE, SHAPE, attack, zeros_deflated


def nifti(path: Path, changes: dict[int, bytes], data: bytes = NOISE.tobytes(), order: str = "<") -> Path:
    """A NIfTI-1 file of noise with bytes of its header changed."""
    block = bytearray(352)
    struct.pack_into(order + "i", block, 0, 348)
    struct.pack_into(order + "8h", block, 40, 3, *SHAPE, 1, 1, 1, 1)
    struct.pack_into(order + "2h", block, 70, 2, 8)
    struct.pack_into(order + "8f", block, 76, 1, 1, 1, 1, 1, 1, 1, 1)
    struct.pack_into(order + "f", block, 108, 352)
    block[344:348] = b"n+1\0"
    for at, value in changes.items():
        block[at : at + len(value)] = value
    content = bytes(block) + data
    path.write_bytes(gzip.compress(content, 1) if path.suffix == ".gz" else content)
    return path


@attack
def nifti_negative_extents(folder: Path) -> Path:
    """claims 3 axes of"""
    return nifti(folder / "a.nii", {42: struct.pack("<h", -32)})


@attack
def nifti_of_200_axes(folder: Path) -> Path:
    """claims 200 axes|where:"""
    return nifti(folder / "a.nii", {40: struct.pack("<h", 200)})


@attack
def nifti_voxels_beyond_the_file(folder: Path) -> Path:
    """the voxels begin at byte|truncated"""
    return nifti(folder / "a.nii", {108: struct.pack("<f", 1e7)})


@attack
def nifti_voxels_at_infinity(folder: Path) -> Path:
    """the voxels begin at byte inf"""
    return nifti(folder / "a.nii.gz", {108: struct.pack("<f", float("inf"))})


@attack
def nifti_voxels_at_no_number(folder: Path) -> Path:
    """the voxels begin at byte nan"""
    return nifti(folder / "a.nii", {108: struct.pack("<f", float("nan"))})


@attack
def nifti_extension_of_gigabytes(folder: Path) -> Path:
    """an extension of the header claims 2,000,000,000 bytes"""
    changes = {348: b"\1\0\0\0", 108: struct.pack("<f", 512)}
    return nifti(folder / "a.nii", changes, struct.pack("<ii", 2_000_000_000, 4) + bytes(1 << 16))


@attack
def nifti_extension_bomb(folder: Path) -> Path:
    """the voxels begin at byte 3,221,225,472"""
    block = nifti(folder / "h.nii", {348: b"\1\0\0\0", 108: struct.pack("<f", GIGABYTES)}, b"").read_bytes()
    head = gzip.compress(block + struct.pack("<ii", GIGABYTES - (1 << 31), 4))
    (folder / "a.nii.gz").write_bytes(head + zeros_deflated(GIGABYTES, 31))
    return folder / "a.nii.gz"


@attack
def nifti_claims_of_a_small_gzip(folder: Path) -> Path:
    """claims 35,184,372,088,832 bytes|claims 32,\\d+"""
    return nifti(folder / "a.nii.gz", {42: struct.pack("<3h", 32000, 32000, 32000)})


@attack
def nifti_truncated_gzip(folder: Path) -> Path:
    """where:"""
    path = nifti(folder / "a.nii.gz", {})
    path.write_bytes(path.read_bytes()[:2000])
    return path


@attack
def nifti_scaled_by_infinity(folder: Path) -> Path:
    """scaled by inf"""
    return nifti(folder / "a.nii", {112: struct.pack("<2f", float("inf"), 0)})


@attack
def nifti_affine_of_no_numbers(folder: Path) -> Path:
    """reads"""
    return nifti(folder / "a.nii", {252: struct.pack("<2h", 0, 1), 280: struct.pack("<12f", *[float("nan")] * 12)})


@attack
def nifti_of_unknown_type(folder: Path) -> Path:
    """where:"""
    return nifti(folder / "a.nii", {70: struct.pack("<2h", 12345, 8)})


@attack
def nifti_of_complex_numbers(folder: Path) -> Path:
    """voxels must be integers, floats or booleans"""
    return nifti(folder / "a.nii", {70: struct.pack("<2h", 32, 64)}, bytes(8 * NOISE.size))
