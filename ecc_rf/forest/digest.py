"""What tells one forest from another."""

from __future__ import annotations

import hashlib
from dataclasses import fields

import numpy as np

from ecc_rf.forest.model import RandomForest


def forest_digest(forest: RandomForest, more: str = "") -> str:
    """SHA-256 of a forest, and of a text."""
    digest = hashlib.sha256(more.encode())
    for field in fields(forest):
        value = getattr(forest, field.name)
        digest.update(value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
    return digest.hexdigest()
