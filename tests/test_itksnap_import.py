"""What the values of a label file mean, how they meet old labels, and files that are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile

from ecc_rf.errors import (
    AxesError,
    EccError,
    FormatError,
    LabelError,
    MissingFileError,
    OutputExistsError,
    SettingError,
)
from ecc_rf.ilp import IlastikProject
from ecc_rf.itksnap import ImportSettings, import_into_project, import_labels, reading
from ecc_rf.itksnap.description import Description, description_text, read_description
from ecc_rf.itksnap.mapping import resolve_mapping
from ecc_rf.volumes import create_volume
from tests.snap_projects import NAMES, dense, make_project, same

SHAPE = (9, 11, 13)


@pytest.fixture
def project(tmp_path: Path) -> IlastikProject:
    return make_project(tmp_path)


def save(path: Path, array: np.ndarray[Any, Any]) -> Path:
    np.save(path, array)
    return path


def strokes(*values: float, dtype: str = "u2") -> np.ndarray[Any, Any]:
    """One voxel of each value, in a row."""
    array = np.zeros(SHAPE, dtype)
    array[4, 5, : len(values)] = values
    return array


def counts(project: IlastikProject, path: Path, **settings: Any) -> dict[int, int]:
    return import_labels(project, 0, path, ImportSettings(**settings)).counts


# --- values ---


def test_values_that_are_labels_stay(project: IlastikProject, tmp_path: Path) -> None:
    """Where ilastik's rank rule would make label 2 of value 3."""
    assert counts(project, save(tmp_path / "l.npy", strokes(1, 3, 3))) == {1: 1, 3: 2}


def test_other_values_by_rank_as_ilastik_does(project: IlastikProject, tmp_path: Path) -> None:
    imported = import_labels(project, 0, save(tmp_path / "l.npy", strokes(5, 900, 900)))
    assert imported.counts == {1: 1, 2: 2}
    assert any("5→1 (cell), 900→2 (false signal)" in note for note in imported.notes)


def test_an_explicit_mapping(project: IlastikProject, tmp_path: Path) -> None:
    path = save(tmp_path / "l.npy", strokes(5, 9, 9, 700, 100, dtype="i4"))
    mapping = {5: 3, 9: "Cell", 700: "background", 100: 0, 8: 1}
    imported = import_labels(project, 0, path, ImportSettings(mapping=mapping))
    assert imported.counts == {1: 2, 3: 2}
    text = " ".join(imported.notes)
    assert "100 is left out" in text and "value 8 of the mapping does not occur" in text
    with pytest.raises(LabelError, match=r"value 100 is not mapped.*5, 9, 700"):
        counts(project, path, mapping={5: 1, 9: 1, 700: 1})
    with pytest.raises(LabelError, match="leaves out every"):
        counts(project, path, mapping=dict.fromkeys((5, 9, 700, 100), 0))
    with pytest.raises(LabelError, match="label '4', which the project does not have; it has 1 \\(cell\\)"):
        counts(project, path, mapping={5: 4, 9: 1, 700: 1, 100: 1})


def test_by_the_names_of_the_description(project: IlastikProject, tmp_path: Path) -> None:
    path = save(tmp_path / "l.npy", strokes(2, 7, 7))
    (tmp_path / "n.txt").write_text('2 1 2 3 1 1 1 "Background"\n7 9 8 7 0.5 1 0 "vessel"\n')
    with pytest.raises(LabelError, match="'vessel'"):
        counts(project, path, names=tmp_path / "n.txt")
    assert counts(project, path, names=tmp_path / "n.txt", mapping={7: 1}) == {1: 2, 3: 1}
    imported = import_labels(project, 0, path, ImportSettings(names=tmp_path / "n.txt", create_labels=True))
    assert (imported.counts, imported.label_names) == ({3: 1, 4: 2}, [*NAMES, "vessel"])
    assert imported.label_colors == [*project.label_colors, (9, 8, 7)]
    one_more = ImportSettings(names=tmp_path / "n.txt", new_labels=["vessel"])
    import_into_project(tmp_path / "p.ilp", 0, path, tmp_path / "new.ilp", one_more)
    new = IlastikProject.open(tmp_path / "new.ilp")
    assert new.label_names == [*NAMES, "vessel"] and new.label_colors[3] == (9, 8, 7)
    assert new.labels(0).counts == {3: 1, 4: 2}


def test_new_labels_by_number(project: IlastikProject, tmp_path: Path) -> None:
    path = save(tmp_path / "l.npy", strokes(1, 4))
    imported = import_labels(project, 0, path, ImportSettings(new_labels=["vessel"]))
    assert imported.counts == {1: 1, 4: 1} and any("4 (vessel)" in note for note in imported.notes)
    with pytest.raises(SettingError, match="already"):
        counts(project, path, new_labels=["CELL"])


