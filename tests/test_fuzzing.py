"""A thousand damaged and hostile projects; scripts/fuzz_projects.py is the long form."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import pytest

from tests.conftest import ROOT
from tests.fuzzing import canaries
from tests.fuzzing.bases import bases

BASES = [base.name for base in bases()]
MUTANTS = 1000


def fuzzed(*arguments: str) -> None:
    """In a process of its own: it forks, which a process with threads must not."""
    script = [sys.executable, str(ROOT / "scripts" / "fuzz_projects.py"), *arguments]
    done = subprocess.run([*script, "--seed", "1"], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("some", [BASES[::2], BASES[1::2]], ids=["even", "odd"])
def test_mutants(some: list[str]) -> None:
    """All through `info`, some through what takes longer: about a minute and a half of a busy processor in all."""
    if not some:
        pytest.skip("the projects of ../shared are not here")
    every = MUTANTS // len(BASES)
    names = [argument for name in some for argument in ("--base", name)]
    shares = f"classify={every // 12}", f"train={every // 40}"
    fuzzed(*names, "--small", "--count", str(every), "--commands", "info", *shares)


@pytest.mark.parametrize("place", canaries.PLACES)
@pytest.mark.parametrize("opaque", [False, True])
def test_no_pickle_is_run(tmp_path: Path, fixtures: Path, place: str, opaque: bool) -> None:
    from ecc_rf import IlastikProject
    from ecc_rf.errors import NoForestError

    canary = tmp_path / "canary"
    for number, code in enumerate(canaries.pickles(canary)):
        path = tmp_path / f"{number}.ilp"
        path.write_bytes((fixtures / "cells.ilp").read_bytes())
        with h5py.File(path, "r+") as file:
            canaries.plant(file, place, code, opaque=opaque)
        project = IlastikProject.open(path)
        project.describe()
        if place.endswith("pickled_classifier"):
            with pytest.raises(NoForestError, match="is never opened"):
                project.forest()
        else:
            assert project.forest().n_trees
    assert not canary.exists()


def test_the_canaries_sing(tmp_path: Path) -> None:
    """Otherwise their silence would prove nothing."""
    import pickle

    canary = tmp_path / "canary"
    for code in canaries.pickles(canary):
        if code.startswith(b"clazyflow"):
            continue  # names a class of ilastik's, which is not installed here
        pickle.loads(code).close()
        assert canary.exists()
        canary.unlink()
