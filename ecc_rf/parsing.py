"""The parser of the command line: argparse, with errors that say what was probably meant.

An error is printed like those of `EccError`: what is wrong, where, and what to do; the exit status is 2, as argparse's.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from ecc_rf.errors import EccError
from ecc_rf.messages import told
from ecc_rf.near import advice

_NO_COMMAND = "Missing: which command."
_REWORDED = (
    (r"the following arguments are required: COMMAND", _NO_COMMAND),
    (r"the following arguments are required: (.+)", r"Missing: \1."),
    (r"(?:argument (\S+): )?invalid int value: (.+)", r"\1: \2 is no whole number."),
    (r"(?:argument (\S+): )?invalid float value: (.+)", r"\1: \2 is no number."),
    (r"argument (\S+): expected one argument", r"\1 needs a value."),
    (r"argument (\S+): expected at least one argument", r"\1 needs at least one value."),
    (r"argument (\S+): not allowed with argument (\S+)", r"\1 cannot be given together with \2."),
    (r"argument (\S+): ignored explicit argument (.+)", r"\1 takes no value, but \2 is given."),
    (r"unrecognized arguments: (.+)", r"Not understood: \1."),
    (r"ambiguous option: (\S+) could match (.+)", r"\1 could be \2."),
    (r"argument (\S+): (.+)", r"\1: \2"),
)
"""What argparse says, and how it is said here; what is not in the list is printed as it is."""

OTHER_WORDS = {
    **dict.fromkeys(("count", "detect-cells", "process", "pipeline", "start", "execute"), "run"),
    **dict.fromkeys(("predict", "segment", "headless", "export", "probability", "probabilities"), "classify"),
    **dict.fromkeys(("detect", "find", "find-cells", "cell"), "cells"),
    **dict.fromkeys(("open", "show", "napari", "display", "visualize", "visualise"), "view"),
    **dict.fromkeys(("annotate", "import", "itksnap", "label", "strokes"), "labels"),
    **dict.fromkeys(("create", "init", "project"), "new"),
    **dict.fromkeys(("retrain", "fit", "learn"), "train"),
    **dict.fromkeys(("score", "compare", "validate"), "evaluate"),
    **dict.fromkeys(("study", "many", "all"), "batch"),
    **dict.fromkeys(("judge", "sample"), "candidates"),
    **dict.fromkeys(("describe", "inspect", "list", "ls"), "info"),
    **dict.fromkeys(("resume", "continue", "merge", "join"), "finish"),
    **dict.fromkeys(("threshold", "optimize", "optimise"), "tune"),
}
"""What people may call a command, where its name is not near enough to be found as mistyped."""


class Parser(argparse.ArgumentParser):
    """A parser of one command, or of all."""

    def error(self, message: str) -> NoReturn:
        """Print the error and exit with status 2."""
        for pattern, better in _REWORDED:
            if match := re.fullmatch(pattern, message, re.DOTALL):
                message = match.expand(better).removeprefix(": ")
                break
        do = f"{self.prog} --help shows every option."
        if message == _NO_COMMAND:
            do = f"Say {_either([f'{self.prog} {name}' for name in self.subcommands()])}."
        self.fail(message, do, usage=True)

    def fail(self, what: str, do: str, *, usage: bool = False) -> NoReturn:
        """Print an error, in the form of an `EccError`, and exit with status 2."""
        where = re.sub(r"^usage: ", "", self.format_usage()).strip() if usage else self.prog
        print(f"ecc-rf: error: {told(EccError(what, where, do))}", file=sys.stderr)
        sys.exit(2)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's; but a mistyped option is told before anything that may be missing because of it."""
        texts = sys.argv[1:] if args is None else list(args)
        for text in self._own_options(texts):
            if not any(known.startswith(text) for known in self._option_string_actions):
                self.fail(
                    f"There is no option {text}.",
                    advice(text, self.options(), f"{self.prog} --help shows every option."),
                )
        parsed, rest = super().parse_known_args(texts, namespace)
        if rest:  # here, and not by the parser of all commands, which does not know what this one takes
            self.fail(f"Not understood: {' '.join(rest)}.", self._left_over(texts, rest), usage=True)
        return parsed, rest

    def _left_over(self, texts: Sequence[str], rest: Sequence[str]) -> str:
        """What to do about arguments that nothing takes: most often they follow an option that takes one value."""
        before = [text for text in texts[: texts.index(rest[0])] if text.startswith("-")] if rest[0] in texts else []
        action = self._option_string_actions.get(before[-1]) if before and not rest[0].startswith("-") else None
        if action is not None and action.nargs is None:
            if isinstance(action, argparse._AppendAction):
                return f"Write {before[-1]} before each of its values."
            return f"{before[-1]} takes one value; put quotes around one with spaces."
        return f"{self.prog} --help shows every option."

    def _own_options(self, texts: Sequence[str]) -> Iterator[str]:
        """Long options among the arguments that are this parser's: those of a command begin after its name."""
        for text in texts:
            if text == "--" or (not text.startswith("-") and self.subcommands()):
                return
            if text.startswith("--"):
                yield text.partition("=")[0]

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        known = [str(choice) for choice in action.choices]
        if isinstance(action, argparse._SubParsersAction):
            do = f"{self.prog} --help lists the commands."
            if str(value).lower() in OTHER_WORDS and OTHER_WORDS[str(value).lower()] in known:
                do = f"Did you mean {OTHER_WORDS[str(value).lower()]}? {do}"
            elif "." in str(value) and "run" in known:  # a project or an image
                do = f"The command comes first: {self.prog} run {value} … {do}"
            else:
                do = advice(str(value), known, do)
            self.fail(f"There is no command {str(value)!r}.", do)
        name = "/".join(action.option_strings) or str(action.metavar or action.dest)
        self.fail(
            f"{name} cannot be {str(value)!r}.", advice(str(value), known, f"Choose {_either(known)}."), usage=False
        )

    def options(self) -> list[str]:
        """Long options, as they are written."""
        return [option for option in self._option_string_actions if option.startswith("--")]

    def options_of(self, texts: Sequence[str]) -> list[str]:
        """Long options of the command that these arguments begin with."""
        below = next((self.subcommands()[text] for text in texts if text in self.subcommands()), None)
        return self.options() if below is None else below.options_of(texts[1:])

    def subcommands(self) -> dict[str, Parser]:
        """Commands by name; empty for the parser of a command without any."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                return dict(action.choices)
        return {}

    def actions(self) -> list[argparse.Action]:
        """Everything that may be given."""
        return list(self._actions)

    def format_usage(self) -> str:
        """One line: what must be given, and that there are options; --help lists them."""
        return f"usage: {self.short_usage()}\n"

    def format_help(self) -> str:
        """As argparse's, with the usage of `format_usage`."""
        self.usage = self.short_usage().replace("%", "%%")
        return super().format_help()

    def short_usage(self) -> str:
        """What must be given, without the options that may be left out.

        >>> parser = Parser(prog="p")
        >>> _ = parser.add_argument("images", metavar="IMAGE", nargs="+")
        >>> _ = parser.add_argument("-o", "--output", metavar="DIR", required=True)
        >>> _ = parser.add_argument("--threshold")
        >>> parser.short_usage()
        'p IMAGE... -o DIR [options]'
        """
        words = [self.prog]
        for action in self._actions:
            name = str(action.metavar or action.dest)
            if isinstance(action, argparse._SubParsersAction):
                words.append(f"{name} ...")
            elif not action.option_strings:
                words.append({"+": f"{name}...", "*": f"[{name}...]", "?": f"[{name}]"}.get(str(action.nargs), name))
            elif action.required:
                words.append(f"{action.option_strings[0]} {name}" + ("..." if action.nargs == "+" else ""))
        return " ".join([*words, "[options]"])


def _either(words: Sequence[str]) -> str:
    """
    >>> _either(["a", "b", "c"])
    'a, b or c'
    """
    return " or ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)
