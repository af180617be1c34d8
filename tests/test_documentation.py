"""Pages of docs/ whose commands are run as they are written."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import h5py
import matplotlib.image
import nibabel
import numpy as np
import pandas as pd
import pytest

from ecc_rf.ilp import IlastikProject
from tests.conftest import SHARED
from tests.documentation import ROOT, blocks, run_blocks
from tests.easy_probabilities import is_cell
from tests.reference_features import exact
from tests.reference_forest import predict
from tests.snap_projects import same
from tests.study_files import make_study
from tests.test_features_extract import taps


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


def test_report(tmp_path: Path, fixtures: Path) -> None:
    for name in ("brain.h5", "cells.ilp"):
        shutil.copy(fixtures / name, tmp_path)
    printed = run_blocks(ROOT / "docs" / "report.md", tmp_path)
    assert printed[0].endswith("results/report.html\n")


def test_studies(tmp_path: Path, fixtures: Path) -> None:
    make_study(tmp_path, fixtures)
    for marker in ("cFos", "PV"):
        shutil.copy(fixtures / "cells.ilp", tmp_path / f"{marker}.ilp")
        for brain in ("control/m1", "control/m2", "treated/m3"):
            (tmp_path / brain).mkdir(parents=True, exist_ok=True)
            shutil.copy(tmp_path / "brains" / "t3_pv.h5", tmp_path / brain / f"{marker}.h5")
    shutil.rmtree(tmp_path / "control" / "m2")  # two brains tell as much as three
    _, planned, done, again = run_blocks(ROOT / "docs" / "studies.md", tmp_path)
    assert "4 of 4 would be run" in planned and "treated" in done and "failed" not in done and "kept" in again
    table = pd.read_csv(tmp_path / "results" / "study.csv")
    assert list(table.marker + "/" + table.brain) == ["cFos/m1", "cFos/m3", "PV/m1", "PV/m3"]
    assert (table.cells > 0).all() and table.cells[2] >= table.cells[0]


def test_command_line(tmp_path: Path, fixtures: Path) -> None:
    for name in ("cells.ilp", "brain.h5"):
        shutil.copy(fixtures / name, tmp_path)
    _, scripts, version = run_blocks(ROOT / "docs" / "command_line.md", tmp_path)
    cells = len(pd.read_csv(tmp_path / "results" / "cells.csv"))
    assert scripts.splitlines()[0] == str(cells) and f'"before": {cells}' in scripts
    assert json.loads((tmp_path / "project.json").read_text())["lanes"]
    assert version.startswith("ecc-rf ")


def test_judging(tmp_path: Path, fixtures: Path) -> None:
    for name in ("brain.h5", "brain2.h5"):
        shutil.copy(fixtures / "brain.h5", tmp_path / name)
    shutil.copy(fixtures / "truth.csv", tmp_path / "marked.csv")
    strokes = IlastikProject.open(fixtures / "cells.ilp").labels(0)

    def draw(block: str) -> None:
        """What a person would draw: the strokes of the fixtures' project, or one in a crop."""
        file = tmp_path / block.split(" -s ")[1].split()[0]
        image = nibabel.load(file)
        array = np.asarray(image.dataobj).copy()
        if file.name == "strokes.nii.gz":
            at = dict(zip(strokes.axes, strokes.coords.T))
            array[at["x"], at["y"], at["z"]] = strokes.values
        else:
            array[3, 2, 1] = 1
        nibabel.save(nibabel.Nifti1Image(array, image.affine, image.header), file)

    def judge(block: str) -> None:
        """What a person would judge."""
        assert (tmp_path / block.split()[1]).read_text(encoding="utf-8").startswith("<!doctype html>")
        table = pd.read_csv(tmp_path / "judge/candidates.csv")
        assert len(table) == 80
        table["judgement"] = np.where(is_cell(table, fixtures), "cell", "not")
        table.loc[::20, "judgement"] = "unsure"
        table.to_csv(tmp_path / "judged.csv", index=False)

    printed = run_blocks(ROOT / "docs" / "judging.md", tmp_path, {"itksnap": draw, "xdg-open": judge})
    assert any("out of bag" in text and "4 unsure" in text for text in printed)
    cells = pd.read_csv(tmp_path / "cells.csv")
    score = is_cell(cells, fixtures).mean(), is_cell(cells, fixtures).sum() / 70
    assert min(score) > 0.85, score  # of the candidates only half are cells
    assert len(pd.read_csv(tmp_path / "judge2/candidates.csv")) == 40
    for folder in ("places", "uncertain", "next"):
        assert (tmp_path / folder / "places.csv").exists()
    place = pd.read_csv(tmp_path / "next/places.csv").iloc[0]
    drawn = IlastikProject.open(tmp_path / "PV3.ilp").labels(0)
    assert drawn.values.tolist() == [1]
    assert drawn.coords[0].tolist() == [place["z0"] + 1, place["y0"] + 2, place["x0"] + 3, 0]


