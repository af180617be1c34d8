"""new, train, relink and features on the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from ecc_rf import IlastikProject, PixelClassifier, create_volume
from ecc_rf.cli import main
from ecc_rf.errors import ImageTooSmallError, SettingError
from ecc_rf.features import DEFAULT_SCALES, FeatureSelection
from ecc_rf.features.grammar import parse_selection, selection_text
from ecc_rf.ilp import LaneLabels, ProjectChanges, edit_project
from tests.test_cli import fails, leftovers
from tests.test_ilp_editing import digest


@pytest.fixture
def brain(fixtures: Path) -> str:
    return str(fixtures / "brain.h5")


@pytest.fixture
def labelled(tmp_path: Path, brain: str) -> Path:
    """A new project of the fixture's image with labels of a threshold."""
    shutil.copy(brain, tmp_path / "brain.h5")
    assert (
        main(["new", str(tmp_path / "p.ilp"), str(tmp_path / "brain.h5"), "--features", "gaussian:0.7 hessian:1"]) == 0
    )
    made = IlastikProject.open(tmp_path / "p.ilp")
    with made.lanes[0].open() as volume:
        image = volume.read()
    rng = np.random.default_rng(0)
    coords = np.column_stack([rng.integers(0, n, 3000) for n in (*image.shape, 1)])
    bright = image[tuple(coords[:, :3].T)] > np.percentile(image, 97)
    labels = LaneLabels.from_voxels("zyxc", coords, np.where(bright, 1, 3))
    edit_project(tmp_path / "p.ilp", tmp_path / "labelled.ilp", changes=ProjectChanges(labels={0: labels}))
    return tmp_path / "labelled.ilp"


def test_new(tmp_path: Path, brain: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new.ilp"
    assert main(["new", str(out), brain]) == 0
    assert "false signal" in capsys.readouterr().out
    made = IlastikProject.open(out)
    assert made.label_names == ["object", "false signal", "background"]
    assert made.features.matrix == FeatureSelection.recommended().matrix
    assert made.features.compute_in_2d == (False,) * 7
    lane = made.lanes[0]
    assert (lane.kind, lane.nickname, lane.open().shape) == ("absolute", "brain-data", (40, 96, 96))
    with h5py.File(out) as file:
        info = file["Input Data/infos/lane0000/Raw Data"]
        tags = json.loads(info["axistags"][()])["axes"]
        assert [(tag["key"], tag["resolution"]) for tag in tags] == [("z", 5), ("y", 2), ("x", 2)]
        assert json.loads(info["axis_units"][()]) == {"z": "um", "y": "um", "x": "um"}
    before = digest(out)
    assert "new.ilp" in fails(capsys, "new", str(out), brain, "--label", "x")
    assert digest(out) == before
    arguments = ["--label", "PV+ cell", "--label", "rest", "--link", "copy", "--features", "all", "--overwrite"]
    assert main(["new", str(out), brain, *arguments]) == 0
    made = IlastikProject.open(out)
    assert (made.label_names, made.lanes[0].kind) == (["PV+ cell", "rest"], "embedded")
    with made.lanes[0].open() as volume:
        assert volume.voxel_size == (5, 2, 2)


def test_new_of_several_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "a.npy", np.ones((20, 30, 40), np.uint16))
    with create_volume(tmp_path / "b.ome.zarr", (20, 30, 40), "uint16", "zyx", voxel_size=(5, 2, 2)) as volume:
        volume[0:20] = np.full((20, 30, 40), 7, np.uint16)
    with create_volume(tmp_path / "c.tif", (20, 30, 40), "uint8", "zyx") as volume:
        volume[0:20] = np.full((20, 30, 40), 9, np.uint8)
    names = ["a.npy", "b.ome.zarr", "c.tif"]
    out = tmp_path / "p.ilp"
    for link, kind in (("relative", "relative"), ("absolute", "absolute"), ("copy", "embedded")):
        assert main(["new", str(out), *(str(tmp_path / n) for n in names), "--link", link, "--overwrite"]) == 0
        made = IlastikProject.open(out)
        assert [lane.kind for lane in made.lanes] == [kind] * 3
        assert [int(lane.open().read()[3, 4, 5]) for lane in made.lanes] == [1, 7, 9]
    for name in names:
        path = tmp_path / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert [int(lane.open().read()[3, 4, 5]) for lane in IlastikProject.open(out).lanes] == [1, 7, 9]


