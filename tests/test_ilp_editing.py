"""Projects with changes: what was asked for is different, all else is as it was, the old file most of all."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from ecc_rf.errors import (
    AxesError,
    FormatError,
    LabelError,
    NoForestError,
    NoLaneError,
    OutputExistsError,
    ProjectError,
    SettingError,
    ShapeError,
)
from ecc_rf.features import FeatureSelection
from ecc_rf.ilp import IlastikProject, LaneLabels, NewLane, NewLink, ProjectChanges, edit_project, write_project
from tests.ilp_projects import RawBlock, RawProject, lane
from tests.test_ilp_writing import SHAPE, image, some_forest, some_labels


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def members(path: Path, below: str = "/") -> dict[str, object]:
    """Every group, dataset and attribute of a file, as comparable values."""
    found: dict[str, object] = {}
    with h5py.File(path) as file:

        def visit(name: str, node: h5py.Group | h5py.Dataset) -> None:
            kept = {key: np.asarray(value).tolist() for key, value in node.attrs.items()}
            if isinstance(node, h5py.Dataset):
                found[name] = (node.shape, str(node.dtype), np.asarray(node[()]).tolist(), kept)
            else:
                found[name] = kept

        file[below].visititems(visit)
    return found


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Two images, labels, a forest, and members that nobody knows."""
    images = [image(tmp_path / "images" / "a.h5"), image(tmp_path / "b.h5")]
    lanes = [
        NewLane(images[0] / "data", "zyx", SHAPE, some_labels()),
        NewLane(images[1], "zyx", SHAPE, link="absolute", nickname="second"),
    ]
    path = tmp_path / "p.ilp"
    names = ["cell", "false σ", "background", "unused"]
    write_project(path, lanes, FeatureSelection.recommended(), names, forest=some_forest())
    with h5py.File(path, "a") as file:
        file["PixelClassification/Bookmarks/0000"] = np.void(b"cos\nsystem\n(S'touch PWNED'\ntR.")
        file["PixelClassification/Bookmarks/0000"].attrs["version"] = 1
        file["Other Tool/table"] = np.arange(6).reshape(2, 3)
        file["Other Tool"].attrs.create("note", b"caf\xc3\xa9", dtype=h5py.string_dtype("ascii"))
        file["Other Tool/link"] = h5py.SoftLink("/Input Data")
        file["outside"] = h5py.ExternalLink("nowhere.h5", "/data")
        file.attrs["root"] = [1.5, 2.5]
        file["Input Data/infos/lane0000/Raw Data/display_mode"] = b"grayscale"
    return path


def test_without_changes_everything_is_kept(tmp_path: Path, project: Path) -> None:
    before = digest(project)
    edit_project(project, tmp_path / "new.ilp", changes=ProjectChanges())
    assert members(tmp_path / "new.ilp") == members(project)
    with h5py.File(tmp_path / "new.ilp") as file:
        assert isinstance(file.get("outside", getlink=True), h5py.ExternalLink)
        assert isinstance(file["Other Tool"].get("link", getlink=True), h5py.SoftLink)
        assert file.attrs["root"].tolist() == [1.5, 2.5]
    assert digest(project) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.h5", "images", "new.ilp", "p.ilp"]


def test_labels_of_a_lane_are_replaced(tmp_path: Path, project: Path) -> None:
    before = digest(project)
    labels = LaneLabels.from_voxels("zyxc", np.array([[3, 4, 5, 0], [15, 49, 59, 0]]), np.array([2, 5]))
    names = ["cell", "b", "c", "d", "e"]
    changes = ProjectChanges(labels={1: labels}, label_names=names)
    edit_project(project, tmp_path / "new.ilp", changes=changes)
    new = IlastikProject.open(tmp_path / "new.ilp")
    assert new.label_names == names and len(new.label_colors) == 5
    assert new.label_colors[:4] == IlastikProject.open(project).label_colors
    assert np.array_equal(new.labels(1).coords, labels.coords) and new.labels(1).values.tolist() == [2, 5]
    assert np.array_equal(new.labels(0).coords, some_labels().coords)
    with pytest.raises(NoForestError):
        new.forest()  # that was trained on other labels
    kept = members(project)
    gone = ("PixelClassification/Label", "PixelClassification/PmapColors", "PixelClassification/ClassifierForests")
    for name, value in members(tmp_path / "new.ilp").items():
        assert name.startswith(gone) or value == kept[name], name
    assert digest(project) == before


