"""Choosing the settings of the search for cells by volumes in which a person marked the cells."""

from ecc_rf.tuning.grid import SettingsGrid
from ecc_rf.tuning.tune import TruthVolume, Tuning, tune

__all__ = ["SettingsGrid", "TruthVolume", "Tuning", "tune"]