@pytest.mark.parametrize("value", [100, 255, 256, 70_000])
def test_values_that_no_project_can_hold(tmp_path: Path, value: int) -> None:
    names = [f"label {number}" for number in range(1, 100)]
    project = make_project(tmp_path, names=names)
    path = save(tmp_path / "l.npy", strokes(*range(1, 11), value, dtype="i4"))
    assert counts(project, path)[11] == 1  # by rank, with a notice
    assert counts(project, path, mapping={**{v: v for v in range(1, 11)}, value: 11})[11] == 1
    with pytest.raises(SettingError, match=r"label 100 .*erases"):
        counts(project, path, new_labels=["one more"])


def test_too_many_values(project: IlastikProject, tmp_path: Path) -> None:
    path = save(tmp_path / "l.npy", strokes(1, 2, 3, 300))
    with pytest.raises(LabelError, match="1, 2, 3, 300 do not fit the project's 3 labels; 300 can be no label"):
        counts(project, path)
    eraser = save(tmp_path / "e.npy", strokes(1, 2, 3, 100))
    with pytest.raises(LabelError, match="100 can be no label"):
        counts(project, eraser)
    with pytest.raises(LabelError, match="label 100 cannot be"):
        counts(project, eraser, mapping={1: 1, 2: 2, 3: 3, 100: 100})


def test_fractions_and_negatives(project: IlastikProject, tmp_path: Path) -> None:
    assert counts(project, save(tmp_path / "a.npy", strokes(1.0, 3.0, dtype="f8"))) == {1: 1, 3: 1}
    for wrong in (0.5, np.nan, np.inf):
        path = save(tmp_path / "b.npy", strokes(1, wrong, dtype="f4"))
        with pytest.raises(FormatError, match=f"value {wrong} at z=4, y=5, x=1 is no label"):
            counts(project, path)
    with pytest.raises(FormatError, match="no label"):
        counts(project, save(tmp_path / "c.npy", strokes(1, 2**63 + 5, dtype="u8")))
    with pytest.raises(LabelError, match="do not fit"):
        counts(project, save(tmp_path / "d.npy", strokes(1, -1, dtype="i2")))
    assert counts(project, tmp_path / "d.npy", mapping={1: 1, -1: 0}) == {1: 1}


def test_mapping_of_many_values_against_a_loop() -> None:
    rng = np.random.default_rng(0)
    names = [f"n{i}" for i in range(1, 21)]
    values = sorted(set(rng.integers(1, 10**6, 20).tolist()))
    found = resolve_mapping(values, names)
    assert found.table == {value: 1 + sum(other < value for other in values) for value in values}
    assert found.names == names


# --- old labels ---


@pytest.mark.parametrize("merge", ["replace", "keep", "overwrite"])
def test_meeting_old_labels(project: IlastikProject, tmp_path: Path, merge: str) -> None:
    rng = np.random.default_rng(5)
    crop = rng.integers(0, 4, (5, 6, 7)).astype(np.uint8)
    settings = ImportSettings(offset=(2, 3, 4), merge=merge)  # type: ignore[arg-type]
    imported = import_labels(project, 0, save(tmp_path / "l.npy", crop), settings)
    expected = dense(project.labels(0), (1, *SHAPE))[0]
    for z, y, x in np.ndindex(*crop.shape):
        at, new = (z + 2, y + 3, x + 4), crop[z, y, x]
        if merge == "replace" or (new and (merge == "overwrite" or not expected[at])):
            expected[at] = new
    np.testing.assert_array_equal(dense(imported.labels, (1, *SHAPE))[0], expected)


def test_merge_of_another_kind() -> None:
    with pytest.raises(SettingError, match="choose replace, keep or overwrite"):
        ImportSettings(merge="mix")  # type: ignore[arg-type]


def test_several_files_one_after_the_other(project: IlastikProject, tmp_path: Path) -> None:
    first = import_labels(project, 0, save(tmp_path / "a.npy", strokes(4)), ImportSettings(new_labels=["vessel"]))
    second = ImportSettings(merge="keep", new_labels=["fibre"])
    both = import_labels(project, 0, save(tmp_path / "b.npy", strokes(0, 5)), second, after=first)
    assert both.label_names == [*NAMES, "vessel", "fibre"] and len(both.label_colors) == 5
    assert both.labels.counts == {4: 1, 5: 1}


def test_a_project_is_written_whole_or_not_at_all(project: IlastikProject, tmp_path: Path) -> None:
    before = (tmp_path / "p.ilp").read_bytes()
    path = save(tmp_path / "l.npy", strokes(1, 2))
    with pytest.raises(OutputExistsError):
        import_into_project(tmp_path / "p.ilp", 0, path, tmp_path / "p.ilp")
    with pytest.raises(EccError):
        import_into_project(tmp_path / "p.ilp", 7, path, tmp_path / "new.ilp")
    assert not (tmp_path / "new.ilp").exists()
    import_into_project(tmp_path / "p.ilp", "image-data", path, tmp_path / "new.ilp")
    assert IlastikProject.open(tmp_path / "new.ilp").labels(0).counts == {1: 1, 2: 1}
    assert (tmp_path / "p.ilp").read_bytes() == before


# --- files ---


