"""Where compiled code is kept, when it is made anew, and who hears of it; in a copy of the package, by processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ecc_rf.compiling import KEPT, NOT_KEPT

ROOM = "cells"
CODE = """
import sys
import numpy as np
from ecc_rf.compiling import announce
announce(print)
from ecc_rf.cells.labelling import find_root
assert find_root(np.array([0, 0, 1]), 2) == 0
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder with a copy of the package, without what was compiled."""
    source = Path(__file__).resolve().parents[1] / "ecc_rf"
    shutil.copytree(source, tmp_path / "site/ecc_rf", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "site"


def heard(package: Path, home: str | Path) -> str:
    """What a process says that uses a compiled function."""
    environment = {key: value for key, value in os.environ.items() if key not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")}
    environment |= {"PYTHONPATH": str(package), "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", CODE]
    done = subprocess.run(command, env=environment, cwd=package, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def make_read_only(package: Path) -> None:
    """No folder can be made where compiled code would lie; a file in its place stops even an administrator."""
    (package / "ecc_rf" / ROOM / "__pycache__").write_text("")


def test_compiled_code_is_kept_beside_the_package_and_told_of_once(package: Path, tmp_path: Path) -> None:
    assert heard(package, tmp_path) == KEPT
    assert list((package / "ecc_rf" / ROOM / "__pycache__").glob("*.nbi"))
    assert heard(package, tmp_path) == ""


@pytest.mark.skipif(sys.platform == "win32", reason="the user's cache folder is not found by HOME there")
def test_a_read_only_installation_keeps_it_in_the_users_cache(package: Path, tmp_path: Path) -> None:
    make_read_only(package)
    home = tmp_path / "home"
    home.mkdir()
    assert heard(package, home) == KEPT
    assert list(home.rglob("*.nbi"))
    assert heard(package, home) == ""


@pytest.mark.skipif(sys.platform == "win32", reason="the user's cache folder is not found by HOME there")
def test_without_any_place_it_is_compiled_at_every_start(package: Path) -> None:
    make_read_only(package)
    assert heard(package, "/dev/null") == heard(package, "/dev/null") == NOT_KEPT


def test_a_change_in_another_file_of_the_room_is_noticed(package: Path, tmp_path: Path) -> None:
    assert heard(package, tmp_path) == KEPT
    with (package / "ecc_rf" / ROOM / "parts.py").open("a") as file:
        file.write("# changed\n")
    assert heard(package, tmp_path) == KEPT
    with (package / "ecc_rf/report.py").open("a") as file:
        file.write("# changed\n")  # holds nothing that is compiled
    assert heard(package, tmp_path) == ""
