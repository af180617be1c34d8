"""What is stored for probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecc_rf.errors import LabelError, SettingError
from ecc_rf.export import Export, quantise, resolve_labels


@pytest.mark.parametrize("trees", [1, 10, 100, 255])
def test_uint8_keeps_every_vote_of_up_to_255_trees(trees: int) -> None:
    votes = np.arange(trees + 1, dtype=np.float32) / np.float32(trees)
    stored = quantise(votes, np.dtype("uint8"), "nearest")
    assert len(np.unique(stored)) == trees + 1
    assert np.array_equal(np.rint(stored / 255 * trees), np.arange(trees + 1))


@given(st.lists(st.floats(0, 1, width=32), min_size=1), st.sampled_from(["uint8", "uint16"]))
def test_integers_against_numpy(values: list[float], dtype: str) -> None:
    p, top = np.float32(values), np.iinfo(dtype).max
    # The spec's formula: float32 product, round half to even; truncation before July 2025.
    assert np.array_equal(quantise(p, np.dtype(dtype), "nearest"), np.round(p * np.float32(top)).astype(dtype))
    assert np.array_equal(quantise(p, np.dtype(dtype), "truncate"), (p * np.float32(top)).astype(dtype))


def test_values_beyond_the_range_are_clipped() -> None:
    assert quantise(np.float32([-0.5, 1.5]), np.dtype("uint8"), "nearest").tolist() == [0, 255]


def test_uncertainty_and_segmentation_against_sorting() -> None:
    p = np.random.default_rng(0).random((50, 4), dtype=np.float32)
    p[7] = p[7, 0]
    by_size = np.sort(p, axis=-1)
    found = Export(kind="uncertainty").convert(p)[..., 0]
    assert np.array_equal(found, np.float32(1) - (by_size[:, -1] - by_size[:, -2]))
    labels = Export(kind="segmentation").convert(p)[..., 0]
    assert labels.dtype == np.uint8 and np.array_equal(labels, p.argmax(axis=-1) + 1) and labels[7] == 1


def test_chosen_labels_in_their_order() -> None:
    p = np.float32([[0.1, 0.2, 0.7]])
    assert Export(labels=(3, 1)).convert(p).tolist() == [[np.float32(0.7), np.float32(0.1)]]


@pytest.mark.parametrize(
    "settings", [{"kind": "nonsense"}, {"dtype": "int7"}, {"rounding": "up"}, {"kind": "features", "dtype": "uint8"}]
)
def test_settings_that_do_not_exist(settings: dict[str, str]) -> None:
    with pytest.raises(SettingError, match=r"Choose|Leave"):
        Export(**settings)


def test_labels_by_number_and_name() -> None:
    names = ["cell", "2", "background"]
    assert resolve_labels(None, names) == resolve_labels("all", names) == (1, 2, 3)
    assert resolve_labels(["background", 1], names) == (3, 1)
    for wrong in ([4], [0], ["neuron"], [1, "cell"], []):
        with pytest.raises(LabelError):
            resolve_labels(wrong, names)
