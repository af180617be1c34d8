"""Settings chosen by marked cells: what is tried, what is chosen, and what is said of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ecc_rf import CellFinder, PixelClassifier, open_volume
from ecc_rf.cell_settings import read_settings
from ecc_rf.cli import main
from ecc_rf.errors import EccError, SettingError
from ecc_rf.evaluation import MatchingRule, Truth, match
from ecc_rf.objects import train_object_model
from ecc_rf.tuning import SettingsGrid, TruthVolume, Tuning, tune
from ecc_rf.tuning.job import warnings_of
from ecc_rf.tuning.scoring import Pairing

VOXEL = (5.0, 2.0, 2.0)
RULE = MatchingRule()


def halves() -> list[TruthVolume]:
    """The fixtures' brain in two pieces, taken for two brains."""
    fixtures = Path(__file__).parents[1] / "data/fixtures"
    with open_volume(fixtures / "brain.h5") as volume:
        raw = volume.read()
    probability = np.rint(PixelClassifier.from_project(fixtures / "cells.ilp").predict(raw, "zyx")[..., 0] * 255)
    truth = pd.read_csv(fixtures / "truth.csv").to_numpy()
    centres = Truth("all", truth).centres
    found = []
    for name, part in (("low", slice(0, 20)), ("high", slice(20, 40))):
        inside = centres[(centres[:, 0] >= part.start) & (centres[:, 0] < part.stop)] - [part.start, 0, 0]
        values = probability[part].astype(np.uint8)
        found.append(TruthVolume(name, name, values, raw[part], Truth(name, inside), VOXEL))
    return found


@pytest.fixture(scope="module")
def volumes() -> list[TruthVolume]:
    return halves()


def test_leaving_detections_out_is_matching_anew() -> None:
    random = np.random.default_rng(0)
    for trial in range(20):
        centres = random.uniform(0, 30, (random.integers(0, 40), 3))
        points = random.uniform(0, 30, (random.integers(0, 60), 3))
        inside = np.where(random.random(len(points)) < 0.3, random.integers(-1, max(1, len(centres)), len(points)), -1)
        inside = inside if len(centres) else None
        pairing = Pairing(points, centres, VOXEL, RULE, inside)
        for share in (0.0, 0.5, 1.0):
            kept = random.random(len(points)) < share
            expected = match(points[kept], centres, VOXEL, RULE, None if inside is None else inside[kept])
            assert pairing.matched(kept) == (expected >= 0).sum(), trial


def test_every_combination_scores_as_its_own_settings_do(volumes: list[TruthVolume]) -> None:
    """Searches are shared; each combination must count what `CellFinder` with its settings finds."""
    base = CellFinder(connectivity=26)
    grid = SettingsGrid(base, (0.3, 0.6), (0.0, 2.0), (2, 5, 11), (None, 1.5), (None, 40))
    assert len(grid) == 48 and len(grid.searches()) == 2 * 2 * (1 + 2)  # 11 voxels are more than a fifth of 40
    tuning = tune(volumes, grid, workers=1)
    assert len(tuning.finders) == 48 and len(set(map(repr, tuning.finders))) == 48
    for column in range(0, 48, 5):
        finder = tuning.finders[column]
        for row, volume in enumerate(volumes):
            table = finder.find(volume.probability, volume.raw, voxel_size=VOXEL)
            points = table[["z", "y", "x"]].to_numpy()
            assert tuning.detections[row, column] == len(table), finder
            assert tuning.matched[row, column] == (match(points, volume.truth.centres, VOXEL, RULE) >= 0).sum()


def board(f1: dict[str, list[float]], finders: tuple[CellFinder, ...], base: CellFinder | None = None) -> Tuning:
    """A tuning with given F1: as many detections as cells, 1,000 of each, in every brain."""
    matched = np.array([[round(1000 * value) for value in row] for row in f1.values()], np.int64)
    grid = SettingsGrid(base or finders[0], threshold=[finder.threshold for finder in finders])
    names = tuple(f1)
    cells = np.full(len(names), 1000)
    return Tuning(grid, RULE, names, names, finders, matched, np.full_like(matched, 1000), cells)


