"""Candidates for a person to judge: which are drawn, what is written, and what is learned from judgements."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import imagecodecs
import numpy as np
import pandas as pd
import pytest

from ecc_rf import CellFinder, open_volume
from ecc_rf.cells.inputs import Channel
from ecc_rf.cli import main
from ecc_rf.errors import EccError, FormatError, MissingFileError, SettingError
from ecc_rf.judging import CandidateVolume, collect, draw_sample, find_candidates, read_judgements
from ecc_rf.judging.job import write_sheet
from ecc_rf.judging.outlines import outlines
from ecc_rf.judging.sections import cut_sections, encode_sections
from ecc_rf.objects import ObjectModel
from ecc_rf.objects.training import DEFAULT_CUT
from tests.easy_probabilities import FINDER, VOXEL, is_cell, write_probability


@pytest.fixture(scope="module")
def probability(tmp_path_factory: pytest.TempPathFactory, fixtures: Path) -> Path:
    return write_probability(fixtures, tmp_path_factory.mktemp("p") / "p.h5")


@pytest.fixture(scope="module")
def volume(probability: Path, fixtures: Path) -> CandidateVolume:
    return find_candidates([probability], [fixtures / "brain.h5"], FINDER)[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, probability: Path, fixtures: Path) -> Path:
    out = tmp_path_factory.mktemp("judge")
    write_sheet([probability], [fixtures / "brain.h5"], out, FINDER, count=60, seed=1)
    return out


def judge(folder: Path, fixtures: Path, path: Path, **changed: str) -> pd.DataFrame:
    """Fill in the table of a sheet by the truth; then single lines, by their number from 1."""
    table = pd.read_csv(folder / "candidates.csv", dtype=str, keep_default_na=False)
    truly = is_cell(table.astype(dict.fromkeys("zyx", float)), fixtures)
    table["judgement"] = np.where(truly, "cell", "not")
    for line, judgement in changed.items():
        table.loc[int(line.removeprefix("line")) - 1, "judgement"] = judgement
    table.to_csv(path, index=False, lineterminator="\n")
    return table


# ---- the sample ------------------------------------------------------------------------------------------------


def test_every_brain_and_band_is_drawn_and_weighted() -> None:
    rng = np.random.default_rng(0)
    groups = ["large"] * 900 + ["small"] * 60
    probability = rng.random(960)
    sample = draw_sample(groups, probability, 80, seed=3)
    table = pd.DataFrame({"stratum": sample.strata, "weight": sample.weights, "size": sample.sizes, "row": sample.rows})
    assert len(table) == 80 == table["row"].nunique()
    assert (table.groupby("stratum").size() == 10).all() and table["stratum"].nunique() == 8
    assert table["weight"].sum() == pytest.approx(960)
    for stratum, drawn in table.groupby("stratum"):
        name, band = re.fullmatch(r"(\w+), probability (\d) of 4", str(stratum)).groups()  # type: ignore[union-attr]
        own = probability[:900] if name == "large" else probability[900:]
        low, high = np.quantile(own, [(int(band) - 1) / 4, int(band) / 4])
        assert ((probability[drawn["row"]] >= low - 1e-9) & (probability[drawn["row"]] <= high + 1e-9)).all()
    # shuffled: who judges the first half only has judged some of everything
    assert table["stratum"][:40].nunique() == 8


def test_weighted_sums_are_unbiased() -> None:
    rng = np.random.default_rng(1)
    groups = ["a"] * 500 + ["b"] * 100
    probability = rng.random(600)
    cell = rng.random(600) < np.where(np.arange(600) < 500, 0.2, 0.9)
    for cut in (None, 0.5):
        found = []
        for seed in range(200):
            sample = draw_sample(groups, probability, 60, seed=seed, cut=cut)
            found.append(float((sample.weights * cell[sample.rows]).sum()))
        error = np.std(found) / np.sqrt(len(found))
        assert abs(np.mean(found) - cell.sum()) < 4 * error  # four standard errors: one test in 16,000 fails by chance


def test_a_seed_is_a_sample() -> None:
    groups, probability = ["a"] * 50 + ["b"] * 50, np.linspace(0, 1, 100)
    one, again, other = (draw_sample(groups, probability, 20, seed=seed) for seed in (0, 0, 1))
    assert one.rows.tolist() == again.rows.tolist() != other.rows.tolist()
    assert sorted(draw_sample(groups, probability, 1000).rows.tolist()) == list(range(100))
    assert (draw_sample(groups, probability, 1000).weights == 1).all()


def test_uncertain_ones_are_preferred() -> None:
    probability = np.random.default_rng(2).random(400)
    near = np.abs(probability[draw_sample(["a"] * 400, probability, 60, cut=0.3).rows] - 0.3)
    plain = np.abs(probability[draw_sample(["a"] * 400, probability, 60).rows] - 0.3)
    assert np.median(near) < 0.6 * np.median(plain) and near.max() > 0.5  # some of the sure ones, too


def test_samples_that_are_none() -> None:
    for count, seed in ((0, 0), (-3, 0), (5, -1)):
        with pytest.raises(SettingError):
            draw_sample(["a"], np.array([0.5]), count, seed=seed)


# ---- table and page --------------------------------------------------------------------------------------------


def test_the_table_says_where_and_how(folder: Path, volume: CandidateVolume) -> None:
    table = pd.read_csv(folder / "candidates.csv")
    assert len(table) == 60 and table["judgement"].isna().all()
    rows = volume.table.iloc[table["candidate"] - 1].reset_index(drop=True)
    np.testing.assert_allclose(table[["z", "y", "x"]], rows[["z", "y", "x"]], atol=1e-4)
    np.testing.assert_allclose(table[["Z", "Y", "X"]], table[["z", "y", "x"]].to_numpy() * np.array(VOXEL), atol=1e-3)
    np.testing.assert_allclose(table["contrast"], rows["contrast"], rtol=1e-8)
    assert table["weight"].sum() == pytest.approx(len(volume.table))
    assert json.loads(table["settings"][0]) == {"contrast": True, "smoothing_um": 1.62, "threshold": 0.35}


def test_same_bytes_whatever_the_workers(
    folder: Path, probability: Path, fixtures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = CellFinder.find
    monkeypatch.setattr(
        CellFinder,
        "find",
        lambda self, *volumes, **options: find(self, *volumes, **options | {"block_shape": (16, 32, 24)}),
    )
    write_sheet([probability], [fixtures / "brain.h5"], tmp_path, FINDER, count=60, seed=1, workers=3)
    for name in ("candidates.csv", "sheet.html"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def page_data(page: Path) -> dict[str, object]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text("utf-8"), re.DOTALL)
    assert found is not None
    data: dict[str, object] = json.loads(found[1])
    return data


def test_the_page_holds_everything(folder: Path) -> None:
    page = (folder / "sheet.html").read_text("utf-8")
    assert not re.search(r'(src|href)\s*=\s*"?(https?:)?//', page) and "default-src 'none'" in page
    data = page_data(folder / "sheet.html")
    assert data["table"] == (folder / "candidates.csv").read_text("utf-8")
    images = data["images"]
    assert isinstance(images, list) and len(images) == 60
    assert all(len(image["sections"]) == 6 for image in images)
    assert len(page) / 60 * 200 < 10e6  # 200 candidates stay below 10 MB


def test_a_section_shows_the_voxels(probability: Path, fixtures: Path) -> None:
    raw = Channel(fixtures / "brain.h5", "raw")
    with open_volume(fixtures / "brain.h5") as image:
        voxels = image.read()
    centre = (20.0, 50.0, 40.0)
    sections = cut_sections(raw, centre, VOXEL, (21.0, 400.0), None)
    raw.close()
    xy, xz, yz, wide, *_ = sections
    assert xy.place == (-11.0, -11.0, 22.0, 22.0)  # voxels 45 to 55: centres -10 to 10, edges one µm further
    np.testing.assert_array_equal(xy.values, voxels[20, 45:56, 35:46])
    np.testing.assert_array_equal(xz.values, voxels[18:23, 50, 35:46])
    np.testing.assert_array_equal(yz.values, voxels[18:23, 45:56, 40])
    assert wide.values.shape == (96, 96) and wide.place == (-81.0, -101.0, 192.0, 192.0)  # where the volume ends
    encoded = encode_sections(sections)
    low, high = encoded["range"]
    png = encoded["sections"][0]["png"]
    codes = imagecodecs.png_decode(__import__("base64").b64decode(png.split(",")[1]))
    seen = low + (high - low) * (codes / 255.0) ** 2
    # half a code at the square root's steepest is 1/255 of the range
    assert np.abs(seen - xy.values).max() <= (high - low) / 255
    own = encoded["own"]
    assert own[0] < own[1] <= max(section.values.max() for section in sections[:3])


def test_small_voxels_become_means() -> None:
    fine = np.random.default_rng(0).integers(0, 1000, (3, 500, 500)).astype(np.uint16)
    near, *_, far, _, _ = cut_sections(Channel(fine, "raw"), (1, 250, 250), (2.0, 0.3, 0.3), (40.0, 140.0), None)
    assert max(near.values.shape) <= 64 and max(far.values.shape) <= 96
    start = round(250 + near.place[0] / 0.3 + 0.5)
    step = round(near.place[2] / near.values.shape[1] / 0.3)
    expected = fine[1, start : start + step, start : start + step].mean()
    assert near.values[0, 0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("settings", [{}, {"connectivity": 26}, {"smoothing_um": 0.0}, {"max_volume": 60}])
def test_outlines_are_those_of_the_candidates(
    probability: Path, fixtures: Path, tmp_path: Path, settings: dict[str, float]
) -> None:
    finder = CellFinder(**{"threshold": 0.35, "smoothing_um": 1.62, "contrast": True, **settings})
    found = find_candidates([probability], [fixtures / "brain.h5"], finder)[0]
    finder.find(probability, fixtures / "brain.h5", voxel_size=VOXEL, objects=tmp_path / "objects.ome.zarr")
    with open_volume(tmp_path / "objects.ome.zarr") as objects:
        drawn = objects.read()
    (tmp_path / "scratch").mkdir()
    with outlines(found, finder, tmp_path / "scratch", workers=1, memory=None) as mask_of:
        for row in range(0, len(found.table), 3):
            mask = mask_of(row)
            assert mask is not None
            inside, start = mask
            box = tuple(slice(s, s + n) for s, n in zip(start, inside.shape))
            np.testing.assert_array_equal(inside, drawn[box] == row + 1)
    assert not list((tmp_path / "scratch").iterdir())


def test_sheets_that_cannot_be(probability: Path, fixtures: Path, tmp_path: Path) -> None:
    brain = fixtures / "brain.h5"
    cases: list[tuple[dict[str, object], str]] = [
        ({"uncertain": True}, "told by an object model"),
        ({"fields_um": (160.0, 40.0)}, "µm wide"),
        ({"groups": {"a": "other*"}}, "fits 0 groups"),
        ({"count": 0}, "0 candidates cannot be drawn"),
    ]
    for options, message in cases:
        with pytest.raises(SettingError, match=message):
            write_sheet([probability], [brain], tmp_path / "out", FINDER, **options)  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="1 probability volumes and 2 raw"):
        write_sheet([probability], [brain, brain], tmp_path / "out", FINDER)
    with pytest.raises(SettingError, match="There are no candidates"):
        write_sheet([probability], [brain], tmp_path / "out", CellFinder(threshold=1.0))
    with pytest.raises(MissingFileError):
        write_sheet([tmp_path / "none.h5"], [brain], tmp_path / "out", FINDER)
    assert not list((tmp_path / "out").iterdir())


# ---- judgements ------------------------------------------------------------------------------------------------


def test_judgements_find_their_candidates(
    folder: Path, fixtures: Path, volume: CandidateVolume, tmp_path: Path
) -> None:
    table = judge(folder, fixtures, tmp_path / "judged.csv", line3="unsure", line4="", line5=" Cell ")
    judgements, settings = read_judgements([tmp_path / "judged.csv"])
    assert settings == {"contrast": True, "smoothing_um": 1.62, "threshold": 0.35}
    judged = collect(judgements, [volume])
    said = table["judgement"].str.strip().str.lower()
    assert judged.counts == {"cell": (said == "cell").sum(), "not": (said == "not").sum(), "unsure": 1, "open": 1}
    assert len(judged.table) == 58 and judged.is_cell.sum() == judged.counts["cell"]
    # those that are sure stand for all of their stratum
    assert judged.weights.sum() == pytest.approx(len(volume.table))
    truly = is_cell(judged.table, fixtures)
    assert (truly != judged.is_cell).sum() <= 1  # only line 5 was judged against the truth, if at all


def test_two_tables_are_averaged(
    probability: Path, fixtures: Path, volume: CandidateVolume, folder: Path, tmp_path: Path
) -> None:
    write_sheet([probability], [fixtures / "brain.h5"], tmp_path / "b", FINDER, count=30, seed=9)
    one = judge(folder, fixtures, tmp_path / "one.csv")
    two = judge(tmp_path / "b", fixtures, tmp_path / "two.csv")
    both = set(one["candidate"]) & set(two["candidate"])
    assert both
    twice = sorted(both)[0]
    two.loc[two["candidate"] == twice, "judgement"] = "not"
    one.loc[one["candidate"] == twice, "judgement"] = "cell"
    one.to_csv(tmp_path / "one.csv", index=False)
    two.to_csv(tmp_path / "two.csv", index=False)
    judged = collect(read_judgements([tmp_path / "one.csv", tmp_path / "two.csv"])[0], [volume])
    assert len(judged.table) == 90 - len(both)
    assert judged.weights.sum() == pytest.approx(len(volume.table))
    assert not judged.is_cell[judged.table["label"].to_numpy() == int(twice)].any()
    assert any("1 candidates were judged differently" in note for note in judged.notes)


def test_judgements_that_are_refused(
    folder: Path, fixtures: Path, volume: CandidateVolume, tmp_path: Path, probability: Path
) -> None:
    path = tmp_path / "judged.csv"

    def refused(error: type[EccError], message: str) -> None:
        with pytest.raises(error, match=message):
            collect(read_judgements([path])[0], [volume])

    refused(MissingFileError, "no such file")
    judge(folder, fixtures, path, line7="maybe")
    refused(FormatError, r"'maybe' is no judgement\.\n  where: .*judged\.csv, line 8")
    table = judge(folder, fixtures, path)
    table.drop(columns="fingerprint").to_csv(path, index=False)
    refused(FormatError, "no column fingerprint")
    table.assign(y="NaN").to_csv(path, index=False)
    refused(FormatError, "outside its range")
    table.assign(stratum_size="many").to_csv(path, index=False)
    refused(FormatError, "Expected a number")
    table.iloc[:0].to_csv(path, index=False)
    refused(FormatError, "no lines")
    table.assign(settings=["{}"] * 30 + ["[]"] * 30).to_csv(path, index=False)
    refused(FormatError, "settings differ")
    table.assign(settings="[]").to_csv(path, index=False)
    refused(FormatError, "settings of the candidates are damaged")
    table.assign(fingerprint="0123456789abcdef").to_csv(path, index=False)
    refused(SettingError, r"not among those of the given volumes\.\n  where: .*line 2")
    table.assign(x=[str(float(x) + 1) for x in table["x"]]).to_csv(path, index=False)
    refused(SettingError, "not among those")
    path.write_bytes(b"id,judgement\n\xff\xfe")
    refused(FormatError, "no table of judgements|no column")
    other = find_candidates([probability], [fixtures / "brain.h5"], FINDER, voxel_size=(5.0, 2.0, 2.5))[0]
    judge(folder, fixtures, path)
    with pytest.raises(SettingError, match="same voxel size"):
        collect(read_judgements([path])[0], [other])
    write_sheet([probability], [fixtures / "brain.h5"], tmp_path / "b", CellFinder(threshold=0.5), count=9)
    with pytest.raises(SettingError, match="found with different settings"):
        read_judgements([path, tmp_path / "b" / "candidates.csv"])


# ---- training --------------------------------------------------------------------------------------------------


def test_train_objects_from_judgements(
    folder: Path, fixtures: Path, probability: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    brain, judged, model = str(fixtures / "brain.h5"), str(tmp_path / "judged.csv"), tmp_path / "model.h5"
    judge(folder, fixtures, Path(judged), line1="unsure")
    arguments = ["train-objects", str(probability), "--raw", brain, "--judged", judged, "-q", "-o"]
    assert main([*arguments, str(model)]) == 0
    printed = capsys.readouterr().out
    assert "1 unsure, 0 not judged" in printed and "out of bag" in printed and "suggested" in printed
    trained = ObjectModel.load(model)
    # the settings came with the table
    assert trained.finder == {"contrast": True, "smoothing_um": 1.62, "threshold": 0.35}
    assert trained.cut == DEFAULT_CUT and trained.training["weighted"]
    assert main([*arguments, str(tmp_path / "again.h5")]) == 0
    assert (tmp_path / "again.h5").read_bytes() == model.read_bytes()
    capsys.readouterr()
    for said, cut in (("0.4", 0.4), ("suggested", trained.training["suggested_cut"])):
        assert main([*arguments, str(tmp_path / "cut.h5"), "--cut", said, "--overwrite"]) == 0
        assert ObjectModel.load(tmp_path / "cut.h5").cut == cut

    out = tmp_path / "cells.csv"
    assert main(["cells", str(probability), "--raw", brain, "-o", str(out), "--objects-model", str(model), "-q"]) == 0
    cells = pd.read_csv(out)
    all_of_them = FINDER.find(probability, brain)
    before, after = is_cell(all_of_them, fixtures), is_cell(cells, fixtures)
    assert after.mean() > before.mean() + 0.15 and after.sum() > 0.85 * before.sum()

    # the next round: of what the model is least sure
    again = ["candidates", str(probability), "--raw", brain, "-o", str(tmp_path / "next"), "-q", "--count", "20"]
    assert main([*again, "--objects-model", str(model), "--uncertain"]) == 0
    table = pd.read_csv(tmp_path / "next/candidates.csv")
    assert table["stratum"].str.contains("certainty").all()
    assert (table["weight"] > 0).all() and table["weight"].sum() == pytest.approx(len(all_of_them))


def test_trainings_that_are_refused(
    folder: Path, fixtures: Path, probability: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judged = tmp_path / "judged.csv"
    arguments = ["train-objects", str(probability), "--raw", str(fixtures / "brain.h5"), "-q"]
    out = ["-o", str(tmp_path / "model.h5"), "--judged", str(judged)]

    def fails(*more: str) -> str:
        assert main([*arguments, *out, *more]) == 2
        assert not (tmp_path / "model.h5").exists()
        return capsys.readouterr().err

    table = judge(folder, fixtures, judged)
    table.assign(judgement="").to_csv(judged, index=False)
    assert "Nothing was judged" in fails()
    table.assign(judgement="cell").to_csv(judged, index=False)
    assert "All that was judged is 'cell'" in fails()
    table.assign(judgement=["not"] * 3 + ["cell"] * 57).to_csv(judged, index=False)
    assert "at least 5 of each" in fails()
    judge(folder, fixtures, judged)
    assert "not among those of the given volumes" in fails("--threshold", "0.5")
    assert "whole volumes" in fails("--mask", str(fixtures / "brain.h5"))
    assert "between 0 and 1" in fails("--cut", "2")
    with pytest.raises(SystemExit):  # one or the other
        main([*arguments, *out, "--truth", str(fixtures / "truth.csv")])


def test_the_table_survives_a_spreadsheet(
    folder: Path, fixtures: Path, volume: CandidateVolume, tmp_path: Path
) -> None:
    judge(folder, fixtures, tmp_path / "a.csv")
    rows = list(csv.reader((tmp_path / "a.csv").read_text("utf-8").splitlines()))
    with (tmp_path / "b.csv").open("w", encoding="utf-8-sig", newline="") as file:  # byte order mark, CRLF, quotes
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows(rows[:1] + rows[:0:-1])  # sorted otherwise
    one, two = (collect(read_judgements([tmp_path / name])[0], [volume]) for name in ("a.csv", "b.csv"))
    assert one.is_cell.tolist() == two.is_cell.tolist() and one.weights.tolist() == two.weights.tolist()
