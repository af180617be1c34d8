"""Readers of bytes against mutations of good inputs, by a fixed seed; scripts/fuzz_readers.py goes by coverage."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.fuzzing.readers import TARGETS, attempt, mutations

SCRIPT = [sys.executable, str(ROOT / "scripts" / "fuzz_readers.py")]


@pytest.mark.filterwarnings("ignore")  # libraries warn of damage
@pytest.mark.parametrize("name", TARGETS)
def test_mutations_end_in_errors_of_ours(name: str) -> None:
    target = TARGETS[name]
    seeds = target.seeds()
    for data in seeds:
        target.read(data)  # a good input is read
    for data in mutations(seeds, 100, seed=1):
        attempt(target, data)


def test_the_script(tmp_path: object) -> None:
    done = subprocess.run([*SCRIPT, "versions", "--blind", "20"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "versions: good: 20 mutations" in done.stdout, done.stderr


def test_without_atheris_that_is_said() -> None:
    hidden = "import sys; sys.modules['atheris'] = None; sys.argv = ['fuzz_readers.py']; import runpy; "
    run = f"runpy.run_path({str(ROOT / 'scripts' / 'fuzz_readers.py')!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", hidden + run], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "skipped: atheris is not installed" in done.stdout, done.stdout + done.stderr
