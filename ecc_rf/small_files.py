"""Files that are read whole: settings, records, judgements, tables. They may come from strangers, too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ecc_rf.errors import FormatError

LARGEST_TEXT = 64 << 20
"""Bytes of a text: a record of a run, or some hundred thousand judgements, has a tenth of it."""

MOST_NUMBERS_PER_BYTE = 20
"""Numbers of a Parquet table for each byte of its file. Columns of one value shrink almost without limit, but positions
of cells do not: real tables have less than one."""


def read_small(path: Path) -> str:
    """The text of a file, whatever its encoding claims to be, if it is UTF-8.

    Raises
    ------
    FormatError
        If it is too long.
    UnicodeDecodeError, OSError
        If it is no UTF-8, or cannot be read.
    """
    check_size(path)
    return path.read_text(encoding="utf-8")


def check_size(path: Path, largest: int = LARGEST_TEXT) -> None:
    """Refuse a file that is too long to be read whole; raises FormatError."""
    size = path.stat().st_size
    if size > largest:
        raise FormatError(
            f"The file has {size:,} bytes; expected at most {largest:,}.", str(path), "Check that it is the right file."
        )


def parsed(text: str | bytes) -> Any:
    """What a JSON text says; raises ValueError whatever is wrong with it.

    >>> parsed("[" * 100_000)
    Traceback (most recent call last):
    ValueError: it is nested too deeply
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def check_parquet(path: Path) -> None:
    """Refuse a Parquet table that claims more numbers than its file can sensibly hold.

    Raises
    ------
    FormatError
    ImportError
        If pyarrow is not installed.
    """
    import pyarrow.parquet

    metadata = pyarrow.parquet.read_metadata(path)
    numbers, size = metadata.num_rows * metadata.num_columns, path.stat().st_size
    if numbers > MOST_NUMBERS_PER_BYTE * size:
        raise FormatError(
            f"The table claims {metadata.num_rows:,} rows of {metadata.num_columns:,} columns in {size:,} bytes.",
            str(path),
            "Write the table anew.",
        )
