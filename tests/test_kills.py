"""A few random kills of each command that goes on after one; `scripts/kill_test.py` is the long form."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kill_cases import CASES, kill, make_inputs

KILLS = 3
ELSEWHERE = (
    "classify",
    "classify to HDF5",
    "cells",
    "run",
)  # killed in test_resume, test_resume_cells, test_resume_run


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.mark.parametrize("name", [name for name in CASES if name not in ELSEWHERE])
def test_the_same_after_kills(inputs: Path, tmp_path: Path, name: str) -> None:
    sessions = list(kill(CASES[name], inputs, tmp_path, name, KILLS))
    assert sum(len(session.places) for session in sessions) >= KILLS
    assert all(session.same for session in sessions)
    assert not any(session.left for session in sessions)
