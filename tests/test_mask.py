"""Masks in place of probabilities: the same voxels, the same cells, and what cannot be had from them."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from ecc_rf import CellFinder, IlastikProject, PixelClassifier, RandomForest, create_volume, open_volume
from ecc_rf.cells.inputs import Channel, ProbabilityScale
from ecc_rf.cli import main
from ecc_rf.errors import FormatError, SettingError
from ecc_rf.export import Export, quantise
from tests.reference_forest import random_tree

UNKNOWN = ["peak_probability", "mean_probability"]
IMAGE = (20, 32, 40)


@pytest.mark.parametrize(
    ("dtype", "rounding"), [*product(["uint8", "uint16"], ["nearest", "truncate"]), ("float32", "nearest")]
)
def test_a_mask_is_what_cells_see_of_the_stored_probability(dtype: str, rounding: str) -> None:
    votes = np.concatenate([np.arange(n + 1, dtype=np.float32) / np.float32(n) for n in (1, 3, 10, 100, 255, 300)])
    beside = [np.nextafter(votes, np.float32(to)) for to in (-1, 2)]
    p = np.concatenate([votes, *beside]).clip(0, 1)[:, np.newaxis]
    stored = quantise(p, np.dtype(dtype), rounding)
    scale = ProbabilityScale(0.0, 1.0 if dtype == "float32" else float(np.iinfo(dtype).max), np.dtype(dtype))
    for threshold in [*votes[::7].tolist(), 0.0, 1 / 3, 0.5, 0.7, 0.999, 1.0]:
        mask = Export("mask", (1,), dtype, rounding, threshold).convert(p)
        assert mask.dtype == np.uint8
        np.testing.assert_array_equal(mask, stored > scale.limit(threshold))


def test_where_a_type_matters() -> None:
    """50 of 100 votes: exactly 0.5 as float32, but 127.5 is rounded to 128."""
    half = np.float32([[0.5]])
    assert Export("mask", (1,), "float32", threshold=0.5).convert(half) == 0
    assert Export("mask", (1,), "uint8", threshold=0.5).convert(half) == 1
    assert Export("mask", (1,), "uint8", "truncate", 0.5).convert(half) == 0


def forest(n_features: int, values: np.ndarray, kind: str) -> RandomForest:
    """Forests of every sort over a project with the labels 1 to 3, thresholds among the features' values."""
    rng = np.random.default_rng(0)
    trees = {"one tree": [1], "more than 255": [200, 100], "rounded": [13] * 4}.get(kind, [10] * 5)
    classes = [2, 3] if kind == "label 1 missing" else [1] if kind == "label 1 alone" else [1, 2, 3]
    pure = {"impure": 0.0, "partly impure": 0.98}.get(kind, 1.0)
    forests = [
        [random_tree(rng, 20, n_features, len(classes), pure=pure, values=values) for _ in range(count)]
        for count in trees
    ]
    return RandomForest.from_trees(forests, n_features, classes, 3)


