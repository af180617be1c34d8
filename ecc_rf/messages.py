"""How an error is told on the command line: in sentences, with options as they are typed."""

from __future__ import annotations

import re
from collections.abc import Collection

from ecc_rf.errors import EccError, LabelError, MemoryBudgetError, SettingError
from ecc_rf.printable import printable

_NAMES = ("ecc", "ilastik", "numba", "napari", "dask", "fastfilters")  # which are written small everywhere
_OPTIONS = (LabelError, MemoryBudgetError, SettingError)  # they name what was set; others name files


def told(error: EccError, options: Collection[str] = ()) -> str:
    """An error as people read it; in Python it is as it was raised.

    Parameters
    ----------
    error : EccError
    options : collection of str
        Those of the command, with their dashes. An error that names a setting names its option.

    >>> print(told(SettingError("the size is 0", "size, a.h5", "give more"), ["--size"]))
    The size is 0.
      where: --size, a.h5
      what to do: Give more.
    """
    name, comma, rest = error.where.partition(", ")
    option = f"--{name.replace('_', '-')}"
    if isinstance(error, _OPTIONS) and option in options:
        name = option
    return printable(str(EccError(sentence(error.what), f"{name}{comma}{rest}", sentence(error.do))))


def sentence(text: str) -> str:
    """A capital at the beginning and a stop at the end, where these are words and not names, paths or commands.

    >>> sentence("give a number from 0 to 4"), sentence("zyx is meant"), sentence("call it NAME.png")
    ('Give a number from 0 to 4.', 'zyx is meant.', 'Call it NAME.png')
    >>> sentence("did you mean data?"), sentence("add it: --map 5=1"), sentence("it is damaged (twice)")
    ('Did you mean data?', 'Add it: --map 5=1', 'It is damaged (twice).')
    """
    first = re.match(r"[a-z]+(?=[ ,:;]|$)", text)
    if first and first[0] not in _NAMES and not set(first[0]) <= set("tzyxc"):
        text = text[0].upper() + text[1:]
    last = text.rpartition(" ")[2].strip("()")
    if "\n" not in text and re.fullmatch(r"[A-Za-z]?[a-z]+|[\d,]+", last) and not last.isupper():
        text += "."
    return text
