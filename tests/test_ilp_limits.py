"""What a project claims beyond reason is refused with the figure, and without reading it."""

from __future__ import annotations

import contextlib
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecc_rf import IlastikProject
from ecc_rf.errors import EccError, FormatError
from ecc_rf.features.selection import FeatureSelection
from ecc_rf.ilp import limits
from ecc_rf.ilp.block_axes import parse_block_slice
from ecc_rf.ilp.encoding import dataset_in, read_texts
from ecc_rf.ilp.stored_paths import likely_places, matching_files, normalized, several_files
from ecc_rf.ilp.versions import version_key
from ecc_rf.trained_on import stored_training
from ecc_rf.volumes.axes import axes_from_axistags, axistags_json, voxel_size_from_axistags
from tests.ilp_projects import RawBlock, RawProject, lane

LABELS = "PixelClassification/LabelSets/labels000"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    block = RawBlock(np.ones((1, 2, 2, 1), np.uint8), (0, 0, 0, 0), "zyxc")
    return RawProject(lanes=[lane(b"a.h5", "zyx", (9, 9, 9))], labels=[[block]]).write(tmp_path / "p.ilp")


def test_a_label_block_for_a_whole_brain_is_read_in_pieces(path: Path) -> None:
    shape = (512, 512, 1024, 1)  # 268 MB
    with h5py.File(path, "r+") as file:
        del file[f"{LABELS}/block0000"], file["Input Data/infos/lane0000/Raw Data/shape"]
        block = file.create_dataset(f"{LABELS}/block0000", shape, "u1", chunks=(64, 64, 64, 1), compression="gzip")
        block[100, 200, 300, 0] = 2
        block[500, 500:502, 1000, 0] = 1
        for z in range(0, 512, 64):  # so that the claim is one that the file can hold
            block[z : z + 64] = block[z : z + 64]
        block.attrs["blockSlice"] = "[0:512,0:512,0:1024,0:1]"
    tracemalloc.start()
    labels = IlastikProject.open(path).labels(0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert labels.coords.tolist() == [[100, 200, 300, 0], [500, 500, 1000, 0], [500, 501, 1000, 0]]
    assert labels.values.tolist() == [2, 1, 1]
    assert peak < 100 << 20


def test_a_block_under_many_names(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file[f"{LABELS}/block0000"]
        block = file.create_dataset(f"{LABELS}/block0000", data=np.zeros((1, 1 << 20, 16, 1), "u1"), compression="gzip")
        block.attrs["blockSlice"] = f"[0:1,0:{1 << 20},0:16,0:1]"
        for number in range(1, 60):
            file[f"{LABELS}/block{number:04d}"] = block
    with pytest.raises(FormatError, match="more than the file can hold"):
        IlastikProject.open(path).labels(0)


@pytest.mark.parametrize(
    ("chunks", "message"), [((1, 1), "4,194,304 chunks of 1 bytes"), ((2048, 1 << 18), "of 536,870,912 bytes")]
)
def test_wild_chunks(tmp_path: Path, chunks: tuple[int, int], message: str) -> None:
    with h5py.File(tmp_path / "a.ilp", "w") as file:
        file.create_dataset("x", (2048, 2048), "u1", chunks=chunks, maxshape=(None, None))
        with pytest.raises(FormatError, match=message):
            dataset_in(file, "x", 1e9)


def test_filters_of_plug_ins(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.ilp", "w") as file:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((4,))
        plist.set_filter(32015, h5py.h5z.FLAG_OPTIONAL)
        h5py.h5d.create(file.id, b"x", h5py.h5t.NATIVE_DOUBLE, h5py.h5s.create_simple((4,)), plist)
        with pytest.raises(FormatError, match="HDF5 filter 32015, which needs a plug-in"):
            dataset_in(file, "x")


def test_more_of_everything_than_there_can_be(path: Path, fixtures: Path, tmp_path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["PixelClassification/LabelNames"]
        file["PixelClassification/LabelNames"] = np.array([b"x"] * (limits.MOST_LABELS + 1))
        with pytest.raises(FormatError, match="256 strings; expected at most 255"):
            read_texts(file["PixelClassification"], "LabelNames", limits.MOST_LABELS)
    with pytest.raises(EccError, match="is larger than 1000 voxels"):
        FeatureSelection(("GaussianSmoothing",), (1e6,), ((True,),))
    with pytest.raises(EccError, match="1,000,000,000 channels give more than 65,536 features"):
        FeatureSelection.recommended().plan((50, 50, 50), 10**9)
    forest = tmp_path / "f.ilp"
    forest.write_bytes((fixtures / "cells.ilp").read_bytes())
    with h5py.File(forest, "r+") as file:
        group = file["PixelClassification/ClassifierForests"]
        for number in range(limits.MOST_FORESTS):
            group[f"ForestX{number}"] = group["Forest0000"]
    with pytest.raises(FormatError, match="forests; expected at most 1,024"):
        IlastikProject.open(forest).forest()


def test_claims_of_an_image_do_not_stop_the_description(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        raw = file["Input Data/infos/lane0000/Raw Data"]
        del raw["shape"], raw["axistags"]
        raw["shape"] = np.array([9, 9, 9, 2**30])
        raw["axisorder"] = b"zyxc"
    assert IlastikProject.open(path).describe()["lanes"][0]["shape"] == [9, 9, 9, 2**30]


@pytest.mark.parametrize("text", ["/a" * 200_000, ":" * 300_000, "/*" * 30 + "/x.h5", "1" * 10_000, "~x" * 5000])
def test_paths_that_would_take_for_ever(path: Path, text: str) -> None:
    with h5py.File(path, "r+") as file:
        del file["Input Data/infos/lane0000/Raw Data/filePath"]
        file["Input Data/infos/lane0000/Raw Data/filePath"] = text.encode()
    assert IlastikProject.open(path).lanes[0].location.path is None


def test_a_pattern_does_not_walk_through_a_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        (tmp_path / f"{number:02d}.png").touch()
    (tmp_path / ".hidden.png").touch()
    assert len(matching_files(f"{tmp_path}/*.png")) == 30
    assert matching_files(f"{tmp_path}/0[1-3].p?g") == [f"{tmp_path}/0{k}.png" for k in (1, 2, 3)]
    monkeypatch.setattr("ecc_rf.ilp.stored_paths._MOST_LISTED", 20)
    assert matching_files(f"{tmp_path}/*.png") == []


def test_a_version_of_many_digits() -> None:
    assert version_key("1" * 5000) is None
    assert version_key("1.4" + ".1" * 5000) is None


# grammars: whatever the text, an answer or a user's error

anything = st.text(max_size=200) | st.text("[]:;,0123456789 /\\.*?~Cab", max_size=60)


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)), min_size=1, max_size=5))
@settings(deadline=None)
def test_block_slices_are_read_as_written(pairs: list[tuple[int, int]]) -> None:
    bounds = [(low, low + length) for low, length in pairs]
    assert parse_block_slice("[" + ",".join(f"{a}:{b}" for a, b in bounds) + "]") == bounds


@given(anything)
@settings(deadline=None)
def test_any_text_as_a_block_slice(text: str) -> None:
    bounds = parse_block_slice(text)
    assert bounds is None or all(0 <= start <= stop for start, stop in bounds)


@given(anything)
@settings(deadline=None)
def test_any_text_as_a_path(text: str) -> None:
    path = normalized(text)
    assert "\\" not in path
    assert all(several_files(path)) and all(part in path for part in several_files(path))
    assert all(place.is_relative_to("/p") for place in likely_places(path, Path("/p"), []))


@given(st.permutations("tzyxc"), st.integers(2, 5))
@settings(deadline=None)
def test_axis_orders(letters: list[str], number: int) -> None:
    axes = "".join(letters[:number])
    text = '{"axes": [' + ",".join(f'{{"key": "{axis}"}}' for axis in axes) + "]}"
    assert axes_from_axistags(text) == axes


@given(anything | st.from_regex(r'\{"axes": ?\[(\{"key": ?"[a-z]"\},?)*\]\}', fullmatch=True))
@settings(deadline=None)
def test_any_text_as_axistags(text: str) -> None:
    with contextlib.suppress(FormatError):
        assert isinstance(axes_from_axistags(text), str)


# what a project notes of its training, in JSON

NUMBER = "9" * 400  # an integer of JSON, and of Python; no float


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        f'{{"version": 1, "window_um": {NUMBER}}}',
        f'{{"version": 1, "window_um": 75, "lanes": {{"0": {{"stored": true, "scales": [{NUMBER}]}}}}}}',
        '{"version": 1, "window_um": NaN}',
        '{"version": 1, "window_um": 75, "lanes": []}',
        "null",
        "",
    ],
)
def test_a_note_of_normalisation_that_cannot_be(fixtures: Path, tmp_path: Path, text: str) -> None:
    path = tmp_path / "p.ilp"
    path.write_bytes((fixtures / "cells.ilp").read_bytes())
    with h5py.File(path, "r+") as file:
        file.create_group("ecc_rf/normalization").attrs["settings"] = text
    project = IlastikProject.open(path)
    with pytest.raises(EccError) as caught:
        _ = project.normalization
    assert caught.value.what and str(path) in caught.value.where
    assert "problem" in project.describe()["normalization"]


