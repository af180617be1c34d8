"""The second stage: is this candidate a cell?"""

from ecc_rf.objects.model import FEATURES, ObjectModel

__all__ = ["FEATURES", "ObjectModel"]
