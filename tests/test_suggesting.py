"""Where strokes would help: which places are chosen, and that strokes drawn in their crops find their way back."""

from __future__ import annotations

import shutil
from pathlib import Path

import matplotlib.image
import nibabel
import numpy as np
import pandas as pd
import pytest

from ecc_rf import CellFinder, open_volume
from ecc_rf.cli import main
from ecc_rf.errors import EccError, SettingError
from ecc_rf.evaluation import match
from ecc_rf.ilp import IlastikProject
from ecc_rf.suggesting import Points, choose_places, suggest
from ecc_rf.suggesting.job import without_strokes, wrong_points
from ecc_rf.suggesting.places import FALSE_ALARM, MISSED, UNCERTAIN
from tests.easy_probabilities import FINDER, VOXEL, write_probability

STRICT = CellFinder(threshold=0.8, smoothing_um=1.62)


@pytest.fixture(scope="module")
def probability(tmp_path_factory: pytest.TempPathFactory, fixtures: Path) -> Path:
    return write_probability(fixtures, tmp_path_factory.mktemp("p") / "p.h5")


def points(at: list[tuple[float, float, float]], weight: list[float] | None = None, look: object = None) -> Points:
    looks = np.empty((len(at), 0)) if look is None else np.asarray(look, float)
    return Points(np.array(at, float), (UNCERTAIN,) * len(at), np.array(weight or [1.0] * len(at)), looks)


def test_one_place_covers_several_errors() -> None:
    cluster = [(10, 50, 50 + x) for x in range(0, 30, 5)]
    alone = [(10, 200, 200), (10, 300, 300)]
    places = choose_places([(points([*alone, *cluster]), VOXEL)], 2, 100.0)
    assert places[0].score == 6 and places[0].centre[1] == 50 and places[0].reason == "6 uncertain"
    assert places[1].score == 1 and places[1].centre in alone
    assert len(choose_places([(points([*alone, *cluster]), VOXEL)], 99, 100.0)) == 3  # no place for what is covered


def test_places_are_measured_in_um() -> None:
    far = points([(0, 0, 0), (8, 0, 0)])  # 40 µm apart
    assert [len(choose_places([(far, VOXEL)], 9, size)) for size in (79.0, 81.0)] == [2, 1]


def test_weights_and_volumes_compete() -> None:
    one, two = points([(0, 0, 0)], [0.4]), points([(0, 0, 0), (0, 500, 0)], [0.9, 0.2])
    places = choose_places([(one, VOXEL), (two, VOXEL)], 3, 50.0)
    assert [(place.volume, place.score) for place in places] == [(1, 0.9), (0, 0.4), (1, 0.2)]