def test_a_note_whose_text_is_damaged(fixtures: Path, tmp_path: Path) -> None:
    """HDF5 would believe its length."""
    path = tmp_path / "p.ilp"
    path.write_bytes((fixtures / "cells.ilp").read_bytes())
    text = '{"version": 1, "window_um": 12345.0}'
    with h5py.File(path, "r+") as file:
        file.create_group("ecc_rf/normalization").attrs["settings"] = text
    data = bytearray(path.read_bytes())
    at = data.index(text.encode()) - 8  # in its heap, behind the length
    data[at : at + 8] = (1 << 40).to_bytes(8, "little")
    path.write_bytes(data)
    with pytest.raises(FormatError):
        _ = IlastikProject.open(path).normalization


@pytest.mark.parametrize("text", [f'{{"version": 1, "marker": "", "voxels": 1, "error": {NUMBER}, "images": []}}', "["])
def test_what_is_stored_of_the_training_is_not_needed(fixtures: Path, tmp_path: Path, text: str) -> None:
    path = tmp_path / "p.ilp"
    path.write_bytes((fixtures / "cells.ilp").read_bytes())
    with h5py.File(path, "r+") as file:
        file["ecc_rf/training"] = text
    assert stored_training(IlastikProject.open(path)) is None


def test_resolutions_beyond_all_numbers() -> None:
    tags = f'{{"axes": [{{"key": "y", "resolution": {NUMBER}}}, {{"key": "x"}}]}}'
    with pytest.raises(FormatError, match="damaged axistags"):
        axes_from_axistags(tags)
    assert voxel_size_from_axistags("yx", tags, '{"y": "um"}') is None
    assert voxel_size_from_axistags("yx", axistags_json("yx"), "[" * 100_000) is None
