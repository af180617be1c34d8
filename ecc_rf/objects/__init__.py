"""The second stage: is this candidate a cell?"""

from ecc_rf.objects.model import FEATURES, ObjectModel
from ecc_rf.objects.training import train_object_model

__all__ = ["FEATURES", "ObjectModel", "train_object_model"]
