"""Versions of ilastik, in order: the layout of a project depends on who wrote it last."""

from __future__ import annotations

import re

# The version scheme of Python packages (PEP 440, https://peps.python.org/pep-0440), without epochs and wildcards.
_SCHEME = re.compile(
    r"""
    \s* v? (?P<release>\d+(?:\.\d+)*)
    (?: [-_.]? (?P<pre>alpha|a|beta|b|preview|pre|c|rc) [-_.]? (?P<pre_number>\d*) )?
    (?P<post> [-_.]? (?:post|rev|r) [-_.]? (?P<post_number>\d*) | - (?P<bare_post_number>\d+) )?
    (?P<dev> [-_.]? dev [-_.]? (?P<dev_number>\d*) )?
    (?: \+ [a-z0-9]+ (?:[-_.][a-z0-9]+)* )?
    \s*
    """,
    re.VERBOSE | re.IGNORECASE,
)
_PHASES = {"a": 1, "alpha": 1, "b": 2, "beta": 2, "c": 3, "rc": 3, "pre": 3, "preview": 3}
_DEVELOPMENT, _FINAL = 0, 4
_LONGEST = 100  # characters; a version is no place for numbers of thousands of digits

INTERNAL_ORDER = "1.4.0b8"
"""Since this version label blocks are in the internal axis order of their lane, and say so."""

WRITTEN_VERSION = "1.4.1"
"""What a project bears that is written here."""

VersionKey = tuple[tuple[int, ...], int, int, int, float]


def version_key(text: str) -> VersionKey | None:
    """What versions are compared by; None if the text is no version. The local part (``+g1a2b``) is ignored.

    >>> order = ["1.4.0.dev3", "1.4.0b7", "1.4.0b8", "1.4.0rc1.dev0+g1a2b", "1.4.0rc1", "1.4", "1.4.0post1", "1.10"]
    >>> keys = [version_key(text) for text in order]
    >>> keys == sorted(keys), version_key("1.4") == version_key("1.4.0"), version_key("unknown")
    (True, True, None)
    """
    match = _SCHEME.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None:
        return None
    release = [int(part) for part in match["release"].split(".")]
    while len(release) > 1 and release[-1] == 0:
        release.pop()
    post = int(match["post_number"] or match["bare_post_number"] or 0) if match["post"] else -1
    dev = int(match["dev_number"] or 0) if match["dev"] else float("inf")
    if match["pre"]:
        phase = _PHASES[match["pre"].lower()]
    else:
        phase = _DEVELOPMENT if match["dev"] and not match["post"] else _FINAL
    return tuple(release), phase, int(match["pre_number"] or 0), post, dev


def is_before(version: str, other: str) -> bool:
    """Whether `version` is older than `other`; a text that is no version counts as newest.

    >>> is_before("1.3.3post1", "1.3.3post2"), is_before("1.4.1", "1.4.0b8"), is_before("unknown", "1.3")
    (True, False, False)
    """
    key, limit = version_key(version), version_key(other)
    if limit is None:
        raise ValueError(f"{other!r} is no version")
    return key is not None and key < limit
