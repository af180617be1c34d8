"""What can be said of the pages without running them: links lead somewhere, commands parse, options exist."""

from __future__ import annotations

import argparse
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ecc_rf.cli import make_parser
from tests.documentation import PAGES, ROOT, anchors, blocks, commands, links, prose

FOREIGN = {"--requeue", "--array", "--dependency", "--cpus-per-task", "--mem", "--time"}
"""Options of other programs (here SLURM's) that pages speak of."""

page_by_page = pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])


@page_by_page
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {link} is not there"
        assert ROOT in target.parents, f"{page.name}: {link} leads out of the repository"
        if anchor:
            assert anchor in anchors(target), f"{page.name}: {link} has no such heading"


@page_by_page
def test_commands_parse(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever a page shows as a command is one, with options that exist and values that can be."""
    parser = make_parser()
    for block in blocks(page):
        if block.language in ("python", "text", "toml"):
            continue
        for call in commands(block.text):
            _parse(parser, call, f"{page.name}, line {block.line}", capsys)
    for indented in re.findall(r"(?:^    .*\n)+", prose(page), re.MULTILINE):
        for call in commands(indented):
            _parse(parser, call, page.name, capsys)


def _parse(parser: argparse.ArgumentParser, call: list[str], where: str, capsys: pytest.CaptureFixture[str]) -> None:
    # a job array's number is filled in by the cluster
    words = [re.sub(r"\$\{?\w+\}?", "1", word) for word in call]
    try:
        parser.parse_args(words)
    except SystemExit as stop:
        message = capsys.readouterr().err.strip().splitlines()
        assert stop.code == 0, f"{where}: ecc-rf {' '.join(call)}: {message[-1] if message else ''}"


@page_by_page
def test_options_in_the_text_exist(page: Path) -> None:
    known = {option for parser in _parsers(make_parser()) for option in parser._option_string_actions}
    for script in (*(ROOT / "benchmarks").glob("*.py"), *(ROOT / "scripts").glob("*.py")):
        known |= set(re.findall(r'"(--[a-z-]+)"', script.read_text(encoding="utf-8")))
    for code in re.findall(r"`([^`\n]+)`", prose(page)):
        if code.startswith(("ecc-rf", "--")):
            for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", code):
                assert option in known | FOREIGN, f"{page.name}: no command has {option}"


def test_every_page_can_be_reached() -> None:
    """From docs/index.md, whose list of pages is the site's."""
    index = ROOT / "docs" / "index.md"
    listed = {
        line.strip() for block in blocks(index) if "toctree" in block.language for line in block.text.splitlines()
    }
    pages = {page.stem for page in PAGES if page.parent == index.parent and page != index}
    assert pages - listed == set(), "pages that docs/index.md does not list"


def test_reference_of_commands_is_up_to_date() -> None:
    script = ROOT / "scripts" / "document_commands.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_every_command_and_option_is_explained() -> None:
    for parser in _parsers(make_parser()):
        assert parser.description, parser.prog
        for action in parser._actions:
            if not isinstance(action, argparse._SubParsersAction):
                assert action.help, f"{parser.prog}: {action.option_strings or action.dest} has no help"


def _parsers(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    found = [parser]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                found += _parsers(child)
    return found


def test_a_command_that_does_not_exist_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text("```\necc-rf info PV.ilp --no-such-option\n```\n")
    with pytest.raises(AssertionError, match="no-such-option"):
        test_commands_parse(page, capsys)
    page.write_text("[there](nowhere.md)\n")
    with pytest.raises(AssertionError, match=r"nowhere\.md is not there"):
        test_links_lead_somewhere(page)


def test_reference_of_python_names_what_there_is() -> None:
    """Without Sphinx: each object exists, and it and its public methods say what they are."""
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    found = re.findall(r"^\.\. auto(module|class|function):: ([\w.]+)$", text, re.MULTILINE)
    assert len(found) > 20
    silent = []
    for kind, name in found:
        home, _, last = name.rpartition(".")
        thing = importlib.import_module(name) if kind == "module" else getattr(importlib.import_module(home), last)
        assert inspect.getdoc(thing), name
        if kind == "class":
            for method, value in vars(thing).items():
                said = inspect.getdoc(getattr(thing, method, None)) or method in (inspect.getdoc(thing) or "")
                if not method.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
                    silent += [] if said else [f"{name}.{method}"]
    assert not silent


def test_tests_and_scripts_that_pages_name_exist() -> None:
    for page in PAGES:
        for path in re.findall(
            r"`(?:python )?((?:tests|benchmarks|scripts|ecc_rf|data)/[\w./-]+)", page.read_text("utf-8")
        ):
            assert (ROOT / path).exists(), f"{page.name}: there is no {path}"
