"""docs/cluster.md: its arithmetic is run, and what it shows is what comes out."""

from __future__ import annotations

from pathlib import Path

from tests.documentation import ROOT, run_blocks


def test_the_plan_for_a_terabyte(tmp_path: Path) -> None:
    printed = run_blocks(ROOT / "docs" / "cluster.md", tmp_path)
    assert any("core hours" in text for text in printed)