def test_the_same_labels_keep_the_forest(tmp_path: Path, project: Path) -> None:
    edit_project(project, tmp_path / "new.ilp", changes=ProjectChanges(labels={0: some_labels()}))
    assert IlastikProject.open(tmp_path / "new.ilp").forest().n_trees == 4
    changes = ProjectChanges(labels={0: some_labels()}, drop_forest=True)
    edit_project(project, tmp_path / "new.ilp", changes=changes, overwrite=True)
    with pytest.raises(NoForestError):
        IlastikProject.open(tmp_path / "new.ilp").forest()


def test_a_new_forest_and_new_features(tmp_path: Path, project: Path) -> None:
    features = FeatureSelection(("GaussianSmoothing",), (0.7, 1.0), ((True, True),))
    edit_project(project, tmp_path / "a.ilp", changes=ProjectChanges(features=features))
    new = IlastikProject.open(tmp_path / "a.ilp")
    assert (new.features.cells, new.features.compute_in_2d) == (features.cells, (False, False))
    with pytest.raises(NoForestError):
        new.forest()

    columns = [f"f{k}" for k in range(16)]
    changes = ProjectChanges(forest=some_forest(), feature_names=columns, features=FeatureSelection.recommended())
    edit_project(tmp_path / "a.ilp", tmp_path / "b.ilp", changes=changes)
    new = IlastikProject.open(tmp_path / "b.ilp")
    assert new.forest_summary().feature_names == tuple(columns)
    assert new.forest_summary().n_rows == len(some_labels().values)
    assert (new.classifier.n_trees, new.classifier.n_forests) == (4, 2)


def test_replaced_members_leave_no_dead_space(tmp_path: Path, project: Path) -> None:
    changes = ProjectChanges(forest=some_forest(), labels={0: some_labels()})
    edit_project(project, tmp_path / "one.ilp", changes=changes)
    for _ in range(5):
        edit_project(tmp_path / "one.ilp", tmp_path / "one.ilp", changes=changes, overwrite=True)
    edit_project(project, tmp_path / "two.ilp", changes=changes)
    assert (tmp_path / "one.ilp").stat().st_size == (tmp_path / "two.ilp").stat().st_size


def test_the_same_changes_give_the_same_bytes(tmp_path: Path, project: Path) -> None:
    for name in ("one", "two"):
        changes = ProjectChanges(labels={1: some_labels()}, links={1: NewLink(tmp_path / "b.h5", "copy")})
        edit_project(project, tmp_path / f"{name}.ilp", changes=changes)
    assert digest(tmp_path / "one.ilp") == digest(tmp_path / "two.ilp")


def test_onto_itself_only_when_asked_for(tmp_path: Path, project: Path) -> None:
    before = digest(project)
    with pytest.raises(OutputExistsError):
        edit_project(project, project, changes=ProjectChanges(drop_forest=True))
    assert digest(project) == before
    with pytest.raises(LabelError):
        edit_project(project, project, changes=ProjectChanges(label_names=["a"]), overwrite=True)
    assert digest(project) == before
    edit_project(project, project, changes=ProjectChanges(drop_forest=True), overwrite=True)
    assert IlastikProject.open(project).labels(0).counts == some_labels().counts
    assert not list(tmp_path.glob("*.unfinished"))


def test_what_does_not_fit(tmp_path: Path, project: Path) -> None:
    out = tmp_path / "new.ilp"
    flat = LaneLabels.from_voxels("yxc", np.array([[1, 1, 0]]), np.array([1]))
    far = LaneLabels.from_voxels("zyxc", np.array([[16, 1, 1, 0]]), np.array([1]))
    high = LaneLabels.from_voxels("zyxc", np.array([[1, 1, 1, 0]]), np.array([5]))
    np.save(tmp_path / "other.npy", np.zeros((16, 50, 61), np.uint8))
    for error, changes in (
        (AxesError, ProjectChanges(labels={0: flat})),
        (ShapeError, ProjectChanges(labels={0: far})),
        (LabelError, ProjectChanges(labels={0: high})),
        (NoLaneError, ProjectChanges(labels={2: high})),
        (SettingError, ProjectChanges(label_names=[])),
        (SettingError, ProjectChanges(labels={"second": high})),  # type: ignore[dict-item]
        (ShapeError, ProjectChanges(links={0: NewLink(tmp_path / "other.npy")})),
        (ShapeError, ProjectChanges(forest=some_forest(), feature_names=["one"])),
    ):
        with pytest.raises(error):
            edit_project(project, out, changes=changes)
    with pytest.raises(SettingError):
        NewLink("a.h5", "hard")  # type: ignore[arg-type]
    assert not out.exists() and not list(tmp_path.glob("*.unfinished"))


