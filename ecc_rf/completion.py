"""What may follow the words on a command line, and the scripts by which shells ask for it.

The shells' scripts hold no list of commands and options: at each press of the key they ask ``ecc-rf completion SHELL
-- WORDS``, so that one place knows them all, and what is completed is what is installed. It answers in a fifth of a
second, since nothing that computes is imported.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ecc_rf.parsing import Parser

FILES = "<files>"
"""Stands alone among the answers where a file is expected: the shell knows its files best."""

Answer = tuple[str, str]
"""What may stand there, and what it means."""


def completions(parser: Parser, words: Sequence[str]) -> list[Answer]:
    """What may stand in the place of the last word.

    Parameters
    ----------
    parser : Parser
        Of all commands.
    words : sequence of str
        What follows ``ecc-rf``; the last is being typed, and may be empty.

    >>> parser = Parser(prog="p")
    >>> _ = parser.add_argument("--split", choices=("watershed", "maxima"), help="how")
    >>> completions(parser, ["--s"]), completions(parser, ["--split", "w"])
    ([('--split', 'how')], [('watershed', '')])
    """
    *before, typed = words
    whole = parser
    while before and before[0] in parser.subcommands():
        parser = parser.subcommands()[before.pop(0)]
    there = parser.subcommands()
    if typed.startswith("-"):
        return _starting(typed, _options(parser))
    option = _open_option(parser, before)
    if option is not None:
        return _values(option, typed)
    if there:
        known = [(name, str(command.description).removesuffix(".")) for name, command in there.items()]
        if before == ["help"]:
            return _starting(typed, known)
        helps = [("help", "Explain a command")] if parser is whole else []
        return [] if before else _starting(typed, [*known, *helps])
    given = _positionals_given(parser, before)
    positionals = [action for action in parser.actions() if not action.option_strings]
    expected = positionals[given:] or [action for action in positionals[-1:] if action.nargs in ("+", "*")]
    return _values(expected[0], typed) if expected else []


def _starting(typed: str, known: Sequence[Answer]) -> list[Answer]:
    return [(text, explained) for text, explained in known if text.startswith(typed)]


def _options(parser: Parser) -> list[Answer]:
    return [
        (option, (action.help or "").replace("%%", "%"))
        for action in parser.actions()
        for option in action.option_strings
        if option.startswith("--")
    ]


def _open_option(parser: Parser, before: Sequence[str]) -> argparse.Action | None:
    """The option whose value is being typed, if it is one."""
    for back, word in enumerate(reversed(before)):
        if not word.startswith("-"):
            continue
        action = next((action for action in parser.actions() if word in action.option_strings), None)
        if action is None or action.nargs == 0:
            return None
        return action if back == 0 or action.nargs in ("+", "*") else None
    return None


def _values(action: argparse.Action, typed: str) -> list[Answer]:
    if action.choices is not None:
        return _starting(typed, [(str(choice), "") for choice in action.choices])
    if action.type is not None:
        return []  # a number, or something else that is no file
    return [(FILES, "")]


def _positionals_given(parser: Parser, before: Sequence[str]) -> int:
    """How many words are neither options nor their values."""
    given, skip = 0, False
    for word in before:
        action = next((action for action in parser.actions() if word in action.option_strings), None)
        if action is not None:
            skip = action.nargs != 0
        elif skip:
            skip = False
        else:
            given += 1
    return given


def script(shell: str) -> str:
    """The script of a shell: ``bash``, ``zsh`` or ``fish``."""
    return _SCRIPTS[shell]


_SCRIPTS = {
    "bash": r"""# Completion of ecc-rf for bash: eval "$(ecc-rf completion bash)"
_ecc_rf() {
    local IFS=$'\n' word="${COMP_WORDS[COMP_CWORD]}"
    COMPREPLY=($("${COMP_WORDS[0]}" completion bash -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
    if [ "${COMPREPLY[0]-}" = "<files>" ]; then
        COMPREPLY=()
        compopt -o default 2>/dev/null
    fi
}
complete -F _ecc_rf ecc-rf
""",
    "zsh": r"""#compdef ecc-rf
# Completion of ecc-rf for zsh: eval "$(ecc-rf completion zsh)"
_ecc_rf() {
    local -a answers
    answers=("${(@f)$("${words[1]}" completion zsh -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ "${answers[1]}" == "<files>" ]]; then
        _files
    elif [[ -n "${answers[1]}" ]]; then
        answers=("${(@)answers//:/\\:}")  # a colon parts a word from what it means
        answers=("${(@)answers/$'\t'/:}")
        _describe 'ecc-rf' answers
    fi
}
compdef _ecc_rf ecc-rf
""",
    "fish": r"""# Completion of ecc-rf for fish: ecc-rf completion fish | source
function __ecc_rf
    set -l words (commandline -opc) (commandline -ct)
    set -l answers ($words[1] completion fish -- $words[2..-1] 2>/dev/null)
    if test "$answers[1]" = "<files>"
        __fish_complete_path (commandline -ct)
    else
        string join \n -- $answers
    end
end
complete -c ecc-rf -f -a '(__ecc_rf)'
""",
}
