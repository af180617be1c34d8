"""Versions of ilastik in order."""

from __future__ import annotations

import pytest

from ecc_rf.ilp.versions import is_before, version_key

ASCENDING = [
    "0.6",
    "1.1.9",
    "1.2.0rc10",
    "1.2.2rc4",
    "1.3.0b4",
    "1.3.0rc1",
    "1.3.0",
    "1.3.2post1",
    "1.3.3.dev1",
    "1.3.3b2",
    "1.3.3rc2",
    "1.3.3",
    "1.3.3post1.dev4",
    "1.3.3post1",
    "1.3.3post2",
    "1.3.3post10",
    "1.4.0a3",
    "1.4.0b7",
    "1.4.0b8.dev2+g0123abc",
    "1.4.0b8",
    "1.4.0b21",
    "1.4.0rc5",
    "1.4.0",
    "1.4.1b13",
    "1.4.1b15",
    "1.4.1rc4.dev0+g9f8e7d.d20250101",
    "1.4.1rc4",
    "1.4.1",
    "1.4.1.post1",
    "1.4.2",
    "1.10",
]


def test_versions_are_in_order() -> None:
    keys = [version_key(text) for text in ASCENDING]
    assert None not in keys
    assert keys == sorted(keys)  # type: ignore[type-var]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1.4", "1.4.0"),
        ("1.4.0b8", "1.4.0.beta8"),
        ("v1.4.0RC1", "1.4rc1"),
        ("1.4.1-1", "1.4.1.post1"),
        ("1.0a", "1a0"),
    ],
)
def test_two_ways_of_writing_a_version(one: str, other: str) -> None:
    assert version_key(one) == version_key(other)


@pytest.mark.parametrize("text", ["", "unknown", "1..4", "1.4.x", "1.4.0 beta of mine", "0.5 0.6"])
def test_what_is_no_version_counts_as_newest(text: str) -> None:
    assert version_key(text) is None
    assert not is_before(text, "9.9")