def test_relinked_images_keep_their_labels(tmp_path: Path, project: Path) -> None:
    moved = image(tmp_path / "elsewhere" / "deep" / "a.h5")
    (tmp_path / "images" / "a.h5").unlink()
    before = digest(project)
    changes = ProjectChanges(links={0: NewLink(moved)})
    edit_project(project, tmp_path / "elsewhere" / "new.ilp", changes=changes)
    new = IlastikProject.open(tmp_path / "elsewhere" / "new.ilp")
    assert (new.lanes[0].kind, new.lanes[0].stored_path) == ("relative", "deep/a.h5/data")
    assert (new.lanes[0].nickname, new.lanes[1].stored_path) == ("a-data", (tmp_path / "b.h5").as_posix())
    assert new.lanes[0].open().read().all() and new.labels(0).counts == some_labels().counts
    assert new.forest().n_trees == 4
    assert members(tmp_path / "elsewhere" / "new.ilp")["Input Data/infos/lane0000/Raw Data/display_mode"]
    assert digest(project) == before


def test_relative_links_follow_the_project_to_another_folder(tmp_path: Path, project: Path) -> None:
    (tmp_path / "images" / "deeper").mkdir()
    for folder, kind, stored in (
        (tmp_path / "images", "relative", "a.h5/data"),
        (tmp_path / "images" / "deeper", "absolute", (tmp_path / "images" / "a.h5" / "data").as_posix()),
        (tmp_path, "relative", "images/a.h5/data"),
    ):
        edit_project(project, folder / "new.ilp", changes=ProjectChanges())
        first = IlastikProject.open(folder / "new.ilp").lanes[0]
        assert (first.kind, first.stored_path) == (kind, stored)
        assert first.open().read().all()


def test_an_embedded_copy_survives_the_loss_of_the_image(tmp_path: Path, project: Path) -> None:
    voxels = np.random.default_rng(0).integers(0, 60000, (16, 50, 60), np.uint16)
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["raw"] = voxels
    changes = ProjectChanges(links={1: NewLink(tmp_path / "b.h5" / "raw", "copy")})
    edit_project(project, tmp_path / "new.ilp", changes=changes)
    (tmp_path / "b.h5").unlink()
    shutil.rmtree(tmp_path / "images")
    new = IlastikProject.open(tmp_path / "new.ilp")
    assert (new.lanes[1].kind, new.lanes[1].nickname) == ("embedded", "second")
    with new.lanes[1].open() as volume:
        assert np.array_equal(volume.read(), voxels) and volume.axes == "zyx"
    with h5py.File(tmp_path / "new.ilp") as file:
        info = file["Input Data/infos/lane0001/Raw Data"]
        assert info["__class__"][()] == b"ProjectInternalDatasetInfo" and info["location"][()] == b"ProjectInternal"
        (name,) = file["Input Data/local_data"]
        assert info["datasetId"][()].decode() == name
        assert file[info["inner_path"][()].decode()].chunks is not None
        tags = json.loads(file[info["inner_path"][()].decode()].attrs["axistags"])
        assert [tag["key"] for tag in tags["axes"]] == ["z", "y", "x"]
    # and goes when its lane has another image
    other = image(tmp_path / "c.h5")
    edit_project(tmp_path / "new.ilp", tmp_path / "third.ilp", changes=ProjectChanges(links={1: NewLink(other)}))
    with h5py.File(tmp_path / "third.ilp") as file:
        assert list(file["Input Data/local_data"]) == []
    assert IlastikProject.open(tmp_path / "third.ilp").lanes[1].open().read().all()


VOXELS = np.array([[1, 2], [3, 0]], np.uint8)


