"""Images that attack their reader: bombs, lying headers, circles, links and names that lead elsewhere.

Each is a function that writes one into an empty folder and returns its path; its docstring is a part of what the
command must say (a pattern), or begins with "reads" if it must give a result.
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import imagecodecs
import numpy as np
import tifffile
import zarr

Attack = Callable[[Path], Path]
ATTACKS: dict[str, Attack] = {}

SHAPE = (32, 32, 32)
GIGABYTES = 3 << 30
_NOISE = np.random.default_rng(0).integers(0, 255, SHAPE, np.uint8)


def attack(make: Attack) -> Attack:
    ATTACKS[make.__name__] = make
    return make


def zeros_deflated(size: int, wbits: int = 15) -> bytes:
    """So many zeros, multiples of 16 MiB, in a thousandth of the bytes; with a wrong checksum, which nobody reaches."""
    stream = zlib.compressobj(9, wbits=wbits)
    head = stream.compress(b"") + stream.flush(zlib.Z_FULL_FLUSH)
    piece = stream.compress(bytes(1 << 24)) + stream.flush(zlib.Z_FULL_FLUSH)
    return head + piece * (size >> 24) + stream.flush()


_DEFLATED = zeros_deflated(GIGABYTES)


# --- HDF5 ---


@attack
def hdf5_chunk_bomb(folder: Path) -> Path:
    """more than the 32,768 bytes that are expected|stored in"""
    with h5py.File(folder / "a.h5", "w") as file:
        dataset = file.create_dataset("data", SHAPE, "u1", chunks=SHAPE, compression="gzip")
        dataset.id.write_direct_chunk((0, 0, 0), _DEFLATED)
    return folder / "a.h5"


@attack
def hdf5_larger_chunk_bomb(folder: Path) -> Path:
    """more than the 8,388,608 bytes that are expected"""
    with h5py.File(folder / "a.h5", "w") as file:
        dataset = file.create_dataset("data", (32, 512, 512), "u1", chunks=(32, 512, 512), compression="gzip")
        dataset.id.write_direct_chunk((0, 0, 0), _DEFLATED)
    return folder / "a.h5"


@attack
def hdf5_chunk_bomb_behind_a_checksum(folder: Path) -> Path:
    """more than the 8,388,608 bytes that are expected"""
    with h5py.File(folder / "a.h5", "w") as file:
        shape = (32, 512, 512)
        dataset = file.create_dataset("data", shape, "u1", chunks=shape, compression="gzip", fletcher32=True)
        dataset.id.write_direct_chunk((0, 0, 0), _DEFLATED + bytes(4))
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


# --- NPY and NPZ ---


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
        zipfile.ZipFile(folder / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("data.npy", "w", force_zip64=True) as file,
    ):
        file.write(header)
        for _ in range(GIGABYTES >> 24):
            file.write(bytes(1 << 24))
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


# --- NIfTI ---


def nifti(path: Path, changes: dict[int, bytes], data: bytes = _NOISE.tobytes(), order: str = "<") -> Path:
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
    return nifti(folder / "a.nii", {70: struct.pack("<2h", 32, 64)}, bytes(8 * _NOISE.size))


# --- flat images ---


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(path: Path, width: int, height: int, data: bytes, *more: bytes, colour: int = 0) -> Path:
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0))
    end = png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + end)
    return path


@attack
def png_bomb(folder: Path) -> Path:
    """claims 3,\\d\\d\\d,\\d\\d\\d,\\d\\d\\d bytes, and its format is decoded as a whole"""
    return png(folder / "a.png", 56755, 56755, _DEFLATED)


@attack
def png_lying_about_its_size(folder: Path) -> Path:
    """where:"""
    return png(folder / "a.png", 20000, 20000, zlib.compress(bytes(1000)))


@attack
def png_with_a_bomb_for_a_profile(folder: Path) -> Path:
    """reads"""
    rows = zlib.compress((b"\0" + bytes(range(64))) * 64)
    return png(folder / "a.png", 64, 64, rows, png_chunk(b"iCCP", b"x\0\0" + _DEFLATED))


@attack
def png_with_bombs_for_texts(folder: Path) -> Path:
    """reads"""
    rows = zlib.compress((b"\0" + bytes(range(64))) * 64)
    texts = [png_chunk(b"zTXt", b"x\0\0" + _DEFLATED), png_chunk(b"iTXt", b"x\0\1\0\0\0" + _DEFLATED)]
    return png(folder / "a.png", 64, 64, rows, *texts)


@attack
def png_cut_off(folder: Path) -> Path:
    """where:"""
    path = png(folder / "a.png", 64, 64, zlib.compress(np.random.default_rng(0).bytes(65 * 64)))
    path.write_bytes(path.read_bytes()[:1500])
    return path


def _jpeg(edge: int = 64) -> bytes:
    return bytes(imagecodecs.jpeg_encode(_NOISE.reshape(-1)[: edge * edge].reshape(edge, edge)))


@attack
def jpeg_of_65500(folder: Path) -> Path:
    """claims 4,\\d\\d\\d,\\d\\d\\d,\\d\\d\\d bytes, and its format"""
    stored = bytearray(_jpeg())
    at = stored.index(b"\xff\xc0")
    struct.pack_into(">HH", stored, at + 5, 65500, 65500)
    (folder / "a.jpg").write_bytes(stored)
    return folder / "a.jpg"


@attack
def jpeg_of_many_scans(folder: Path) -> Path:
    """scans of"""
    stored = bytearray(_jpeg())
    at = stored.index(b"\xff\xc0")
    struct.pack_into(">BHH", stored, at + 4, 8, 16000, 16000)
    stored[at + 1] = 0xC2
    scan = bytes(stored[stored.index(b"\xff\xda") : -2])
    (folder / "a.jpg").write_bytes(bytes(stored[:-2]) + scan * 500 + b"\xff\xd9")
    return folder / "a.jpg"


@attack
def jpeg_of_a_damaged_header(folder: Path) -> Path:
    """where:"""
    (folder / "a.jpg").write_bytes(b"\xff\xd8" + bytes(100) + b"\xff\xd9")
    return folder / "a.jpg"


@attack
def bmp_of_two_gigabytes(folder: Path) -> Path:
    """bytes, and its format is decoded as a whole"""
    stored = bytearray(imagecodecs.bmp_encode(_NOISE[0]))
    struct.pack_into("<ii", stored, 18, 40000, 40000)
    (folder / "a.bmp").write_bytes(stored)
    return folder / "a.bmp"


# --- TIFF ---


def tiff(path: Path, pages: list[dict[int, tuple[int, int, int]]], data: bytes = b"", loop: int | None = None) -> Path:
    """Pages of tags (kind, count, value or offset); data begin at byte 8."""
    content = bytearray(b"II*\0" + bytes(4)) + data
    places = []
    for tags in pages:
        places.append(len(content))
        content += struct.pack("<H", len(tags))
        for code, (kind, count, value) in sorted(tags.items()):
            content += struct.pack("<HHII", code, kind, count, value)
        content += bytes(4)
    for number, place in enumerate([*places[1:], 0 if loop is None else places[loop]]):
        end = places[number] + 2 + 12 * len(pages[number])
        struct.pack_into("<I", content, end, place)
    struct.pack_into("<I", content, 4, places[0])
    path.write_bytes(content)
    return path


def page(**changes: tuple[int, int, int]) -> dict[int, tuple[int, int, int]]:
    """Tags of a grey page of 64 x 64 voxels in one strip of the first 4,096 bytes."""
    tags = {256: (4, 1, 64), 257: (4, 1, 64), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1)}
    tags |= {273: (4, 1, 8), 277: (3, 1, 1), 278: (4, 1, 64), 279: (4, 1, 4096)}
    return tags | {int(key[1:]): value for key, value in changes.items()}


_PLANE = _NOISE.reshape(-1)[:4096].tobytes()


@attack
def tiff_pages_in_a_circle(folder: Path) -> Path:
    """in a circle: page 3"""
    return tiff(folder / "a.tif", [page()] * 3, _PLANE, loop=1)


@attack
def tiff_of_too_many_pages(folder: Path) -> Path:
    """more than 100,000 pages"""
    return tiff(folder / "a.tif", [page()] + [{256: (4, 1, 64)}] * 100_001, _PLANE)


@attack
def tiff_of_many_tags(folder: Path) -> Path:
    """expected at most 4,096"""
    return tiff(folder / "a.tif", [page() | dict.fromkeys(range(30000, 36000), (3, 1, 1))], _PLANE)


@attack
def tiff_page_beyond_the_file(folder: Path) -> Path:
    """truncated"""
    (folder / "a.tif").write_bytes(b"II*\0" + struct.pack("<I", 1 << 31) + bytes(100))
    return folder / "a.tif"


@attack
def tiff_tag_of_gigabytes(folder: Path) -> Path:
    """claims 4,294,967,\\d+ bytes|metadata"""
    return tiff(folder / "a.tif", [page(t700=(1, 0xFFFFFFFF, 8))], _PLANE)


@attack
def tiff_of_many_strips(folder: Path) -> Path:
    """numbers or more in its tags"""
    return tiff(folder / "a.tif", [page(t273=(4, 2_000_000, 8), t279=(4, 2_000_000, 8))] * 3, bytes(8_100_000))


@attack
def tiff_of_huge_extents(folder: Path) -> Path:
    """claims .* bytes by its shape|axis"""
    return tiff(folder / "a.tif", [page(t256=(4, 1, 0xFFFFFFFF), t257=(4, 1, 0xFFFFFFFF))], _PLANE)


@attack
def tiff_of_large_extents(folder: Path) -> Path:
    """claims 10,000,000,000 bytes by its shape"""
    return tiff(folder / "a.tif", [page(t256=(4, 1, 100_000), t257=(4, 1, 100_000), t278=(4, 1, 100_000))], _PLANE)


@attack
def tiff_strip_beyond_the_file(folder: Path) -> Path:
    """truncated"""
    return tiff(folder / "a.tif", [page(t273=(4, 1, 0x7FFFFFF0))], _PLANE)


@attack
def tiff_huge_strip(folder: Path) -> Path:
    """strips of 2,400,000,000 bytes"""
    changes = {"t256": (4, 1, 60000), "t257": (4, 1, 40000), "t278": (4, 1, 40000), "t259": (3, 1, 8)}
    changes |= {"t279": (4, 1, len(_DEFLATED))}
    return tiff(folder / "a.tif", [page(**changes)], _DEFLATED)


@attack
def tiff_strip_bomb(folder: Path) -> Path:
    """where:"""
    return tiff(folder / "a.tif", [page(t259=(3, 1, 8), t279=(4, 1, len(_DEFLATED)))], _DEFLATED)


@attack
def tiff_zstd_bomb(folder: Path) -> Path:
    """where:"""
    stored = imagecodecs.zstd_encode(bytes(1 << 30))
    return tiff(folder / "a.tif", [page(t259=(3, 1, 50000), t279=(4, 1, len(stored)))], stored)


@attack
def tiff_jpeg_of_65500(folder: Path) -> Path:
    """the compressed piece claims 4,"""
    stored = bytearray(_jpeg())
    struct.pack_into(">HH", stored, stored.index(b"\xff\xc0") + 5, 65500, 65500)
    return tiff(folder / "a.tif", [page(t259=(3, 1, 7), t279=(4, 1, len(stored)))], bytes(stored))


@attack
def tiff_jpeg_2000_of_60000(folder: Path) -> Path:
    """the compressed piece claims 3,600,000,000"""
    stored = bytearray(imagecodecs.jpeg2k_encode(_NOISE.reshape(-1)[:4096].reshape(64, 64), codecformat="j2k"))
    struct.pack_into(">II", stored, stored.index(b"\xff\x51") + 6, 60000, 60000)
    return tiff(folder / "a.tif", [page(t259=(3, 1, 34712), t279=(4, 1, len(stored)))], bytes(stored))


@attack
def tiff_of_another_codec(folder: Path) -> Path:
    """is compressed in the way 34887 of TIFF"""
    return tiff(folder / "a.tif", [page(t259=(3, 1, 34887))], _PLANE)


@attack
def tiff_of_no_width(folder: Path) -> Path:
    """where:"""
    return tiff(folder / "a.tif", [page(t256=(4, 1, 0))], _PLANE)


@attack
def tiff_of_many_bits(folder: Path) -> Path:
    """where:"""
    return tiff(folder / "a.tif", [page(t258=(3, 1, 60000))], _PLANE)


def _described_tiff(path: Path, text: str) -> Path:
    tifffile.imwrite(path, _NOISE, photometric="minisblack", description=text, metadata=None)
    return path


_OME = (
    '<?xml version="1.0"?>{0}<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
    '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="32" SizeY="32" SizeZ="{1}" SizeC="1" SizeT="1">'
    '<Channel ID="Channel:0:0"/>{2}</Pixels></Image></OME>'
)


@attack
def tiff_billion_laughs(folder: Path) -> Path:
    """defines entities"""
    levels = "".join(f'<!ENTITY e{k + 1} "{f"&e{k};" * 10}">' for k in range(9))
    text = _OME.format(f'<!DOCTYPE x [<!ENTITY e0 "lol">{levels}]>', 32, "&e9;")
    return _described_tiff(folder / "a.tif", text)


@attack
def tiff_entity_of_another_file(folder: Path) -> Path:
    """defines entities"""
    text = _OME.format('<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>', 32, "&e;")
    return _described_tiff(folder / "a.tif", text)


@attack
def tiff_of_a_billion_planes(folder: Path) -> Path:
    """claims 1,000,000,000 planes"""
    return _described_tiff(folder / "a.tif", _OME.format("", 10**9, "<TiffData/>"))


@attack
def tiff_counting_a_billion_planes(folder: Path) -> Path:
    """claims 1,000,000,032 planes"""
    return _described_tiff(folder / "a.tif", _OME.format("", 32, '<TiffData IFD="0" PlaneCount="1000000000"/>'))


@attack
def tiff_along_no_end(folder: Path) -> Path:
    """planes; expected at most"""
    text = _OME.format("", 32, "<TiffData/>").replace(
        "</OME>",
        '<StructuredAnnotations><XMLAnnotation ID="A:0" Namespace="openmicroscopy.org/omero/dimension/modulo"><Value>'
        '<Modulo><ModuloAlongZ Type="lifetime" Start="0" End="1e12" Step="0.001"/></Modulo>'
        "</Value></XMLAnnotation></StructuredAnnotations></OME>",
    )
    return _described_tiff(folder / "a.tif", text)


@attack
def tiff_planes_elsewhere(folder: Path) -> Path:
    """names a file that is elsewhere, '../../etc/passwd'"""
    data = '<TiffData IFD="0" PlaneCount="1"><UUID FileName="../../etc/passwd">urn:uuid:1</UUID></TiffData>'
    return _described_tiff(folder / "a.tif", _OME.format("", 32, data))


@attack
def tiff_planes_in_a_pipe(folder: Path) -> Path:
    """which is no file"""
    os.mkfifo(folder / "b.tif")
    data = '<TiffData IFD="0" PlaneCount="1"><UUID FileName="b.tif">urn:uuid:1</UUID></TiffData>'
    return _described_tiff(folder / "a.tif", _OME.format("", 32, data))


@attack
def tiff_long_description(folder: Path) -> Path:
    """bytes of metadata"""
    path = tiff(folder / "a.tif", [page(t270=(2, 100 << 20, 8))], _PLANE)
    os.truncate(path, 200 << 20)
    return path


@attack
def tiff_deep_description(folder: Path) -> Path:
    """reads|where:"""
    return _described_tiff(folder / "a.tif", "<OME>" + "<a>" * 200_000 + "</a>" * 200_000 + "</OME>")


@attack
def tiff_shape_in_words(folder: Path) -> Path:
    """reads"""
    return _described_tiff(folder / "a.tif", json.dumps({"shape": [10**6, 10**6, 10**6]}))


@attack
def tiff_imagej_of_a_billion(folder: Path) -> Path:
    """reads|where:"""
    return _described_tiff(folder / "a.tif", "ImageJ=1.53\nimages=1000000000\nslices=1000000000\n")


# --- Zarr and N5 ---


def zarr_array(folder: Path, zarr_format: int = 3, **changes: Any) -> Path:
    """An array of noise with its metadata changed."""
    path = folder / "a.zarr"
    zarr.create_array(path, data=_NOISE, chunks=(16, 16, 16), zarr_format=zarr_format)
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
    stored = bytearray(imagecodecs.blosc_encode(_NOISE[:4].tobytes(), compressor="lz4"))
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
    zarr.create_array(folder / "a.zarr", data=_NOISE, chunks=(8, 8, 8), shards=(16, 16, 16))
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
    zarr.create_array(folder / "b.zarr", data=_NOISE)
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
    (path / "0/0/0").write_bytes(head + (_NOISE.tobytes() if content is None else content))
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
