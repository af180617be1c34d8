"""Blocks of one value are computed by a row, which must give every bit of the ordinary way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

from ecc_rf import PixelClassifier, prediction
from ecc_rf.features import DEFAULT_SCALES, FEATURE_IDS, FeatureSelection
from ecc_rf.prediction import Prediction

SHAPE = (70, 66, 90)  # halos of the largest scale fit between the borders and beyond


def selection(flat: bool | None) -> FeatureSelection:
    matrix = tuple(tuple(scale < 5 for scale in DEFAULT_SCALES) for _ in FEATURE_IDS)
    in_2d = None if flat is None else tuple(flat or i % 2 == 1 for i in range(len(DEFAULT_SCALES)))
    return FeatureSelection(FEATURE_IDS, DEFAULT_SCALES, matrix, in_2d)


def images() -> Iterator[tuple[str, np.ndarray]]:
    """Constant through and through, of awkward values, narrow, flat, and constant in one half only."""
    for value in (0, 181, 0.1, 1e-20, -3.7e5):
        dtype = np.uint16 if isinstance(value, int) else np.float32
        yield f"all {value}", np.full((1, *SHAPE), value, dtype)
    yield "narrow", np.full((1, 40, 40, 33), 0.3, np.float32)
    yield "channels", np.stack([np.full(SHAPE, 0.7, np.float32), np.full(SHAPE, 1e4, np.float32)])
    half = np.full((1, *SHAPE), 123, np.uint16)
    half[..., 70:] = np.random.default_rng(0).integers(0, 999, half[..., 70:].shape)
    yield "half", half


def features(image: np.ndarray, flat: bool | None, block: tuple[int, int, int]) -> np.ndarray:
    plan = selection(flat).plan(image.shape[1:], len(image))
    job = Prediction(image[np.newaxis], plan, None, prediction.Export(kind="features"))
    out = np.empty((1, plan.n_features, *image.shape[1:]), np.float32)
    job.run(out, job.grid(block), workers=1)
    return out


@pytest.mark.parametrize("flat", [False, True, None], ids=["mixed", "2d", "3d"])
@pytest.mark.parametrize(("name", "image"), list(images()), ids=lambda value: value if isinstance(value, str) else "")
def test_features_are_those_of_the_ordinary_way(name: str, image: np.ndarray, flat: bool | None) -> None:
    found = features(image, flat, (16, 16, 20))
    with patch.object(prediction, "is_constant", return_value=False):
        expected = features(image, flat, (40, 33, 64))
    assert found.tobytes() == expected.tobytes(), name


def test_a_row_is_all_that_is_computed(fixtures: Path) -> None:
    classifier = PixelClassifier.from_project(fixtures / "cells.ilp")
    computed = []
    ordinary = prediction.Prediction._tile

    def counted(self: Prediction, raw: np.ndarray, core: tuple[slice, slice, slice], *rest: object) -> np.ndarray:
        computed.append(int(np.prod([s.stop - s.start for s in core])))
        return ordinary(self, raw, core, *rest)  # type: ignore[arg-type]

    with patch.object(prediction.Prediction, "_tile", counted):
        classifier.predict(np.full((64, 64, 64), 200, np.uint16))
    assert sum(computed) <= 64 * 8  # a row of each block


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"labels": [1], "dtype": "uint8"},
        {"export": "segmentation"},
        {"export": "uncertainty"},
        {"export": "mask", "threshold": 0.3},
        {"export": "features"},
    ],
    ids=lambda options: options.get("export", "probabilities") + options.get("dtype", ""),
)
@pytest.mark.parametrize("masked", [False, True])
def test_every_export(tmp_path: Path, fixtures: Path, options: dict[str, object], masked: bool) -> None:
    classifier = PixelClassifier.from_project(fixtures / "cells.ilp")
    image = np.full((40, 64, 64), 231, np.uint16)
    image[:, :, 50:] += np.random.default_rng(1).integers(0, 500, (40, 64, 14)).astype(np.uint16)
    mask = np.random.default_rng(2).integers(0, 2, image.shape).astype(np.uint8)
    np.save(tmp_path / "image.npy", image)
    np.save(tmp_path / "mask.npy", mask)
    where = tmp_path / "mask.npy" if masked else None
    for name, constant in (("a", prediction.is_constant), ("b", lambda raw: False)):
        with patch.object(prediction, "is_constant", constant):
            classifier.predict_volume(
                tmp_path / "image.npy",
                tmp_path / f"{name}.npy",
                mask=where,
                block_shape=(20, 16, 16),
                **options,  # type: ignore[arg-type]
            )
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()
