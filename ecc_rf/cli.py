"""The command line: parses, calls one function per command, prints."""

from __future__ import annotations

import argparse
import io
import shutil
import sys
import textwrap
from collections.abc import Sequence

from ecc_rf.commands import (
    batch,
    candidates,
    cells,
    classify,
    completion,
    convert,
    evaluate,
    features,
    finish,
    info,
    labels,
    new,
    normalize,
    preview,
    relink,
    report,
    run,
    suggest,
    train,
    train_objects,
    tune,
    view,
)
from ecc_rf.errors import EccError
from ecc_rf.library_notes import note_what_libraries_log
from ecc_rf.messages import told
from ecc_rf.parsing import Parser

EXIT_ERROR = 2
EXIT_INTERRUPTED = 130

_COMMANDS = (
    run,
    batch,
    report,
    info,
    classify,
    cells,
    normalize,
    evaluate,
    candidates,
    train_objects,
    tune,
    suggest,
    new,
    train,
    relink,
    labels,
    preview,
    view,
    features,
    convert,
    finish,
    completion,
)
"""Each adds its parsers; the help has them in the order of `_GROUPS`."""

_GROUPS = {
    "from images to cells": ("run", "batch", "classify", "cells", "filter", "finish"),
    "looking at it": ("info", "preview", "view", "report"),
    "projects, labels and training": ("new", "labels", "train", "relink", "features", "suggest"),
    "more of the right cells": ("normalize", "candidates", "train-objects", "tune", "evaluate"),
    "files and shell": ("convert", "completion"),
}
"""What the help lists together."""

EXAMPLE = "Example: ecc-rf run PV.ilp brain.h5/data -o results --voxel-size 6,1.62,1.62"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, 2 on a user's error, 130 after Ctrl-C, or the command's own.

    Raises
    ------
    SystemExit
        As argparse has it: after ``--help`` and ``--version``, and with status 2 for arguments that cannot be read.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files need not be text
    texts = sys.argv[1:] if argv is None else list(argv)
    parser = make_parser()
    try:
        if not texts:
            print(parser.brief(), file=sys.stderr)
            return EXIT_ERROR
        arguments = parser.parse_args(_asked_for_help(texts))
        _check_inputs(arguments)
        note_what_libraries_log()
        status: int | None = arguments.run(arguments)
    except EccError as error:
        print(f"ecc-rf: error: {told(error, parser.options_of(texts))}", file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt as stop:
        return _interrupted(str(stop))
    except (
        RuntimeError
    ) as error:  # what Ctrl-C becomes in the middle of a class's definition, while something is imported
        if not isinstance(error.__cause__, KeyboardInterrupt):
            raise
        return _interrupted()
    except BrokenPipeError:  # the reader of our output has gone, as in `ecc-rf info … | head`
        sys.stderr.close()
        return 0
    return status or 0


def make_parser() -> MainParser:
    """The parser of all commands; `run` is the function of the one that was asked for."""
    parser = MainParser(
        prog="ecc-rf",
        description="Count cells in whole brains with ilastik pixel-classification projects, without ilastik.",
    )
    parser.add_argument("--version", action=_Version, help="print the versions that a bug report needs, and exit")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    for command in _COMMANDS:
        command.add(commands)
    parser.set_defaults(parser=parser)  # for the command that completes the others
    return parser


class MainParser(Parser):
    """The parser of all commands, which lists them by what they are for."""

    def format_help(self) -> str:
        """All commands, in groups."""
        listed = [self._listed(title, names) for title, names in self._groups().items()]
        return "\n\n".join(
            [
                f"usage: {self.short_usage()}",
                _wrapped(str(self.description)),
                *listed,
                _wrapped(
                    "ecc-rf help COMMAND (or ecc-rf COMMAND --help) explains a command and lists its options;"
                    " ecc-rf --version prints the versions that a bug report needs."
                ),
                EXAMPLE + "\n",
            ]
        )

    def brief(self) -> str:
        """What someone sees who has not said what to do."""
        title, names = next(iter(self._groups().items()))
        return "\n\n".join(
            [_wrapped(str(self.description)), self._listed(title, names), EXAMPLE, "ecc-rf --help lists all commands."]
        )

    def short_usage(self) -> str:
        """The usual one; the options before a command are none to speak of."""
        return f"{self.prog} COMMAND [arguments and options]"

    def _groups(self) -> dict[str, tuple[str, ...]]:
        there = self.subcommands()
        groups = {title: tuple(name for name in names if name in there) for title, names in _GROUPS.items()}
        known = {name for names in groups.values() for name in names}
        groups["more"] = tuple(name for name in there if name not in known)
        return {title: names for title, names in groups.items() if names}

    def _listed(self, title: str, names: Sequence[str]) -> str:
        there = self.subcommands()
        lines = [f"{title}:"]
        for name in names:
            summary = str(there[name].description).removesuffix(".")
            text = summary[0].lower() + summary[1:]
            lines.append(_wrapped(text, first=f"  {name:<14} ", next=" " * 17))
        return "\n".join(lines)


class _Version(argparse.Action):
    """Prints the versions; they are looked up only then."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from ecc_rf.environment import describe_environment

        print(describe_environment())
        parser.exit()


def _wrapped(text: str, first: str = "", next: str = "") -> str:
    """A paragraph of the terminal's width."""
    width = max(40, min(shutil.get_terminal_size().columns, 110))
    return textwrap.fill(text, width, initial_indent=first, subsequent_indent=next)


def _asked_for_help(texts: list[str]) -> list[str]:
    """``ecc-rf help COMMAND`` is ``ecc-rf COMMAND --help``.

    >>> _asked_for_help(["help", "labels", "export"]), _asked_for_help(["help"])
    (['labels', 'export', '--help'], ['--help'])
    """
    return [*texts[1:], "--help"] if texts[:1] == ["help"] else texts


def _check_inputs(arguments: argparse.Namespace) -> None:
    """Look for the files that a command reads before it imports what computes, so that a typo is told at once."""
    from ecc_rf.arguments import given_inputs

    given = given_inputs(arguments)
    if given:
        from ecc_rf.volumes.checking import check_files

        check_files(given)


def _interrupted(kept: str = "") -> int:
    print(f"ecc-rf: interrupted; {kept or 'nothing unfinished was left behind.'}", file=sys.stderr)
    return EXIT_INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
