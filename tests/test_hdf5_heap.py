"""Strings of variable length read without HDF5: the same as HDF5 reads, and a clear end where HDF5 has none."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecc_rf.errors import FormatError
from ecc_rf.volumes.hdf5_heap import LONGEST_STRING, attribute_strings, dataset_strings, is_variable_string

texts = st.lists(st.binary(max_size=300).filter(lambda text: b"\0" not in text), max_size=20)
LIBVER = ("earliest", "v108", "latest")


@pytest.mark.parametrize("libver", LIBVER)
@pytest.mark.parametrize(
    "storage",
    [
        {},
        {"chunks": (3,), "maxshape": (None,)},
        {"chunks": (4,), "maxshape": (None,), "compression": "gzip"},
        {"userblock": 1024},
    ],
)
@given(values=texts)
@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_lists_are_as_hdf5_reads_them(
    tmp_path: Path, libver: str, storage: dict[str, Any], values: list[bytes]
) -> None:
    options = {key: value for key, value in storage.items() if key != "userblock" and values}
    with h5py.File(tmp_path / "a.h5", "w", libver=libver, userblock_size=storage.get("userblock", 0)) as file:
        file.create_dataset("list", data=np.array(values, object), dtype=h5py.string_dtype(), **options)
    with h5py.File(tmp_path / "a.h5") as file:
        assert dataset_strings(file["list"], "") == file["list"][()].tolist() == values


@pytest.mark.parametrize("libver", LIBVER)
@given(values=st.dictionaries(st.text("abcdef", min_size=1), st.text(max_size=100), max_size=7))
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_attributes_are_as_hdf5_reads_them(tmp_path: Path, libver: str, values: dict[str, str]) -> None:
    values = {name: text.replace("\0", "") for name, text in values.items()}
    with h5py.File(tmp_path / "a.h5", "w", libver=libver) as file:
        file["x"] = 1
        for name, text in values.items():  # one by one, so that the header goes on elsewhere
            file["x"].attrs[name] = text
    with h5py.File(tmp_path / "a.h5") as file:
        for name, text in values.items():
            assert attribute_strings(file["x"], name, "")[0].decode() == file["x"].attrs[name] == text


def test_a_value_in_the_header_of_its_object(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_layout(h5py.h5d.COMPACT)
        kind = h5py.h5t.py_create(h5py.string_dtype(), logical=True)
        h5py.h5d.create(file.id, b"text", kind, h5py.h5s.create(h5py.h5s.SCALAR), plist)
        file["text"][()] = "σ in the header"
    with h5py.File(tmp_path / "a.h5") as file:
        assert dataset_strings(file["text"], "")[0].decode() == "σ in the header"


def test_what_was_never_written_is_empty(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("list", (3,), h5py.string_dtype())
        file.create_dataset("chunked", (5,), h5py.string_dtype(), chunks=(2,))[2] = "c"
    with h5py.File(tmp_path / "a.h5") as file:
        assert dataset_strings(file["list"], "") == [b""] * 3
        assert dataset_strings(file["chunked"], "") == [b"", b"", b"c", b"", b""]


def test_a_file_that_is_still_being_written(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["text"] = b"here"
        file["text"].attrs["more"] = "there"
        assert dataset_strings(file["text"], "") == [b"here"]
        assert attribute_strings(file["text"], "more", "") == [b"there"]


def test_bits_that_fell_over_in_the_header_of_an_object(tmp_path: Path) -> None:
    """HDF5 finds some of them only when an attribute is opened, and says so by a KeyError."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.array([b"one", b"two"], object)
        file["x"].attrs["a"] = "text"
        begin = int(h5py.h5o.get_info(file["x"].id).addr)
    good, refused = path.read_bytes(), 0
    for at in range(begin, begin + 400, 4):
        path.write_bytes(good[:at] + bytes([good[at] ^ 0x11]) + good[at + 1 :])
        with contextlib.ExitStack() as stack:
            try:
                node = stack.enter_context(h5py.File(path, "r"))["x"]
                strings = isinstance(node, h5py.Dataset) and is_variable_string(node.dtype)
            except Exception:  # HDF5's part of the reading
                continue
            if not isinstance(node, h5py.Dataset):
                continue
            for read in (lambda: dataset_strings(node, "x"), lambda: attribute_strings(node, "a", "x")):  # noqa: B023
                try:
                    assert not strings or read()
                except FormatError:
                    refused += 1
    assert refused > 5


def test_all_texts_of_the_real_projects(golden: Path) -> None:
    seen = 0

    def visit(name: str, node: h5py.Group | h5py.Dataset) -> None:
        nonlocal seen
        if isinstance(node, h5py.Dataset) and is_variable_string(node.dtype):
            assert dataset_strings(node, name) == np.ravel(node[()]).tolist()
            seen += 1
        for key, value in node.attrs.items():
            if isinstance(value, str):
                assert attribute_strings(node, key, name)[0].decode() == value
                seen += 1

    for path in sorted(golden.rglob("*.ilp")):
        with h5py.File(path) as file:
            file.visititems(visit)
    assert seen > 400


