"""The random forest: what it is made of and how it predicts."""

from ecc_rf.forest.model import RandomForest
from ecc_rf.forest.tree import Tree

__all__ = ["RandomForest", "Tree"]
