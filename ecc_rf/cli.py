"""The command line: parses, calls one function per command, prints."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence

from ecc_rf._version import __version__
from ecc_rf.commands import (
    batch,
    candidates,
    cells,
    classify,
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
)
from ecc_rf.errors import EccError
from ecc_rf.library_notes import note_what_libraries_log
from ecc_rf.printable import printable

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
    features,
    convert,
    finish,
)
"""In the order of the help."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, 2 on a user's error, 130 after Ctrl-C, or the command's own."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files need not be text
    arguments = make_parser().parse_args(argv)
    note_what_libraries_log()
    try:
        status: int | None = arguments.run(arguments)
    except EccError as error:
        print(f"ecc-rf: error: {printable(str(error))}", file=sys.stderr)
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


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands; `run` is the function of the one that was asked for."""
    parser = argparse.ArgumentParser(
        prog="ecc-rf",
        description="Count cells in whole brains with ilastik pixel-classification projects, without ilastik.",
        epilog="Example: ecc-rf run PV.ilp brain.h5/data -o results --voxel-size 6,1.62,1.62",
    )
    parser.add_argument("--version", action="version", version=f"ecc-rf {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add(commands)
    return parser


def _interrupted(kept: str = "") -> int:
    print(f"ecc-rf: interrupted; {kept or 'nothing unfinished was left behind.'}", file=sys.stderr)
    return EXIT_INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