def test_blocks_that_fail_are_told(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n\n```sh\nfalse | cat\n```\n```\nnot run\n```\n")
    assert [block.language for block in blocks(page)] == ["sh", ""]
    with pytest.raises(AssertionError, match=r"page\.md, line 3: exit 1 of\nfalse"):
        run_blocks(page, tmp_path)


def test_what_is_shown_is_what_is_printed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```sh\necho one; echo two 2\n```\n```text\none\n…\ntwo …\n```\n")
    (tmp_path / "a").mkdir()
    assert run_blocks(page, tmp_path / "a") == ["one\ntwo 2\n"]
    page.write_text("```sh\necho one; echo two\n```\n```text\ntwo\none\n```\n")
    (tmp_path / "b").mkdir()
    with pytest.raises(AssertionError, match="'one' is shown, but was not printed"):
        run_blocks(page, tmp_path / "b")


@pytest.fixture
def folder(tmp_path: Path, fixtures: Path) -> Path:
    """What most pages take for granted: a trained project and a brain."""
    shutil.copy(fixtures / "cells.ilp", tmp_path / "PV.ilp")
    shutil.copy(fixtures / "brain.h5", tmp_path)
    return tmp_path


def page(name: str) -> Path:
    return ROOT / "docs" / f"{name}.md"


def test_tutorial_ilastik(tmp_path: Path, fixtures: Path) -> None:
    def begin(block: str) -> None:
        """What the block does, whose `cd` would not last."""
        assert "cp data/fixtures/cells.ilp tutorial/PV.ilp" in block
        (tmp_path / "images").mkdir()
        shutil.copy(fixtures / "cells.ilp", tmp_path / "PV.ilp")
        shutil.copy(fixtures / "brain.h5", tmp_path / "images")

    run_blocks(page("tutorial_ilastik"), tmp_path, {"mkdir": begin})
    counts = [len(pd.read_csv(tmp_path / f"cells_{t}.csv")) for t in ("05", "09")]
    assert counts[0] > counts[1] > 0
    assert (tmp_path / "results" / "report.html").exists()
    points = pd.read_csv(tmp_path / "points.csv")
    assert list(points.columns[:4]) == ["index", "axis-0", "axis-1", "axis-2"] and len(points) == 69
    assert (tmp_path / "cells.xml").read_text(encoding="utf-8").count("<MarkerX>") == 69


def test_howto_links(folder: Path, fixtures: Path) -> None:
    (folder / "disk").mkdir()
    (folder / "brain.h5").rename(folder / "disk" / "brain.h5")
    run_blocks(page("howto_links"), folder)
    for name in ("PV_here", "PV_found", "PV_whole"):
        mended = IlastikProject.open(folder / f"{name}.ilp")
        assert mended.lanes[0].location.path is not None, name
        assert same(mended.labels(0), IlastikProject.open(fixtures / "cells.ilp").labels(0))


def test_howto_anisotropic(folder: Path) -> None:
    (folder / "PV.ilp").rename(folder / "trained.ilp")
    run_blocks(page("howto_anisotropic"), folder)
    features = IlastikProject.open(folder / "PV.ilp").features
    assert features.compute_in_2d == (False, False, False, True, True, False, False)


def test_howto_threshold(folder: Path, fixtures: Path) -> None:
    shutil.copy(fixtures / "truth.csv", folder / "marked.csv")
    run_blocks(page("howto_threshold"), folder)
    assert "threshold = 0." in (folder / "best.toml").read_text(encoding="utf-8")
    assert (folder / "errors").is_dir() and len(pd.read_csv(folder / "cells.csv")) > 60


def test_howto_compare(folder: Path, request: pytest.FixtureRequest) -> None:
    """Against votes of real ilastik where they are at hand, otherwise against the slow restatement of the tests."""
    if (SHARED / "golden").is_dir():
        cfos = request.getfixturevalue("cfos")
        shutil.copy(cfos / "cfos.ilp", folder / "PV.ilp")
        (folder / "PV.ilp").chmod(0o644)
        shutil.copy(cfos / "patches" / "1147_3.h5", folder / "brain.h5")
        with np.load(cfos / "golden" / "1147_3.npz") as golden:
            (votes,) = golden.values()
        probabilities = votes.astype(np.float32) / np.float32(100)
    else:
        project = IlastikProject.open(folder / "PV.ilp")
        with h5py.File(folder / "brain.h5", "r+") as file:
            image = file["data"][:24, :40, :40]
            del file["data"]
            file["data"] = image
        probabilities = _restated(project, image)
    with h5py.File(folder / "ilastik.h5", "w") as file:
        data = file.create_dataset("exported_data", data=probabilities)
        data.attrs["axistags"] = json.dumps({"axes": [{"key": key} for key in "zyxc"]})
    printed = run_blocks(page("howto_compare"), folder)[-1]
    assert "more than 1e-6: 0.0e+00" in printed, printed


def _restated(project: IlastikProject, image: np.ndarray) -> np.ndarray:
    """What the project's forest says, by the plain numpy of the tests."""
    selection, forest = project.features, project.forest()
    channels = [exact(image, name, selection.scales[k], False, taps) for name, k in selection.cells]
    rows = np.concatenate(channels).reshape(-1, image.size).T
    votes = predict(list(forest.forests()), rows, forest.classes, forest.n_labels, forest.weighted)
    return votes.reshape(*image.shape, -1)


def test_howto_from_ecc(folder: Path) -> None:
    run_blocks(page("howto_from_ecc"), folder)  # compares the tables itself


def test_howto_ci(folder: Path) -> None:
    run_blocks(page("howto_ci"), folder)


def test_readme(folder: Path) -> None:
    demo = (ROOT / "scripts" / "demo").read_text(encoding="utf-8").replace(".venv/bin/ecc-rf", "ecc-rf")

    def try_it(block: str) -> None:
        """The commands of the demo, without the virtual environment that it makes."""
        assert "scripts/demo" in block and os.access(ROOT / "scripts" / "demo", os.X_OK)
        (folder / "data").symlink_to(ROOT / "data")
        tried = folder / "demo.md"
        tried.write_text("```sh\n" + re.sub(r"^source .*\n", "", demo, flags=re.MULTILINE) + "```\n", encoding="utf-8")
        assert "The whole table is in demo-output/cells.csv" in run_blocks(tried, folder)[0]

    def install(block: str) -> None:
        """Done: what is tested is installed, from the folder that the block names."""
        assert block.strip().endswith("pip install .") and (ROOT / "pyproject.toml").exists()

    run_blocks(ROOT / "README.md", folder, {"git": try_it, "python": install})
    assert len(pd.read_csv(folder / "results" / "cells.csv")) == 69


def test_usage(folder: Path) -> None:
    with h5py.File(folder / "brain.h5") as file:
        ventricles = np.zeros(file["data"].shape, np.uint8)
    ventricles[:, :, :20] = 1
    nibabel.save(nibabel.Nifti1Image(ventricles.T, np.diag([2.0, 2.0, 5.0, 1.0])), folder / "ventricles.nii.gz")
    run_blocks(page("usage"), folder)
    whole, masked = (pd.read_csv(folder / name / "cells.csv") for name in ("results", "split"))
    assert 0 < len(masked) < len(whole)
