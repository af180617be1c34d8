"""The house stands as docs/architecture.md draws it: its table of rooms is read here, and imports run downwards."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.documentation import ROOT

PACKAGE = ROOT / "ecc_rf"
LONGEST = 400  # lines of a file, by the rules of the house


@dataclass(frozen=True)
class Import:
    """One module takes from another; `late` if inside a function."""

    source: str
    target: str
    late: bool
    line: int

    @property
    def rooms(self) -> tuple[str, str]:
        return self.source.split(".")[1], self.target.split(".")[1]


def modules() -> dict[str, Path]:
    """All modules of the package by their full names; a folder's is its __init__.py."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports_of(name: str, source: str) -> Iterator[Import]:
    """What a module imports of the package when it runs; types alone are left out."""
    yield from _imports(name, ast.parse(source), late=False)


def _imports(name: str, node: ast.AST, late: bool) -> Iterator[Import]:
    for target in _targets(node):
        if target.startswith("ecc_rf."):
            yield Import(name, target, late, getattr(node, "lineno", 0))
    inside = late or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
    types_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
    for child in node.orelse if types_only else ast.iter_child_nodes(node):
        yield from _imports(name, child, inside)


def _targets(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        assert node.level == 0, "imports are written in full"
        for alias in node.names:
            whole = f"{node.module}.{alias.name}"
            yield whole if whole in MODULES else node.module


ALL = [found for name, path in MODULES.items() for found in imports_of(name, path.read_text(encoding="utf-8"))]


def rooms_of_the_table() -> list[str]:
    """The rooms of docs/architecture.md from the top down."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text.split("| floor | room |")[1].split("\n\n")[0]
    return re.findall(r"^\|[^|]*\| `(\w+)` \|", table, re.MULTILINE)


def test_every_room_is_in_the_table_once() -> None:
    table = rooms_of_the_table()
    there = {name.split(".")[1] for name in MODULES if "." in name}
    assert there - set(table) == set(), "rooms without a row in docs/architecture.md"
    assert set(table) - there == set(), "rows of docs/architecture.md without a room"
    assert len(table) == len(set(table)), "a room that docs/architecture.md has twice"


def test_imports_run_downwards() -> None:
    height = {room: -number for number, room in enumerate(rooms_of_the_table())}
    wrong = []
    for found in ALL:
        if found.source == "ecc_rf":  # the face of the package imports lazily, by names that are texts
            continue
        above, below = found.rooms
        if {above, below} - height.keys():
            continue  # the test above tells
        if above == below or height[above] > height[below]:
            continue
        wrong.append(f"{found.source}:{found.line} imports {found.target}, which docs/architecture.md has above it")
    assert not wrong, "\n".join(wrong)


def test_no_circles_among_modules() -> None:
    """When they are imported; within a room, a function may import its neighbour late."""
    graph: dict[str, set[str]] = defaultdict(set)
    for found in ALL:
        if not found.late and found.source != found.target:
            graph[found.source].add(found.target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


def test_faces_define_nothing() -> None:
    for name, path in MODULES.items():
        if path.name == "__init__.py" and name != "ecc_rf":
            defined = [
                node
                for node in ast.parse(path.read_text(encoding="utf-8")).body
                if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name != "__getattr__"  # lazy names
            ]
            assert not defined, f"{name} hands on names and defines none"


def test_files_are_short() -> None:
    for folder in ("ecc_rf", "tests", "scripts", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            lines = path.read_text(encoding="utf-8").count("\n")
            assert lines <= LONGEST, f"{path} has {lines} lines"


def test_this_test_sees_imports() -> None:
    source = """
from typing import TYPE_CHECKING
import numpy
from ecc_rf.blocks import Block
if TYPE_CHECKING:
    from ecc_rf.cells import CellFinder
else:
    from ecc_rf.errors import EccError
def later():
    from ecc_rf import console
    import ecc_rf.forest.model
class Room:
    from ecc_rf.volumes import Volume
"""
    found = [(one.target, one.late) for one in imports_of("ecc_rf.order", source)]
    assert found == [
        ("ecc_rf.blocks", False),
        ("ecc_rf.errors", False),
        ("ecc_rf.console", True),
        ("ecc_rf.forest.model", True),
        ("ecc_rf.volumes", False),
    ]
