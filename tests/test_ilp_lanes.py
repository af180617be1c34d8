"""Where the images of a project are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ecc_rf.errors import FormatError, MissingFileError, NoLaneError, ProjectError, SettingError, ShapeError
from ecc_rf.ilp import IlastikProject, Lane
from ecc_rf.ilp.stored_paths import several_files
from tests.ilp_projects import RawProject, axistags, lane

SHAPE = (4, 5, 6)


def image(path: Path, shape: tuple[int, ...] = SHAPE, value: int = 0) -> str:
    """An HDF5 image; its path with the dataset, with forward slashes as ilastik stores it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["volume/data"] = np.full(shape, value, np.uint8)
    return f"{path.as_posix()}/volume/data"


def only_lane(folder: Path, members: Mapping[str, Any], **options: Any) -> Lane:
    folder.mkdir(parents=True, exist_ok=True)
    project = RawProject(lanes=[members]).write(folder / "p.ilp")
    return IlastikProject.open(project, **options).lanes[0]


@pytest.mark.parametrize(
    ("members", "kind"),
    [
        ({"class_": b"RelativeFilesystemDatasetInfo"}, "relative"),
        ({"class_": b"FilesystemDatasetInfo"}, "relative"),
        ({"location": b"FileSystem"}, "relative"),
        ({"location": None}, "relative"),
        ({"filePath": b"/a/b.h5"}, "absolute"),
        ({"filePath": b"C:\\a\\b.h5"}, "absolute"),
        ({"filePath": b"https://host/a.n5"}, "url"),
        ({"class_": b"UrlDatasetInfo", "filePath": None, "url": b"precomputed://host/a"}, "url"),
        ({"class_": b"MultiscaleUrlDatasetInfo", "filePath": b"file:///a/b.zarr"}, "absolute"),
        ({"class_": b"ProjectInternalDatasetInfo"}, "embedded"),
        ({"location": b"ProjectInternal"}, "embedded"),
        ({"location": b"PreloadedArray"}, "array"),
    ],
)
def test_kinds(tmp_path: Path, members: dict[str, Any], kind: str) -> None:
    stored = members.pop("filePath", b"b.h5")
    assert only_lane(tmp_path, lane(stored, **members)).kind == kind


def test_members_of_a_lane(tmp_path: Path) -> None:
    found = only_lane(tmp_path, lane(b"a.h5/volume/data", "zyx", SHAPE))
    assert (found.index, found.nickname, found.stored_path) == (0, "brain", "a.h5/volume/data")
    assert (found.axes, found.shape, found.internal_axes) == ("zyx", SHAPE, "zyxc")
    assert str(found) == "lane 0 (brain)"


def test_relative_and_absolute_links(tmp_path: Path) -> None:
    stored = image(tmp_path / "in" / "a.h5", value=3)
    for link in (stored, "in/a.h5/volume/data", "./in/a.h5/volume/data", "in\\a.h5\\volume\\data"):
        found = only_lane(tmp_path, lane(link, "zyx", SHAPE))
        assert found.location.path is not None and found.location.tried == () and not found.location.note
        with found.open() as volume:
            assert (volume.axes, volume.shape) == ("zyx", SHAPE)
            assert volume.read().min() == 3


def test_the_axes_of_the_project_go_before_those_of_the_file(tmp_path: Path) -> None:
    image(tmp_path / "a.h5")
    with only_lane(tmp_path, lane(b"a.h5/volume/data", "tyx", SHAPE)).open() as volume:
        assert volume.axes == "tyx"


def test_axes_by_order_or_by_the_file(tmp_path: Path) -> None:
    image(tmp_path / "a.h5")
    assert only_lane(tmp_path, lane(b"a.h5", axistags=None, axisorder=b"xyz")).axes == "xyz"
    without = only_lane(tmp_path, lane(b"a.h5", axistags=None))
    assert (without.axes, without.shape) == ("zyx", SHAPE)
    damaged = only_lane(tmp_path, lane(b"a.h5", axistags=b"{"))
    assert damaged.axes == "zyx" and "axistags" in damaged.notes[0]
    lost = only_lane(tmp_path, lane(b"lost.h5", axistags=None, shape=(9, 9, 3)))
    assert lost.axes == "yxc"
    with pytest.raises(ProjectError, match="does not say the axes"):
        _ = only_lane(tmp_path, lane(b"lost.h5", axistags=None)).axes


