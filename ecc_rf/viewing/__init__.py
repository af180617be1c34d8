"""Results in napari: images, probabilities, objects and cells on each other, read as they are looked at."""

from ecc_rf.viewing.layers import LayerData, cell_layer, volume_layers
from ecc_rf.viewing.results import Shown, layers_of, results_of
from ecc_rf.viewing.viewer import view

__all__ = ["LayerData", "Shown", "cell_layer", "layers_of", "results_of", "view", "volume_layers"]
