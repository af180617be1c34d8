"""The commands around normalisation and object models, end to end on the fixtures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from ecc_rf import CellFinder, IlastikProject, open_volume
from ecc_rf.cell_settings import read_settings, resolve, write_settings
from ecc_rf.cli import main
from ecc_rf.errors import EccError, FormatError, MissingFileError, SettingError
from ecc_rf.evaluation import Truth, match
from ecc_rf.ilp.normalization_note import NormalizationNote, forest_digest, write_note
from ecc_rf.normalization import Normalization
from ecc_rf.normalization.settings import read_from_volume
from ecc_rf.objects import FEATURES, ObjectModel, train_object_model

VOXEL = (5.0, 2.0, 2.0)
CANDIDATES = CellFinder(threshold=0.2, smoothing_um=1.0, contrast=True)


@pytest.fixture(scope="module")
def normalized_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fixtures' project, said to be trained on normalised images (its forest was not: only bytes are compared)."""
    path = tmp_path_factory.mktemp("project") / "cells.ilp"
    shutil.copy(Path(__file__).parents[1] / "data/fixtures/cells.ilp", path)
    digest = forest_digest(IlastikProject.open(path).forest())
    with h5py.File(path, "a") as file:
        write_note(file, NormalizationNote(Normalization(60.0), forest=digest))
    return path


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("name", ["h5", "ome.zarr"])
def test_written_and_on_the_fly_are_the_same(
    tmp_path: Path, normalized_project: Path, fixtures: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    brain, project = str(fixtures / "brain.h5"), str(normalized_project)
    written = tmp_path / f"brain.{name}"
    assert main(["normalize", brain, "-o", str(tmp_path), "--window-um", "60", "--format", name, "-q"]) == 0
    assert "scale" in capsys.readouterr().out
    stored = read_from_volume(written)
    assert stored is not None and stored["window_um"] == 60
    with open_volume(written) as volume, open_volume(brain) as raw:
        assert (volume.dtype, volume.shape, volume.voxel_size) == (np.float32, raw.shape, raw.voxel_size)
        assert stored["scales"] == [float(np.median(raw.read()))]
        assert abs(float(np.median(volume.read()))) < 0.05  # the background is gone
    outputs = []
    for number, arguments in enumerate(
        (
            [str(written)],
            [brain, "--normalize"],
            [brain, "--normalize", "--workers", "3", "--block", "16"],
            [brain, "--normalize", "--scale", str(stored["scales"][0]), "--block", "40,96,17"],
        )
    ):
        out = tmp_path / f"p{number}.npy"
        assert main(["classify", project, *arguments, "-o", str(out), "-q"]) == 0
        outputs.append(out.read_bytes())
    assert len(set(outputs)) == 1


def test_what_does_not_fit_is_refused(
    tmp_path: Path, normalized_project: Path, fixtures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    brain, raw_project, out = str(fixtures / "brain.h5"), str(fixtures / "cells.ilp"), str(tmp_path / "out")
    project = str(normalized_project)
    assert main(["normalize", brain, "-o", str(tmp_path), "-q"]) == 0
    normalized = str(tmp_path / "brain.h5")
    for arguments, message in (
        (("run", project, brain), "trained on normalised images, this one is not"),
        (("run", raw_project, brain, "--normalize"), "not normalised, this one is"),
        (("run", raw_project, normalized), "not normalised, this one is"),
        (("run", project, normalized), "windows of 75 µm"),
        (("run", project, normalized, "--normalize"), "normalised already"),
        (("normalize", normalized), "normalised already"),
        (("normalize", brain, brain), "Several images are named brain"),
    ):
        assert message in fails(capsys, *arguments, "-o", out)
        assert not (tmp_path / "out").exists()
    assert "already" in fails(capsys, "normalize", brain, "-o", str(tmp_path))
    assert main(["run", project, brain, "-o", out, "--any-normalization", "--no-report", "-q"]) == 0


def test_pieces_share_the_scale_of_the_brain(tmp_path: Path, normalized_project: Path, fixtures: Path) -> None:
    with open_volume(fixtures / "brain.h5") as volume:
        image = volume.read()
    pieces = []
    for number, part in enumerate((image[:20], image[20:])):
        pieces.append(str(tmp_path / f"piece{number}.npy"))
        np.save(pieces[-1], part)
    arguments = [*pieces, "-o", str(tmp_path / "out"), "--normalize", "--together", "--voxel-size", "5,2,2"]
    assert main(["run", str(normalized_project), *arguments, "--no-report", "-q"]) == 0
    records = [json.loads((tmp_path / f"out/piece{n}/run.json").read_text())["normalization"] for n in (0, 1)]
    assert [record["scales"] for record in records] == [[float(np.median(image))]] * 2
    assert records[0]["window_um"] == 60


@pytest.fixture(scope="module")
def candidates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame, np.ndarray]:
    """A probability volume of the fixtures' brain, its candidates, and which of them are cells."""
    fixtures = Path(__file__).parents[1] / "data/fixtures"
    probability = tmp_path_factory.mktemp("p") / "p.h5"
    arguments = ["-o", str(probability), "--labels", "1", "--dtype", "uint8", "-q"]
    assert main(["classify", str(fixtures / "cells.ilp"), str(fixtures / "brain.h5"), *arguments]) == 0
    table = CANDIDATES.find(probability, fixtures / "brain.h5")
    truth = pd.read_csv(fixtures / "truth.csv").to_numpy()
    is_cell = match(table[["z", "y", "x"]].to_numpy(), Truth("truth", truth).centres, VOXEL) >= 0
    return probability, table, is_cell


@pytest.fixture(scope="module")
def model(candidates: tuple[Path, pd.DataFrame, np.ndarray]) -> ObjectModel:
    finder = {"threshold": 0.2, "smoothing_um": 1.0}
    return train_object_model(candidates[1], candidates[2], seed=3, finder=finder)


def test_a_model_is_the_same_after_its_file(
    tmp_path: Path, model: ObjectModel, candidates: tuple[Path, pd.DataFrame, np.ndarray]
) -> None:
    _, table, is_cell = candidates
    model.save(tmp_path / "a.h5")
    again = train_object_model(table, is_cell, seed=3, finder=model.finder)
    again.save(tmp_path / "b.h5")
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    loaded = ObjectModel.load(tmp_path / "a.h5")
    assert loaded.probabilities(table).tobytes() == model.probabilities(table).tobytes()
    assert (loaded.cut, loaded.finder, loaded.training) == (model.cut, model.finder, model.training)
    assert loaded.training["cells"] == int(is_cell.sum())


def test_a_model_predicts_as_scikit_learn(candidates: tuple[Path, pd.DataFrame, np.ndarray]) -> None:
    from sklearn.ensemble import RandomForestClassifier

    _, table, is_cell = candidates
    reference = RandomForestClassifier(150, min_samples_leaf=5, max_features="sqrt", random_state=3)
    rows = table[list(FEATURES)].to_numpy(np.float32)
    expected = reference.fit(rows, is_cell).predict_proba(rows)[:, 1]
    found = train_object_model(table, is_cell, seed=3).probabilities(table)
    np.testing.assert_allclose(found, expected, atol=1e-5)  # leaves are merged in float32


def test_cells_and_run_take_a_model(
    tmp_path: Path, model: ObjectModel, candidates: tuple[Path, pd.DataFrame, np.ndarray], fixtures: Path
) -> None:
    probability, table, _ = candidates
    model.save(tmp_path / "model.h5")
    brain, chosen = str(fixtures / "brain.h5"), ["--objects-model", str(tmp_path / "model.h5")]
    out = tmp_path / "cells.csv"
    assert main(["cells", str(probability), "--raw", brain, "-o", str(out), *chosen, "-q"]) == 0
    cells = pd.read_csv(out)
    expected = table[model.probabilities(table) >= model.cut]
    assert cells["voxels"].tolist() == expected["voxels"].tolist()  # found as the model's candidates were
    assert (cells["cell_probability"] >= model.cut).all() and 0 < len(cells) < len(table)

    write_settings(tmp_path / "settings.toml", {"object_cut": 0.6, "min_volume": None}, model="model.h5", notes="a\nb")
    settings = ["--settings", str(tmp_path / "settings.toml")]
    arguments = ["-o", str(tmp_path / "run"), *settings, "--no-report", "-q"]
    assert main(["run", str(fixtures / "cells.ilp"), brain, *arguments]) == 0
    stricter = pd.read_csv(tmp_path / "run/cells.csv")
    assert len(stricter) == int((model.probabilities(table) >= 0.6).sum()) < len(cells)
    record = json.loads((tmp_path / "run/run.json").read_text())
    assert record["objects_model"]["seed"] == 3 and record["settings"]["cells"]["object_cut"] == 0.6


def test_settings_of_the_command_line_go_before_the_file(tmp_path: Path) -> None:
    write_settings(tmp_path / "s.toml", {"threshold": 0.5, "smoothing_um": 1.62})
    assert resolve({"threshold": 0.8, "min_volume": None}, tmp_path / "s.toml")[0] == CellFinder(
        threshold=0.8, smoothing_um=1.62
    )
    assert read_settings(tmp_path / "s.toml").model is None
    assert resolve({}) == (CellFinder(), None)
    errors: list[tuple[str, type[EccError]]] = [
        ("[cells]\nthreshhold = 1", SettingError),
        ("threshold = 1", SettingError),
        ("[cells", FormatError),
        ("cells = 3", FormatError),
        ('[cells]\nthreshold = "high"', SettingError),
        ("[cells]\nthreshold = 7", SettingError),
        ('objects_model = "none.h5"', MissingFileError),
    ]
    for text, error in errors:
        (tmp_path / "bad.toml").write_text(text)
        with pytest.raises(error):
            resolve({}, tmp_path / "bad.toml")
    with pytest.raises(MissingFileError):
        read_settings(tmp_path / "none.toml")


def test_models_that_are_none(
    tmp_path: Path, model: ObjectModel, candidates: tuple[Path, pd.DataFrame, object]
) -> None:
    model.save(tmp_path / "good.h5")
    (tmp_path / "text.h5").write_text("no model")
    with pytest.raises(FormatError):
        ObjectModel.load(tmp_path / "text.h5")
    for number, (name, value) in enumerate([("feature", 99), ("left", 10**6), ("threshold", np.nan), ("nodes", 4)]):
        path = tmp_path / f"bad{number}.h5"
        shutil.copy(tmp_path / "good.h5", path)
        with h5py.File(path, "a") as file:
            assert file[name][0] != value
            file[name][0] = value
        with pytest.raises(FormatError):
            ObjectModel.load(path)
    with pytest.raises(SettingError, match="no column contrast"):
        model.probabilities(candidates[1].drop(columns="contrast"))
    with pytest.raises(SettingError, match="at least 5 of each"):
        train_object_model(candidates[1][:6], np.ones(6, bool))


def test_train_objects_then_cells(
    tmp_path: Path,
    model: ObjectModel,
    candidates: tuple[Path, pd.DataFrame, np.ndarray],
    fixtures: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    probability, _, is_cell = candidates
    brain, out = str(fixtures / "brain.h5"), tmp_path / "model.h5"
    truth = ["--truth", str(fixtures / "truth.csv")]
    settings = ["--threshold", "0.2", "--smoothing-um", "1.0", "--seed", "3"]
    arguments = ["train-objects", str(probability), "--raw", brain, "-o", str(out), *settings, "-q"]
    assert main([*arguments, *truth]) == 0
    assert f"{is_cell.sum()} cells and {(~is_cell).sum()} others" in capsys.readouterr().out
    trained = ObjectModel.load(out)
    assert trained.training == model.training
    assert trained.finder == {"threshold": 0.2, "smoothing_um": 1.0, "contrast": True}
    assert "already" in fails(capsys, *arguments, *truth)
    assert "1 probability volumes, 1 raw images and 2 truths" in fails(
        capsys, *arguments, *truth, str(fixtures / "truth.csv"), "--overwrite"
    )
