"""HDF5 files that attack their reader."""

from __future__ import annotations

from pathlib import Path

import h5py

from tests.fuzzing.attacks import DEFLATED, SHAPE, attack


@attack
def hdf5_chunk_bomb(folder: Path) -> Path:
    """more than the 32,768 bytes that are expected|stored in"""
    with h5py.File(folder / "a.h5", "w") as file:
        dataset = file.create_dataset("data", SHAPE, "u1", chunks=SHAPE, compression="gzip")
        dataset.id.write_direct_chunk((0, 0, 0), DEFLATED)
    return folder / "a.h5"


@attack
def hdf5_larger_chunk_bomb(folder: Path) -> Path:
    """more than the 8,388,608 bytes that are expected"""
    with h5py.File(folder / "a.h5", "w") as file:
        dataset = file.create_dataset("data", (32, 512, 512), "u1", chunks=(32, 512, 512), compression="gzip")
        dataset.id.write_direct_chunk((0, 0, 0), DEFLATED)
    return folder / "a.h5"


@attack
def hdf5_chunk_bomb_behind_a_checksum(folder: Path) -> Path:
    """more than the 8,388,608 bytes that are expected"""
    with h5py.File(folder / "a.h5", "w") as file:
        shape = (32, 512, 512)
        dataset = file.create_dataset("data", shape, "u1", chunks=shape, compression="gzip", fletcher32=True)
        dataset.id.write_direct_chunk((0, 0, 0), DEFLATED + bytes(4))
    return folder / "a.h5"


@attack
def hdf5_of_nothing(folder: Path) -> Path:
    """claims 1,099,511,627,776 bytes by its shape .* of which 0 are stored"""
    with h5py.File(folder / "a.h5", "w") as file:
        file.create_dataset("data", (1 << 14, 1 << 13, 1 << 13), "u1", chunks=(64, 64, 64))
    return folder / "a.h5"


@attack
def hdf5_huge_chunk(folder: Path) -> Path:
    """chunks of 1,073,741,824 bytes"""
    with h5py.File(folder / "a.h5", "w") as file:
        file.create_dataset("data", (256, 2048, 2048), "u1", chunks=(256, 2048, 2048), compression="gzip")
    return folder / "a.h5"


@attack
def hdf5_million_chunks(folder: Path) -> Path:
    """2,097,152 chunks of 1 bytes"""
    with h5py.File(folder / "a.h5", "w") as file:
        file.create_dataset("data", (128, 128, 128), "u1", chunks=(1, 1, 1))
    return folder / "a.h5"