Damage = Callable[[bytearray, int, int], None]  # file, offset of the descriptor, offset of the heap


def _length(value: int) -> Damage:
    return lambda data, at, heap: struct.pack_into("<I", data, at, value)


def _address(value: int) -> Damage:
    return lambda data, at, heap: struct.pack_into("<Q", data, at + 4, value)


def _index(value: int) -> Damage:
    return lambda data, at, heap: struct.pack_into("<I", data, at + 12, value)


def _heap(offset: int, layout: str, value: int) -> Damage:
    return lambda data, at, heap: struct.pack_into(layout, data, heap + offset, value)


def _no_heap(data: bytearray, at: int, heap: int) -> None:
    data[heap : heap + 512] = bytes(512)


def _no_objects(data: bytearray, at: int, heap: int) -> None:
    data[heap + 16 : heap + 512] = bytes(496)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_length(1_500_000_000), "claims 1,500,000,000 bytes; expected at most 1,048,576"),  # HDF5 allocates as much
        (_length(2**32 - 1), "claims 4,294,967,295 bytes"),
        (_length(9), "claims 9 bytes, the heap at [0-9]+ has 10 bytes"),
        (_address(2**40), "claims 16 bytes at 1099511627776, the file has"),
        (_address(2**64 - 1), "the file has"),
        (_address(0), "no heap of strings at 0"),
        (_index(77), "has nothing of it"),
        (_no_heap, "no heap of strings"),
        (_no_objects, "has nothing of it"),  # HDF5 goes round in these for ever
        (_heap(8, "<Q", 1_500_000_000), "no heap of strings"),
        (_heap(8, "<Q", 0), "no heap of strings"),
        (_heap(24, "<Q", 2**63), "an object beyond its end"),
        (_heap(24, "<Q", 0), "beyond its end"),
    ],
)
def test_damage(tmp_path: Path, damage: Damage, message: str) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["text"] = b"ten bytes!"
    with h5py.File(path) as file:
        at = file["text"].id.get_offset()
    data = bytearray(path.read_bytes())
    damage(data, at, data.find(b"GCOL"))
    path.write_bytes(data)
    with h5py.File(path) as file, pytest.raises(FormatError, match=message):
        dataset_strings(file["text"], "a.h5, text")


def test_one_long_text_under_many_names_is_no_bomb(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["long"] = b"x" * LONGEST_STRING
        file.create_dataset("list", (1000,), h5py.string_dtype())[:] = "a"
    with h5py.File(path) as file:
        one, many = file["long"].id.get_offset(), file["list"].id.get_offset()
    data = bytearray(path.read_bytes())
    data[many : many + 16_000] = data[one : one + 16] * 1000
    path.write_bytes(data)
    with h5py.File(path) as file:
        assert len(dataset_strings(file["long"], "")[0]) == LONGEST_STRING
        with pytest.raises(FormatError, match="claims 5,242,880 bytes"):
            dataset_strings(file["list"], "")


def test_a_header_that_goes_on_in_a_circle(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver="earliest") as file:
        file["x"] = 1
        for k in range(6):
            file["x"].attrs[f"name {k}"] = "text " * 20
    with h5py.File(path) as file:
        header = int(h5py.h5o.get_info(file["x"].id).addr)
        data = bytearray(path.read_bytes())
        # the first continuation message: kind 16, 16 bytes, flags and padding, address, length
        at = data.index(struct.pack("<HHI", 0x10, 16, 0), header) + 8
        struct.pack_into("<Q", data, at, at - 8)
        path.write_bytes(data)  # HDF5 has the header in its cache already
        assert "name 0" in file["x"].attrs
        with pytest.raises(FormatError, match=r"a header of|not read"):
            attribute_strings(file["x"], "name 5", "")


def test_lists_in_other_forms_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("shuffled", (3,), h5py.string_dtype(), chunks=(3,), shuffle=True)[:] = "a"
        file.create_dataset("table", (3, 3), h5py.string_dtype())
        file.create_dataset("large", (1 << 20,), h5py.string_dtype(), chunks=(1 << 20,))[0] = "a"
        with pytest.raises(FormatError, match="HDF5 filters \\[2\\]"):
            dataset_strings(file["shuffled"], "")
        with pytest.raises(FormatError, match="found shape \\(3, 3\\)"):
            dataset_strings(file["table"], "")
        with pytest.raises(FormatError, match="chunks of 16,777,216 bytes"):
            dataset_strings(file["large"], "")
