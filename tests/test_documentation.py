"""Pages of docs/ whose commands are run as they are written."""

from __future__ import annotations

import shutil
from pathlib import Path

import matplotlib.image
import nibabel
import numpy as np
import pandas as pd
import pytest

from ecc_rf.ilp import IlastikProject
from tests.documentation import ROOT, run_blocks, shell_blocks
from tests.snap_projects import same


def test_annotate(tmp_path: Path, fixtures: Path) -> None:
    shutil.copy(fixtures / "brain.h5", tmp_path)
    shutil.copy(fixtures / "brain.h5", tmp_path / "brain2.h5")
    drawn = IlastikProject.open(fixtures / "cells.ilp").labels(0)

    def draw(block: str) -> None:
        """What a person would draw: the strokes of the fixtures' project, in the file that is there."""
        assert "-s strokes.nii.gz" in block
        image = nibabel.load(tmp_path / "strokes.nii.gz")
        array = np.asarray(image.dataobj).copy()
        assert not array.any()
        at = dict(zip(drawn.axes, drawn.coords.T))
        array[at["x"], at["y"], at["z"]] = drawn.values
        nibabel.save(nibabel.Nifti1Image(array, image.affine, image.header), tmp_path / "strokes.nii.gz")
        # the second image is drawn at the same sitting; its file is replaced when it has been exported
        with_two = array.copy()
        with_two[:, :, ::2] = 0
        nibabel.save(nibabel.Nifti1Image(with_two, image.affine, image.header), tmp_path / "drawn2.nii.gz")

    page = tmp_path / "annotate.md"
    text = (ROOT / "docs" / "annotate.md").read_text(encoding="utf-8")
    second = "and, when `strokes2.nii.gz` is drawn as well,\n"
    assert second in text
    page.write_text(text.replace(second, "```sh\nmv drawn2.nii.gz strokes2.nii.gz\n```\n"), encoding="utf-8")
    run_blocks(page, tmp_path, {"itksnap": draw})

    trained = IlastikProject.open(tmp_path / "PV_trained.ilp")
    assert same(trained.labels(0), drawn) and trained.stale() == []
    study = IlastikProject.open(tmp_path / "study_trained.ilp")
    assert same(study.labels(0), drawn) and 0 < len(study.labels(1).values) < len(drawn.values)
    assert study.forest_summary().n_rows == len(drawn.values) + len(study.labels(1).values)
    assert matplotlib.image.imread(tmp_path / "preview.png").ndim == 3
    cells = pd.read_csv(tmp_path / "result" / "cells.csv")[["Z", "Y", "X"]].to_numpy()
    truth = pd.read_csv(fixtures / "truth.csv").to_numpy() * (5, 2, 2)
    distance = np.linalg.norm(cells[:, None] - truth[None], axis=-1)
    # A cell is found if a detection lies within its visible radius of 8 µm.
    assert (distance.min(axis=0) < 8).mean() > 0.9 and (distance.min(axis=1) < 8).mean() > 0.9


def test_blocks_that_fail_are_told(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n\n```sh\nfalse | cat\n```\n```\nnot run\n```\n")
    assert shell_blocks(page) == ["false | cat\n"]
    with pytest.raises(AssertionError, match=r"page\.md: exit 1 of\nfalse"):
        run_blocks(page, tmp_path)