def old_projects() -> Iterator[tuple[str, str, tuple[int, ...], RawBlock, str, list[list[int]]]]:
    """Version, axes and shape of the image; a block as that version wrote it; internal axes; voxels of label 1."""
    yield "1.2.0", "xyzc", (9, 8, 7, 1), RawBlock(VOXELS.reshape(2, 2, 1, 1), (4, 3, 2, 0)), "zyxc", [[2, 3, 4, 0]]
    yield (
        "1.2.0",
        "txyzc",
        (3, 9, 8, 1, 1),
        RawBlock(VOXELS.reshape(1, 2, 2, 1, 1), (1, 4, 3, 0, 0)),
        "tyxc",
        [[1, 3, 4, 0]],
    )
    yield "1.3.2", "czyx", (2, 7, 8, 9), RawBlock(VOXELS.reshape(1, 2, 2, 1), (2, 3, 4, 0)), "zyxc", [[2, 3, 4, 0]]
    yield "1.4.0b5", "cyx", (1, 8, 9), RawBlock(VOXELS.reshape(1, 2, 2), (0, 3, 4)), "yxc", [[3, 4, 0]]


@pytest.mark.parametrize(("version", "axes", "shape", "block", "internal", "first"), list(old_projects()))
def test_old_label_layouts_are_converted(
    tmp_path: Path,
    version: str,
    axes: str,
    shape: tuple[int, ...],
    block: RawBlock,
    internal: str,
    first: list[list[int]],
) -> None:
    old = RawProject(
        version=version.encode(),
        lanes=[lane(b"a.h5", axes, shape), lane(b"b.h5", "zyx", (5, 6, 7))],
        labels=[[block], []],
        label_names=(b"a", b"b", b"c"),
    ).write(tmp_path / "old.ilp")
    before = IlastikProject.open(old).labels(0)
    assert before.coords[before.values == 1].tolist() == first
    edit_project(old, tmp_path / "new.ilp", changes=ProjectChanges())
    new = IlastikProject.open(tmp_path / "new.ilp")
    assert new.ilastik_version == "1.4.1"
    after = new.labels(0)
    assert after.axes == internal and after.notes == ()
    assert np.array_equal(after.coords, before.coords) and np.array_equal(after.values, before.values)
    with h5py.File(tmp_path / "new.ilp") as file:  # as ilastik reads it: by the rule of the version
        stored = file["PixelClassification/LabelSets/labels000/block0000"]
        tags = json.loads(stored.attrs["axistags"])
        assert "".join(tag["key"] for tag in tags["axes"]) == internal and stored.ndim == len(internal)
        assert sorted(file["PixelClassification/LabelSets"]) == ["labels000", "labels001"]


def test_old_labels_of_an_image_of_unknown_extents_are_not_guessed(tmp_path: Path) -> None:
    block = RawBlock(VOXELS.reshape(1, 2, 2, 1), (0, 3, 4, 0))
    old = RawProject(version=b"1.2.0", lanes=[lane(b"a.h5", "zyx")], labels=[[block]], label_names=(b"a", b"b", b"c"))
    old.write(tmp_path / "old.ilp")
    with pytest.raises(ProjectError, match="--image 0=PATH"):
        edit_project(tmp_path / "old.ilp", tmp_path / "new.ilp", changes=ProjectChanges())
    np.save(tmp_path / "flat.npy", np.zeros((1, 8, 9), np.uint8))
    changes = ProjectChanges(links={0: NewLink(tmp_path / "flat.npy")})
    edit_project(tmp_path / "old.ilp", tmp_path / "new.ilp", changes=changes)
    labels = IlastikProject.open(tmp_path / "new.ilp").labels(0)
    assert labels.axes == "yxc" and labels.coords.tolist() == [[3, 4, 0], [3, 5, 0], [4, 4, 0]]


def test_a_project_without_roles_gets_them(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((5, 6, 7), np.uint8))
    old = RawProject(version=b"1.0", roles=None, lanes=[lane(b"a.npy", "zyx", (5, 6, 7))], labels=[[]])
    old.write(tmp_path / "old.ilp")
    (tmp_path / "sub").mkdir()
    edit_project(tmp_path / "old.ilp", tmp_path / "sub" / "new.ilp", changes=ProjectChanges())
    with h5py.File(tmp_path / "sub" / "new.ilp") as file:
        assert file["Input Data/Role Names"][()].tolist() == [b"Raw Data", b"Prediction Mask"]
        assert "nickname" in file["Input Data/infos/lane0000/Raw Data"]
    assert IlastikProject.open(tmp_path / "sub" / "new.ilp").lanes[0].open().shape == (5, 6, 7)


