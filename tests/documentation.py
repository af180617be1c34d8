"""The pages README.md and docs/*.md as a test sees them: blocks, commands and links; and what their blocks do when run.

Blocks fenced as ``sh`` and ``python`` run one after the other in one folder, each in a process that stops at the first
error. What only a person can do, such as drawing in a window, is done by a function of the test in its place. A block
fenced as ``text`` shows what the block before it prints: its lines must occur there in this order, ``…`` standing for
anything.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.command_server import program

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

_FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_OPERATORS = {"|", "||", "&", "&&", ";", ">", ">>", "<", "(", ")"}


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, the line of the page on which it begins."""

    language: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a Markdown page."""
    text = page.read_text(encoding="utf-8")
    return [Block(m[1].strip(), m[2], text.count("\n", 0, m.start()) + 1) for m in _FENCE.finditer(text)]


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def commands(text: str) -> Iterator[list[str]]:
    """The words after ``ecc-rf`` of each of its calls in a piece of shell.

    >>> list(commands("a=1  # one\\necc-rf info PV.ilp | head && ecc-rf cells 'p q.h5' \\\\\\n  -o $DIR/c.csv 2> log"))
    [['info', 'PV.ilp'], ['cells', 'p q.h5', '-o', '$DIR/c.csv']]
    """
    for line in re.sub(r"\\\n", " ", re.sub(r"(?<=\s)\d>", ">", text)).splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="();<>|&")
        lexer.whitespace_split = True
        call: list[str] | None = None
        for word in lexer:
            if call is None:
                call = [] if word == "ecc-rf" else None
            elif word in _OPERATORS:
                yield call
                call = None
            else:
                call.append(word)
        if call is not None:
            yield call


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MyST make them."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ +(.*)$", prose(page), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
        found.add(re.sub(r"[^\w\- ]", "", plain).replace(" ", "-"))
    return found


def links(page: Path) -> list[str]:
    """The targets of a page's links and pictures that lead to files of this repository."""
    text = re.sub(r"`[^`\n]*`", "", prose(page))
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"<img[^>]* src=\"([^\"]+)\"", text)
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


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
        If a block fails, prints other than the page shows, or something to be done by hand does not occur.
    """
    missing = set(by_hand or {})
    environment = _environment(folder)
    printed: list[str] = []
    for block in blocks(page):
        where = f"{page.name}, line {block.line}"
        if block.language == "text":
            assert printed, f"{where}: no block comes before what is shown"
            _compare(block.text, printed[-1], where)
            continue
        if block.language not in ("sh", "python"):
            continue
        word = block.text.split()[0]
        if by_hand and word in by_hand:
            by_hand[word](block.text)
            missing.discard(word)
            printed.append("")
            continue
        program = ["bash", "-euo", "pipefail", "-c"] if block.language == "sh" else [sys.executable, "-c"]
        done = subprocess.run(
            [*program, block.text],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            timeout=900,  # against a command that hangs; none takes a minute on a machine of its own
        )
        assert done.returncode == 0, f"{where}: exit {done.returncode} of\n{block.text}\n{done.stdout}"
        printed.append(done.stdout)
    assert not missing, f"{page.name} has no block that begins with {missing}"
    return printed


def _environment(folder: Path) -> dict[str, str]:
    programs = folder / ".programs"
    programs.mkdir(exist_ok=True)
    if not (programs / "python").exists():
        (programs / "ecc-rf").symlink_to(program())
        # not a link, or the virtual environment would be lost
        (programs / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        (programs / "python").chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "100", "MPLBACKEND": "Agg"}


def _compare(shown: str, printed: str, where: str) -> None:
    lines = iter([line.rstrip() for line in printed.splitlines()])
    for wanted in shown.splitlines():
        if not wanted.strip() or wanted.strip() == "…":
            continue
        pattern = re.compile(".*".join(re.escape(piece.strip()) for piece in wanted.rstrip().split("…")))
        found = any(pattern.fullmatch(line.strip()) for line in lines)
        assert found, f"{where}: {wanted!r} is shown, but was not printed (in this order):\n{printed}"
