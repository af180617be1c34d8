"""Mutants on the level of bytes: mostly where HDF5 keeps its own structure, for the rest of a file is voxels."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from random import Random

import h5py

_SIGNATURES = re.compile(rb"TREE|SNOD|HEAP|GCOL|OHDR|OCHK|FRHP|BTHD|\x89HDF\r\n")
_NEAR = 160  # bytes behind the beginning of a structure that belong to it, about


def anchors(path: Path) -> list[int]:
    """Offsets at which a structure of HDF5, or a small array, begins."""
    found = {match.start() for match in _SIGNATURES.finditer(path.read_bytes())}

    def visit(_: str, node: h5py.Group | h5py.Dataset) -> None:
        found.add(int(h5py.h5o.get_info(node.id).addr))  # object headers of the old kind have no signature
        if isinstance(node, h5py.Dataset) and node.nbytes < 4096 and node.id.get_offset() is not None:
            found.add(int(node.id.get_offset()))

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    return sorted(found)


def damaged(data: bytes, places: list[int], random: Random) -> tuple[bytes, str]:
    """The bytes with one to four kinds of damage, and what was done."""
    mutant, done = bytearray(data), []
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        if len(mutant) < 64:
            break
        done.append(random.choice(_KINDS)(mutant, places, random))
    return bytes(mutant), "; ".join(done)


def _position(mutant: bytearray, places: list[int], random: Random) -> int:
    if places and random.random() < 0.85:
        at = random.choice(places) + random.randrange(_NEAR)
    else:
        at = random.randrange(len(mutant))
    return min(at, len(mutant) - 16)


def _bit(mutant: bytearray, places: list[int], random: Random) -> str:
    at = _position(mutant, places, random)
    mutant[at] ^= 1 << random.randrange(8)
    return f"bit at {at}"


def _byte(mutant: bytearray, places: list[int], random: Random) -> str:
    at = _position(mutant, places, random)
    mutant[at] = random.randrange(256)
    return f"byte at {at}"


def _number(mutant: bytearray, places: list[int], random: Random) -> str:
    """An address or a size that is likely to hurt."""
    at = _position(mutant, places, random)
    size = len(mutant)
    width = random.choice("HIQQQ")
    bits = 8 * struct.calcsize(width)
    values = [0, 1, 2**bits - 1, 2 ** (bits - 1), 2 ** (bits - 1) - 1, 2 ** (bits - 2), size, size - 1, size + 1]
    values += [random.choice(places or [0]), 2**30, 1_500_000_000, 16, 255, random.getrandbits(bits)]
    at -= at % 8 if random.random() < 0.7 else 0  # HDF5 aligns its fields
    value = random.choice(values) % 2**bits
    struct.pack_into("<" + width, mutant, at, value)
    return f"{bits} bits at {at} = {value}"


def _zeros(mutant: bytearray, places: list[int], random: Random) -> str:
    at, length = _position(mutant, places, random), random.choice((4, 16, 64, 512))
    length = min(length, len(mutant) - at)
    mutant[at : at + length] = bytes(length)
    return f"{length} zeros at {at}"


def _noise(mutant: bytearray, places: list[int], random: Random) -> str:
    at, length = _position(mutant, places, random), random.choice((4, 16, 64, 512))
    length = min(length, len(mutant) - at)
    mutant[at : at + length] = random.randbytes(length)
    return f"{length} bytes of noise at {at}"


def _copied(mutant: bytearray, places: list[int], random: Random) -> str:
    """One structure over another of the same or of another kind."""
    here, there = (min(random.choice(places or [0]), len(mutant) - 64) for _ in range(2))
    length = min(random.choice((16, 64, 256)), len(mutant) - max(here, there))
    mutant[there : there + length] = mutant[here : here + length]
    return f"{length} bytes from {here} to {there}"


def _cut(mutant: bytearray, places: list[int], random: Random) -> str:
    end = random.randrange(len(mutant))
    del mutant[end:]
    return f"cut at {end}"


def _shifted(mutant: bytearray, places: list[int], random: Random) -> str:
    at = _position(mutant, places, random)
    if random.random() < 0.5:
        mutant[at:at] = random.randbytes(random.choice((1, 8, 100)))
        return f"bytes put in at {at}"
    del mutant[at : at + random.choice((1, 8, 100))]
    return f"bytes taken out at {at}"


# damage to single fields finds more than damage that HDF5 notices at once
_KINDS = (_bit, _byte, _byte, _number, _number, _number, _number, _zeros, _noise, _copied, _cut, _shifted)
