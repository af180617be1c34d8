"""Runs the commands that a page of docs/ shows, so that what is written there works.

Blocks fenced as ``sh`` run one after the other in one folder, each by a shell that stops at the first error. What
only a person can do, such as drawing in a window, is done by a function of the test in its place.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def shell_blocks(page: Path) -> list[str]:
    """The blocks of a Markdown page that are fenced as ``sh``."""
    return re.findall(r"^```sh\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def run_blocks(page: Path, folder: Path, by_hand: Mapping[str, Callable[[str], None]] | None = None) -> list[str]:
    """Run the blocks of a page.

    Parameters
    ----------
    page : path
    folder : path
        Where they run; ``ecc-rf`` is the one under test.
    by_hand : mapping of str to function, optional
        By the first word of a block: what is done instead of it, with the block's text.

    Returns
    -------
    list of str
        What each block printed, errors included.

    Raises
    ------
    AssertionError
        If a block fails, or something to be done by hand does not occur.
    """
    missing = set(by_hand or {})
    programs = folder / ".programs"
    programs.mkdir()
    command = programs / "ecc-rf"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ecc_rf "$@"\n')
    command.chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    printed = []
    for block in shell_blocks(page):
        word = block.split()[0]
        if by_hand and word in by_hand:
            by_hand[word](block)
            missing.discard(word)
            printed.append("")
            continue
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, f"{page.name}: exit {done.returncode} of\n{block}\n{done.stdout}"
        printed.append(done.stdout)
    assert not missing, f"{page.name} has no block that begins with {missing}"
    return printed