def test_a_shape_that_cannot_be(tmp_path: Path) -> None:
    found = only_lane(tmp_path, lane(b"lost.h5", "zyx", (4, 5)))
    assert found.shape is None and "does not fit the axes" in found.notes[0]


def test_singleton_axes_may_be_missing_in_the_file(tmp_path: Path) -> None:
    image(tmp_path / "a.h5")
    found = only_lane(tmp_path, lane(b"a.h5/volume/data", "tzyxc", (1, *SHAPE, 1)))
    with found.open() as volume:
        assert (volume.axes, volume.shape) == ("zyx", SHAPE)
    assert found.shape == (1, *SHAPE, 1)
    older = only_lane(tmp_path, lane(b"a.h5/volume/data", "zyxc"))
    assert older.shape == (*SHAPE, 1)


def test_order_of_search(tmp_path: Path) -> None:
    """Every place in turn is the image, then it is taken away."""
    project, other = tmp_path / "project", tmp_path / "other"
    stored = (tmp_path / "gone" / "x" / "a.h5").as_posix() + "/volume/data"
    places = [
        tmp_path / "override.h5",
        tmp_path / "gone" / "x" / "a.h5",
        project / "a.h5",
        project / "gone" / "x" / "a.h5",
        project / "x" / "a.h5",
        other / "x" / "a.h5",
        other / "a.h5",
    ]
    for place in places:
        image(place)
    for number, place in enumerate(places):
        images = {"brain": f"{places[0]}/volume/data"} if number == 0 else {}
        found = only_lane(project, lane(stored, "zyx", SHAPE), images=images, search=[other])
        assert found.location.path is not None
        assert Path(found.location.path) == place / "volume" / "data"
        assert len(found.location.tried) >= number - 1
        place.unlink()
    lost = only_lane(project, lane(stored, "zyx", SHAPE), search=[other])
    assert lost.location.path is None
    for place in places[1:]:
        assert any(line.startswith(str(place / "volume" / "data") + ":") for line in lost.location.tried)
    with pytest.raises(MissingFileError, match="looked for at") as caught:
        lost.open()
    assert "images={0: PATH}" in caught.value.do


def test_a_windows_path_of_a_moved_tree(tmp_path: Path) -> None:
    image(tmp_path / "mouse 1" / "a.h5")
    found = only_lane(tmp_path, lane(b"D:\\study\\mouse 1\\a.h5/volume/data", "zyx", SHAPE))
    assert found.kind == "absolute"
    assert found.location.path == str(tmp_path / "mouse 1" / "a.h5" / "volume" / "data")
    if os.name != "nt":
        assert "a path of another system" in found.location.tried[0]


def test_a_guess_must_have_the_right_shape(tmp_path: Path) -> None:
    image(tmp_path / "a.h5", (4, 5, 7))
    image(tmp_path / "x" / "a.h5")
    found = only_lane(tmp_path, lane(b"/gone/x/a.h5/volume/data", "zyx", SHAPE))
    assert found.location.path == str(tmp_path / "x" / "a.h5" / "volume" / "data")
    assert "another image, shape (4, 5, 7)" in "".join(found.location.tried)


def test_an_image_that_was_replaced(tmp_path: Path) -> None:
    image(tmp_path / "a.h5", (4, 5, 7))
    found = only_lane(tmp_path, lane(b"a.h5/volume/data", "zyx", SHAPE))
    assert found.location.path is not None
    assert found.location.note == "the image has shape (4, 5, 7), the project expects shape (4, 5, 6)"
    with pytest.raises(ShapeError, match=r"shape \(4, 5, 7\)"):
        found.open()


def test_a_damaged_image_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_text("no HDF5")
    found = only_lane(tmp_path, lane(b"a.h5/volume/data", "zyx", SHAPE))
    assert found.location.path is None and len(found.location.tried) == 1
    (tmp_path / "a.klb").write_text("unknown")
    assert str(tmp_path / "a.klb") in only_lane(tmp_path, lane(b"a.klb")).location.tried[0]


