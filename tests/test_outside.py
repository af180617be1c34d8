"""Outside of the sample: blocks that a mask leaves out or that have one value cost next to nothing.

Counted is what is computed, not the time that it takes; `benchmarks/performance.py` measures that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

from ecc_rf import PixelClassifier, open_volume
from ecc_rf.blocks import Block
from ecc_rf.blocks.progress import Pace
from ecc_rf.prediction import BlockInput, Prediction

SHAPE = (64, 128, 256)
BLOCK = 32


@pytest.fixture(scope="module")
def tissue(fixtures: Path) -> np.ndarray:
    with open_volume(fixtures / "brain.h5") as volume:
        return np.tile(volume.read(), (2, 2, 3))[: SHAPE[0], : SHAPE[1], : SHAPE[2]]


@contextmanager
def counted() -> Iterator[dict[str, int]]:
    """Voxels that go through features and forest, and blocks that are read."""
    found = {"computed": 0, "read": 0}
    tile, read = Prediction._tile, Prediction.read

    def count_tile(self: Prediction, raw: np.ndarray, core: tuple[slice, ...], *rest: object) -> np.ndarray:
        found["computed"] += int(np.prod([s.stop - s.start for s in core]))
        return tile(self, raw, core, *rest)  # type: ignore[arg-type]

    def count_read(self: Prediction, block: Block) -> BlockInput:
        given = read(self, block)
        found["read"] += given.raw is not None
        return given

    with patch.object(Prediction, "_tile", count_tile), patch.object(Prediction, "read", count_read):
        yield found


def classify(fixtures: Path, image: np.ndarray, folder: Path, mask: np.ndarray | None = None) -> dict[str, int]:
    np.save(folder / "image.npy", image)
    if mask is not None:
        np.save(folder / "mask.npy", mask)
    with counted() as found:
        PixelClassifier.from_project(fixtures / "cells.ilp").predict_volume(
            folder / "image.npy",
            folder / "p.npy",
            labels=[1],
            dtype="uint8",
            mask=None if mask is None else folder / "mask.npy",
            block_shape=(BLOCK,) * 3,
            workers=1,
            overwrite=True,
        )
    return found


def empty_half(image: np.ndarray) -> np.ndarray:
    half = image.copy()
    half[:, :, SHAPE[2] // 2 :] = 100
    return half


def test_half_empty_is_half_the_work(fixtures: Path, tissue: np.ndarray, tmp_path: Path) -> None:
    full = classify(fixtures, tissue, tmp_path)["computed"]
    assert full == np.prod(SHAPE)
    half = classify(fixtures, empty_half(tissue), tmp_path)["computed"]
    # the empty blocks beside the tissue see it through the halo (1 of 4 layers); each of the others costs a row
    assert half == full * (4 + 1) // 8 + full * 3 // 8 // BLOCK**2


def test_half_masked_is_half_the_work_and_not_even_read(fixtures: Path, tissue: np.ndarray, tmp_path: Path) -> None:
    mask = np.ones(SHAPE, np.uint8)
    mask[:, :, SHAPE[2] // 2 :] = 0
    found = classify(fixtures, tissue, tmp_path, mask)
    assert found["computed"] == np.prod(SHAPE) // 2
    assert found["read"] == np.prod(SHAPE) // BLOCK**3 // 2
    with open_volume(tmp_path / "p.npy") as volume:
        assert not volume.read()[:, :, SHAPE[2] // 2 :].any()


def pace_over(durations: list[float], clock: list[float]) -> Iterator[tuple[float, float | None]]:
    """Seconds that are left in truth, and as they are told, after each of equal blocks."""
    pace = Pace("classify", 1000 * len(durations), clock=lambda: clock[0])
    for i, seconds in enumerate(durations):
        clock[0] += seconds
        pace.advance(1000)
        yield sum(durations[i + 1 :]), pace.seconds_left


def test_empty_space_does_not_spoil_the_time_left() -> None:
    """From a minute or so into the tissue on, the empty space before it is forgotten."""
    told = list(pace_over([0.01] * 500 + [2.0] * 500, [0.0]))
    for truth, left in told[540:990]:
        assert left == pytest.approx(truth, rel=0.1)


def test_an_even_pace_is_told_exactly() -> None:
    rows: Callable[[list[float]], list[tuple[float, float | None]]] = lambda some: list(pace_over(some, [0.0]))  # noqa: E731
    for truth, left in rows([3.0] * 200):
        assert left == pytest.approx(truth)
