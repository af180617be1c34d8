"""Speed of the recommended cell features, beside vigra's.

    python benchmarks/features.py [--size 256] [--runs 3] [--vigra /usr/bin/python3]

Runs are interleaved, medians are printed: a machine that is shared slows all of them alike. vigra computes in one
thread what ilastik would ask of it; it runs in the interpreter that has it, as a process of its own.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ecc_rf.blocks import Grid
from ecc_rf.features import FeatureSelection, compute_features

VIGRA = """
import math, sys, time
import numpy as np, vigra
f = vigra.filters
image = np.load(sys.argv[1])
start = time.perf_counter()
smoothed = {}
def stages(scale):
    if scale not in smoothed:
        before = math.sqrt(scale**2 - 1) if scale > 1 else scale
        smoothed[scale] = f.gaussianSmoothing(image, before, window_size=3.5)
    return smoothed[scale], min(scale, 1.0)
def smooth(p, d):
    return f.gaussianSmoothing(p, d, window_size=2.0)
out = [smooth(*stages(s)) for s in (0.3, 0.7)]
out += [f.gaussianGradientMagnitude(*stages(0.7), window_size=2.0)]
for s in (0.7, 1.0, 1.6, 3.5):
    p, d = stages(s)
    out.append(smooth(p, d) - smooth(p, 0.66 * d))
out += [f.hessianOfGaussianEigenvalues(*stages(s), window_size=2.0) for s in (1.0, 1.6, 3.5)]
print(time.perf_counter() - start)
"""


def ours(image: np.ndarray, out: np.ndarray, threads: int) -> float:
    """Seconds for all features of the image, one slab for each thread."""
    plan = FeatureSelection.recommended().plan(image.shape)
    slab = -(-image.shape[0] // threads)

    def work(block: object) -> None:
        part = compute_features(
            image[block.read][np.newaxis],
            plan,
            block.inner,
            out=slabs[block.index],
            origin=[s.start for s in block.read],
        )
        assert part is slabs[block.index]

    blocks = list(Grid(image.shape, (slab, *image.shape[1:]), plan.halo))
    flat = out.reshape(-1)
    slabs, start = [], 0
    for block in blocks:
        size = plan.n_features * block.voxels
        slabs.append(flat[start : start + size].reshape(plan.n_features, *block.shape))
        start += size
    begin = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, blocks))
    return time.perf_counter() - begin


def theirs(python: str, path: Path) -> float:
    """Seconds that vigra takes."""
    run = subprocess.run([python, "-c", VIGRA, str(path)], check=True, capture_output=True, text=True)
    return float(run.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256, help="extent of the cube (default 256)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each (default 3)")
    parser.add_argument("--vigra", default="/usr/bin/python3", help="interpreter that has vigra; empty: leave it out")
    arguments = parser.parse_args()
    n = arguments.size
    image = np.random.default_rng(0).integers(0, 255, (n, n, n), dtype=np.uint8).astype(np.float32)
    out = np.empty((16, n, n, n), np.float32)
    begin = time.perf_counter()
    ours(image[:40, :64, :64], out.reshape(-1)[: 16 * 40 * 64 * 64], 1)
    print(f"first call (compiles, or loads what was compiled): {time.perf_counter() - begin:.1f} s")
    ours(image, out, 1)  # touches the memory

    seconds: dict[str, list[float]] = {"1 thread": [], "2 threads": [], "vigra, 1 thread": []}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.npy"
        np.save(path, image)
        for _ in range(arguments.runs):
            seconds["1 thread"].append(ours(image, out, 1))
            seconds["2 threads"].append(ours(image, out, 2))
            if arguments.vigra:
                seconds["vigra, 1 thread"].append(theirs(arguments.vigra, path))
    medians = {name: statistics.median(runs) for name, runs in seconds.items() if runs}
    for name, median in medians.items():
        ratio = f"{medians['vigra, 1 thread'] / median:6.1f} x vigra" if arguments.vigra else ""
        print(f"{name:16} {n**3 / median / 1e6:7.2f} Mvoxel/s {ratio}")


if __name__ == "__main__":
    main()
