"""What a mistyped name was probably meant to be: a file, a label, a command."""

from __future__ import annotations

import difflib
import itertools
import os
from collections.abc import Iterable
from pathlib import Path

from ecc_rf.errors import MissingFileError

_MOST_NAMES = 10_000  # of a folder that are looked at: a folder of planes may hold more
_MOST_LISTED = 8
_LEAST = 0.6  # likeness, as difflib has it: rum and run have 0.67
_LESS = 0.15  # than that of the nearest, and a name is no longer named beside it


def near(word: str, known: Iterable[str], most: int = 3) -> list[str]:
    """Those of the known names that come near to a word, whatever the case; the nearest first.

    >>> near("back ground", ["Cell", "Background"]), near("x", ["Cell"])
    (['Background'], [])
    """
    by_lower: dict[str, str] = {}
    for name in known:
        by_lower.setdefault(name.lower().lstrip("-"), name)  # dashes are in all options, and would make them alike
    sought = word.lower().lstrip("-")
    found = difflib.get_close_matches(sought, by_lower, n=most, cutoff=_LEAST)
    likeness = [difflib.SequenceMatcher(None, name, sought).ratio() for name in found]
    return [by_lower[name] for name, ratio in zip(found, likeness) if ratio > likeness[0] - _LESS]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The question that an error's advice begins with; empty if nothing comes near.

    >>> did_you_mean("rum", ["run", "train"])
    'Did you mean run?'
    """
    found = near(word, known)
    return f"Did you mean {' or '.join(found)}?" if found else ""


def advice(word: str, known: Iterable[str], otherwise: str) -> str:
    """What to do about an unknown name: what was meant, then what there is.

    >>> advice("rum", ["run"], "ecc-rf --help lists the commands.")
    'Did you mean run? ecc-rf --help lists the commands.'
    """
    return " ".join(part for part in (did_you_mean(word, known), otherwise) if part)


def missing_file(path: str | Path, what: str = "There is no such file.") -> MissingFileError:
    """The error for a file that is not there, with what in its folder comes near to it.

    Parameters
    ----------
    path : path
        As the user gave it.
    what : str
        The first sentence of the message.
    """
    try:
        file = Path(path).expanduser()
    except RuntimeError:  # no such home
        file = Path(path)
    if _is_folder(file):
        return MissingFileError(
            "This is a folder, not a file.",
            str(path),
            f"Name a file in it: {_listed(_names(file))}." if _names(file) else "It is empty: check the path.",
        )
    there = next((folder for folder in file.parents if _is_folder(folder)), None)
    if there is None:
        return MissingFileError(what, str(path), "Check the path.")
    lost, *rest = file.relative_to(there).parts
    names = _names(there)
    meant = [str(there.joinpath(name, *rest)) for name in near(lost, names)]
    if meant:
        do = f"Did you mean {' or '.join(meant)}?"
    elif there != file.parent:
        do = f"Check the path: {there if there != Path() else 'the folder you are in'} holds no {lost!r}."
    elif 0 < len(names) <= _MOST_LISTED:
        do = f"Check the path: the folder holds {', '.join(sorted(names))}."
    else:
        do = "Check the path."
    return MissingFileError(what, str(path), do)


def _listed(names: list[str]) -> str:
    more = ", …" if len(names) > _MOST_LISTED else ""
    return ", ".join(sorted(names)[:_MOST_LISTED]) + more


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _names(folder: Path) -> list[str]:
    """Names of what a folder shows; hidden files are not meant."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in itertools.islice(entries, _MOST_NAMES)]
    except OSError:
        return []
    return [name for name in names if not name.startswith(".")]
