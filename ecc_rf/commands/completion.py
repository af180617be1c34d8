"""``ecc-rf completion``: what a shell completes after ``ecc-rf``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ecc_rf.arguments import add_command

if TYPE_CHECKING:
    from ecc_rf.arguments import Commands

SHELLS = ("bash", "zsh", "fish")


def add(commands: Commands) -> None:
    completion = add_command(
        commands,
        "completion",
        "a script by which a shell completes commands, options, choices and files",
        "ecc-rf completion bash",
        _run,
    )
    completion.epilog = (
        'Example: ecc-rf completion bash. To have it in every shell, write eval "$(ecc-rf completion bash)" in'
        ' ~/.bashrc, eval "$(ecc-rf completion zsh)" in ~/.zshrc after compinit, or ecc-rf completion fish | source'
        " in ~/.config/fish/config.fish."
    )
    completion.add_argument("shell", choices=SHELLS, help="the shell")
    completion.add_argument("words", nargs="*", metavar="WORD", help="print what may follow these words instead")


def _run(a: argparse.Namespace) -> None:
    from ecc_rf.completion import completions, script

    if a.words:
        for text, explained in completions(a.parser, a.words):
            print(f"{text}\t{explained}" if a.shell != "bash" and explained else text)
    else:
        print(script(a.shell), end="")
