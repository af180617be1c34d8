"""Real projects made small: a mutant of one is read in half the time, and damage hits what matters more often."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from ecc_rf import IlastikProject

_FORESTS = "PixelClassification/ClassifierForests"
_LABELS = "PixelClassification/LabelSets"
_TREES = 3


def trimmed(source: Path, target: Path) -> None:
    """A copy with one forest of three trees, and of the label blocks the fewest that have all labels.

    Everything else is as it was, and the forest still that of the labels, so that there is nothing to note.
    """
    with h5py.File(source, "r") as old, h5py.File("trimmed", "w", driver="core", backing_store=False) as work:
        for name in old:
            old.copy(name, work)
        forests = work[_FORESTS]
        for name in [name for name in forests if name.startswith("Forest") and name != "Forest0000"]:
            del forests[name]
        forest = forests["Forest0000"]
        for name in sorted(name for name in forest if name.startswith("Tree_"))[_TREES:]:
            del forest[name]
        forest["_options/tree_count_"][...] = _TREES
        for blocks in work[_LABELS].values():
            for name in _superfluous(blocks):
                del blocks[name]
        with h5py.File(target, "w") as new:  # what was deleted still had its place in the file
            for name in work:
                work.copy(name, new)
    project = IlastikProject.open(target)
    labels = [project.labels(lane.index) for lane in project.lanes]
    with h5py.File(target, "r+") as file:
        file[_FORESTS]["Forest0000/_ext_param/row_count_"][...] = sum(len(found.values) for found in labels)
    if project.stale() or project.notes:
        raise RuntimeError(f"{source}: trimmed, it is noted that {[*project.stale(), *project.notes]}")


def _superfluous(blocks: h5py.Group) -> list[str]:
    """Blocks whose labels the ones before have."""
    seen: set[int] = set()
    found = []
    for name in sorted(blocks):
        values = set(np.unique(blocks[name][()]).tolist()) - {0}
        if values <= seen:
            found.append(name)
        seen |= values
    return found
