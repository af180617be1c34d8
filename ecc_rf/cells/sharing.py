"""What one part of a search does on its own: the objects of its blocks, and the intensity of cells within a block.

Whether an object that touches another block is a cell, how large it is and where its centre lies is known when that
block has come, perhaps from another part; so are the pieces of objects that are too large. Who puts the parts together
divides and measures those, the few, and takes over the rest::

    block 0          | block 1
      o      o    oo | oo             o   measured by the part that has block 0
       o             |                oo  by whoever puts them together
"""

from __future__ import annotations

import numpy as np

from ecc_rf.cells import measure, surroundings
from ecc_rf.cells.components import STAGE, objects_of_blocks
from ecc_rf.cells.parts import Parts
from ecc_rf.cells.passes import INNER, Resources
from ecc_rf.cells.settings import SearchSettings
from ecc_rf.cells.stages import Inputs, cubes, foreground_of, in_order


def shared_pass(*, raw: bool, contrasts: bool) -> str:
    """The last of the passes that parts do."""
    if not raw:
        return STAGE
    return INNER + (surroundings.STAGE if contrasts else measure.STAGE)


def find_part(settings: SearchSettings, inputs: Inputs, use: Resources) -> None:
    """Find objects and measure cells in some of the blocks; all of it is kept, and nothing is returned.

    Parameters
    ----------
    settings : SearchSettings
    inputs : Inputs
        Prepared.
    use : Resources
        With a checkpoint.
    """
    foreground = foreground_of(settings, inputs)
    limit = settings.max_volume if settings.split != "none" else None
    inner: list[Parts] = []
    for _, (parts, layers) in objects_of_blocks(foreground, use):
        whole = np.ones(len(parts), bool)
        whole[layers.labels] = False
        if limit is not None:
            whole &= parts.voxels <= limit
        inner.append(parts[whole])
    if inputs.raw is None:
        return
    cells = in_order(settings, inputs, Parts.concatenate(inner))
    cubes(settings, inputs.raw, cells, use, INNER + measure.STAGE)
    if inputs.background is not None:
        stage = INNER + surroundings.STAGE
        surroundings.measure_surroundings(foreground, cells, inputs.voxel_size, use, inputs.neighbourhood, stage)
