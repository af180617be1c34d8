"""Label files as other programs write them: read right, or refused with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from ecc_rf.errors import ShapeError
from ecc_rf.ilp import IlastikProject
from ecc_rf.itksnap import ImportSettings, export_labels, import_labels
from ecc_rf.itksnap.placement import Placement
from ecc_rf.volumes.nifti_geometry import plain_affine
from tests.snap_projects import SIZE, dense, make_project, same

SHAPE = (9, 11, 13)


@pytest.fixture
def project(tmp_path: Path) -> IlastikProject:
    return make_project(tmp_path)


def array_of(project: IlastikProject) -> np.ndarray[Any, Any]:
    """The project's labels, z, y, x."""
    whole: np.ndarray[Any, Any] = dense(project.labels(0), (1, *SHAPE))[0]
    return whole


def save(path: Path, array_xyz: np.ndarray[Any, Any], affine: np.ndarray[Any, Any] | None, unit: str = "mm") -> Path:
    image = nibabel.Nifti1Image(array_xyz, affine)
    if affine is not None:  # as ITK writes it: both transforms
        image.set_sform(affine, 1)
        image.set_qform(affine, 1)
    image.header.set_xyzt_units(unit)
    nibabel.save(image, path)
    return path


def refused(project: IlastikProject, path: Path, **settings: Any) -> str:
    with pytest.raises(ShapeError) as error:
        import_labels(project, 0, path, ImportSettings(**settings))
    return str(error.value)


@pytest.mark.parametrize("spacing", [(0.0015, 0.00162, 0.006), (1, 1, 1), (1.5, 1.62, 6), (0.7, 0.7, 0.7)])
@pytest.mark.parametrize("signs", [(-1, -1, 1), (1, 1, 1)], ids=["LPS", "identity"])
def test_whole_images(project: IlastikProject, tmp_path: Path, spacing: tuple[float, ...], signs: Any) -> None:
    """LPS is what ITK makes of an image that says nothing, RAS the identity that scripts write; in mm, without any
    voxel size, with µm called mm, or with a wrong one."""
    affine = np.diag([*(np.array(spacing) * signs), 1.0])
    path = save(tmp_path / "l.nii.gz", array_of(project).T, affine)
    imported = import_labels(project, 0, path)
    assert same(imported.labels, project.labels(0))
    text = " ".join(imported.notes)
    assert ("made without orientation" in text) == (signs == (1, 1, 1))
    assert ("factor of 10^3" in text) == (spacing == (1.5, 1.62, 6))
    assert ("taken voxel by voxel" in text) == (spacing in [(1, 1, 1), (0.7, 0.7, 0.7)])


def test_pixdim_only(project: IlastikProject, tmp_path: Path) -> None:
    path = save(tmp_path / "l.nii", array_of(project).T, None)
    assert same(import_labels(project, 0, path).labels, project.labels(0))
    crop = save(tmp_path / "c.nii", array_of(project)[2:, 3:, 4:].T, None)
    assert "--offset Z,Y,X" in refused(project, crop)
    imported = import_labels(project, 0, crop, ImportSettings(offset=(2, 3, 4)))
    assert same(imported.labels, project.labels(0))


@pytest.mark.parametrize("codes", ["RAS", "LAS", "PIR", "SLA", "IPR"])
def test_reoriented_by_nibabel(project: IlastikProject, tmp_path: Path, codes: str) -> None:
    export_labels(project, 0, tmp_path / "l.nii")
    image = nibabel.load(tmp_path / "l.nii")
    turn = nibabel.orientations.ornt_transform(
        nibabel.io_orientation(image.affine), nibabel.orientations.axcodes2ornt(codes)
    )
    turned = image.as_reoriented(turn)
    assert nibabel.aff2axcodes(turned.affine) == tuple(codes)
    nibabel.save(turned, tmp_path / "t.nii")
    imported = import_labels(project, 0, tmp_path / "t.nii")
    assert same(imported.labels, project.labels(0))
    assert any("the affine turns the labels" in note for note in imported.notes)
    cut = turned.slicer[2:, 1:-1, :-3]
    nibabel.save(cut, tmp_path / "c.nii")
    assert same(import_labels(project, 0, tmp_path / "c.nii").labels, project.labels(0))
    as_stored = turned.shape == SHAPE[::-1]
    if as_stored:
        taken = import_labels(project, 0, tmp_path / "t.nii", ImportSettings(ignore_affine=True))
        np.testing.assert_array_equal(dense(taken.labels, (1, *SHAPE))[0], np.asarray(turned.dataobj).T)


def test_an_origin_that_itk_forgot_to_convert(project: IlastikProject, tmp_path: Path) -> None:
    """Of an image in µm, ITK before 5.4 writes the voxel size in mm and the origin still in µm."""
    affine = plain_affine(SIZE, (2, 3, 4))
    affine[:3, 3] *= 1000
    path = save(tmp_path / "c.nii", array_of(project)[2:, 3:, 4:].T, affine)
    assert same(import_labels(project, 0, path).labels, project.labels(0))