def test_places_the_user_gives(tmp_path: Path) -> None:
    one, two = image(tmp_path / "one.h5", value=1), image(tmp_path / "two.h5", value=2)
    lanes = [lane(b"gone/a.h5", "zyx", SHAPE), lane(b"gone/b.h5", "zyx", SHAPE, nickname=b"second")]
    path = RawProject(lanes=lanes).write(tmp_path / "p.ilp")
    for keys in ((0, 1), ("brain", "second"), ("gone/a.h5", "gone/b.h5"), ("0", "1")):
        project = IlastikProject.open(path, images=dict(zip(keys, (one, Path(two)))))
        assert [found.open().read().max() for found in project.lanes] == [1, 2]
    with pytest.raises(SettingError, match=r"no lane 'third'") as caught:
        IlastikProject.open(path, images={"third": one})
    assert "0 (brain), 1 (second)" in caught.value.do
    with pytest.raises(SettingError, match="two images are given for lane 0"):
        IlastikProject.open(path, images={0: one, "brain": two})
    with pytest.raises(SettingError, match="no lane 2"):
        IlastikProject.open(path, images={2: one})
    with pytest.raises(MissingFileError):
        IlastikProject.open(path, images={0: tmp_path / "absent.h5"})


def test_lanes_by_name(tmp_path: Path) -> None:
    lanes = [lane(b"a.h5"), lane(b"b.h5"), lane(b"c.h5", nickname=b"1")]
    project = IlastikProject.open(RawProject(lanes=lanes).write(tmp_path / "p.ilp"))
    assert project.lane(1).index == 1 and project.lane("1").index == 2 and project.lane("b.h5").index == 1
    with pytest.raises(NoLaneError, match="several lanes are called 'brain'"):
        project.lane("brain")
    with pytest.raises(NoLaneError, match="no lane -1"):
        project.lane(-1)
    empty = IlastikProject.open(RawProject().write(tmp_path / "empty.ilp"))
    assert empty.lanes == []
    with pytest.raises(NoLaneError, match="the project has no images"):
        empty.lane(0)


@pytest.mark.parametrize("way", ["inner_path", "datasetId", "filePath"])
def test_a_copy_inside_the_project(tmp_path: Path, way: str) -> None:
    inner = "/Input Data/local_data/1234-abcd"
    ways: dict[str, dict[str, Any]] = {
        "inner_path": {"inner_path": inner.encode(), "class_": b"ProjectInternalDatasetInfo"},
        "datasetId": {"datasetId": b"1234-abcd"},
        "filePath": {"filePath": inner.encode(), "class_": b"ProjectInternalDatasetInfo"},
    }
    members = {"filePath": b"/old/??.tif", **ways[way]}
    members = lane(members.pop("filePath"), location=b"ProjectInternal", **members)
    data = np.arange(np.prod(SHAPE), dtype=np.uint8).reshape(SHAPE)
    path = RawProject(lanes=[members], more={inner: data}).write(tmp_path / "p.ilp")
    with h5py.File(path, "r+") as file:
        file[inner].attrs["axistags"] = axistags("zyx")
    found = IlastikProject.open(path).lanes[0]
    assert (found.kind, found.shape) == ("embedded", SHAPE)
    with found.open() as volume:
        assert np.array_equal(volume.read(), data)


def test_a_copy_that_is_gone(tmp_path: Path) -> None:
    found = only_lane(tmp_path, lane(b"a.h5", location=b"ProjectInternal", datasetId=b"1234"))
    assert found.location.path is None
    with pytest.raises(MissingFileError, match="copy inside the project is gone"):
        found.open()


def test_several_files(tmp_path: Path) -> None:
    for name in ("1.h5", "2.h5"):
        image(tmp_path / "s" / name)
    for stored in ("s/1.h5:s/2.h5", "s/*.h5", "s/?.h5/volume/data", "C:\\s\\1.h5;C:\\s\\2.h5"):
        found = only_lane(tmp_path, lane(stored, "tzyx"))
        assert found.location.path is None
        with pytest.raises(MissingFileError, match="stacked from 2 files"):
            found.open()
    given = only_lane(tmp_path, lane(b"s/*.h5", "zyx", SHAPE), images={0: tmp_path / "s" / "1.h5"})
    assert given.open().shape == SHAPE


def test_a_pattern_that_one_file_fits(tmp_path: Path) -> None:
    image(tmp_path / "s" / "1.h5")
    assert only_lane(tmp_path, lane(b"s/*.h5/volume/data", "zyx", SHAPE)).open().shape == SHAPE
    image(tmp_path / "brain [1].h5")  # a name, not a pattern
    assert only_lane(tmp_path, lane(b"brain [1].h5/volume/data", "zyx", SHAPE)).open().shape == SHAPE
    assert only_lane(tmp_path, lane(b"gone/brain [1].h5/volume/data", "zyx", SHAPE)).open().shape == SHAPE
    assert only_lane(tmp_path, lane(b"/**/1.h5", "zyx", SHAPE)).location.path is None


