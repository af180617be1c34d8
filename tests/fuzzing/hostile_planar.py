"""PNG, JPEG, BMP and TIFF files that attack their reader."""

from __future__ import annotations

import json
import os
import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile

from tests.fuzzing.attacks import DEFLATED, NOISE, attack


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
    return png(folder / "a.png", 56755, 56755, DEFLATED)


@attack
def png_lying_about_its_size(folder: Path) -> Path:
    """where:"""
    return png(folder / "a.png", 20000, 20000, zlib.compress(bytes(1000)))


@attack
def png_with_a_bomb_for_a_profile(folder: Path) -> Path:
    """reads"""
    rows = zlib.compress((b"\0" + bytes(range(64))) * 64)
    return png(folder / "a.png", 64, 64, rows, png_chunk(b"iCCP", b"x\0\0" + DEFLATED))


@attack
def png_with_bombs_for_texts(folder: Path) -> Path:
    """reads"""
    rows = zlib.compress((b"\0" + bytes(range(64))) * 64)
    texts = [png_chunk(b"zTXt", b"x\0\0" + DEFLATED), png_chunk(b"iTXt", b"x\0\1\0\0\0" + DEFLATED)]
    return png(folder / "a.png", 64, 64, rows, *texts)


@attack
def png_cut_off(folder: Path) -> Path:
    """where:"""
    path = png(folder / "a.png", 64, 64, zlib.compress(np.random.default_rng(0).bytes(65 * 64)))
    path.write_bytes(path.read_bytes()[:1500])
    return path


def _jpeg(edge: int = 64) -> bytes:
    return bytes(imagecodecs.jpeg_encode(NOISE.reshape(-1)[: edge * edge].reshape(edge, edge)))


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
    stored = bytearray(imagecodecs.bmp_encode(NOISE[0]))
    struct.pack_into("<ii", stored, 18, 40000, 40000)
    (folder / "a.bmp").write_bytes(stored)
    return folder / "a.bmp"


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


_PLANE = NOISE.reshape(-1)[:4096].tobytes()


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
    changes |= {"t279": (4, 1, len(DEFLATED))}
    return tiff(folder / "a.tif", [page(**changes)], DEFLATED)


@attack
def tiff_strip_bomb(folder: Path) -> Path:
    """where:"""
    return tiff(folder / "a.tif", [page(t259=(3, 1, 8), t279=(4, 1, len(DEFLATED)))], DEFLATED)


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
    stored = bytearray(imagecodecs.jpeg2k_encode(NOISE.reshape(-1)[:4096].reshape(64, 64), codecformat="j2k"))
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
    tifffile.imwrite(path, NOISE, photometric="minisblack", description=text, metadata=None)
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