def test_the_two_transforms(project: IlastikProject, tmp_path: Path) -> None:
    crop = array_of(project)[2:8, 3:, 4:].T
    image = nibabel.Nifti1Image(crop, None)
    image.set_qform(plain_affine(SIZE, (2, 3, 4)), 1)
    nibabel.save(image, tmp_path / "q.nii")
    assert same(import_labels(project, 0, tmp_path / "q.nii").labels, project.labels(0))
    image.set_sform(plain_affine(SIZE, (3, 3, 4)), 2)
    nibabel.save(image, tmp_path / "both.nii")
    text = refused(project, tmp_path / "both.nii")
    assert "sform at z, y, x = (3, 3, 4)" in text and "qform at z, y, x = (2, 3, 4)" in text
    # an sform that leads into an atlas says nothing about the image
    image.set_sform(np.array([[0.02, 0.015, 0, 3], [-0.015, 0.02, 0, 4], [0, 0, 0.025, 5], [0, 0, 0, 1]]), 4)
    nibabel.save(image, tmp_path / "atlas.nii")
    assert same(import_labels(project, 0, tmp_path / "atlas.nii").labels, project.labels(0))


def test_axes_in_another_order(project: IlastikProject, tmp_path: Path) -> None:
    """The commonest mistake in scripts: an array z, y, x where NIfTI has x, y, z."""
    path = save(tmp_path / "l.nii", array_of(project), np.eye(4))
    text = refused(project, path)
    assert "(13, 11, 9)" in text and "(9, 11, 13)" in text and "--axes xyz" in text
    assert same(import_labels(project, 0, path, ImportSettings(axes="xyz")).labels, project.labels(0))
    np.save(tmp_path / "l.npy", array_of(project).transpose(1, 0, 2))
    text = refused(project, tmp_path / "l.npy")
    assert "--axes yzx" in text
    assert same(import_labels(project, 0, tmp_path / "l.npy", ImportSettings(axes="yzx")).labels, project.labels(0))


def test_refusals(project: IlastikProject, tmp_path: Path) -> None:
    array = array_of(project)
    turn = np.deg2rad(20)
    oblique = np.eye(4)
    oblique[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    assert "obliquely" in refused(project, save(tmp_path / "a.nii", array.T, oblique))
    outside = plain_affine(SIZE, (2, 0, 0))
    assert "reach out of the image" in refused(project, save(tmp_path / "b.nii", array.T, outside))
    between = plain_affine(SIZE, (2, 3, 4))
    between[0, 3] -= 0.5 * SIZE[2] / 1000
    text = refused(project, save(tmp_path / "c.nii", array[2:, 3:, 5:].T, between))
    assert "lie between the image's: it begins at 2, 3, 4.5" in text
    other = plain_affine((6.0, 3.0, 3.5), (0, 0, 0))
    text = refused(project, save(tmp_path / "d.nii", array[:, :5, :5].T, other))
    assert "voxels of z, y, x = 6, 3, 3.5 µm, the image's are 6, 1.62, 1.5 µm" in text
    crop = save(tmp_path / "e.nii", array[2:, 3:, 4:].T, np.diag([-1.0, -1, 1, 1]))
    assert "voxels of" in refused(project, crop)  # a crop that a program without voxel sizes made
    assert "reach out" in refused(project, crop, offset=(3, 3, 4))
    assert "reach out" in refused(project, crop, offset=(2, 3, -1))
    larger = save(tmp_path / "f.nii", np.ones((14, 11, 9), np.uint8), np.eye(4))
    assert "(9, 11, 14)" in refused(project, larger)
    assert "give the labels of this image" in refused(project, larger, ignore_affine=True)


def test_the_place_of_voxels_by_hand() -> None:
    """Against the definition: a voxel of the file, each axis turned, flipped, scaled and moved."""
    rng = np.random.default_rng(1)
    file_shape, image_shape = (4, 5, 6), (30, 30, 30)
    place = Placement((2, 3, 4), (2, 0, 1), (True, False, True), (1, 2, 3))
    array = rng.integers(0, 4, file_shape)
    expected = np.zeros(image_shape, int)
    turned = array.transpose(2, 0, 1)[::-1, :, ::-1].repeat(2, axis=1).repeat(3, axis=2)
    expected[2 : 2 + 6, 3 : 3 + 8, 4 : 4 + 15] = turned
    voxels = np.argwhere(array)
    at, rows = place.apply(voxels, file_shape, image_shape)
    found = np.zeros(image_shape, int)
    found[tuple(at.T)] = array[tuple(voxels.T)][rows]
    np.testing.assert_array_equal(found, expected)
    assert place.covered(file_shape, image_shape) == (slice(2, 8), slice(3, 11), slice(4, 19))


def test_real_annotations_are_those_of_the_project(cfos: Path) -> None:
    """Strokes as an annotator left them, and what ilastik made of them."""
    project = IlastikProject.open(cfos / "cfos.ilp")
    for lane in project.lanes:
        name = Path(lane.stored_path.split(".h5")[0]).name
        imported = import_labels(project, lane.index, cfos / "labels" / f"{name}.nii.gz")
        assert same(imported.labels, project.labels(lane.index)), name
        assert not any("affine" in note for note in imported.notes)
