"""What objects show at the prompt and in a notebook."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

import ecc_rf
from ecc_rf import IlastikProject, PixelClassifier, open_volume
from ecc_rf.blocks import TerminalProgress
from ecc_rf.notebook import Shown, as_html


def cells_of(shown: Shown) -> list[str]:
    """Texts of the tables in an object's HTML, which must be well-formed."""
    tree = ElementTree.fromstring(f"<div>{shown._repr_html_()}</div>")
    return ["".join(cell.itertext()) for cell in tree.iter() if cell.tag in ("td", "th")]


def test_project_classifier_and_training(fixtures: Path) -> None:
    project = IlastikProject.open(fixtures / "cells.ilp")
    assert "cells.ilp" in repr(project) and "2 (false signal)" in repr(project)
    assert "brain-data" in cells_of(project)
    stored = PixelClassifier.from_project(project)
    assert "100 trees" in repr(stored) and "×" in cells_of(stored)
    trained = PixelClassifier.train(project, trees=10)
    assert trained.training is not None and trained.training.error is not None
    assert f"{trained.training.error:.2%}" in repr(trained)
    assert "→ 1" in cells_of(trained.training) and "10 trees" in repr(trained.training)


def test_volumes(fixtures: Path) -> None:
    with open_volume(fixtures / "brain.h5") as volume:
        shown = cells_of(volume)
        assert "40 × 96 × 96" in shown and "5 × 2 × 2 µm (z, y, x)" in shown
        assert repr(volume).startswith("<HDF5Volume") or "\n" not in repr(volume)


def test_texts_from_files_are_escaped() -> None:
    shown = as_html("<b>", [("<script>", "<i>{0}")], [["<u>"], ["{x}"]])
    assert "<script>" not in shown and "<i>" not in shown and "<u>" not in shown and "{x}" in shown


def test_summary_of_cells() -> None:
    cells = pd.DataFrame({"vol": [1.0, 2.0, 4.0], "deltaI": [np.nan] * 3, "other": ["a", "b", "c"]})
    found = ecc_rf.summary(cells)
    assert found.index.tolist() == ["volume (µm³)", "intensity above background"]
    assert found.loc["volume (µm³)", "median"] == 2 and found.loc["intensity above background", "cells"] == 0
    assert ecc_rf.summary(cells[:0]).loc["volume (µm³)", "cells"] == 0


def test_a_log_gets_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """As in a pipe and in the log of a cluster; in a notebook standard error is no terminal either."""
    assert not sys.stderr.isatty()
    with TerminalProgress(interval=0.05).stage("classify", 100) as advance:
        advance(40)
        time.sleep(0.4)
    printed = capsys.readouterr().err
    assert printed.startswith("ecc-rf: classify: 40 %") and printed.endswith("\n")
    assert printed.isprintable() or not set(printed) & {"\r", "\x1b", "\b"}
