"""The k-th smallest of many values, against sorting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecc_rf.normalization.selection import select_float32, select_float64


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=60), st.data())
def test_any_values(values: list[float], data: st.DataObject) -> None:
    k = data.draw(st.integers(0, len(values) - 1))
    array = np.array(values)
    assert select_float64(array.copy(), k) == np.sort(array)[k]
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    assert select_float32(array.copy(), k) == np.sort(array)[k]


@pytest.mark.parametrize("most", [1, 20, 60_000])
def test_values_of_images(most: int) -> None:
    """Many of them alike, as in images of whole numbers; all places."""
    values = np.random.default_rng(0).integers(-most, most, 301)
    for k, expected in enumerate(np.sort(values)):
        assert select_float32(values.astype(np.float32), k) == expected
        assert select_float64(values.astype(np.float64), k) == expected


def test_there_is_one_zero() -> None:
    assert not np.signbit(select_float32(np.array([-0.0, -0.0], np.float32), 0))
    assert not np.signbit(select_float64(np.array([-0.0, -0.0]), 0))
