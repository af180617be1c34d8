"""Whole-brain cell counting with ilastik pixel-classification projects, without ilastik.

The names below are imported when they are first used, so that ``import ecc_rf`` and the command line start fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ecc_rf._version import __version__
from ecc_rf.errors import EccError

if TYPE_CHECKING:
    from ecc_rf.cells import CellFinder
    from ecc_rf.classifier import PixelClassifier
    from ecc_rf.features import FeatureSelection
    from ecc_rf.forest import RandomForest
    from ecc_rf.ilp import IlastikProject
    from ecc_rf.notebook import summary
    from ecc_rf.pipeline import run
    from ecc_rf.volumes import create_volume, open_volume

_HOMES = {
    "CellFinder": "ecc_rf.cells",
    "FeatureSelection": "ecc_rf.features",
    "IlastikProject": "ecc_rf.ilp",
    "PixelClassifier": "ecc_rf.classifier",
    "RandomForest": "ecc_rf.forest",
    "create_volume": "ecc_rf.volumes",
    "open_volume": "ecc_rf.volumes",
    "run": "ecc_rf.pipeline",
    "summary": "ecc_rf.notebook",
}

__all__ = [
    "CellFinder",
    "EccError",
    "FeatureSelection",
    "IlastikProject",
    "PixelClassifier",
    "RandomForest",
    "__version__",
    "create_volume",
    "open_volume",
    "run",
    "summary",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'ecc_rf' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
