"""HDF5: which dataset, which axes, and what a file must not do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ecc_rf.errors import AxesError, FormatError, MissingFileError
from ecc_rf.volumes import axistags_json, create_volume, open_volume

IMAGE = np.arange(4 * 5 * 6, dtype="u2").reshape(4, 5, 6)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.h5"


def write(path: Path, **datasets: Any) -> None:
    with h5py.File(path, "w") as file:
        for name, array in datasets.items():
            file[name] = array


def test_the_only_image_is_found(path: Path) -> None:
    write(path, line=np.arange(3), scalar=1.5, text="x", **{"deep/down": IMAGE})
    with open_volume(path) as volume:
        assert volume.name == f"{path}/deep/down"
        np.testing.assert_array_equal(volume.read(), IMAGE)


def test_several_images_are_listed(path: Path) -> None:
    write(path, first=IMAGE, **{"deep/second": IMAGE})
    with pytest.raises(FormatError, match=r"2 images: deep/second, first[\s\S]*name one of them: .*a.h5/deep/second"):
        open_volume(path)


def test_no_image(path: Path) -> None:
    write(path, line=np.arange(3))
    with pytest.raises(FormatError, match="no image of 2 to 5 dimensions"):
        open_volume(path)


def test_a_missing_dataset_suggests_those_there_are(path: Path) -> None:
    write(path, **{"volume/data": IMAGE, "other": IMAGE})
    with pytest.raises(MissingFileError, match="did you mean volume/data"):
        open_volume(path / "volume" / "date")
    with pytest.raises(MissingFileError, match="there are: other, volume/data"):
        open_volume(path / "qqqqq")
    with pytest.raises(MissingFileError):
        open_volume(path / "volume")
    with pytest.raises(MissingFileError):
        open_volume(path / "other" / "further")


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (np.arange(4), "2 to 5"),
        (np.zeros((2,) * 6), "2 to 5"),
        (3, "2 to 5"),
        (np.zeros((0, 3)), "no voxels"),
    ],
)
def test_a_dataset_that_is_no_image(path: Path, value: Any, problem: str) -> None:
    write(path, data=value)
    with pytest.raises(FormatError, match=problem):
        open_volume(path / "data")


@pytest.mark.parametrize(
    "value",
    [
        np.zeros((3, 4), "c8"),
        np.zeros((3, 4), "S5"),
        np.array([["a", "b"], ["c", "d"]], dtype=object),
        np.zeros((3, 4), [("r", "u1"), ("g", "u1")]),
        np.zeros((3, 4), "V3"),
    ],
    ids=["complex", "bytes", "object", "compound", "opaque"],
)
def test_voxels_that_are_no_numbers(path: Path, value: Any) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("data", data=value, dtype=h5py.string_dtype() if value.dtype == object else None)
    with pytest.raises(FormatError, match="voxels must be"):
        open_volume(path)


def test_links_within_the_file_are_followed(path: Path) -> None:
    write(path, **{"deep/data": IMAGE})
    with h5py.File(path, "a") as file:
        file["soft"] = h5py.SoftLink("/deep/data")
        file["group"] = h5py.SoftLink("deep")
        file["deep/beside"] = h5py.SoftLink("data")
        file["hard"] = file["deep/data"]
    for inner in ("soft", "group/data", "deep/beside", "hard", "./deep//data"):
        np.testing.assert_array_equal(open_volume(f"{path}/{inner}").read(), IMAGE)


@pytest.mark.parametrize("inner", ["link", "group/data", "detour", "detour2/data"])
def test_links_out_of_the_file_are_refused(path: Path, inner: str) -> None:
    write(path.with_name("b.h5"), data=IMAGE)
    with h5py.File(path, "w") as file:
        file["link"] = h5py.ExternalLink("b.h5", "/data")
        file["group"] = h5py.ExternalLink("b.h5", "/")
        file["detour"] = h5py.SoftLink("/link")
        file["detour2"] = h5py.SoftLink("/group")
    with pytest.raises(FormatError, match="link to another file"):
        open_volume(f"{path}/{inner}")
    with pytest.raises(FormatError, match="no image"):
        open_volume(path)


def test_links_in_a_circle(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["a"] = h5py.SoftLink("/b")
        file["b"] = h5py.SoftLink("/a")
    with pytest.raises(FormatError, match="circle"):
        open_volume(path / "a")
    with pytest.raises(FormatError, match="no image"):
        open_volume(path)


def test_virtual_and_external_storage_are_refused(path: Path) -> None:
    write(path.with_name("b.h5"), data=IMAGE)
    (path.with_name("raw.bin")).write_bytes(IMAGE.tobytes())
    with h5py.File(path, "w") as file:
        layout = h5py.VirtualLayout(IMAGE.shape, IMAGE.dtype)
        layout[...] = h5py.VirtualSource("b.h5", "data", IMAGE.shape)
        file.create_virtual_dataset("virtual", layout)
        external = [(str(path.with_name("raw.bin")), 0, IMAGE.nbytes)]
        file.create_dataset("external", IMAGE.shape, IMAGE.dtype, external=external)
    for inner in ("virtual", "external"):
        with pytest.raises(FormatError, match="not followed"):
            open_volume(path / inner)


def test_a_filter_that_needs_a_plug_in_is_refused(path: Path) -> None:
    with h5py.File(path, "w") as file:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk(IMAGE.shape)
        plist.set_filter(32015, h5py.h5z.FLAG_OPTIONAL)
        space = h5py.h5s.create_simple(IMAGE.shape)
        h5py.h5d.create(file.id, b"data", h5py.h5t.STD_U16LE, space, plist)
    with pytest.raises(FormatError, match=r"filter 32015[\s\S]*h5repack"):
        open_volume(path)


def test_a_shape_larger_than_the_file_is_refused(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("data", shape=(10**6, 10**6, 10**3), dtype="u2")
    with pytest.raises(FormatError, match="holds 0 bytes of the 2000000000000000"):
        open_volume(path)


def test_a_damaged_chunk(path: Path) -> None:
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("data", data=IMAGE, chunks=(2, 5, 6), compression="gzip")
        second = dataset.id.get_chunk_info(1)
    stored = bytearray(path.read_bytes())
    stored[second.byte_offset : second.byte_offset + second.size] = b"\xff" * second.size
    path.write_bytes(stored)
    with open_volume(path) as volume:
        np.testing.assert_array_equal(volume[:2], IMAGE[:2])
        with pytest.raises(FormatError, match="cannot be read"):
            volume[1:3]


@pytest.mark.parametrize("kind", [str, bytes])
def test_axes_from_axistags(path: Path, kind: type) -> None:
    write(path, data=IMAGE)
    tags = axistags_json("xzy")
    with h5py.File(path, "a") as file:
        file["data"].attrs["axistags"] = tags if kind is str else np.bytes_(tags)
    assert open_volume(path).axes == "xzy"
    assert open_volume(path, axes="tyx").axes == "tyx"


@pytest.mark.parametrize(
    ("tags", "error"),
    [
        ("{", FormatError),
        ("[]", FormatError),
        ('{"axes": [{"key": "y"}, {"key": "y"}, {"key": "x"}]}', FormatError),
        ('{"axes": [{"key": "a"}, {"key": "y"}, {"key": "x"}]}', AxesError),
        (axistags_json("yx"), AxesError),
        (3.5, FormatError),
    ],
)
def test_axistags_that_say_nothing(path: Path, tags: Any, error: type[Exception]) -> None:
    write(path, data=IMAGE)
    with h5py.File(path, "a") as file:
        file["data"].attrs["axistags"] = tags
        file["data"].attrs["axis_units"] = "{}"
    with pytest.raises(error):
        open_volume(path)
    with open_volume(path, axes="zyx") as volume:
        assert (volume.axes, volume.voxel_size) == ("zyx", None)


@pytest.mark.parametrize(
    ("units", "expected"),
    [
        ({"z": "µm", "y": "um", "x": "micrometer"}, (7.0, 6.0, 5.0)),
        ({"z": "mm", "y": "nm", "x": "μm"}, (7000.0, 0.006, 5.0)),
        ({"z": "um", "y": "um"}, None),
        ({"z": "pixel", "y": "um", "x": "um"}, None),
        (None, None),
        ("junk", None),
    ],
)
def test_voxel_size_from_axistags(path: Path, units: Any, expected: Any) -> None:
    write(path, data=IMAGE)
    with h5py.File(path, "a") as file:
        file["data"].attrs["axistags"] = axistags_json("zyx", (7, 6, 5))
        file["data"].attrs["axis_units"] = json.dumps(units)
    assert open_volume(path).voxel_size == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize("sizes", [[1.0, 2.0], [1.0, 0.0, 2.0], [1.0, np.nan, 2.0], "junk"])
def test_a_voxel_size_that_is_none(path: Path, sizes: Any) -> None:
    write(path, data=IMAGE)
    with h5py.File(path, "a") as file:
        file["data"].attrs["element_size_um"] = sizes
        file["data"].attrs["drange"] = sizes if sizes != [1.0, 2.0] else [1.0]
    with open_volume(path) as volume:
        assert volume.voxel_size is None
        assert volume.drange is None


def test_drange(path: Path) -> None:
    write(path, data=IMAGE)
    with h5py.File(path, "a") as file:
        file["data"].attrs["drange"] = np.array([0, 255], "u1")
    assert open_volume(path).drange == (0.0, 255.0)


def test_the_caller_s_axes_take_the_sizes_along(path: Path) -> None:
    """The sizes are those of the dimensions, whatever their letters."""
    write(path, data=IMAGE)
    with h5py.File(path, "a") as file:
        file["data"].attrs["axistags"] = axistags_json("xyz", (1, 2, 3))
        file["data"].attrs["axis_units"] = json.dumps(dict.fromkeys("xyz", "um"))
    assert open_volume(path).voxel_size == (1, 2, 3)
    assert open_volume(path, axes="zyx").voxel_size == (3, 2, 1)
    assert open_volume(path, axes="cyx").voxel_size == (1, 2, 1)


def test_attributes_do_not_replace_what_the_image_needs(path: Path) -> None:
    attributes = {"axistags": "mine", "drange": "mine", "note": "mine"}
    with create_volume(path, IMAGE.shape, "u2", "xzy", drange=(0, 1), attributes=attributes) as volume:
        volume[()] = IMAGE
    with open_volume(path) as volume, h5py.File(path) as file:
        assert (volume.axes, volume.drange, file["data"].attrs["note"]) == ("xzy", (0, 1), "mine")
