"""Features: the 16 recommended ones, against vigra and scipy."""

from __future__ import annotations

import math
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from measuring import Measurement, VigraPeer, has_vigra, rates, ratios, take_turns, timed
from scipy.ndimage import gaussian_filter
from workload import Workload

from ecc_rf.blocks import Grid
from ecc_rf.features import FeatureSelection, compute_features

PART = "features"
SHAPE = (128, 256, 256)
REPEATS = 5  # of ours, which takes a fraction of a second


def measure(workload: Workload, rounds: int) -> list[Measurement]:
    image = workload.box(*SHAPE).astype(np.float32)
    ours = Ours(image)
    ours.run(2)  # touches the memory
    tasks = {
        "1": lambda: timed(lambda: ours.run(1), REPEATS),
        "2": lambda: timed(lambda: ours.run(2), REPEATS),
        "scipy": lambda: timed(lambda: scipy_features(image)),
    }
    vigra = has_vigra()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.npy"
        np.save(path, image)
        if vigra:
            with VigraPeer("features", path) as peer:
                tasks |= {"vigra 1": lambda: peer.seconds(1), "vigra 2": lambda: peer.seconds(2)}
                found = take_turns(tasks, rounds)
        else:
            found = take_turns(tasks, rounds)

    def line(name: str, values: tuple[float, ...], unit: str = "x", **more: object) -> Measurement:
        return Measurement(PART, name, values, unit, **more)  # type: ignore[arg-type]

    size = "×".join(map(str, SHAPE))
    lines = [
        line(f"1 thread ({size})", rates(image.size, found["1"]), "Mvoxel/s"),
        line(f"2 threads ({size})", rates(image.size, found["2"]), "Mvoxel/s"),
        line("2 threads against 1", ratios(found["1"], found["2"])),
    ]
    if vigra:
        for n in (1, 2):
            against = ratios(found[f"vigra {n}"], found[str(n)])
            goal = {"floor": 40, "goal": 70} if n == 2 else {}
            lines.append(line(f"against vigra, {n} thread{'s' * (n > 1)} each", against, **goal))
    remark = "scipy leaves out the eigenvalues"
    lines.append(line("against scipy, 1 thread each", ratios(found["scipy"], found["1"]), remark=remark))
    return lines


class Ours:
    """All features of an image, one slab for each thread, into memory that is there already."""

    def __init__(self, image: np.ndarray) -> None:
        self._image = image
        self._plan = FeatureSelection.recommended().plan(image.shape)
        self._out = np.empty(self._plan.n_features * image.size, np.float32)

    def run(self, threads: int) -> None:
        image, plan = self._image, self._plan
        slab = -(-image.shape[0] // threads)
        blocks = list(Grid(image.shape, (slab, *image.shape[1:]), plan.halo))
        ends = np.cumsum([0, *(plan.n_features * block.voxels for block in blocks)])

        def work(number: int) -> None:
            block = blocks[number]
            out = self._out[ends[number] : ends[number + 1]].reshape(plan.n_features, *block.shape)
            origin = [s.start for s in block.read]
            compute_features(image[block.read][np.newaxis], plan, block.inner, out=out, origin=origin)

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, range(len(blocks))))


def scipy_features(image: np.ndarray) -> list[np.ndarray]:
    """The same filters, presmoothed images shared; of the Hessian its elements only."""

    def filtered(p: np.ndarray, sigma: float, order: tuple[int, ...] | int = 0, window: float = 2.0) -> np.ndarray:
        radius = math.floor(window * sigma + 0.5)
        return gaussian_filter(p, sigma, order, mode="mirror", radius=radius)

    p = {s: filtered(image, math.sqrt(s * s - 1) if s > 1 else s, window=3.5) for s in (0.3, 0.7, 1.0, 1.6, 3.5)}
    found = [filtered(p[s], s) for s in (0.3, 0.7)]
    found.append(np.sqrt(sum(filtered(p[0.7], 0.7, order) ** 2 for order in ((1, 0, 0), (0, 1, 0), (0, 0, 1)))))
    for s in (0.7, 1.0, 1.6, 3.5):
        found.append(filtered(p[s], min(s, 1.0)) - filtered(p[s], 0.66 * min(s, 1.0)))
    for s in (1.0, 1.6, 3.5):
        for order in ((2, 0, 0), (0, 2, 0), (0, 0, 2), (1, 1, 0), (1, 0, 1), (0, 1, 1)):
            found.append(filtered(p[s], 1.0, order))
    return found