def test_other_looks_come_first() -> None:
    at = [(0, 300 * i, 0) for i in range(104)]
    looks = [[0.0, 0.0], [0.01, 0.01], [1.0, 1.0], [0.5, 0.5], *np.random.default_rng(0).random((100, 2))]
    places = choose_places([(points(at, [1.0, 0.99, 0.8, 0.9] + [1e-6] * 100, looks), VOXEL)], 4, 50.0)
    assert [place.centre[1] // 300 for place in places] == [0, 3, 2, 1]  # 1 looks like 0 and comes last


def test_what_is_drawn_is_not_asked_for_again() -> None:
    two = points([(10, 10, 10), (10, 10, 30)])
    left = without_strokes(two, np.array([[10, 10, 12], [0, 0, 0]]), VOXEL)
    assert left.at.tolist() == [[10, 10, 30]]
    assert len(without_strokes(two, np.empty((0, 3), np.int64), VOXEL).at) == 2


def test_wrong_points() -> None:
    at = np.array([[5.0, 5, 5], [5, 20, 20]])
    centres = np.array([[5.0, 5, 6], [30, 30, 30]])
    found = wrong_points(at, centres, match(at, centres, VOXEL))
    assert list(zip(found.kind, found.at.tolist())) == [(MISSED, [30, 30, 30]), (FALSE_ALARM, [5, 20, 20])]


def test_with_truth(probability: Path, fixtures: Path, tmp_path: Path) -> None:
    found = suggest(
        [probability], [fixtures / "brain.h5"], tmp_path, STRICT, truths=[fixtures / "truth.csv"], count=4, size_um=50
    )
    table = pd.read_csv(tmp_path / "places.csv", keep_default_na=False)
    assert len(table) == len(found.table) == 4 and table["score"].is_monotonic_decreasing
    cells = STRICT.find(probability, fixtures / "brain.h5")[["z", "y", "x"]].to_numpy()
    truth = pd.read_csv(fixtures / "truth.csv").to_numpy()
    cell_of = match(cells, truth, VOXEL)
    wrong = np.concatenate([np.delete(truth, cell_of[cell_of >= 0], axis=0), cells[cell_of < 0]])
    first = table.iloc[0]
    inside = (np.abs((wrong - first[["z", "y", "x"]].to_numpy(float)) * VOXEL) <= 25.6).all(axis=1)  # half a voxel
    assert inside.sum() >= first["score"] > 1 and "missed" in first["reason"]
    np.testing.assert_allclose(table[["Z", "Y", "X"]], table[["z", "y", "x"]].to_numpy() * np.array(VOXEL))
    assert matplotlib.image.imread(tmp_path / "places.png").ndim == 3


def test_without_truth(probability: Path, fixtures: Path, tmp_path: Path) -> None:
    suggest([probability], [fixtures / "brain.h5"], tmp_path, STRICT, count=5, size_um=40)
    table = pd.read_csv(tmp_path / "places.csv")
    assert len(table) == 5 and table["reason"].str.contains("uncertain").all()
    objects = CellFinder(threshold=0.5, smoothing_um=1.62).find(probability)
    at = objects[["z", "y", "x"]].to_numpy()
    for row in table.itertuples():
        nearest = np.argmin((((at - (row.z, row.y, row.x)) * VOXEL) ** 2).sum(axis=1))
        assert abs(objects["peak_probability"][nearest] - 0.8) < 0.3
    # the same again, whatever the workers
    suggest([probability], [fixtures / "brain.h5"], tmp_path / "b", STRICT, count=5, size_um=40, workers=3)
    for file in (tmp_path / "b").iterdir():
        assert file.read_bytes() == (tmp_path / file.name).read_bytes()


@pytest.mark.parametrize("with_project", [False, True])
def test_strokes_in_a_crop_find_their_way_back(
    probability: Path, fixtures: Path, tmp_path: Path, with_project: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("brain.h5", "cells.ilp"):
        shutil.copy(fixtures / name, tmp_path)
    project, brain, out = tmp_path / "cells.ilp", str(tmp_path / "brain.h5"), tmp_path / "places"
    arguments = ["suggest", str(probability), "--raw", brain, "-o", str(out), "--count", "3", "--size-um", "30", "-q"]
    assert main([*arguments, *(["--project", str(project)] if with_project else [])]) == 0
    place = pd.read_csv(out / "places.csv").iloc[0]
    with open_volume(out / place["image"]) as crop, open_volume(brain) as image:
        box = tuple(slice(place[f"{axis}0"], place[f"{axis}1"]) for axis in "zyx")
        np.testing.assert_array_equal(crop.read(), image[box])
        assert crop.voxel_size == pytest.approx(VOXEL)

    before = IlastikProject.open(project).labels(0)
    kept = {tuple(voxel): value for voxel, value in zip(before.coords.tolist(), before.values.tolist())}
    assert before.axes == "zyxc"
    file = nibabel.load(out / place["labels"])
    drawn = np.asarray(file.dataobj).copy()
    inside = [voxel for voxel in kept if all(s.start <= v < s.stop for s, v in zip(box, voxel))]
    assert np.count_nonzero(drawn) == (len(inside) if with_project else 0)
    z, y, x = (int(place[axis]) for axis in "zyx")
    drawn[x - box[2].start, y - box[1].start, z - box[0].start] = 2
    nibabel.save(nibabel.Nifti1Image(drawn, file.affine, file.header), out / place["labels"])

    new = tmp_path / "new.ilp"
    merge = [] if with_project else ["--merge", "overwrite"]
    assert main(["labels", "import", str(project), "0", str(out / place["labels"]), "-o", str(new), *merge]) == 0
    after = IlastikProject.open(new).labels(0)
    found = {tuple(voxel): value for voxel, value in zip(after.coords.tolist(), after.values.tolist())}
    assert found == {**kept, (z, y, x, 0): 2}  # the stroke is at its place, and none was lost
    capsys.readouterr()


def test_suggestions_that_cannot_be(probability: Path, fixtures: Path, tmp_path: Path) -> None:
    brain, out = fixtures / "brain.h5", tmp_path / "out"
    cases: list[tuple[dict[str, object], str]] = [
        ({"truths": []}, "1 probability volumes and 0 truths"),
        ({"count": 0}, "0 places"),
        ({"size_um": 0.0}, "0 µm"),
        ({"truths": [tmp_path / "none.csv"]}, "no such file"),
        ({"project": tmp_path / "none.ilp"}, "none.ilp"),
    ]
    for options, message in cases:
        with pytest.raises(EccError, match=message):
            suggest([probability], [brain], out, STRICT, **options)  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="0 places"):  # before a volume is looked at
        suggest([tmp_path / "none.h5"], [brain], out, STRICT, count=0)
    shutil.copy(brain, tmp_path / "other.h5")
    with pytest.raises(SettingError, match="not one of the project's"):
        suggest([probability], [tmp_path / "other.h5"], out, STRICT, project=fixtures / "cells.ilp")
    suggest([probability], [brain], out, FINDER, count=1)
    with pytest.raises(EccError, match="already"):
        suggest([probability], [brain], out, FINDER, count=1)


def test_nothing_is_wrong(
    probability: Path, fixtures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = STRICT.find(probability)
    cells[["z", "y", "x"]].to_csv(tmp_path / "truth.csv", index=False)
    brain, settings = str(fixtures / "brain.h5"), ["--threshold", "0.8", "--smoothing-um", "1.62", "-q"]
    truth = ["--truth", str(tmp_path / "truth.csv")]
    assert main(["suggest", str(probability), "--raw", brain, *truth, "-o", str(tmp_path / "out"), *settings]) == 0
    assert "no place is suggested" in capsys.readouterr().out
    assert pd.read_csv(tmp_path / "out/places.csv").empty
