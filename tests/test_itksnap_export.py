"""Labels and images out to ITK-SNAP, and labels back: nothing may move."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from ecc_rf.errors import AxesError, FormatError, MissingFileError, OutputExistsError, SettingError
from ecc_rf.ilp import IlastikProject
from ecc_rf.itksnap import ExportSettings, ImportSettings, export_labels, import_into_project, import_labels
from ecc_rf.itksnap.fitting import choose_part
from ecc_rf.itksnap.frame import lane_frame
from ecc_rf.itksnap.planes import means
from ecc_rf.volumes import AxisView
from tests.snap_projects import NAMES, SIZE, dense, make_project, same

LAYOUTS: list[tuple[str, dict[str, int]]] = [
    ("yx", {}),
    ("xy", {}),
    ("yxc", {"c": 3}),
    ("zyx", {}),
    ("xyz", {}),
    ("zyx", {"z": 1}),
    ("zyxc", {"c": 2}),
    ("czyx", {"c": 2}),
    ("tzyxc", {}),
    ("txyzc", {"c": 2}),
    ("tyx", {}),
]


@pytest.mark.parametrize(("axes", "extents"), LAYOUTS)
@pytest.mark.parametrize("name", ["labels.nii.gz", "labels.nii"])
def test_out_and_back(tmp_path: Path, axes: str, extents: dict[str, int], name: str) -> None:
    project = make_project(tmp_path, axes, **extents)
    before = (tmp_path / "p.ilp").read_bytes()
    channel = 0 if extents.get("c", 1) > 1 else None
    record = export_labels(
        project,
        0,
        tmp_path / name,
        image_output=tmp_path / "image.nii",
        settings=ExportSettings(channel=channel),
    )
    labels = project.labels(0)
    frame = lane_frame(project.lane(0))
    assert record.shape == frame.shape and record.counts == labels.counts
    seen, image = nibabel.load(tmp_path / name), nibabel.load(tmp_path / "image.nii")
    np.testing.assert_array_equal(np.asarray(seen.dataobj).T, dense(labels, (1, *frame.shape))[0])
    raw = AxisView(project.lane(0).open(), "tczyx").read()[0, channel or 0]
    np.testing.assert_array_equal(np.asarray(image.dataobj).T, raw, strict=True)
    np.testing.assert_array_equal(seen.affine, image.affine)
    assert nibabel.aff2axcodes(seen.affine) == ("L", "P", "S")
    size = SIZE if "z" in axes else (1.0, *SIZE[1:])
    np.testing.assert_allclose(seen.header.get_zooms(), np.array(size)[::-1] / 1000, rtol=1e-6)  # mm in float32
    imported = import_into_project(tmp_path / "p.ilp", 0, tmp_path / name, tmp_path / "new.ilp")
    assert same(imported.labels, labels)
    assert same(IlastikProject.open(tmp_path / "new.ilp").labels(0), labels)
    assert (tmp_path / "p.ilp").read_bytes() == before


@pytest.mark.parametrize("voxel_size", [None, (1.0, 1.0, 1.0), (6.45, 0.65, 0.65), (0.001, 0.002, 0.002)])
def test_any_voxel_size(tmp_path: Path, voxel_size: tuple[float, float, float] | None) -> None:
    project = make_project(tmp_path, voxel_size=voxel_size)
    settings = ExportSettings(roi={"z": (2, 7), "y": (3, None), "x": (0, 12)})
    record = export_labels(project, 0, tmp_path / "l.nii.gz", settings=settings)
    assert record.voxel_size == voxel_size and record.start == (2, 3, 0)
    assert same(import_labels(project, 0, tmp_path / "l.nii.gz").labels, project.labels(0))


def test_a_crop_lies_where_it_was(tmp_path: Path) -> None:
    project = make_project(tmp_path, "xyz")
    roi = {"z": (2, 8), "y": (1, 10), "x": (4, 13)}
    record = export_labels(
        project, 0, tmp_path / "l.nii", image_output=tmp_path / "i.nii", settings=ExportSettings(roi=roi)
    )
    whole = dense(project.labels(0), (1, 9, 11, 13))[0]
    np.testing.assert_array_equal(nibabel.load(tmp_path / "l.nii").get_fdata().T, whole[2:8, 1:10, 4:13])
    raw = project.lane(0).open().read().T
    np.testing.assert_array_equal(np.asarray(nibabel.load(tmp_path / "i.nii").dataobj).T, raw[2:8, 1:10, 4:13])
    outside = np.count_nonzero(whole) - np.count_nonzero(whole[2:8, 1:10, 4:13])
    assert any(f"{outside} labelled voxels lie outside" in note for note in record.notes)
    # where nibabel puts the first voxel
    expected = np.array([-4 * 1.5, -1 * 1.62, 2 * 6.0]) / 1000
    np.testing.assert_allclose(nibabel.load(tmp_path / "l.nii").affine[:3, 3], expected, rtol=1e-5)
    assert same(import_labels(project, 0, tmp_path / "l.nii").labels, project.labels(0))


def test_one_time_step_of_several(tmp_path: Path) -> None:
    project = make_project(tmp_path, "tzyx", t=4)
    with pytest.raises(AxesError, match="4 time steps"):
        export_labels(project, 0, tmp_path / "l.nii.gz")
    with pytest.raises(SettingError, match="time step 4"):
        export_labels(project, 0, tmp_path / "l.nii.gz", settings=ExportSettings(time=4))
    export_labels(project, 0, tmp_path / "l.nii.gz", settings=ExportSettings(time=2))
    whole = dense(project.labels(0), (4, 9, 11, 13))
    np.testing.assert_array_equal(nibabel.load(tmp_path / "l.nii.gz").get_fdata().T, whole[2])
    with pytest.raises(AxesError, match="one time step, the image has 4"):
        import_labels(project, 0, tmp_path / "l.nii.gz")
    back = import_labels(project, 0, tmp_path / "l.nii.gz", ImportSettings(time=2))
    assert same(back.labels, project.labels(0))
    moved = import_labels(project, 0, tmp_path / "l.nii.gz", ImportSettings(time=0))
    expected = whole.copy()
    expected[0] = whole[2]
    np.testing.assert_array_equal(dense(moved.labels, whole.shape), expected)


def test_channels_are_chosen(tmp_path: Path) -> None:
    project = make_project(tmp_path, "zyxc", c=3)
    export_labels(project, 0, tmp_path / "l.nii.gz")  # labels have no channel
    with pytest.raises(AxesError, match="3 channels"):
        export_labels(project, 0, tmp_path / "l2.nii.gz", image_output=tmp_path / "i.nii.gz")
    settings = ExportSettings(channel=2)
    export_labels(project, 0, tmp_path / "l2.nii.gz", image_output=tmp_path / "i.nii.gz", settings=settings)
    raw = project.lane(0).open().read()
    np.testing.assert_array_equal(np.asarray(nibabel.load(tmp_path / "i.nii.gz").dataobj).T, raw[..., 2])


@pytest.mark.parametrize(
    ("dtype", "stored"),
    [("u1", "u1"), ("u2", "u2"), ("i2", "i2"), ("u4", "u4"), ("f4", "f4"), ("?", "u1"), ("f2", "f4"), ("u8", "f8")],
)
def test_types(tmp_path: Path, dtype: str, stored: str) -> None:
    project = make_project(tmp_path, dtype=dtype)
    record = export_labels(project, 0, tmp_path / "l.nii", image_output=tmp_path / "i.nii")
    image = np.asarray(nibabel.load(tmp_path / "i.nii").dataobj).T
    assert image.dtype == np.dtype(stored)
    np.testing.assert_array_equal(image, project.lane(0).open().read().astype(stored))
    assert any("are written as" in note for note in record.notes) == (dtype != stored)


def test_a_coarser_copy(tmp_path: Path) -> None:
    project = make_project(tmp_path, voxel_size=(6.0, 2.0, 2.0), n_labels=300)
    settings = ExportSettings(downsample=(1, 2, 3))
    record = export_labels(project, 0, tmp_path / "l.nii", image_output=tmp_path / "i.nii", settings=settings)
    assert (record.shape, record.voxel_size) == ((9, 6, 5), (6.0, 4.0, 6.0))
    raw, labels = project.lane(0).open().read(), dense(project.labels(0), (1, 9, 11, 13))[0]
    image = np.asarray(nibabel.load(tmp_path / "i.nii").dataobj).T
    seen = np.asarray(nibabel.load(tmp_path / "l.nii").dataobj).T
    for z in range(9):
        for y in range(6):
            for x in range(5):
                part = (z, slice(2 * y, 2 * y + 2), slice(3 * x, 3 * x + 3))
                assert image[z, y, x] == np.rint(raw[part].mean())
                counts = np.bincount(labels[part].ravel(), minlength=4)[1:]
                assert seen[z, y, x] == (counts.argmax() + 1 if counts.any() else 0)
    back = import_labels(project, 0, tmp_path / "l.nii")
    assert any("covers z, y, x = (1, 2, 3)" in note for note in back.notes)
    expected = seen.repeat(2, axis=1).repeat(3, axis=2)[:, :11, :13]
    np.testing.assert_array_equal(dense(back.labels, (1, 9, 11, 13))[0], expected)


def test_a_coarser_copy_of_a_crop_goes_back_to_its_place(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    settings = ExportSettings(roi={"y": (3, 9), "x": (2, 10)}, downsample=(1, 2, 2))
    export_labels(project, 0, tmp_path / "l.nii.gz", settings=settings)
    seen = np.asarray(nibabel.load(tmp_path / "l.nii.gz").dataobj).T
    back = dense(import_labels(project, 0, tmp_path / "l.nii.gz").labels, (1, 9, 11, 13))[0]
    np.testing.assert_array_equal(back[:, 3:9, 2:10], seen.repeat(2, axis=1).repeat(2, axis=2))
    outside = dense(project.labels(0), (1, 9, 11, 13))[0]
    outside[:, 3:9, 2:10] = back[:, 3:9, 2:10]
    np.testing.assert_array_equal(back, outside)


def test_means_of_floats_and_edges() -> None:
    rng = np.random.default_rng(0)
    slab = rng.random((5, 7, 4)).astype(np.float32)
    coarse = means(slab, (2, 3, 4))
    assert coarse.shape == (3, 3, 1) and coarse.dtype == np.float32
    for z, y in np.ndindex(3, 3):
        assert math.isclose(coarse[z, y, 0], slab[2 * z : 2 * z + 2, 3 * y : 3 * y + 3].mean(), rel_tol=1e-6)


def test_what_does_not_fit_is_cut_around_the_labels(tmp_path: Path) -> None:
    project = make_project(tmp_path, z=40, y=200, x=220, voxel_size=(5.0, 1.0, 1.0), n_labels=1)
    at = project.labels(0).coords[0, :3]
    frame = lane_frame(project.lane(0))
    part = choose_part(frame, 2, 4 * 40_000, labelled=at[np.newaxis])
    assert part.holds(at[np.newaxis]).all()
    assert 0.8 * 40_000 < np.prod(part.shape) <= 40_000
    depth, height, width = (n * size for n, size in zip(part.shape, (5.0, 1.0, 1.0)))
    assert height == width and abs(depth - width) <= 5  # a plane
    record = export_labels(project, 0, tmp_path / "l.nii.gz", settings=ExportSettings(limit=4 * 40_000))
    assert record.shape == part.shape and "a crop around the labels" in record.notes[0]
    assert same(import_labels(project, 0, tmp_path / "l.nii.gz").labels, project.labels(0))
    whole = choose_part(frame, 2, 10**9)
    assert whole.shape == frame.shape and "the whole image" in whole.reason
    middle = choose_part(frame, 2, 4 * 40_000)
    assert "the middle" in middle.reason
    asked = choose_part(frame, 2, 1000, region=(slice(0, 40), slice(0, 200), slice(0, 220)))
    assert asked.shape == frame.shape and "more than ITK-SNAP may load" in asked.reason


def test_voxels_are_counted_in_32_bits(tmp_path: Path) -> None:
    frame = lane_frame(make_project(tmp_path).lane(0))
    large = type(frame)(**{**vars(frame), "shape": (2000, 2000, 2000)})
    part = choose_part(large, 1, 10**12)
    assert np.prod(part.shape) < 2**31 and "2,147,483,647 voxels" in part.reason


def test_nifti_keeps_its_own_orientation(tmp_path: Path) -> None:
    project = make_project(tmp_path, image="image.nii")
    image = nibabel.load(tmp_path / "image.nii")
    affine = np.array([[0, -0.0016, 0, 0.5], [0.0015, 0, 0, -0.25], [0, 0, 0.006, 0.125], [0, 0, 0, 1]])
    turned = nibabel.Nifti1Image(np.asarray(image.dataobj), affine)
    nibabel.save(turned, tmp_path / "image.nii")
    roi = ExportSettings(roi={"z": (1, 8), "x": (5, 13)})
    export_labels(project, 0, tmp_path / "l.nii", image_output=tmp_path / "i.nii", settings=roi)
    expected = turned.slicer[5:13, :, 1:8]  # nibabel's own crop
    written = nibabel.load(tmp_path / "i.nii")
    np.testing.assert_allclose(written.affine, expected.affine, atol=1e-7)
    np.testing.assert_array_equal(np.asarray(written.dataobj), np.asarray(expected.dataobj))
    fresh = IlastikProject.open(tmp_path / "p.ilp")
    assert same(import_labels(fresh, 0, tmp_path / "l.nii").labels, project.labels(0))


def test_refusals_leave_nothing(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    with pytest.raises(FormatError, match="no name of a NIfTI"):
        export_labels(project, 0, tmp_path / "l.tif")
    with pytest.raises(SettingError, match="same name"):
        export_labels(project, 0, tmp_path / "l.nii", image_output=tmp_path / "l.nii")
    with pytest.raises(SettingError, match="downsampling"):
        export_labels(project, 0, tmp_path / "l.nii", settings=ExportSettings(downsample=(10, 1, 1)))
    with pytest.raises(SettingError, match="--time"):
        export_labels(project, 0, tmp_path / "l.nii", settings=ExportSettings(roi={"t": (0, 1)}))
    with pytest.raises(SettingError, match="not inside"):
        export_labels(project, 0, tmp_path / "l.nii", settings=ExportSettings(roi={"z": (0, 99)}))
    (tmp_path / "names.txt").write_text("mine")
    with pytest.raises(OutputExistsError):
        export_labels(project, 0, tmp_path / "l.nii", names_output=tmp_path / "names.txt")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image.h5", "names.txt", "p.ilp"]
    assert (tmp_path / "names.txt").read_text() == "mine"
    export_labels(project, 0, tmp_path / "l.nii", names_output=tmp_path / "names.txt", overwrite=True)
    assert f'"{NAMES[1]}"' in (tmp_path / "names.txt").read_text()
    (tmp_path / "image.h5").unlink()
    fresh = IlastikProject.open(tmp_path / "p.ilp")
    export_labels(fresh, 0, tmp_path / "without.nii")  # the labels need no image
    with pytest.raises(MissingFileError):
        export_labels(fresh, 0, tmp_path / "without2.nii", image_output=tmp_path / "i.nii")
    assert not (tmp_path / "without2.nii").exists()


def test_the_same_labels_give_the_same_bytes(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    for name in ("a.nii.gz", "b.nii.gz"):
        export_labels(project, 0, tmp_path / name, image_output=tmp_path / ("i" + name))
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    assert (tmp_path / "ia.nii.gz").read_bytes() == (tmp_path / "ib.nii.gz").read_bytes()


def test_memory_does_not_grow_with_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ecc_rf.itksnap import planes

    monkeypatch.setattr(planes, "_SLAB_BYTES", 4 * 11 * 13 * 2)  # four planes
    project = make_project(tmp_path, z=50, image="image.npy", voxel_size=None)
    largest: list[int] = []
    original: Any = AxisView._read

    def watched(view: AxisView, slices: tuple[slice, ...]) -> Any:
        largest.append(slices[2].stop - slices[2].start)
        return original(view, slices)

    monkeypatch.setattr(AxisView, "_read", watched)
    export_labels(project, 0, tmp_path / "l.nii", image_output=tmp_path / "i.nii")
    assert max(largest) <= 4 and sum(largest) == 50
    np.testing.assert_array_equal(np.asarray(nibabel.load(tmp_path / "i.nii").dataobj).T, project.lane(0).open().read())