def test_every_format(project: IlastikProject, tmp_path: Path) -> None:
    array = dense(project.labels(0), (1, *SHAPE))[0]
    for name in ("l.h5/labels", "l.ome.zarr", "l.tif", "l.npy", "l.nii", "l.nii.gz"):
        with create_volume(tmp_path / name, SHAPE, np.uint8, "zyx") as volume:
            volume[()] = array
        assert same(import_labels(project, 0, tmp_path / name).labels, project.labels(0)), name
    tifffile.imwrite(tmp_path / "plain.tif", array, compression="zlib")
    assert same(import_labels(project, 0, tmp_path / "plain.tif").labels, project.labels(0))
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["data"] = array[..., np.newaxis]
    assert same(import_labels(project, 0, tmp_path / "c.h5").labels, project.labels(0))


def test_read_in_slabs(project: IlastikProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array = dense(project.labels(0), (1, *SHAPE))[0]
    with create_volume(tmp_path / "l.h5", SHAPE, np.uint8, "zyx", chunks=(4, 4, 4)) as volume:
        volume[()] = array
    whole = import_labels(project, 0, tmp_path / "l.h5").labels
    monkeypatch.setattr(reading, "_SLAB_BYTES", 1)
    assert same(import_labels(project, 0, tmp_path / "l.h5").labels, whole)
    monkeypatch.setattr(reading, "MOST_VOXELS", 10)
    with pytest.raises(FormatError, match="a segmentation, not strokes"):
        import_labels(project, 0, tmp_path / "l.h5")


def test_files_that_are_no_labels(project: IlastikProject, tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="no voxel is labelled"):
        counts(project, save(tmp_path / "a.npy", strokes()))
    with pytest.raises(AxesError, match="labels have one channel, this has 3"):
        counts(project, save(tmp_path / "b.npy", np.ones((9, 11, 13, 3), np.uint8)))
    with pytest.raises(MissingFileError):
        counts(project, tmp_path / "nothing.nii.gz")
    with pytest.raises(AxesError, match="2 time steps"):
        counts(project, save(tmp_path / "c.npy", np.ones((2, 9, 11, 13, 1), np.uint8)))
    with pytest.raises(SettingError, match="time step 1: the image has 1"):
        counts(project, save(tmp_path / "d.npy", strokes(1)), time=1)


def test_labels_of_several_time_steps(tmp_path: Path) -> None:
    project = make_project(tmp_path, "tzyx", t=3)
    rng = np.random.default_rng(2)
    array = rng.integers(0, 4, (3, *SHAPE, 1)).astype(np.uint8)
    path = save(tmp_path / "l.npy", array)
    np.testing.assert_array_equal(dense(import_labels(project, 0, path).labels, (3, *SHAPE)), array[..., 0])
    one = dense(import_labels(project, 0, path, ImportSettings(time=1)).labels, (3, *SHAPE))
    expected = dense(project.labels(0), (3, *SHAPE))
    expected[1] = array[1, ..., 0]
    np.testing.assert_array_equal(one, expected)


# --- label descriptions ---


def test_descriptions_out_and_in(tmp_path: Path) -> None:
    names, colors = ["cell", 'the "bright" σ', "  two  words "], [(255, 225, 25), (0, 130, 200), (1, 2, 3)]
    (tmp_path / "n.txt").write_text(description_text(names, colors), "utf-8")
    assert read_description(tmp_path / "n.txt") == [
        Description(1, "cell", colors[0]),
        Description(2, "the 'bright' σ", colors[1]),
        Description(3, "two words", colors[2]),
    ]
    lines = [line for line in (tmp_path / "n.txt").read_text("utf-8").splitlines() if not line.startswith("#")]
    assert lines[0].split()[:7] == ["0"] * 7 and all(len(line.split('"')[0].split()) == 7 for line in lines)


def test_descriptions_as_itk_snap_writes_them(tmp_path: Path) -> None:
    (tmp_path / "n.txt").write_bytes(
        b"\xef\xbb\xbf################################\r\n# ITK-SnAP Label Description File\r\n"
        b'    0     0    0    0        0  0  0    "Clear Label"\r\n\r\n'
        b'    1   255    0    0        1  1  1    "Label 1"\r\n   12     0  255    0     0.35  1  0    "soma"\r\n'
    )
    assert read_description(tmp_path / "n.txt") == [
        Description(1, "Label 1", (255, 0, 0)),
        Description(12, "soma", (0, 255, 0)),
    ]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ('1 2 3 4 1 1 1 "a"\n1 2 3 4 1 1 1 "b"', "line 2"),
        ("1 2 3 4 1 1 1 a", "no label description"),
        ('x 2 3 4 1 1 1 "a"', "no label description"),
        ('0 0 0 0 0 0 0 "Clear Label"', "no label is described"),
        ("", "no label is described"),
    ],
)
def test_texts_that_are_no_description(tmp_path: Path, text: str, match: str) -> None:
    (tmp_path / "n.txt").write_text(text)
    with pytest.raises(FormatError, match=match):
        read_description(tmp_path / "n.txt")
    with pytest.raises(MissingFileError):
        read_description(tmp_path / "none.txt")
