"""Where strokes would help most."""

from ecc_rf.suggesting.job import Suggestions, suggest
from ecc_rf.suggesting.places import Place, Points, choose_places

__all__ = ["Place", "Points", "Suggestions", "choose_places", "suggest"]