@pytest.mark.parametrize(
    ("stored", "files"),
    [
        ("/a/1.png:/a/2.png", ["/a/1.png", "/a/2.png"]),
        ("C:/a/1.png;D:/a/2.png", ["C:/a/1.png", "D:/a/2.png"]),
        ("C:/a/1.png:D:/a/2.png", ["C:/a/1.png", "D:/a/2.png"]),
        ("http://host:8000/a/b", ["http://host:8000/a/b"]),
        ("a.h5/x:b.h5/y:c.h5/z", ["a.h5/x", "b.h5/y", "c.h5/z"]),
        ("D:/a.h5/data", ["D:/a.h5/data"]),
    ],
)
def test_paths_joined_into_one(stored: str, files: list[str]) -> None:
    assert several_files(stored) == files


def test_lanes_without_a_place(tmp_path: Path) -> None:
    project = IlastikProject.open(
        RawProject(lanes=[{}, lane(b"https://host/a.n5"), lane(b"x", location=b"PreloadedArray")]).write(
            tmp_path / "p.ilp"
        )
    )
    assert [found.kind for found in project.lanes] == ["none", "url", "array"]
    for found, message in zip(project.lanes, ("has no image", "not fetched", "never stored")):
        with pytest.raises(MissingFileError, match=message):
            found.open()


def test_a_part_of_an_image(tmp_path: Path) -> None:
    image(tmp_path / "a.h5")
    crop = np.array([[0, 0, 0], [2, 2, 2]])
    found = only_lane(tmp_path, lane(b"a.h5/volume/data", "zyx", SHAPE, subvolume_roi=crop))
    with pytest.raises(ProjectError, match="only a part"):
        found.open()


def test_a_zarr_image_by_the_url_of_its_file(tmp_path: Path) -> None:
    from ecc_rf.volumes import create_volume

    with create_volume(tmp_path / "a b.ome.zarr", SHAPE, np.uint8, "zyx") as volume:
        volume[:, :, :] = np.full(SHAPE, 7, np.uint8)
    url = f"file://{tmp_path.as_posix()}/a%20b.ome.zarr"
    for scale in (b"", b"0"):
        members = lane(url, "zyx", SHAPE, class_=b"MultiscaleUrlDatasetInfo", working_scale=scale)
        assert only_lane(tmp_path, members).open().read().max() == 7


def test_a_project_with_a_single_role(tmp_path: Path) -> None:
    image(tmp_path / "a.h5")
    path = RawProject(version="1.0", roles=None, lanes=[lane(b"a.h5/volume/data", "zyx")]).write(tmp_path / "p.ilp")
    assert IlastikProject.open(path).lanes[0].open().shape == SHAPE


def test_nothing_is_looked_for_before_it_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise AssertionError("an image was opened")

    monkeypatch.setattr("ecc_rf.ilp.locate.open_volume", refuse)
    path = RawProject(lanes=[lane(b"a.h5", "zyx", SHAPE)], labels=[[]]).write(tmp_path / "p.ilp")
    project = IlastikProject.open(path)
    assert project.labels(0).axes == "zyxc" and project.features.cells


def test_damaged_members(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="expected a string"):
        only_lane(tmp_path, lane(b"a.h5", nickname=3.5))


def test_a_copy_from_2016(golden: Path) -> None:
    project = IlastikProject.open(golden / "projects_only" / "cleared_brain_2016_embedded.ilp")
    found = project.lanes[0]
    assert (found.kind, found.axes, found.shape, found.nickname) == ("embedded", "zyx", (21, 200, 200), "image00__")
    with found.open() as volume:
        assert volume.read().max() > 0
    assert project.labels(0).counts == {1: 76, 2: 439, 3: 7}


def test_real_lanes(golden: Path, cfos: Path) -> None:
    for name in ("flat_3channel_allfeatures", "volume_2channel", "volume_2d3d_mix", "volume_seed_features"):
        with IlastikProject.open(golden / name / "project.ilp").lanes[0].open() as volume:
            assert volume.read().size > 0
    broken = IlastikProject.open(golden / "flat_1channel" / "project.ilp")
    assert broken.lanes[0].location.path is None and len(broken.lanes[0].location.tried) > 2
    mended = IlastikProject.open(broken.path, images={0: golden / "flat_1channel" / "image.png"})
    with mended.lanes[0].open() as volume:
        assert (volume.axes, volume.shape) == ("yxc", (128, 128, 1))
    assert all(found.location.path for found in IlastikProject.open(cfos / "cfos.ilp").lanes)
