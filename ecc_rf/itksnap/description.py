"""ITK-SNAP's label description: names and colours of label values, a text of eight columns.

::

    IDX   R   G   B   A  VIS MSH  LABEL
      0   0   0   0   0    0   0  "Clear Label"
      1 255 225  25   1    1   1  "cell"

A is the opacity from 0 to 1, VIS and MSH say whether the label is shown in the planes and as a surface.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ecc_rf.errors import FormatError
from ecc_rf.near import missing_file

Color = tuple[int, int, int]

_HEAD = """# Label descriptions for ITK-SNAP: Segmentation > Import Label Descriptions.
# value, red, green, blue, opacity, visible, in the surface, "name"
"""
_LINE = re.compile(r'\s*(\d{1,9})\s+(\d{1,3})\s+(\d{1,3})\s+(\d{1,3})\s+\S+\s+\d+\s+\d+\s+"(.*)"\s*')


@dataclass(frozen=True)
class Description:
    """Name and colour of a label value."""

    value: int
    name: str
    color: Color


def description_text(names: Sequence[str], colors: Sequence[Color]) -> str:
    """The text for labels 1 and up.

    >>> print(description_text(["cell"], [(255, 225, 25)]).splitlines()[-1])
        1   255  225   25        1  1  1    "cell"
    """
    lines = [(0, (0, 0, 0), 0, "Clear Label")]
    lines += [(value, color, 1, name) for value, (name, color) in enumerate(zip(names, colors), start=1)]
    return _HEAD + "".join(
        f'{value:5d}  {red:4d} {green:4d} {blue:4d}        {shown}  {shown}  {shown}    "{_quotable(name)}"\n'
        for value, (red, green, blue), shown, name in lines
    )


def read_description(path: str | Path) -> list[Description]:
    """Labels of a description, without the clear label 0.

    Raises
    ------
    MissingFileError
        If there is no such file.
    FormatError
        If a line is no label description, or a value is named twice.
    """
    try:
        text = Path(path).expanduser().read_text("utf-8", errors="replace")
    except (FileNotFoundError, IsADirectoryError) as error:
        raise missing_file(path, "there is no such label description") from error
    labels: dict[int, Description] = {}
    for number, line in enumerate(text.lstrip("\ufeff").splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        where = f"{path}, line {number}"
        match = _LINE.fullmatch(line)
        if match is None:
            raise FormatError(
                f"no label description: {line[:80]!r}",
                where,
                'a line has a value, three colours, opacity, two switches and the name: 1 255 225 25 1 1 1 "cell"',
            )
        value, red, green, blue = (int(match[i]) for i in range(1, 5))
        if value in labels:
            raise FormatError(f"value {value} is described twice", where)
        labels[value] = Description(value, match[5].strip(), (min(red, 255), min(green, 255), min(blue, 255)))
    labels.pop(0, None)
    if not labels:
        raise FormatError(
            "no label is described", str(path), "save it in ITK-SNAP: Segmentation > Export Label Descriptions"
        )
    return list(labels.values())


def _quotable(name: str) -> str:
    return " ".join(name.replace('"', "'").split())