def test_a_brain_is_judged_by_settings_of_the_others() -> None:
    finders = tuple(CellFinder(threshold=t) for t in (0.7, 0.5, 0.6))
    tuning = board({"a": [0.50, 0.70, 0.60], "b": [0.52, 0.71, 0.60], "c": [0.66, 0.40, 0.60]}, finders)
    assert tuning.chosen == finders[1]  # 0.603 in the mean
    assert [result.settings for result in tuning.groups.values()] == [finders[2], finders[2], finders[1]]
    assert tuning.left_out is not None and tuning.left_out.f1 == pytest.approx((0.6 + 0.6 + 0.4) / 3)
    c = tuning.groups["c"]
    assert c.loss == pytest.approx(0.26) and not c.transfers
    assert c.wishes == (("threshold", 0.7, pytest.approx(0.26)),)
    told = warnings_of(tuning)
    assert "does not transfer to c" in told[-1] and "threshold 0.7 (F1 +0.260)" in told[-1]
    assert tuning.curve("threshold")[0.6]["a"].f1 == pytest.approx(0.6)
    text = json.dumps(tuning.as_dict())
    assert json.loads(text)["groups"]["c"]["transfers"] is False


def test_ties_are_broken_toward_the_base() -> None:
    finders = tuple(CellFinder(threshold=t) for t in (0.3, 0.5, 0.7, 0.9))
    same = {"a": [0.6, 0.6, 0.599, 0.5], "b": [0.6, 0.6, 0.599, 0.5]}
    assert board(same, finders, CellFinder(threshold=0.7)).chosen == finders[2]  # 0.001 less is not less
    assert board(same, finders, CellFinder(threshold=0.9)).chosen == finders[2]  # the nearest of the equal ones
    assert board(same, finders, CellFinder(threshold=0.35)).chosen == finders[0]
    assert all(result.transfers for result in board(same, finders).groups.values())


def test_one_brain_says_nothing_of_others() -> None:
    tuning = board({"a": [0.5, 0.6]}, (CellFinder(threshold=0.7), CellFinder(threshold=0.5)))
    assert tuning.left_out is None and tuning.groups["a"].left_out is None and tuning.groups["a"].transfers
    assert "of one brain" in warnings_of(tuning)[0]


def test_what_cannot_be_tried(volumes: list[TruthVolume]) -> None:
    with pytest.raises(SettingError, match="combinations"):
        SettingsGrid(threshold=np.linspace(0, 1, 200), min_contrast=list(range(200)))
    with pytest.raises(SettingError, match="threshold"):
        SettingsGrid(threshold=[1.5])
    with pytest.raises(SettingError, match="no volume"):
        tune([], SettingsGrid())
    empty = replace(volumes[0], truth=Truth("none", np.empty((0, 3))))
    with pytest.raises(SettingError, match="No cell is marked"):
        tune([empty], SettingsGrid())


def write(folder: Path, volumes: list[TruthVolume]) -> list[str]:
    """Volumes as files, and the arguments that name them."""
    arguments: list[str] = []
    for kind in ("probability", "raw", "truth"):
        arguments += [] if kind == "probability" else [f"--{kind}"]
        for volume in volumes:
            path = folder / f"{volume.name}_{kind}.{'csv' if kind == 'truth' else 'npy'}"
            if kind == "truth":
                pd.DataFrame(volume.truth.centres, columns=["z", "y", "x"]).to_csv(path, index=False)
            elif kind == "raw":
                np.save(path, volume.raw)
            else:
                np.save(path, np.asarray(volume.probability, np.float32) / 255)
            arguments.append(str(path))
    return [*arguments, "--voxel-size", "5,2,2", "-q"]


