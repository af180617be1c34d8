"""``ecc-rf labels``: what is printed, what is left behind."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest

from ecc_rf.cli import main
from ecc_rf.ilp import IlastikProject
from tests.snap_projects import same


@pytest.fixture
def folder(tmp_path: Path, fixtures: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("brain.h5", "cells.ilp"):
        shutil.copy(fixtures / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(command: str) -> int:
    return main(command.split())


def test_out_annotated_and_back(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export = "labels export cells.ilp 0 -o l.nii.gz --image-out i.nii.gz --names-out n.txt"
    assert run(export) == 0
    seen = capsys.readouterr()
    assert "itksnap -g i.nii.gz -s l.nii.gz -l n.txt" in seen.out and "1 (cell) 260" in seen.out
    assert "note: exported is the whole image" in seen.err
    image = nibabel.load("l.nii.gz")
    array = np.asarray(image.dataobj).copy()
    array[:, :, 3] = 0
    array[10:20, 30, 3] = 4  # a new label
    nibabel.save(nibabel.Nifti1Image(array, image.affine, image.header), "l.nii.gz")
    text = Path("n.txt").read_text() + '    4    10   20   30        1  1  1    "vessel"\n'
    Path("n.txt").write_text(text)
    command = "labels import cells.ilp brain-data l.nii.gz -o new.ilp --names n.txt"
    assert run(command) == 2
    assert "--new-label 'vessel'" in capsys.readouterr().err and not Path("new.ilp").exists()
    assert run(command + " --new-labels") == 0
    seen = capsys.readouterr()
    assert "4 (vessel) 10" in seen.out and "new labels: 4 (vessel)" in seen.err
    project = IlastikProject.open("new.ilp")
    assert project.label_names[3] == "vessel" and project.label_colors[3] == (10, 20, 30)
    assert run("labels export new.ilp 0 -o again.nii.gz") == 0
    np.testing.assert_array_equal(np.asarray(nibabel.load("again.nii.gz").dataobj), array)


def test_options_reach_the_work(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    crop = "labels export cells.ilp 0 -o c.nii --roi z=4:30,x=:48 --limit 16MB"
    assert run(crop) == 0
    assert "z, y, x = (26, 96, 48) from z, y, x = (4, 0, 0)" in capsys.readouterr().out
    assert run("labels import cells.ilp 0 c.nii -o a.ilp --map 1=2,2=cell,3=0 --merge overwrite") == 0
    old, new = (IlastikProject.open(name).labels(0) for name in ("cells.ilp", "a.ilp"))
    inside = (old.coords[:, 0] >= 4) & (old.coords[:, 0] < 30)
    expected = old.values.copy()
    expected[inside & (old.values == 1)] = 2
    expected[inside & (old.values == 2)] = 1
    np.testing.assert_array_equal(new.values, expected)
    assert run("labels import cells.ilp 0 c.nii -o b.ilp --offset 4,0,0") == 0
    assert same(IlastikProject.open("b.ilp").labels(0), old)
    capsys.readouterr()
    assert run("labels import cells.ilp 0 c.nii -o b.ilp") == 2
    assert "output of this name already" in capsys.readouterr().err
    assert run("labels import cells.ilp 0 c.nii -o b.ilp --ignore-affine --overwrite") == 2
    assert "--offset" in capsys.readouterr().err
    assert run("labels import cells.ilp 0 c.nii -o b.ilp --overwrite") == 0


@pytest.mark.parametrize(
    "options", ["--map 5", "--map 5=1,5=2", "--map =1", "--offset 1,2", "--offset=-1,0,0", "--offset a,b,c"]
)
def test_values_of_options(folder: Path, options: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        main(f"labels import cells.ilp 0 x.nii -o new.ilp {options}".split())
    assert exit.value.code == 2 and " is no " in capsys.readouterr().err


@pytest.mark.parametrize("part", ["export", "import"])
def test_help_has_an_example(part: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["labels", part, "--help"])
    assert f"Example: ecc-rf labels {part}" in capsys.readouterr().out
