"""Brains made alike: the local background subtracted, divided by one scale per brain.

The names below are imported when they are first used: what a project notes of its normalisation is read without the
compiler that computing one needs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ecc_rf.normalization.background import LocalBackground, Window
    from ecc_rf.normalization.scale import estimate_scales
    from ecc_rf.normalization.settings import Normalization, ScaledNormalization
    from ecc_rf.normalization.volume import NormalizedVolume

_HOMES = {
    "LocalBackground": "background",
    "Normalization": "settings",
    "NormalizedVolume": "volume",
    "ScaledNormalization": "settings",
    "Window": "background",
    "estimate_scales": "scale",
}

__all__ = ["LocalBackground", "Normalization", "NormalizedVolume", "ScaledNormalization", "Window", "estimate_scales"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
