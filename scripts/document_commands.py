"""Write docs/commands.md, the reference of all commands and options, from the parser of the command line.

python scripts/document_commands.py           write it
python scripts/document_commands.py --check   exit 1 if it is not up to date
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from ecc_rf.cli import make_parser

PAGE = Path(__file__).resolve().parents[1] / "docs" / "commands.md"
INTRODUCTION = """# Commands

All commands and their options, as `ecc-rf COMMAND --help` prints them. This page is written by
`python scripts/document_commands.py`.

A command exits with status 0, with 2 after an error that it explains, with 130 after Ctrl-C.
"""


def reference() -> str:
    """The page."""
    parser = make_parser()
    chapters = [chapter for _, child, summary in children(parser) for chapter in sections(child, summary, 2)]
    return "\n".join([INTRODUCTION, *chapters])


def children(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser, str]]:
    """Name, parser and summary of each command; another name of the same command is left out."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for choice in action._choices_actions:
                yield choice.dest, action.choices[choice.dest], choice.help or ""


def sections(parser: argparse.ArgumentParser, summary: str, level: int) -> Iterator[str]:
    """A chapter for a command, and one for each of its own commands."""
    name = parser.prog.removeprefix("ecc-rf ")
    lines = [f"{'#' * level} {name}", "", (parser.description or summary).strip(), ""]
    if parser.epilog and parser.epilog.startswith("Example: "):
        example, _, more = parser.epilog.removeprefix("Example: ").partition(". ")
        lines += ["```", example.strip(), "```", "", *([more.strip(), ""] if more else [])]
    for group in parser._action_groups:
        rows = [row(action) for action in group._group_actions if is_option(action)]
        if rows:
            lines += [f"| {heading(group)} | |", "|---|---|", *rows, ""]
    yield "\n".join(lines)
    for _, child, text in children(parser):
        yield from sections(child, text, level + 1)


def is_option(action: argparse.Action) -> bool:
    return not isinstance(action, (argparse._HelpAction, argparse._SubParsersAction)) and (
        action.help != argparse.SUPPRESS
    )


def heading(group: argparse._ArgumentGroup) -> str:
    return {"positional arguments": "argument", "options": "option"}.get(group.title or "", group.title or "")


def row(action: argparse.Action) -> str:
    value = action.metavar or (action.dest.upper() if action.nargs != 0 else "")
    value = " ".join(value) if isinstance(value, tuple) else value
    if action.nargs in ("+", "*") and value:
        value += "…"
    names = ", ".join(f"`{name} {value}`".replace(" `", "`") for name in action.option_strings) or f"`{value}`"
    text = (action.help or "").replace("%%", "%").replace("|", "\\|")
    required = " (required)" if action.required and action.option_strings else ""
    return f"| {names}{required} | {text} |".replace("N|Z", "N\\|Z")


def main() -> int:
    text = reference()
    if "--check" in sys.argv[1:]:
        if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
            print("docs/commands.md is not up to date: run python scripts/document_commands.py", file=sys.stderr)
            return 1
        return 0
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