def test_a_project_that_lost_the_names_of_its_roles(tmp_path: Path) -> None:
    """Its lanes have the groups of the roles already."""
    np.save(tmp_path / "a.npy", np.zeros((5, 6, 7), np.uint8))
    old = RawProject(lanes=[lane(b"a.npy", "zyx", (5, 6, 7))], labels=[[]]).write(tmp_path / "old.ilp")
    with h5py.File(old, "r+") as file:
        del file["Input Data/Role Names"]
    edit_project(old, tmp_path / "new.ilp", changes=ProjectChanges())
    with h5py.File(tmp_path / "new.ilp") as file:
        assert file["Input Data/Role Names"][()].tolist() == [b"Raw Data", b"Prediction Mask"]
        assert sorted(file["Input Data/infos/lane0000"]) == ["Prediction Mask", "Raw Data"]
    assert IlastikProject.open(tmp_path / "new.ilp").lanes[0].open().shape == (5, 6, 7)


@pytest.mark.parametrize("place", ["Input Data/local_data", "Input Data/infos/lane0000/Prediction Mask"])
def test_something_else_in_the_place_of_a_group(tmp_path: Path, place: str) -> None:
    np.save(tmp_path / "a.npy", np.zeros((5, 6, 7), np.uint8))
    old = RawProject(lanes=[lane(b"a.npy", "zyx", (5, 6, 7))], labels=[[]]).write(tmp_path / "old.ilp")
    with h5py.File(old, "r+") as file:
        if place in file:
            del file[place]
        if "Mask" in place:
            del file["Input Data/Role Names"]
        file[place] = 1
    changes = ProjectChanges(links={0: NewLink(str(tmp_path / "a.npy"), kind="copy")})
    with pytest.raises(FormatError):
        edit_project(old, tmp_path / "new.ilp", changes=changes)
    assert not (tmp_path / "new.ilp").exists()


def test_groups_that_count_as_absent_do_not_come_to_life(tmp_path: Path) -> None:
    block = RawBlock(VOXELS.reshape(1, 2, 2, 1), (0, 3, 4, 0))
    old = RawProject(storage_version=None, lanes=[lane(b"a.h5", "zyx", (5, 6, 7))], labels=[[block]])
    old.write(tmp_path / "old.ilp")
    edit_project(tmp_path / "old.ilp", tmp_path / "new.ilp", changes=ProjectChanges(label_names=["x"]))
    new = IlastikProject.open(tmp_path / "new.ilp")
    assert new.label_names == ["x"] and new.labels(0).counts == {}


def test_real_projects(tmp_path: Path, golden: Path) -> None:
    """Every project of real ilastik: the content is as it was, its forest to the last bit."""
    for path in sorted(golden.glob("*/project.ilp")) + sorted(golden.glob("projects_only/*.ilp")):
        if path.stem == "autocontext_3d":
            continue
        before = digest(path)
        old = IlastikProject.open(path)
        out = tmp_path / f"{path.parent.name}_{path.stem}.ilp"
        links = {}
        if (case := path.with_name("case.json")).exists() and "broken" in json.loads(case.read_text())["link"]:
            links[0] = NewLink(path.with_name(json.loads(case.read_text())["image"]))
        edit_project(path, out, changes=ProjectChanges(links=links))
        new = IlastikProject.open(out)
        assert digest(path) == before
        assert (new.label_names, new.label_colors) == (old.label_names, old.label_colors)
        assert [one.nickname for one in new.lanes] == [one.nickname for one in old.lanes]
        for index in range(len(old.lanes)):
            assert new.labels(index).counts == old.labels(index).counts
            assert np.array_equal(new.labels(index).coords, old.labels(index).coords)
        forests = "PixelClassification/ClassifierForests"
        with h5py.File(path) as file:
            has_forest = forests in file
            bookmarks = [bytes(np.asarray(node[()]).tobytes()) for node in _bookmarks(file)]
        if has_forest:
            assert members(out, forests) == members(path, forests)
        with h5py.File(out) as file:
            assert [bytes(np.asarray(node[()]).tobytes()) for node in _bookmarks(file)] == bookmarks or not bookmarks


def _bookmarks(file: h5py.File) -> list[h5py.Dataset]:
    group = file.get("PixelClassification/Bookmarks")
    return [] if group is None else [group[name] for name in group if group[name].dtype.kind == "V"]
