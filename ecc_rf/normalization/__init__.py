"""Brains made alike: the local background subtracted, divided by one scale per brain."""

from ecc_rf.normalization.background import LocalBackground, Window
from ecc_rf.normalization.scale import estimate_scales
from ecc_rf.normalization.settings import Normalization, ScaledNormalization
from ecc_rf.normalization.volume import NormalizedVolume

__all__ = ["LocalBackground", "Normalization", "NormalizedVolume", "ScaledNormalization", "Window", "estimate_scales"]
