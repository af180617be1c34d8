"""Voxel features: ilastik's filters, bit for bit as its fastfilters library computes them."""

from typing import TYPE_CHECKING, Any

from ecc_rf.features.plan import FeaturePlan
from ecc_rf.features.selection import DEFAULT_SCALES, FEATURE_IDS, FeatureSelection

if TYPE_CHECKING:
    from ecc_rf.features.extract import compute_features

__all__ = ["DEFAULT_SCALES", "FEATURE_IDS", "FeaturePlan", "FeatureSelection", "compute_features"]


def __getattr__(name: str) -> Any:
    # numba is slow to import, and a project can be described without computing anything
    if name == "compute_features":
        from ecc_rf.features.extract import compute_features

        return compute_features
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