@pytest.mark.parametrize(
    "kind",
    ["plain", "one tree", "more than 255", "rounded", "impure", "partly impure", "label 1 missing", "label 1 alone"],
)
def test_masks_of_every_forest(tmp_path: Path, fixtures: Path, kind: str) -> None:
    project = IlastikProject.open(fixtures / "cells.ilp")
    image = np.random.default_rng(1).integers(0, 200, IMAGE).astype(np.uint8)
    features = PixelClassifier.from_project(project).features(image, "zyx")
    values = np.random.default_rng(2).choice(features.ravel(), 500)
    classifier = PixelClassifier(project.features, forest(features.shape[-1], values, kind), project.label_names)
    inside = np.ones(IMAGE, np.uint8)
    inside[:, 10:20] = 0
    settings = {"labels": [1], "roi": {"z": (3, None)}, "mask": volume(tmp_path / "inside.h5", inside)}
    for dtype in ("float32", "uint8"):
        full = tmp_path / f"{dtype}.h5"
        classifier.predict_volume(volume(tmp_path / "image.h5", image), full, dtype=dtype, **settings)
        with open_volume(full) as stored:
            scale, probability = ProbabilityScale.of(Channel(stored, "probability")), stored.read()
        met = np.unique(scale.to_probability(probability.astype(float)))  # thresholds that voxels meet exactly
        for threshold in [0.0, 0.5, 0.7, *met[:: max(1, len(met) // 3)].tolist()]:
            classifier.predict_volume(
                tmp_path / "image.h5",
                tmp_path / "mask.h5",
                export="mask",
                dtype=dtype,
                threshold=threshold,
                block_shape=(7, 9, 40),
                overwrite=True,
                **settings,
            )
            with open_volume(tmp_path / "mask.h5") as found:
                assert (found.dtype, found.drange) == (np.uint8, (0, 1))
                np.testing.assert_array_equal(found.read(), probability > scale.limit(threshold))


def volume(path: Path, array: np.ndarray) -> Path:
    if not path.exists():
        with create_volume(path, array.shape, array.dtype, "zyx", voxel_size=(5, 2, 2)) as out:
            out[()] = array
    return path


@pytest.mark.parametrize("threshold", [0.3, 0.7])
@pytest.mark.parametrize("suffix", ["h5", "ome.zarr"])
def test_the_cells_of_a_mask(tmp_path: Path, fixtures: Path, threshold: float, suffix: str) -> None:
    inputs = [str(fixtures / "cells.ilp"), str(fixtures / "brain.h5")]
    probability, mask = str(tmp_path / f"probability.{suffix}"), str(tmp_path / f"mask.{suffix}")
    assert main(["classify", *inputs, "-o", probability, "--labels", "1", "--dtype", "uint8", "-q"]) == 0
    export = ["--export", "mask", "--threshold", str(threshold), "--dtype", "uint8"]
    assert main(["classify", *inputs, "-o", mask, *export, "-q"]) == 0
    for name, source in (("full", probability), ("short", mask)):
        arguments = ["-o", str(tmp_path / f"{name}.csv"), "--objects", str(tmp_path / f"{name}.h5"), "--raw", inputs[1]]
        assert main(["cells", source, *arguments, "--threshold", str(threshold), "-q"]) == 0
    assert_same_cells(tmp_path / "full.csv", tmp_path / "short.csv")
    with open_volume(tmp_path / "full.h5") as full, open_volume(tmp_path / "short.h5") as short:
        assert full.read().any() and np.array_equal(full.read(), short.read())


def assert_same_cells(full: Path, short: Path) -> None:
    """Equal tables, to the last digit, but that one knows no probabilities."""
    expected, found = pd.read_csv(full), pd.read_csv(short)
    assert len(expected) and list(found.columns) == list(expected.columns)
    assert found[UNKNOWN].isna().all(axis=None) and expected[UNKNOWN].notna().all(axis=None)
    assert_frame_equal(found.drop(columns=UNKNOWN), expected.drop(columns=UNKNOWN), check_exact=True)


def test_a_run_without_probability(tmp_path: Path, fixtures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inputs = [str(fixtures / "cells.ilp"), str(fixtures / "brain.h5")]
    full, short = tmp_path / "full", tmp_path / "short"
    assert main(["run", *inputs, "-o", str(full), "--objects", "--no-report", "-q"]) == 0
    assert main(["run", *inputs, "-o", str(short), "--objects", "--no-probability", "-q"]) == 0
    assert "peak_probability and mean_probability are empty" in capsys.readouterr().err
    assert not (short / "probability.ome.zarr").exists() and (short / "mask.ome.zarr").is_dir()
    assert_same_cells(full / "cells.csv", short / "cells.csv")
    with open_volume(full / "objects.ome.zarr") as a, open_volume(short / "objects.ome.zarr") as b:
        assert np.array_equal(a.read(), b.read())
    report = (short / "report.html").read_text()
    assert "the densest place" in report.lower() and "the least certain cell" not in report.lower()
    assert json.loads((short / "run.json").read_text())["settings"]["run"]["probability"] is False
    assert main(["run", *inputs, "-o", str(short), "-q"]) == 2  # results are there


def test_what_needs_the_probability_is_refused_before_the_start(
    tmp_path: Path, fixtures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = [str(fixtures / "cells.ilp"), str(fixtures / "brain.h5")]
    out, mask = tmp_path / "out", str(tmp_path / "mask.h5")
    assert main(["run", *inputs, "-o", str(out), "--no-probability", "--max-volume", "60"]) == 2
    assert "split by their probability" in capsys.readouterr().err and not out.exists()
    assert main(["classify", *inputs, "-o", mask, "--export", "mask", "--threshold", "0.7"]) == 0
    table = ["-o", str(tmp_path / "cells.csv"), "-q"]
    assert main(["cells", mask, *table, "--max-volume", "60"]) == 2
    assert "split by their probability" in capsys.readouterr().err
    assert main(["cells", mask, *table, "--smoothing-um", "2"]) == 2
    assert "need the probability itself" in capsys.readouterr().err
    assert main(["cells", mask, *table, "--threshold", "0.6"]) == 2
    assert "above 0.7, but cells are looked for above 0.6" in capsys.readouterr().err
    assert not (tmp_path / "cells.csv").exists()
    assert main(["cells", mask, *table, "--max-volume", "60", "--split", "none"]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--export", "mask"], "needs a threshold"),
        (["--threshold", "0.7"], "Probabilities have no threshold"),
        (["--export", "mask", "--threshold", "1.5"], "between 0 and 1"),
        (["--export", "mask", "--threshold", "0.5", "--labels", "1,2"], "one label"),
    ],
)
def test_masks_that_cannot_be(
    tmp_path: Path, fixtures: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    inputs = [str(fixtures / "cells.ilp"), str(fixtures / "brain.h5")]
    assert main(["classify", *inputs, "-o", str(tmp_path / "mask.h5"), *options]) == 2
    assert message in capsys.readouterr().err and not any(tmp_path.iterdir())


@pytest.mark.parametrize(("record", "known"), [('{"export": "mask"}', False), ("[1, 2", True), ("[" * 100_000, True)])
def test_a_record_that_is_damaged(tmp_path: Path, record: str, known: bool) -> None:
    path = volume(tmp_path / "p.h5", np.full((4, 4, 4), 255, np.uint8))
    with h5py.File(path, "a") as file:
        next(iter(file.values())).attrs["ecc_rf"] = record
    if known:
        assert len(CellFinder().find(path)) == 1  # no mask: a probability like any other
        return
    with pytest.raises(FormatError, match="at which threshold"):
        CellFinder().find(path)


def test_a_mask_says_what_it_is_in_both_formats(tmp_path: Path, fixtures: Path) -> None:
    classifier = PixelClassifier.from_project(fixtures / "cells.ilp")
    for name in ("mask.h5", "mask.ome.zarr"):
        classifier.predict_volume(
            fixtures / "brain.h5", tmp_path / name, export="mask", labels=["cell"], threshold=0.25
        )
        with open_volume(tmp_path / name) as mask:
            told = {key: mask.attributes["ecc_rf"][key] for key in ("export", "labels", "label_names", "threshold")}
        assert told == {"export": "mask", "labels": [1], "label_names": ["cell"], "threshold": 0.25}
    with pytest.raises(SettingError, match=r"above 0\.25"):
        CellFinder().find(tmp_path / "mask.h5")
