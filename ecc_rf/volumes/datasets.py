"""Which dataset of a file is meant, and what to say when that is unclear."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from ecc_rf.errors import FormatError, MissingFileError


def only_dataset(images: Sequence[str], name: str) -> str:
    """The only image of a file in which none is named.

    Raises
    ------
    FormatError
        If there is none, or more than one.

    >>> only_dataset(["raw/data"], "brain.h5")
    'raw/data'
    """
    if len(images) == 1:
        return images[0]
    if not images:
        raise FormatError("the file holds no image of 2 to 5 dimensions", name)
    raise FormatError(
        f"the file holds {len(images)} images: {_listed(images)}",
        name,
        f"name one of them: {name}/{images[0]}",
    )


def missing_dataset(inner: str, images: Sequence[str], name: str) -> MissingFileError:
    """The error for an image that is not in the file, with what comes near to it or all that is there."""
    near = difflib.get_close_matches(inner, images, n=3, cutoff=0.5)
    do = f"did you mean {_listed(near)}?" if near else f"there are: {_listed(images)}" if images else ""
    return MissingFileError(f"there is no image {inner!r} in this file", name, do)


def _listed(images: Sequence[str]) -> str:
    more = f" and {len(images) - 20} more" if len(images) > 20 else ""
    return ", ".join(images[:20]) + more
