"""Scores of cells: equal to the reference scorer, whatever form the truth has."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from ecc_rf.cli import main
from ecc_rf.errors import EccError, FormatError, MissingFileError, SettingError
from ecc_rf.evaluation import Case, MatchingRule, Score, Truth, evaluate, match, read_truth
from ecc_rf.volumes import create_volume

VOXEL = (6.0, 1.62, 1.62)


@pytest.fixture(scope="module")
def reference(request: pytest.FixtureRequest) -> ModuleType:
    """The scorer that comes with the annotated patches."""
    cfos: Path = request.getfixturevalue("cfos")
    spec = importlib.util.spec_from_file_location("score", cfos / "score.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def slow_match(detections: np.ndarray, centres: np.ndarray, inside: np.ndarray | None = None) -> list[int]:
    """Every pair looked at, one after the other."""
    pairs = []
    for d, a in enumerate(detections):
        for o, b in enumerate(centres):
            dz, dy, dx = (b - a) * VOXEL
            within = inside is not None and inside[d] == o
            if within or (np.hypot(dy, dx) <= 6.48 + 1e-9 and abs(dz) <= 12 + 1e-9):
                pairs.append((not within, dz**2 + dy**2 + dx**2, d, o))
    found = [-1] * len(detections)
    for _, _, d, o in sorted(pairs):
        if found[d] < 0 and o not in found:
            found[d] = o
    return found


@pytest.mark.parametrize("seed", range(4))
def test_matching_equals_the_slow_reference(seed: int) -> None:
    rng = np.random.default_rng(seed)
    extents = (12, 30, 30)
    # half voxels: ties, and distances on the border
    detections, centres = (np.round(rng.uniform(0, extents, (n, 3)) * 2) / 2 for n in (120, 90))
    inside = np.where(rng.random(120) < 0.3, rng.integers(0, 90, 120), -1)
    assert match(detections, centres, VOXEL).tolist() == slow_match(detections, centres)
    assert match(detections, centres, VOXEL, inside=inside).tolist() == slow_match(detections, centres, inside)


def test_scores_of_real_cells_equal_the_reference_scorer(cfos: Path, reference: ModuleType) -> None:
    tables = sorted((cfos / "cells_ecc").glob("*.csv"))
    assert len(tables) >= 8
    cases, expected = [], []
    for table in tables:
        patch = table.stem.rsplit("_", 1)[0]
        cells = reference.read_ecc_csv(table)
        with h5py.File(cfos / "truth" / f"{patch}.h5") as file:
            truth = file["data"][()]
        pairs, _ = reference.match(cells, truth)
        expected.append((reference.score(cells, truth), sorted(pairs)))
        cases.append(Case(table.stem, patch.split("_")[0], cells, Truth.from_mask(truth), VOXEL))
    found = evaluate(cases)
    for result, (scores, pairs) in zip(found.results, expected):
        assert result.score.as_dict() == pytest.approx(
            {"cells": scores.pop("objects"), **scores}, nan_ok=True, abs=1e-12
        )
        hits = np.flatnonzero(result.cell_of >= 0)
        # objects are numbered from 1 there; both number them by first voxels
        assert [(d, int(result.cell_of[d]) + 1) for d in hits.tolist()] == pairs
    pooled = reference.pool([scores | {"objects": r.score.cells} for (scores, _), r in zip(expected, found.results)])
    assert found.pooled.f1 == pytest.approx(pooled["f1"], abs=1e-12)
    assert set(found.groups) == {"1008", "1147", "753"}


def test_cells_of_a_mask_are_the_components_of_the_whole(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    mask = (ndimage.gaussian_filter(rng.standard_normal((70, 40, 300)), 1.2) > 0.12).astype(np.uint16) * 700
    labels, count = ndimage.label(mask, np.ones((3, 3, 3)))
    centres = np.array(ndimage.center_of_mass(mask, labels, range(1, count + 1)))
    with create_volume(tmp_path / "mask.h5", mask.shape, np.uint16, "zyx", chunks=(16, 16, 16)) as volume:
        volume[:] = mask
    truth = read_truth(tmp_path / "mask.h5", None)  # larger than a block
    np.testing.assert_allclose(truth.centres, centres, atol=1e-9)
    points = rng.uniform(-3, np.array(mask.shape) + 3, (500, 3))
    at = np.clip(np.rint(points).astype(int), 0, np.array(mask.shape) - 1)
    found = truth.cell_at(points)
    assert found is not None
    assert found.tolist() == (labels[tuple(at.T)] - 1).tolist()


def test_forms_of_point_lists(tmp_path: Path) -> None:
    points = np.array([[1.0, 2, 3], [4, 5, 6]])
    pd.DataFrame(points, columns=["z", "y", "x"]).to_csv(tmp_path / "voxels.csv")
    pd.DataFrame((points * VOXEL)[:, ::-1], columns=["X", "Y", "Z"]).to_csv(tmp_path / "um.csv")
    pd.DataFrame(points, columns=["axis-0", "axis-1", "axis-2"]).to_csv(tmp_path / "napari.csv")
    marker = "<Marker><MarkerX>{}</MarkerX><MarkerY>{}</MarkerY><MarkerZ>{}</MarkerZ></Marker>"
    kinds = [f"<Marker_Type><Type>2</Type>{''.join(marker.format(*p[::-1]) for p in points)}</Marker_Type>"]
    kinds += [f"<Marker_Type><Type>1</Type>{marker.format(9, 9, 9)}</Marker_Type>"]
    (tmp_path / "cellfinder.xml").write_text(f"<A><Marker_Data>{''.join(kinds)}</Marker_Data></A>")
    for name in ("voxels.csv", "um.csv", "napari.csv", "cellfinder.xml"):
        truth = read_truth(tmp_path / name, VOXEL)
        np.testing.assert_allclose(truth.centres, points)
        assert truth.cell_at(points) is None
    with pytest.raises(SettingError, match="voxel size"):
        read_truth(tmp_path / "um.csv", None)
    for text, error in (("a,b\n1,2\n", "no positions"), ("z,y,x\n1,2,\n", "missing"), ("z,y,x\n1,2,a\n", "no number")):
        (tmp_path / "bad.csv").write_text(text)
        with pytest.raises(FormatError, match=error):
            read_truth(tmp_path / "bad.csv", VOXEL)
    (tmp_path / "bad.xml").write_text("<A>")
    with pytest.raises(FormatError):
        read_truth(tmp_path / "bad.xml", VOXEL)
    with pytest.raises(MissingFileError):
        read_truth(tmp_path / "none.csv", VOXEL)


def test_nothing_found_or_nothing_to_find() -> None:
    none, one = np.empty((0, 3)), np.array([[1.0, 1, 1]])
    assert evaluate([Case("a", "", none, Truth("t", one), VOXEL)]).pooled == Score(0, 0, 1)
    assert evaluate([Case("a", "", one, Truth("t", none), VOXEL)]).pooled == Score(0, 1, 0)
    assert evaluate([Case("a", "", none, Truth.from_mask(np.zeros((3, 4, 5), np.uint8)), VOXEL)]).pooled == Score(
        0, 0, 0
    )


@pytest.mark.parametrize("radius", [0.0, -1.0, float("nan"), float("inf")])
def test_a_radius_is_a_length(radius: float) -> None:
    with pytest.raises(SettingError, match="radius_um"):
        MatchingRule(radius_um=radius)


def test_the_command(tmp_path: Path, fixtures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = pd.read_csv(fixtures / "truth.csv")
    cells = pd.concat([truth[5:] + 0.4, pd.DataFrame([[0, 0, 0]], columns=["z", "y", "x"])])
    for name in ("a", "b"):
        cells.to_csv(tmp_path / f"cells_{name}.csv", index=False)
        truth.to_csv(tmp_path / f"{name}.csv", index=False)
    arguments = ["evaluate", *(str(tmp_path / f"cells_{n}.csv") for n in "ab")]
    arguments += ["--truth", *(str(tmp_path / f"{n}.csv") for n in "ab"), "--group", "one=a", "--group", "two=b"]
    with_size = [*arguments, "--voxel-size", "5,2,2"]
    assert main([*with_size, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["pooled"]["matched"] == 2 * (len(truth) - 5) and printed["pooled"]["detections"] == 2 * len(cells)
    assert list(printed["groups"]) == ["one", "two"] and "one to one" in printed["rule"]["description"]

    raws = ["--raw", *[str(fixtures / "brain.h5")] * 2]
    assert main([*with_size, "--pictures", str(tmp_path / "pictures"), *raws]) == 0
    assert f"{len(truth) - 5:,}" in capsys.readouterr().out
    assert sorted(p.name for p in (tmp_path / "pictures").iterdir()) == ["a.png", "b.png"]
    assert (tmp_path / "pictures/a.png").read_bytes().startswith(b"\x89PNG")

    for bad, message in (
        (arguments, "voxel size"),
        ([*with_size, "--group", "three=*"], "fits 2 groups"),
        ([*with_size[:-6], "--voxel-size", "5,2,2", "--truth", str(tmp_path / "a.csv")], "2 tables of cells and 1"),
        ([*with_size, "--pictures", str(tmp_path / "pictures"), *raws], "already"),
        ([*with_size, "--pictures", str(tmp_path / "pictures"), *raws[:-1]], "1 images"),
    ):
        assert main(bad) == 2
        assert message in capsys.readouterr().err

    # a table that has its positions in voxels and in µm says how large the voxels are
    for name in ("a", "b"):
        cells.assign(Z=cells.z * 5, Y=cells.y * 2, X=cells.x * 2).to_csv(tmp_path / f"cells_{name}.csv", index=False)
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == printed
    assert issubclass(SettingError, EccError)
