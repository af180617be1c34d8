"""What is classified: a real project and a real image, cut or tiled to any size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np

from ecc_rf import IlastikProject, open_volume
from ecc_rf.features import compute_features

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared/data/cfos"
FIXTURES = ROOT / "data/fixtures"


@dataclass(frozen=True)
class Workload:
    """A project and an image that it was made for.

    Attributes
    ----------
    project_path, image_path : str
    """

    project_path: str
    image_path: str

    @classmethod
    def default(cls) -> Workload:
        """The cFos brain beside the repository, or the small one in it."""
        if SHARED.is_dir():
            return cls(str(SHARED / "cfos.ilp"), str(SHARED / "volume_256/image.h5/data"))
        return cls(str(FIXTURES / "cells.ilp"), str(FIXTURES / "brain.h5"))

    @cached_property
    def project(self) -> IlastikProject:
        return IlastikProject.open(self.project_path)

    @cached_property
    def image(self) -> np.ndarray:
        """The image, zyx."""
        with open_volume(self.image_path) as volume:
            return volume.read()

    @property
    def halo(self) -> tuple[int, ...]:
        """Of the project's features, z y x."""
        return tuple(self.project.features.plan((512, 512, 512), 1).halo)

    def box(self, *shape: int) -> np.ndarray:
        """The image cut to a shape, or mirrored at its faces as often as it takes."""
        image = self.image
        for axis, n in enumerate(shape):
            extent = image.shape[axis]
            place = np.arange(n) % (2 * extent)
            image = image.take(np.minimum(place, 2 * extent - 1 - place), axis)
        return image

    def write_cube(self, folder: Path, edge: int, *, tissue: int | None = None) -> str:
        """A cube as HDF5, compressed and in chunks as microscopes' exports are; its path.

        From column `tissue` on it is of one value, such as the space around a sample.
        """
        path = folder / f"image_{edge}_{tissue}.h5"
        box = self.box(edge, edge, edge)
        if tissue is not None:
            box[:, :, tissue:] = box.min()
        with h5py.File(path, "w") as file:
            chunks = (min(64, edge),) * 3
            file.create_dataset("data", data=box, chunks=chunks, compression="gzip")
        return f"{path}/data"

    def features(self, edge: int, count: int) -> np.ndarray:
        """(features, voxels): cubes along the diagonal of the image, one behind the other."""
        image = self.box(*(max(extent, edge) for extent in self.image.shape))
        plan = self.project.features.plan(image.shape, 1)
        parts = []
        for i in range(count):
            at = [round((extent - edge) * (i + 0.5) / count) for extent in image.shape]
            outer = [(max(a - h, 0), min(a + edge + h, n)) for a, h, n in zip(at, plan.halo, image.shape)]
            block = image[tuple(slice(*ends) for ends in outer)][np.newaxis]
            core = tuple(slice(a - low, a - low + edge) for a, (low, _) in zip(at, outer))
            parts.append(compute_features(block, plan, core, origin=tuple(low for low, _ in outer)))
        return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)
