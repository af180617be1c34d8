"""At which line of a TOML file something is said: its reader does not tell."""

from __future__ import annotations

import re

Place = tuple[str | int, ...]

_TABLE = re.compile(r"^\s*(\[\[?)\s*([^\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"^\s*((?:[\w-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[\w-]+|\"[^\"]*\"|'[^']*'))*)\s*=")
_PART = re.compile(r"[\w-]+|\"[^\"]*\"|'[^']*'")


def lines_of(text: str) -> dict[Place, int]:
    """Lines, from 1, of tables and keys; tables of a list have their number after the name.

    >>> lines_of("[[marker]]\\nname = 1\\n[marker.cells]\\nthreshold = 2\\n")
    {('marker', 0): 1, ('marker', 0, 'name'): 2, ('marker', 0, 'cells'): 3, ('marker', 0, 'cells', 'threshold'): 4}
    """
    found: dict[Place, int] = {}
    counts: dict[str, int] = {}
    table: Place = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if match := _TABLE.match(line):
            names = _names(match[2])
            if not names:
                continue
            if match[1] == "[[":
                counts[names[0]] = counts.get(names[0], -1) + 1
            table = (names[0], counts[names[0]], *names[1:]) if names[0] in counts else tuple(names)
            found.setdefault(table, number)
        elif match := _KEY.match(line):
            found.setdefault((*table, *_names(match[1])), number)
    return found


def line_of(lines: dict[Place, int], place: Place) -> int | None:
    """The line of a place, or of what it is in; None if that is the whole file.

    >>> line_of({("brain", 0): 4}, ("brain", 0, "images", "pv")), line_of({}, ("brain",))
    (4, None)
    """
    while place and place not in lines:
        place = place[:-1]
    return lines.get(place)


def _names(text: str) -> list[str]:
    return [part.strip("\"'") for part in _PART.findall(text)]
