"""The object classifier by itself: how rows weigh, and where it cuts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ecc_rf.judging import CandidateVolume, find_candidates
from ecc_rf.objects import train_object_model
from ecc_rf.objects.training import figures, suggest_cut
from tests.easy_probabilities import FINDER, is_cell, write_probability


@pytest.fixture
def volume(tmp_path: Path, fixtures: Path) -> CandidateVolume:
    return find_candidates([write_probability(fixtures, tmp_path / "p.h5")], [fixtures / "brain.h5"], FINDER)[0]


def test_weights_count_as_repetition(volume: CandidateVolume, fixtures: Path) -> None:
    truly = is_cell(volume.table, fixtures)
    taken = volume.table["mean_probability"].to_numpy() > 0.5
    weights = np.where(truly, 3.0, 1.0)
    repeat = np.repeat(np.arange(len(truly)), weights.astype(int))
    assert figures(taken, truly, weights) == figures(taken[repeat], truly[repeat])
    few = np.where(truly, 0.2, 1.0)
    plain = train_object_model(volume.table, truly, seed=1)
    told = train_object_model(volume.table, truly, weights=few, seed=1)
    assert told.probabilities(volume.table).tobytes() == plain.probabilities(volume.table).tobytes()
    assert told.training["out_of_bag"]["precision"] < plain.training["out_of_bag"]["precision"]
    grown = train_object_model(volume.table, truly, weights=few, weigh_trees=True, seed=1)
    assert grown.probabilities(volume.table).mean() < plain.probabilities(volume.table).mean() - 0.02


def test_a_cut_from_a_plateau() -> None:
    curve = [{"cut": cut, "f1": f1} for cut, f1 in ((0.1, 0.3), (0.2, 0.61), (0.3, 0.615), (0.4, 0.62), (0.5, 0.2))]
    assert suggest_cut(curve) == 0.3
    assert suggest_cut([{"cut": 0.1, "f1": 0.9}, {"cut": 0.2, "f1": 0.1}, {"cut": 0.3, "f1": 0.9}]) == 0.1