def test_cells_takes_what_tune_wrote(
    tmp_path: Path, volumes: list[TruthVolume], capsys: pytest.CaptureFixture[str]
) -> None:
    files, out = write(tmp_path, volumes), tmp_path / "best.toml"
    tried = ["--try-threshold", "0.3,0.5,0.7", "--try-smoothing-um", "0,2", "--try-max-volume", "none"]
    assert main(["tune", *files, *tried, "--min-volume", "3", "-o", str(out), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert "min_volume" not in report["chosen"] and report["left_out"]["cells"] == report["score"]["cells"]
    stored = read_settings(out).finder
    assert stored["min_volume"] == 3 and stored["threshold"] == report["chosen"]["threshold"]
    matched = 0
    for volume in volumes:
        table = tmp_path / f"{volume.name}.csv"
        images = [str(tmp_path / f"{volume.name}_probability.npy"), "--raw", str(tmp_path / f"{volume.name}_raw.npy")]
        arguments = ["--settings", str(out), "-o", str(table), "--voxel-size", "5,2,2", "-q"]
        assert main(["cells", *images, *arguments]) == 0
        points = pd.read_csv(table)[["z", "y", "x"]].to_numpy()
        matched += int((match(points, volume.truth.centres, VOXEL) >= 0).sum())
    assert matched == report["score"]["matched"]
    capsys.readouterr()
    assert main(["tune", *files, *tried, "--group", "all=*"]) == 0
    printed = capsys.readouterr()
    assert "F1 by threshold" in printed.out and "of one brain" in printed.err


def test_with_an_object_model_the_cut_is_chosen(
    tmp_path: Path, volumes: list[TruthVolume], capsys: pytest.CaptureFixture[str]
) -> None:
    candidates = CellFinder(threshold=0.2, smoothing_um=1.0, contrast=True)
    tables, labels = [], []
    for volume in volumes:
        tables.append(candidates.find(volume.probability, volume.raw, voxel_size=VOXEL))
        labels.append(match(tables[-1][["z", "y", "x"]].to_numpy(), volume.truth.centres, VOXEL) >= 0)
    settings = {"threshold": 0.2, "smoothing_um": 1.0}
    model = train_object_model(pd.concat(tables, ignore_index=True), np.concatenate(labels), finder=settings)
    (tmp_path / "models").mkdir()
    model.save(tmp_path / "models/model.h5")
    files, out = write(tmp_path, volumes), tmp_path / "best.toml"
    arguments = ["tune", *files, "--objects-model", str(tmp_path / "models/model.h5"), "-o", str(out)]
    assert main([*arguments, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert list(report["chosen"]) == ["object_cut"]
    assert read_settings(out).model == tmp_path / "models/model.h5"
    assert dict(read_settings(out).finder) == report["chosen"]
    found = tmp_path / "cells.csv"
    images = [str(tmp_path / "low_probability.npy"), "--raw", str(tmp_path / "low_raw.npy"), "--voxel-size", "5,2,2"]
    assert main(["cells", *images, "--settings", str(out), "-o", str(found), "-q"]) == 0
    detections = {group: score["chosen"]["detections"] for group, score in report["groups"].items()}
    assert len(pd.read_csv(found)) == detections["low_truth"]


def test_what_is_asked_wrongly_is_refused(
    tmp_path: Path, volumes: list[TruthVolume], capsys: pytest.CaptureFixture[str]
) -> None:
    files = write(tmp_path, volumes)
    truths = files[files.index("--truth") :]
    plain = [*files[:2], *truths]
    for arguments, message in (
        ([files[0], *truths], "1 probability volumes and 2 of --truth"),
        ([*plain, "--try-min-contrast", "2"], "Contrasts are measured"),
        ([*plain, "--try-object-cut", "0.2"], "no object model"),
        ([*plain, "--threshold", "0.5", "--try-threshold", "0.2"], "both fixed and to be tried"),
        ([*plain, "--group", "x=high*"], "fits 0 groups"),
        ([*plain, "--try-threshold", "2"], "threshold"),
    ):
        assert main(["tune", *arguments]) == 2
        assert message in capsys.readouterr().err
    (tmp_path / "there.toml").write_text("")
    assert main(["tune", *plain, "-o", str(tmp_path / "there.toml")]) == 2
    assert "already" in capsys.readouterr().err
    assert issubclass(SettingError, EccError)