def test_new_refuses_what_cannot_work(tmp_path: Path, brain: str, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "thin.npy", np.ones((5, 30, 40), np.uint16))
    out = str(tmp_path / "p.ilp")
    assert "need at least 7 voxels along z" in fails(capsys, "new", out, str(tmp_path / "thin.npy"))
    assert "nowhere.h5" in fails(capsys, "new", out, str(tmp_path / "nowhere.h5"))
    assert "no filter 'gauss'" in fails(capsys, "new", out, brain, "--features", "gauss:1")
    assert "sigmas" in fails(capsys, "new", out, brain, "--features", "gaussian:small")
    assert "sigmas" in fails(capsys, "new", out, brain, "--features", "hessian")
    assert leftovers(tmp_path) == ["thin.npy"]
    with pytest.raises(ImageTooSmallError):
        IlastikProject.create(out, [tmp_path / "thin.npy"])
    with pytest.raises(SettingError):
        IlastikProject.create(out, [])


def test_train(tmp_path: Path, labelled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = digest(labelled)
    out = tmp_path / "trained.ilp"
    capsys.readouterr()
    assert main(["train", str(labelled), "-o", str(out), "--trees", "10", "--seed", "3"]) == 0
    printed = capsys.readouterr().out
    for part in ("10 trees in 8 forests", "Out-of-bag error", "warning: label 2 (false signal) has no annotation"):
        assert part in printed
    assert digest(labelled) == before
    assert IlastikProject.open(out).stale() == []
    assert "trained.ilp" in fails(capsys, "train", str(labelled), "-o", str(out))
    arguments = ["--trees", "10", "--seed", "3", "--workers", "1", "--memory", "1GB", "--json", "--overwrite"]
    first = digest(out)
    assert main(["train", str(labelled), "-o", str(out), *arguments, "--report", str(tmp_path / "r.json")]) == 0
    report = json.loads(capsys.readouterr().out)
    assert digest(out) == first and report["seed"] == 3
    assert json.loads((tmp_path / "r.json").read_text())["confusion"] == report["confusion"]
    PixelClassifier.from_project(out)
    assert "trees" in fails(capsys, "train", str(labelled), "-o", str(tmp_path / "x.ilp"), "--trees", "0")
    assert not (tmp_path / "x.ilp").exists()


def test_train_with_an_image_elsewhere(tmp_path: Path, labelled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "away").mkdir()
    moved = (tmp_path / "brain.h5").rename(tmp_path / "away" / "raw.h5")
    out = tmp_path / "trained.ilp"
    assert "--image 0=PATH" in fails(capsys, "train", str(labelled), "-o", str(out))
    assert "LANE=PATH" in fails(capsys, "train", str(labelled), "-o", str(out), "--image", str(moved))
    assert "twice" in fails(capsys, "train", str(labelled), "-o", str(out), "--image", "0=a", "--image", "0=b")
    assert "no lane 5" in fails(capsys, "train", str(labelled), "-o", str(out), "--image", f"5={moved}")
    assert not out.exists()
    assert main(["train", str(labelled), "-o", str(out), "--trees", "5", "--image", f"brain-data={moved}"]) == 0
    assert IlastikProject.open(out).lanes[0].stored_path == "away/raw.h5/data"


@pytest.mark.parametrize("stored", [r"D:\lab\study\images\brain.h5\data", "/Volumes/lab/study/images/brain.h5/data"])
def test_relink(tmp_path: Path, labelled: Path, stored: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A project from another computer, its tree moved."""
    with h5py.File(labelled, "a") as file:
        info = file["Input Data/infos/lane0000/Raw Data"]
        for name, value in (("filePath", stored), ("__class__", "FilesystemDatasetInfo")):
            del info[name]
            info[name] = value.encode()
    old = IlastikProject.open(labelled).labels(0)
    tree = tmp_path / "server" / "study" / "images"
    tree.mkdir(parents=True)
    image = (tmp_path / "brain.h5").rename(tree / "brain.h5")
    out = tmp_path / "server" / "study" / "p.ilp"
    assert "None of the images is found" in fails(capsys, "relink", str(labelled), "-o", str(out))
    for arguments in ([f"0={image}/data"], ["--search", str(tmp_path / "server")], [f"brain-data={image}"]):
        assert main(["relink", str(labelled), *arguments, "-o", str(out), "--overwrite"]) == 0
        new = IlastikProject.open(out)
        assert (new.lanes[0].kind, new.lanes[0].stored_path) == ("relative", "images/brain.h5/data")
        assert np.array_equal(new.labels(0).coords, old.coords) and new.label_names[0] == "object"
    assert main(["relink", str(out), "-o", str(out), "--overwrite", "--link", "copy"]) == 0
    voxels = IlastikProject.open(out).lanes[0].open().read()
    image.unlink()
    assert np.array_equal(IlastikProject.open(out).lanes[0].open().read(), voxels)
    np.save(tmp_path / "other.npy", np.zeros((40, 96, 95), np.uint16))
    before = digest(out)
    assert "(40, 96, 95)" in fails(
        capsys, "relink", str(out), f"0={tmp_path / 'other.npy'}", "-o", str(out), "--overwrite"
    )
    assert digest(out) == before


def test_features(tmp_path: Path, labelled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["features", str(labelled)]) == 0
    assert capsys.readouterr().out == "gaussian:0.7 hessian:1\n"
    start = ["--features", "gaussian:0.3,0.7 difference:0.7 hessian:1.0", "--trees", "10"]
    out = tmp_path / "fast.ilp"
    assert main(["features", str(labelled), "--suggest", "--json", *start, "-o", str(out), "--cells", "2"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [choice["cells"] for choice in found["choices"]] == [4, 3, 2, 1]
    for larger, smaller in zip(found["choices"], found["choices"][1:]):
        cells = [set(parse_selection(choice["words"]).cells) for choice in (larger, smaller)]
        assert cells[1] < cells[0] and smaller["left_out"]
    best = min(choice["error"] for choice in found["choices"])
    chosen = found["choices"][found["suggested"]]
    assert chosen["error"] <= best + max(choice["uncertainty"] for choice in found["choices"])
    new = IlastikProject.open(out)
    assert selection_text(new.features) == found["choices"][2]["words"] and new.stale() == []
    assert PixelClassifier.from_project(new).feature_names() == new.forest_summary().feature_names
    assert main(["features", str(labelled), "--suggest", "--trees", "3"]) == 0
    assert "Suggested:" in capsys.readouterr().out
    assert "--suggest" in fails(capsys, "features", str(labelled), "-o", str(out))
    assert "9 cells" in fails(
        capsys, "features", str(labelled), "--suggest", "--trees", "2", "--cells", "9", "-o", str(tmp_path / "n.ilp")
    )


def test_features_that_say_nothing_are_left_out_first() -> None:
    from ecc_rf.feature_choice import suggest_features
    from ecc_rf.gathering import TrainingRows
    from ecc_rf.training import TrainingSettings

    selection = parse_selection("gaussian:0.3,0.7,1.0,1.6")
    plan = selection.plan((50, 50, 50))
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2000, 4)).astype(np.float32)
    labels = np.where(features[:, 1] + 0.5 * features[:, 2] > 0, 1, 2).astype(np.uint8)
    rows = TrainingRows(features, labels, np.zeros(2000, int), features[:, :1], plan.names)
    found = suggest_features(rows, selection, plan, 2, TrainingSettings(trees=30))
    assert [choice.words for choice in found.choices][2:] == ["gaussian:0.7,1", "gaussian:0.7"]
    # of two features one is tried at each node, of three two: a third may help although it says nothing
    assert found.choices[found.suggested].cells in (2, 3)
    assert found.forests[3].n_features == 1 and found.names[3] == (plan.names[1],)


def test_selections_in_words() -> None:
    every = parse_selection("all")
    assert len(every.cells) == 7 + 5 * 6 and every.scales == DEFAULT_SCALES and every.compute_in_2d is None
    assert parse_selection("recommended hessian:5").cells[-1] == ("HessianOfGaussianEigenvalues", 5)
    assert parse_selection("HessianOfGaussianEigenvalues:1 2d:1").compute_in_2d == (False, False, True, *(False,) * 4)
    assert parse_selection("laplacian:0.9 2D").compute_in_2d == (True,) * 8
    for words in ("gaussian:0.3,0.7 hessian:1.6", "structure:1,2.25 2d:2.25", "laplacian:5 gradient:1,10"):
        assert selection_text(parse_selection(words)) == words
    for words in (
        "",
        "2d",
        "gaussian",
        "gaussian:",
        "gaussian:0",
        "gaussian:-1",
        "gaussian:nan",
        "x:1",
        "gaussian:1 2d:3.3",
    ):
        with pytest.raises(SettingError):
            parse_selection(words)
